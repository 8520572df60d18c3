//! The database servers of the world: what each holds, how writes reach replicas and are acknowledged, and
//! what clients were promised. Nothing that was acknowledged may ever be lost.

use crate::world::{Database, Disk, World};
use std::collections::BTreeSet;
use stoa_model::gtid::Origin;
use stoa_model::observed::{DatabaseStatus, Receiving, Replication, Salvaged, SemiSync};
use stoa_model::{Action, Endpoint, Gtids, InstanceId, Millis, Tier, Time};

/// So many commits at most wait for a replica at once.
const HELD: usize = 8;

/// One transaction: who began it, its place in the line, and which write of which client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Txn {
    server: u32,
    sequence: u64,
    pub(crate) write: u64,
}

fn gtids<'a>(all: impl IntoIterator<Item = &'a Txn>) -> Gtids {
    let mut last = std::collections::BTreeMap::new();
    for txn in all {
        last.insert(txn.server, txn.sequence);
    }
    let text: Vec<_> = last.iter().map(|(server, sequence)| format!("0-{server}-{sequence}")).collect();
    text.join(",").parse().unwrap_or_default()
}

fn number(id: InstanceId) -> u32 {
    u32::from(id.number)
}

impl World {
    /// What a server answers that is asked how it is.
    pub(crate) fn database_status(&self, id: InstanceId) -> Option<DatabaseStatus> {
        let process = self.processes.get(&id)?;
        let database = process.database.as_ref().filter(|_| self.is_well(id))?;
        let disk = self.disks.get(&id)?;
        let replication = disk.follows.clone().map(|primary| Replication {
            receiving: self.receiving(id, database, (&primary, disk.tls)),
            applying: database.fetches && database.broken.is_none(),
            lag_seconds: database.fetches.then_some(0),
            heard: Some(self.now.since(database.heard)),
            stalled: self.now.since(database.got),
            mute: database.mute.map_or(Millis(0), |since| self.now.since(since)),
            error: database.broken.clone(),
            tls: disk.tls,
            primary,
        });
        let received = database.fetches.then(|| gtids(disk.log.iter().chain(&disk.relay)));
        let followers = self.followers(&process.endpoint);
        let acknowledging = followers.iter().filter(|id| !self.is_mute(**id)).count();
        let acknowledging = u32::try_from(acknowledging).unwrap_or(u32::MAX);
        let followers: BTreeSet<u32> = followers.into_iter().map(number).collect();
        let waiting = u32::try_from(database.pending.len()).unwrap_or(u32::MAX);
        Some(DatabaseStatus {
            writable: database.writable,
            term: disk.term,
            origin: Origin::Server(number(id)),
            gtid: gtids(&disk.log),
            received,
            semi_sync: SemiSync {
                enabled: database.waits,
                acknowledging,
                waiting,
                unmoved: if waiting == 0 { Millis(0) } else { self.now.since(database.moved) },
            },
            followers,
            version: "10.11.6-MariaDB".to_owned(),
            drift: Vec::new(),
            replication,
        })
    }

    fn receiving(&self, id: InstanceId, database: &Database, (primary, tls): (&Endpoint, bool)) -> Receiving {
        if !database.fetches {
            return Receiving::Stopped;
        }
        let cut = self.cut_until.get(&id).is_some_and(|until| *until > self.now);
        match self.listening(primary) {
            // A connection to one that hangs stays open; one that is cut off is noticed after a while only.
            Some((_, leader))
                if leader.ever_healthy
                    && leader.spec.tls() == tls
                    && !(cut && self.now.since(database.heard).0 > 2_000) =>
            {
                Receiving::Connected
            }
            _ => Receiving::Connecting,
        }
    }

    fn is_mute(&self, id: InstanceId) -> bool {
        let database = self.processes.get(&id).and_then(|process| process.database.as_ref());
        database.is_some_and(|database| database.mute.is_some())
    }

