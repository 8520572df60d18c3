//! What is known of each instance's process now, and how it changes. Pure but for the handles it keeps.

use super::pidfd::PidFd;
use super::record::{Ended, Identity, Record};
use stoa_model::observed::{Exited, Health, ProcessState, Running};
use stoa_model::{Millis, Spec, Time};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Healthy this long in a row: whatever ended its predecessors is over.
const STEADY: Millis = Millis::from_secs(10);

/// One instance.
pub(super) enum Entry {
    /// Being started; what ended before it, where something did.
    Starting(Option<Box<Dead>>),
    /// It runs.
    Alive(Box<Alive>),
    /// It ended.
    Dead(Box<Dead>),
    /// Its record cannot be read.
    Unreadable(String),
}

/// A living process.
pub(super) struct Alive {
    pub(super) record: Record,
    pub(super) identity: Identity,
    pub(super) pidfd: PidFd,
    pub(super) health: Health,
    /// It was sent its stop signal by this daemon.
    pub(super) signalled: bool,
    /// Becomes true when it has ended and that is written down.
    pub(super) over: watch::Receiver<bool>,
    pub(super) _watcher: Watcher,
}

/// A process that ended and was not forgotten.
pub(super) struct Dead {
    pub(super) record: Record,
    pub(super) last_lines: Vec<String>,
}

/// The task that waits for the end of a process; it goes with its entry.
pub(super) struct Watcher(pub(super) JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Entry {
    /// What an observer is told.
    pub(super) fn state(&self) -> ProcessState {
        match self {
            Entry::Starting(before) => before.as_ref().map_or(ProcessState::Absent, |dead| dead.state()),
            Entry::Alive(alive) => ProcessState::Running(alive.running()),
            Entry::Dead(dead) => dead.state(),
            Entry::Unreadable(_) => ProcessState::Unknown,
        }
    }
}

impl Alive {
    fn running(&self) -> Running {
        Running {
            pid: self.identity.pid,
            started: self.identity.started,
            spec: self.record.digest,
            endpoint: self.record.endpoint.clone(),
            tls: self.record.spec.as_ref().is_some_and(Spec::tls),
            release: self.record.release.clone(),
            health: self.health.clone(),
            stopping: self.record.stopping,
            crashes: self.record.crashes,
        }
    }

    /// Takes the result of a check. True when the record changed and has to be written.
    pub(super) fn checked(&mut self, result: Result<(), String>, now: Time) -> bool {
        self.health = after_check(&self.health, result, now);
        let Health::Healthy { since, .. } = self.health else { return false };
        let first = !self.record.proven;
        (self.record.proven, self.record.failed_starts) = (true, 0);
        if self.record.steady || now.since(since) < STEADY {
            return first;
        }
        self.record.steady = true;
        self.record.crashes = 0;
        true
    }
}

impl Dead {
    fn state(&self) -> ProcessState {
        let unknown = || Ended { at: Time(0), how: Exited::UNTOLD.to_owned() };
        let ended = self.record.ended.clone().unwrap_or_else(unknown);
        ProcessState::Exited(Exited {
            at: ended.at,
            how: ended.how,
            spec: self.record.digest,
            crashes: self.record.crashes,
            failed_starts: self.record.failed_starts,
            last_lines: self.last_lines.clone(),
        })
    }
}

impl Record {
    /// The process ended by itself.
    pub(super) fn end(&mut self, at: Time, how: String) {
        if !self.steady {
            self.crashes = self.crashes.saturating_add(1);
        }
        if !self.proven {
            self.failed_starts = self.failed_starts.saturating_add(1);
        }
        self.ended = Some(Ended { at, how });
    }
}

fn after_check(health: &Health, result: Result<(), String>, now: Time) -> Health {
    match (health, result) {
        (Health::Healthy { since, passes, .. }, Ok(())) => {
            Health::Healthy { since: *since, last: now, passes: passes.saturating_add(1) }
        }
        (_, Ok(())) => Health::Healthy { since: now, last: now, passes: 1 },
        (Health::Unproven(_), Err(why)) => Health::Unproven(Some(why)),
        (Health::Healthy { .. }, Err(why)) => Health::Failing { since: now, streak: 1, why },
        (Health::Failing { since, streak, .. }, Err(why)) => {
            Health::Failing { since: *since, streak: streak.saturating_add(1), why }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_the_checks() {
        let bad = || Err("answered 500".to_owned());
        let mut health = Health::Unproven(None);
        let steps = [
            (bad(), Health::Unproven(Some("answered 500".to_owned()))),
            (Ok(()), Health::Healthy { since: Time(1), last: Time(1), passes: 1 }),
            (Ok(()), Health::Healthy { since: Time(1), last: Time(2), passes: 2 }),
            (bad(), Health::Failing { since: Time(3), streak: 1, why: "answered 500".to_owned() }),
            (bad(), Health::Failing { since: Time(3), streak: 2, why: "answered 500".to_owned() }),
            (Ok(()), Health::Healthy { since: Time(5), last: Time(5), passes: 1 }),
        ];
        for (now, (result, expected)) in (0..).map(Time).zip(steps) {
            health = after_check(&health, result, now);
            assert_eq!(health, expected);
        }
    }
}
