//! The database servers of a scene: what they hold, who follows whom, and what steps do to them.

use super::scene::Scene;
use std::collections::BTreeSet;
use stoa_model::gtid::Origin;
use stoa_model::observed::{
    DataState, DatabaseStatus, Detail, ProcessState, Receiving, Replication, Salvaged, SemiSync,
};
use stoa_model::{Action, Gtids, InstanceId, Millis, Term, Tier};

impl Scene {
    pub(super) fn change_database(&mut self, action: &Action) {
        match action {
            Action::Clone { instance, from, .. } => {
                let gtid = self.status(*from).gtid.clone();
                let seen = self.trace(*instance);
                seen.data = DataState::Ready;
                let status = DatabaseStatus { gtid, ..restarted(*instance, None) };
                seen.detail = Detail::Database { at: stoa_model::Time(0), status };
            }
            Action::Fence { instance } => self.status(*instance).writable = false,
            Action::Promote { instance, term, wait } => {
                let status = self.status(*instance);
                status.gtid = status.holds().clone();
                (status.writable, status.term, status.replication, status.received) =
                    (true, *term, None, None);
                status.semi_sync.enabled = *wait;
            }
            Action::SemiSync { instance, wait, .. } => self.status(*instance).semi_sync.enabled = *wait,
            Action::Salvage { instance, term, .. } => {
                let transactions = self.lost_alone;
                self.host.salvaged.insert(*instance, Salvaged { term: *term, transactions });
            }
            Action::Discard { instance } => {
                let seen = self.trace(*instance);
                (seen.data, seen.detail) = (DataState::Absent, Detail::None);
            }
            Action::Follow { instance, endpoint, tls, term, .. } => {
                let replication = Replication {
                    primary: endpoint.clone(),
                    tls: *tls,
                    receiving: Receiving::Connected,
                    applying: true,
                    lag_seconds: Some(0),
                    heard: Some(Millis(100)),
                    stalled: Millis(0),
                    mute: Millis(0),
                    error: None,
                };
                let status = self.status(*instance);
                (status.term, status.replication) = (*term, Some(replication));
            }
            other => panic!("{} is no step of a database", other.key()),
        }
    }

    /// Replicas get what their primary has; what is connected to nobody says so.
    pub(super) fn replicate(&mut self) {
        let runs = |seen: &stoa_model::observed::InstanceObserved| match &seen.process {
            ProcessState::Running(running) => Some((running.endpoint.clone(), running.health.clone())),
            _ => None,
        };
        let servers: Vec<_> =
            self.host.instances.keys().copied().filter(|id| id.tier == Tier::Database).collect();
        let all: Vec<_> = servers
            .iter()
            .filter_map(|id| {
                let seen = &self.host.instances[id];
                let Detail::Database { status, .. } = &seen.detail else { return None };
                let (endpoint, health) = runs(seen)?;
                let answers = matches!(health, stoa_model::observed::Health::Healthy { .. });
                Some((*id, endpoint, answers, status.gtid.clone()))
            })
            .collect();
        let mut followers: Vec<(InstanceId, u32)> = Vec::new();
        for (id, _, answers, _) in &all {
            let Some(replication) = self.status(*id).replication.clone().filter(|_| *answers) else {
                continue;
            };
            let leader = all.iter().find(|(_, endpoint, ..)| *endpoint == replication.primary);
            let status = self.status(*id);
            let Some(replication) = status.replication.as_mut() else { continue };
            match leader {
                Some((leader, _, true, gtid)) if replication.receiving != Receiving::Stopped => {
                    (replication.receiving, replication.heard) = (Receiving::Connected, Some(Millis(100)));
                    replication.lag_seconds = Some(0);
                    if replication.applying {
                        status.gtid = status.gtid.union(gtid);
                    }
                    status.received = Some(status.holds().union(gtid));
                    followers.push((*leader, u32::from(id.number)));
                }
                Some((_, _, false, _)) => replication.heard = Some(Millis(5_000)),
                None if replication.receiving == Receiving::Connected => {
                    (replication.receiving, replication.lag_seconds) = (Receiving::Connecting, None);
                }
                _ => {}
            }
        }
        for (id, ..) in &all {
            let of_it: BTreeSet<u32> =
                followers.iter().filter(|(leader, _)| leader == id).map(|(_, n)| *n).collect();
            let status = self.status(*id);
            status.semi_sync.acknowledging = u32::try_from(of_it.len()).unwrap();
            status.followers = of_it;
        }
    }

    /// Somebody writes so much to a server.
    pub(crate) fn writes(&mut self, instance: &str, sequence: u64) {
        let id = super::scene::id(instance);
        let status = self.status(id);
        status.gtid = status.gtid.union(&format!("0-{}-{sequence}", id.number).parse().unwrap());
        if let Some(received) = &mut status.received {
            *received = received.union(&status.gtid);
        }
    }
}

/// What a server says that has just started on the data it had.
pub(super) fn restarted(instance: InstanceId, before: Option<DatabaseStatus>) -> DatabaseStatus {
    let fresh = DatabaseStatus {
        writable: false,
        term: Term(0),
        origin: Origin::Server(u32::from(instance.number)),
        gtid: Gtids::default(),
        received: None,
        semi_sync: SemiSync::default(),
        followers: BTreeSet::new(),
        version: "10.11.6-MariaDB".to_owned(),
        drift: Vec::new(),
        replication: None,
    };
    let mut status = DatabaseStatus { writable: false, received: None, ..before.unwrap_or(fresh) };
    status.semi_sync = SemiSync::default();
    if let Some(replication) = &mut status.replication {
        replication.receiving = Receiving::Stopped;
        (replication.applying, replication.error, replication.lag_seconds) = (false, None, None);
    }
    status
}