    /// The replicas whose connection to a server is open, as that server sees it.
    fn followers(&self, endpoint: &Endpoint) -> Vec<InstanceId> {
        let follows = |id: &InstanceId| {
            let (Some(process), Some(disk)) = (self.processes.get(id), self.disks.get(id)) else {
                return false;
            };
            let database = process.database.as_ref();
            disk.follows.as_ref() == Some(endpoint)
                && database
                    .is_some_and(|db| self.receiving(*id, db, (endpoint, disk.tls)) == Receiving::Connected)
        };
        self.processes.keys().copied().filter(|id| id.tier == Tier::Database).filter(follows).collect()
    }

    /// Clients write, replicas fetch, acknowledge and apply.
    pub(crate) fn databases_go_on(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.within(0, 4) {
            self.write()?;
        }
        let ids: Vec<_> = self.processes.keys().copied().filter(|id| id.tier == Tier::Database).collect();
        for id in ids {
            if self.is_well(id) {
                self.fetch(id);
                self.apply(id);
            }
        }
        Ok(())
    }

    /// A client writes through a splitter, to whatever that takes for the primary.
    fn write(&mut self) -> Result<(), String> {
        let mut splitters = Vec::new();
        for (id, process) in &self.processes {
            let routes = process.served.as_ref().map(|served| &served.routes.sql);
            let primary = routes.and_then(|sql| sql.primary.as_ref()).filter(|_| id.tier == Tier::Splitter);
            splitters.extend(primary.cloned());
        }
        let Some(route) = self.rng.pick(&splitters) else { return Ok(()) };
        let Some((id, process)) = self.listening(&route.endpoint) else { return Ok(()) };
        // While commits wait the log is held: a few more get into it, and the others stand behind those.
        let takes = process.database.as_ref().is_some_and(|db| db.writable && db.pending.len() < HELD);
        if !takes || !self.is_well(id) || self.full_until > self.now {
            return Ok(());
        }
        self.last_write += 1;
        let (write, server) = (self.last_write, number(id));
        let Some(disk) = self.disks.get_mut(&id) else { return Ok(()) };
        let sequence = disk.log.last().map_or(0, |txn| txn.sequence) + 1;
        disk.log.push(Txn { server, sequence, write });
        let Some(database) = self.processes.get_mut(&id).and_then(|process| process.database.as_mut()) else {
            return Ok(());
        };
        database.moved = self.now;
        if database.waits {
            database.pending.push(write);
            return Ok(());
        }
        if self.roster.database.degraded.is_none() {
            return Err(format!(
                "{id} acknowledges the write {write} alone, and nobody has noted that it may"
            ));
        }
        self.acknowledged.insert(write);
        self.tell(format!("{id} alone acknowledges {write}"));
        Ok(())
    }

