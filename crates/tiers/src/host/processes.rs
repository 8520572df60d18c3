//! The processes of this host's instances: what runs, what ended, and how healthy it is.
//!
//! Each is known by pid *and* start time *and* boot, is watched through a pidfd, whoever its parent is, and
//! has a record on disk by which the next daemon finds it. Nothing here decides what should run.
//! Starting is in `start.rs`, stopping in `stop.rs`, taking over after another daemon in `adopt.rs`.

use super::cgroup::Cgroups;
use super::clock;
use super::error::HostError;
use super::log;
use super::pidfd::PidFd;
use super::record::{Identity, Record};
use super::table::{Alive, Dead, Entry, Watcher};
use super::users::Users;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use stoa_model::observed::{Health, ProcessState};
use stoa_model::{InstanceId, Paths, Spec, Time};
use tokio::sync::{Notify, watch};

/// The processes of this host's instances. Clones share them.
#[derive(Clone)]
pub struct Processes {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) paths: Paths,
    pub(super) users: Users,
    pub(super) cgroups: Cgroups,
    pub(super) table: Mutex<BTreeMap<InstanceId, Entry>>,
    event: Notify,
}

/// A process that runs after [`Processes::start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its number.
    pub pid: u32,
    /// When it started.
    pub started: Time,
    /// It ran already, as the same spec, and was left alone.
    pub already: bool,
}

/// A running process as it is to be checked or measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Whose it is.
    pub instance: InstanceId,
    /// Its number.
    pub pid: u32,
    /// When it started; results of checks are recorded for this start only.
    pub started: Time,
    /// What it runs as; `None` where another version of Stoa started it in a form unknown to this one.
    pub spec: Option<Spec>,
    /// A stop was asked for.
    pub stopping: bool,
}

impl Processes {
    /// No process is known yet: [`Processes::adopt`] finds those of the daemon before.
    pub fn new(paths: Paths, users: Users) -> Self {
        let cgroups = Cgroups::find(&paths);
        let shared = Shared { paths, users, cgroups, table: Mutex::default(), event: Notify::new() };
        Processes { shared: Arc::new(shared) }
    }

    /// Where the site's state lies.
    pub fn paths(&self) -> &Paths {
        &self.shared.paths
    }

    /// Who runs what.
    pub fn users(&self) -> &Users {
        &self.shared.users
    }

    /// What is known of every instance that has a process or a record of one.
    pub fn observe(&self) -> BTreeMap<InstanceId, ProcessState> {
        self.shared.table().iter().map(|(id, entry)| (*id, entry.state())).collect()
    }

    /// Every running process.
    pub fn running(&self) -> Vec<Subject> {
        let table = self.shared.table();
        let alive = table.iter().filter_map(|(id, entry)| match entry {
            Entry::Alive(alive) => Some((*id, alive.as_ref())),
            _ => None,
        });
        let subject = |(instance, alive): (InstanceId, &Alive)| Subject {
            instance,
            pid: alive.identity.pid,
            started: alive.identity.started,
            spec: alive.record.spec.clone(),
            stopping: alive.record.stopping,
        };
        alive.map(subject).collect()
    }

    /// The running process of one instance.
    pub fn subject(&self, instance: InstanceId) -> Option<Subject> {
        self.running().into_iter().find(|subject| subject.instance == instance)
    }

    /// Returns when a process was started or ended since the last call. For one waiting task.
    pub async fn wait_event(&self) {
        self.shared.event.notified().await;
    }

    /// Takes the result of a check of the process that started at `started`; of an earlier one it is
    /// forgotten.
    pub fn record_check(&self, instance: InstanceId, started: Time, result: Result<(), String>) {
        let mut table = self.shared.table();
        let Some(Entry::Alive(alive)) = table.get_mut(&instance) else { return };
        if alive.identity.started != started {
            return;
        }
        let unproven = !matches!(alive.health, Health::Healthy { .. });
        if alive.checked(result, clock::now()) {
            self.shared.write_down(&alive.record);
        }
        if unproven && matches!(alive.health, Health::Healthy { .. }) {
            self.shared.event.notify_one();
        }
    }

