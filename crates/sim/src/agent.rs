//! The agent's eyes: what the daemon can tell of the world, with what it has forgotten, does not know yet
//! or got no answer to.

use crate::world::{Daemon, Process, World};
use std::collections::BTreeMap;
use stoa_model::control::{Report, UpstreamReport};
use stoa_model::observed::{
    DataState, Detail, Health, HostObserved, InstanceObserved, Observed, ProcessState, Running,
};
use stoa_model::{HostId, InstanceId, Port, Tier, Time};

const PORTS: std::ops::Range<u16> = 20_000..20_040;

impl World {
    /// Asks every process for its health and its own account.
    pub(crate) fn look(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let ids: Vec<_> = self.processes.keys().copied().collect();
        for id in ids {
            let silent = daemon.silent_until.get(&id).is_some_and(|until| *until > self.now);
            let Some(process) = self.processes.get(&id) else { continue };
            let known = daemon.health.remove(&id).filter(|(started, _)| *started == process.started);
            let before = known.map_or(Health::Unproven(None), |(_, health)| health);
            let health = if silent { before } else { next_health(before, self.is_well(id), self.now) };
            daemon.health.insert(id, (process.started, health));
            if !silent && let Some(detail) = self.account(id, process) {
                daemon.details.insert(id, detail);
            }
        }
        daemon.health.retain(|id, _| self.processes.contains_key(id));
        self.daemon = Some(daemon);
    }

    fn account(&self, id: InstanceId, process: &Process) -> Option<Detail> {
        if let Some(served) = &process.served {
            let upstream = |requests: &Vec<Time>| UpstreamReport {
                in_flight: u32::try_from(requests.len()).unwrap_or(u32::MAX),
                ..UpstreamReport::default()
            };
            let instances = served.in_flight.iter().map(|(id, requests)| (*id, upstream(requests))).collect();
            let report = Report { serving: served.acknowledged, instances, ..Report::default() };
            return Some(Detail::Role { at: self.now, report });
        }
        let status = self.database_status(id)?;
        Some(Detail::Database { at: self.now, status })
    }

    /// What the controller gets to see.
    pub(crate) fn observe(&mut self) -> Observed {
        let Some(daemon) = &self.daemon else { return Observed::default() };
        if let Some((until, frozen)) = &daemon.frozen
            && *until > self.now
        {
            return frozen.clone();
        }
        let mut instances = BTreeMap::new();
        let ids = self.processes.keys().chain(self.ended.keys()).chain(self.disks.keys());
        for id in ids {
            instances.entry(*id).or_insert_with(|| self.seen(daemon, *id));
        }
        let host = HostObserved {
            at: self.now,
            instances,
            releases: self.releases.clone(),
            static_roots: self.static_roots.clone(),
            tasks: self.tasks.clone(),
            salvaged: self.salvaged.clone(),
            free_ports: self.free_ports(),
            busy: daemon.jobs.iter().map(|job| job.action.key()).collect(),
            failures: daemon.failures.clone(),
        };
        Observed { hosts: [(HostId::local(), host)].into() }
    }

    fn free_ports(&self) -> Vec<Port> {
        let taken: Vec<_> = self.processes.values().filter_map(|p| p.endpoint.port()).collect();
        let free = PORTS.filter(|number| !self.squatters.contains(number));
        free.filter_map(|number| Port::try_from(number).ok()).filter(|port| !taken.contains(port)).collect()
    }

    fn seen(&self, daemon: &Daemon, id: InstanceId) -> InstanceObserved {
        let data = match (id.tier, self.disks.get(&id)) {
            (Tier::Database, Some(disk)) if disk.ready => DataState::Ready,
            (Tier::Database, _) => DataState::Absent,
            _ => DataState::Unknown,
        };
        let detail = daemon.details.get(&id).cloned().unwrap_or(Detail::None);
        let unknown = daemon.unknown_until.get(&id).is_some_and(|until| *until > self.now);
        let process = match (unknown, self.processes.get(&id), self.ended.get(&id)) {
            (true, ..) => ProcessState::Unknown,
            (_, Some(process), _) => ProcessState::Running(running(daemon, id, process)),
            (_, None, Some(exited)) => ProcessState::Exited(exited.clone()),
            (_, None, None) => ProcessState::Absent,
        };
        let full = id.tier == Tier::Database && self.full_until > self.now;
        let full = full.then(|| "no space left on device".to_owned());
        InstanceObserved { process, data, full, detail }
    }
}

fn running(daemon: &Daemon, id: InstanceId, process: &Process) -> Running {
    let health = daemon.health.get(&id).filter(|(started, _)| *started == process.started);
    Running {
        pid: process.pid,
        started: process.started,
        spec: process.digest,
        endpoint: process.endpoint.clone(),
        tls: process.spec.tls(),
        release: match &process.spec {
            stoa_model::Spec::App(app) => Some(app.release.clone()),
            _ => None,
        },
        health: health.map_or(Health::Unproven(None), |(_, health)| health.clone()),
        stopping: process.ends.is_some(),
        crashes: process.crashes,
    }
}

fn next_health(before: Health, well: bool, now: Time) -> Health {
    match (before, well) {
        (Health::Healthy { since, passes, .. }, true) => {
            Health::Healthy { since, last: now, passes: passes + 1 }
        }
        (_, true) => Health::Healthy { since: now, last: now, passes: 1 },
        (Health::Unproven(_), false) => Health::Unproven(Some("connection refused".to_owned())),
        (Health::Healthy { .. }, false) => {
            Health::Failing { since: now, streak: 1, why: "no answer".to_owned() }
        }
        (Health::Failing { since, streak, why }, false) => Health::Failing { since, streak: streak + 1, why },
    }
}