    /// A replica gets what its primary has beyond what it has itself, and says so.
    fn fetch(&mut self, id: InstanceId) {
        let cut = self.cut_until.get(&id).is_some_and(|until| *until > self.now);
        let Some(disk) = self.disks.get(&id) else { return };
        let fetches = self.processes[&id].database.as_ref().is_some_and(|database| database.fetches);
        let Some(endpoint) = disk.follows.clone().filter(|_| fetches && !cut) else { return };
        let Some((leader, process)) = self.listening(&endpoint) else { return };
        let wedged = process.database.as_ref().is_some_and(|database| database.wedged);
        if wedged || !self.is_well(leader) || process.endpoint != endpoint || process.spec.tls() != disk.tls {
            return;
        }
        let Some(source) = self.disks.get(&leader) else { return };
        let (have, last) =
            (disk.log.len() + disk.relay.len(), disk.relay.last().or(disk.log.last()).copied());
        let now = self.now;
        // No transaction is in two places: who has the same one at the same place has the same line up to it.
        if have > 0 && source.log.get(have - 1) != last.as_ref() {
            if let Some(database) = self.processes.get_mut(&id).and_then(|process| process.database.as_mut())
            {
                database.broken = Some("it has transactions that its primary has not".to_owned());
            }
            return;
        }
        let new: Vec<Txn> = source.log.get(have..).unwrap_or_default().to_vec();
        let most = u64::try_from(new.len()).unwrap_or(0) + 1;
        let some = usize::try_from(self.rng.within(0, most).max(self.rng.within(0, most))).unwrap_or(0);
        let Some(disk) = self.disks.get_mut(&id) else { return };
        disk.relay.extend(new.iter().take(some));
        let has = disk.relay.last().or(disk.log.last()).map_or(0, |txn| txn.write);
        if let Some(database) = self.processes.get_mut(&id).and_then(|process| process.database.as_mut()) {
            database.heard = now;
            if some > 0 {
                database.got = now;
            }
            if database.mute.is_some() {
                return;
            }
        }
        let Some(database) = self.processes.get_mut(&leader).and_then(|process| process.database.as_mut())
        else {
            return;
        };
        let (done, left): (Vec<_>, Vec<_>) = database.pending.drain(..).partition(|write| *write <= has);
        database.pending = left;
        if !done.is_empty() {
            self.tell(format!("{id} acknowledges {done:?}"));
        }
        self.acknowledged.extend(done);
    }

    fn apply(&mut self, id: InstanceId) {
        let Some(database) = self.processes.get_mut(&id).and_then(|process| process.database.as_mut()) else {
            return;
        };
        let Some(disk) = self.disks.get_mut(&id) else { return };
        if disk.corrupt && database.fetches {
            database.broken = Some("duplicate key".to_owned());
        }
        if database.broken.is_none() {
            let most = u64::try_from(disk.relay.len()).unwrap_or(0) + 1;
            let some = usize::try_from(self.rng.within(0, most)).unwrap_or(0);
            disk.log.extend(disk.relay.drain(..some));
        }
    }

    /// What a server that starts finds.
    pub(crate) fn database_starts(&mut self, id: InstanceId) -> Database {
        if let Some(disk) = self.disks.get_mut(&id) {
            disk.relay.clear();
            if let Some(length) = disk.rewinds_to.take() {
                disk.log.truncate(length);
            }
        }
        Database { heard: self.now, ..Database::default() }
    }

