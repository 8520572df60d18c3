//! Stopping a process with everything it started.

use super::error::HostError;
use super::files;
use super::launch::StopSignal;
use super::processes::{Processes, Shared};
use super::record::Record;
use super::table::Entry;
use super::{cgroup, listeners, proc};
use rustix::process::{Signal, kill_process};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stoa_model::{Endpoint, InstanceId, Millis};
use tokio::sync::watch;

/// A killed process is gone at once unless the kernel holds it.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

impl Processes {
    /// Asks an instance to end, kills it with all its children after `grace`, and forgets it. Repeating it
    /// goes on where it was; one that is not there is no error. Without any grace it is killed unasked: a
    /// database that is asked to end may let through what it must not.
    pub async fn stop(&self, instance: InstanceId, grace: Millis) -> Result<(), HostError> {
        if let Some((record, mut over)) = self.ask(instance, grace)? {
            let gone = async { over.wait_for(|over| *over).await.is_ok() };
            if !tokio::time::timeout(grace.as_duration(), gone).await.is_ok_and(|gone| gone) {
                tracing::warn!(%instance, "did not end within {grace}: it is killed");
                blocking(move || clear(&record)).await?;
                // Its end is written down by its watcher.
                let _ = tokio::time::timeout(KILLED_WITHIN, over.wait_for(|over| *over)).await;
            }
        }
        finish_checked(&self.shared, instance).await
    }

    /// Marks it as stopping and sends the signal, once.
    fn ask(
        &self,
        instance: InstanceId,
        grace: Millis,
    ) -> Result<Option<(Record, watch::Receiver<bool>)>, HostError> {
        let mut table = self.shared.table();
        let alive = match table.get_mut(&instance) {
            None | Some(Entry::Dead(_)) => return Ok(None),
            Some(Entry::Starting(_)) => return Err(HostError::Busy { instance }),
            Some(Entry::Unreadable(why)) => {
                let path = self.shared.paths.process_record(instance);
                return Err(HostError::Record { instance, path, why: why.clone() });
            }
            Some(Entry::Alive(alive)) => alive,
        };
        if !alive.record.stopping {
            alive.record.stopping = true;
            self.shared.write_down(&alive.record);
        }
        if !alive.signalled {
            alive.signalled = true;
            let signal = match alive.record.stop_signal {
                _ if grace == Millis(0) => Signal::KILL,
                StopSignal::Term => Signal::TERM,
                StopSignal::Quit => Signal::QUIT,
            };
            // One that is gone meanwhile is what was wanted.
            let _ = alive.pidfd.signal(signal);
        }
        Ok(Some((alive.record.clone(), alive.over.clone())))
    }
}

/// Ends what is left of a dead process and forgets it.
pub(super) async fn finish(shared: &Arc<Shared>, instance: InstanceId) {
    if let Err(error) = finish_checked(shared, instance).await {
        tracing::warn!(%error, %instance, "not all of it has ended");
    }
}

async fn finish_checked(shared: &Arc<Shared>, instance: InstanceId) -> Result<(), HostError> {
    let dead = |shared: &Shared| match shared.table().get(&instance) {
        Some(Entry::Dead(dead)) => Some(dead.record.clone()),
        _ => None,
    };
    let Some(record) = dead(shared) else { return Ok(()) };
    let process = record.process;
    blocking(move || clear(&record)).await?;
    let mut table = shared.table();
    // Another start may have taken the place meanwhile.
    if matches!(table.get(&instance), Some(Entry::Dead(dead)) if dead.record.process == process) {
        files::remove_file(&shared.paths.process_record(instance))?;
        table.remove(&instance);
        drop(table);
        shared.notify();
    }
    Ok(())
}

/// Kills every process that is left of an instance and waits until they are gone. Blocks.
pub(super) fn clear(record: &Record) -> Result<(), HostError> {
    let deadline = Instant::now() + KILLED_WITHIN;
    loop {
        let members = record.members();
        if members.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(HostError::Survives { instance: record.instance, pids: members });
        }
        if let Some(group) = &record.cgroup {
            cgroup::kill(group);
        }
        for pid in members.into_iter().filter_map(proc::raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Endpoint::Unix(path) = &record.endpoint {
        // Somebody who listens there now is none of ours.
        let _ = listeners::free_socket(path);
    }
    if let Some(group) = &record.cgroup {
        cgroup::remove(group);
    }
    Ok(())
}

async fn blocking(work: impl FnOnce() -> Result<(), HostError> + Send + 'static) -> Result<(), HostError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| HostError::Interrupted)?
}