    /// Counts every instance's crashes anew: the operator has changed something, so that what failed is tried
    /// at once.
    pub fn forgive_all(&self) {
        let mut table = self.shared.table();
        table.values_mut().for_each(|entry| self.forgive_entry(entry));
    }

    /// Counts one instance's crashes anew: what it failed for was taken away.
    pub fn forgive(&self, instance: InstanceId) {
        if let Some(entry) = self.shared.table().get_mut(&instance) {
            self.forgive_entry(entry);
        }
    }

    fn forgive_entry(&self, entry: &mut Entry) {
        let record = match entry {
            Entry::Dead(dead) | Entry::Starting(Some(dead)) => &mut dead.record,
            Entry::Alive(alive) => &mut alive.record,
            Entry::Starting(None) | Entry::Unreadable(_) => return,
        };
        if record.crashes > 0 || record.failed_starts > 0 {
            (record.crashes, record.failed_starts) = (0, 0);
            self.shared.write_down(record);
        }
    }

    /// Sends a signal to an instance's main process.
    pub fn signal(&self, instance: InstanceId, signal: Signal) -> Result<(), HostError> {
        let pidfd = match self.shared.table().get(&instance) {
            Some(Entry::Alive(alive)) => alive.pidfd.clone(),
            _ => return Err(HostError::NotRunning { instance }),
        };
        if pidfd.signal(signal) { Ok(()) } else { Err(HostError::NotRunning { instance }) }
    }

    /// The process has re-read its configuration and runs as `spec` from now on.
    pub fn reloaded(&self, instance: InstanceId, spec: &Spec) -> Result<(), HostError> {
        let mut table = self.shared.table();
        let Some(Entry::Alive(alive)) = table.get_mut(&instance) else {
            return Err(HostError::NotRunning { instance });
        };
        alive.record.digest = spec.digest();
        alive.record.spec = Some(spec.clone());
        alive.record.store(&self.shared.paths)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Only when it is empty.
        self.cgroups.remove();
    }
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify(&self) {
        self.event.notify_one();
    }

    /// Writes a record whose loss does no harm: what it adds is seen again by the next daemon.
    pub(super) fn write_down(&self, record: &Record) {
        if let Err(error) = record.store(&self.paths) {
            tracing::warn!(%error, instance = %record.instance, "its record is not up to date");
        }
    }

    /// Watches a living process from now on. Must be called within the runtime.
    pub(super) fn watch(self: &Arc<Self>, record: Record, identity: Identity) -> std::io::Result<()> {
        let pidfd = PidFd::open(identity)?;
        let (say, over) = watch::channel(false);
        let instance = record.instance;
        let mut table = self.table();
        let task = wait(Arc::downgrade(self), instance, identity, pidfd.clone(), say);
        let watcher = Watcher(tokio::spawn(task));
        let health = Health::Unproven(None);
        let alive = Alive { record, identity, pidfd, health, signalled: false, over, _watcher: watcher };
        table.insert(instance, Entry::Alive(Box::new(alive)));
        drop(table);
        self.notify();
        Ok(())
    }

    /// A watched process has ended.
    fn ended(self: &Arc<Self>, instance: InstanceId, identity: Identity, how: String) {
        let last_lines = log::last_words(&self.paths.log(instance));
        let mut table = self.table();
        let Some(Entry::Alive(alive)) = table.get(&instance) else { return };
        if alive.identity != identity {
            return;
        }
        let mut record = alive.record.clone();
        record.end(clock::now(), how);
        self.write_down(&record);
        let stopping = record.stopping;
        table.insert(instance, Entry::Dead(Box::new(Dead { record, last_lines })));
        drop(table);
        if stopping {
            // Whoever asked for the stop may no longer be there to finish it.
            let shared = self.clone();
            tokio::spawn(async move { super::stop::finish(&shared, instance).await });
        }
        self.notify();
    }
}

async fn wait(
    shared: Weak<Shared>,
    instance: InstanceId,
    identity: Identity,
    pidfd: PidFd,
    say: watch::Sender<bool>,
) {
    pidfd.ended().await;
    let how = pidfd.reap();
    tracing::info!(%instance, pid = identity.pid, "{how}");
    // No waiting from here on: the entry that is replaced aborts this task.
    if let Some(shared) = shared.upgrade() {
        shared.ended(instance, identity, how);
    }
    say.send_replace(true);
}