    /// Steps on database servers.
    pub(crate) fn change_database(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Clone { instance, from, .. } => {
                self.database(*from)?;
                let source = self.disks.get(from).cloned().ok_or("it has no data")?;
                let disk = Disk { relay: Vec::new(), corrupt: false, ruined: false, follows: None, ..source };
                self.disks.insert(*instance, disk);
            }
            Action::Fence { instance } => {
                let database = self.database(*instance)?;
                database.writable = false;
                database.pending.clear();
            }
            Action::Promote { instance, term, wait } => self.promote(*instance, *term, *wait)?,
            Action::SemiSync { instance, term, wait } => {
                self.refuse_stale(*instance, *term)?;
                let degraded = self.roster.database.degraded.is_some();
                let database = self.database(*instance)?;
                database.waits = *wait;
                if !wait {
                    if !degraded {
                        return Err(format!("violation: {instance} is degraded and nobody noted it"));
                    }
                    let freed = std::mem::take(&mut database.pending);
                    self.tell(format!("{instance} alone acknowledges {freed:?}"));
                    self.acknowledged.extend(freed);
                }
            }
            Action::Salvage { instance, term, .. } => {
                if self.processes.contains_key(instance) {
                    return Err(format!("violation: {instance} is salvaged while it runs"));
                }
                let disk = self.disks.get_mut(instance).ok_or("it has no data")?;
                disk.rewinds_to = Some(disk.committed.min(disk.log.len()));
                self.salvaged.insert(*instance, Salvaged { term: *term, transactions: 0 });
            }
            Action::Discard { instance } => {
                if self.processes.contains_key(instance) {
                    return Err(format!("violation: {instance} is discarded while it runs"));
                }
                self.disks.remove(instance);
            }
            Action::Follow { instance, endpoint, tls, term, .. } => {
                self.refuse_stale(*instance, *term)?;
                let now = self.now;
                let database = self.database(*instance)?;
                if database.writable {
                    return Err("it takes writes".to_owned());
                }
                let goes_on = database.fetches;
                (database.broken, database.fetches, database.heard) = (None, true, now);
                (database.mute, database.got) = (None, now);
                let disk = self.disks.get_mut(instance).ok_or("it has no data")?;
                if !goes_on || disk.follows.as_ref() != Some(endpoint) || disk.tls != *tls {
                    disk.relay.clear();
                }
                (disk.term, disk.follows, disk.tls) = (*term, Some(endpoint.clone()), *tls);
            }
            other => return Err(format!("violation: {} is no step of a database", other.key())),
        }
        Ok(())
    }

    fn refuse_stale(&mut self, id: InstanceId, term: stoa_model::Term) -> Result<(), String> {
        self.database(id)?;
        let disk = self.disks.get(&id).ok_or("it has no data")?;
        if term < disk.term { Err(format!("it knows the term {}", disk.term)) } else { Ok(()) }
    }

    fn promote(&mut self, id: InstanceId, term: stoa_model::Term, wait: bool) -> Result<(), String> {
        self.refuse_stale(id, term)?;
        let follows = self.disks.get(&id).is_some_and(|disk| disk.follows.is_some());
        if let Some(error) = self.database(id)?.broken.take_if(|_| follows) {
            return Err(format!("it cannot apply what it has received: {error}"));
        }
        let disk = self.disks.get_mut(&id).ok_or("it has no data")?;
        disk.term = term;
        disk.follows = None;
        disk.log.append(&mut disk.relay);
        let database = self.database(id)?;
        (database.writable, database.waits, database.fetches) = (true, wait, false);
        crate::truth::one_writable(self).map_err(|what| format!("violation: {what}"))?;
        self.holds_all(id).map_err(|what| format!("violation: {id} is promoted, and {what}"))
    }

    /// Whether a server has every write that was acknowledged.
    pub(crate) fn holds_all(&self, id: InstanceId) -> Result<(), String> {
        let Some(disk) = self.disks.get(&id) else { return Err("it has no data".to_owned()) };
        let has: BTreeSet<u64> = disk.log.iter().map(|txn| txn.write).collect();
        let lost: Vec<_> = self.acknowledged.difference(&has).copied().collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("the acknowledged writes {lost:?} are lost")) }
    }

    /// A process of a database is gone: what nobody had acknowledged is what a rewinding start takes back.
    pub(crate) fn database_ends(&mut self, id: InstanceId, database: &Database) {
        if let Some(disk) = self.disks.get_mut(&id) {
            disk.committed = disk.log.len().saturating_sub(database.pending.len());
        }
    }

    fn database(&mut self, id: InstanceId) -> Result<&mut Database, String> {
        if !self.is_well(id) {
            return Err("it does not answer".to_owned());
        }
        let process = self.processes.get_mut(&id);
        process.and_then(|process| process.database.as_mut()).ok_or_else(|| "it is no database".to_owned())
    }

    /// Whether a route's process listens, for faults that pick one.
    pub(crate) fn some_replica(&mut self) -> Option<InstanceId> {
        let primary = self.roster.primary;
        let ids: Vec<_> = self.processes.keys().copied().collect();
        let replicas: Vec<_> =
            ids.into_iter().filter(|id| id.tier == Tier::Database && primary != Some(*id)).collect();
        self.rng.pick(&replicas)
    }

    pub(crate) fn later(&mut self, most: u64) -> Time {
        Time(self.now.0 + self.rng.within(500, most))
    }
}
