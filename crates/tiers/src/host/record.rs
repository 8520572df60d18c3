//! What is remembered of an instance's process across daemons: `run/pid/INSTANCE.json`.
//!
//! The record stands before the process does. The first line says what is being started; the new process
//! itself adds its own line of `/proc/self/stat` before it becomes the program. So whatever moment the
//! daemon dies at, the next one finds the process, or knows that there is none.

use super::clock;
use super::error::{FileError, HostError};
use super::files;
use super::launch::{Launch, StopSignal};
use super::proc::{self, Stat};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};
use stoa_model::{Digest, Endpoint, InstanceId, Paths, ReleaseId, Spec, Time};

/// A process, named for good: its number and its start time within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number, which is used again after it.
    pub pid: u32,
    /// When it started.
    pub started: Time,
}

/// What is remembered of an instance's process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) instance: InstanceId,
    /// The boot it belongs to.
    pub(crate) boot: String,
    /// Known once the process exists.
    pub(crate) process: Option<Identity>,
    /// `None` where another version of Stoa wrote it in a form that this one does not know: the process
    /// is still ours, only what it runs as differs from anything wanted.
    #[serde(deserialize_with = "lenient")]
    pub(crate) spec: Option<Spec>,
    pub(crate) digest: Digest,
    pub(crate) release: Option<ReleaseId>,
    pub(crate) endpoint: Endpoint,
    pub(crate) stop_signal: StopSignal,
    pub(crate) crashes: u32,
    /// How often in a row its predecessors, and it where it has ended, did so before a first check passed.
    #[serde(default)]
    pub(crate) failed_starts: u32,
    /// A check of it has passed.
    #[serde(default)]
    pub(crate) proven: bool,
    /// It has been healthy for a while: its end starts a new count of crashes.
    pub(crate) steady: bool,
    /// A stop was asked for.
    pub(crate) stopping: bool,
    pub(crate) ended: Option<Ended>,
    pub(crate) cgroup: Option<PathBuf>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) at: Time,
    pub(crate) how: String,
}

impl Identity {
    /// Whether this very process is alive: not another one of its number, and not one that only waits to
    /// be reaped.
    pub fn is_alive(&self) -> bool {
        proc::stat(self.pid).is_some_and(|stat| self.names(&stat) && !stat.is_dead())
    }

    /// Whether `stat` is of this process.
    pub fn names(&self, stat: &Stat) -> bool {
        (self.pid, self.started) == (stat.pid, stat.started)
    }
}

impl Record {
    /// The record of a process that is about to be started.
    pub(crate) fn of(launch: &Launch, before: Option<&Record>, cgroup: Option<PathBuf>) -> Self {
        Record {
            instance: launch.instance,
            boot: clock::boot().to_owned(),
            process: None,
            digest: launch.spec.digest(),
            endpoint: launch.spec.endpoint().clone(),
            spec: Some(launch.spec.clone()),
            release: launch.release.clone(),
            stop_signal: launch.stop_signal,
            crashes: before.map_or(0, |before| before.crashes),
            failed_starts: before.map_or(0, |before| before.failed_starts),
            proven: false,
            steady: false,
            stopping: false,
            ended: None,
            cgroup,
        }
    }

    /// Reads a record as it stands.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let mut record: Record = serde_json::from_str(first).map_err(|error| error.to_string())?;
        if record.process.is_none() {
            record.process = Stat::parse(rest).map(|stat| Identity { pid: stat.pid, started: stat.started });
        }
        Ok(record)
    }

    /// Writes it whole.
    pub(crate) fn store(&self, paths: &Paths) -> Result<(), HostError> {
        let path = paths.process_record(self.instance);
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| FileError::new("write", &path, std::io::Error::other(error)))?;
        bytes.push(b'\n');
        Ok(files::write_atomic(&path, &bytes, 0o600)?)
    }

    /// Whether it speaks of this boot; a pid of another boot means nothing.
    pub(crate) fn of_this_boot(&self) -> bool {
        self.boot == clock::boot()
    }

    /// Every living process of this instance.
    pub(crate) fn members(&self) -> Vec<u32> {
        if let Some(group) = &self.cgroup {
            let alive = |pid: &u32| proc::stat(*pid).is_some_and(|stat| !stat.is_dead());
            return super::cgroup::members(group).into_iter().filter(alive).collect();
        }
        let Some(process) = self.process.filter(|_| self.of_this_boot()) else { return Vec::new() };
        let all = proc::all();
        // The kernel gives a number to nobody else as long as a session is named by it. So when another
        // process has the number, nothing of ours is left in the session.
        if all.iter().any(|stat| stat.pid == process.pid && !process.names(stat)) {
            return Vec::new();
        }
        let session = all.iter().filter(|stat| stat.session == process.pid && !stat.is_dead());
        session.map(|stat| stat.pid).collect()
    }
}

fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spec>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
