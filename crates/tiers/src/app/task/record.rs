//! What is remembered of a task: `tasks/ID.json`. It stands before the command runs and says for good how it
//! ended; a task that has one is never run again.

use super::{cut_short, mark};
use crate::app::build::last_lines;
use crate::host::clock;
use crate::host::error::FileError;
use crate::host::files::{remove_file, write_atomic};
use crate::host::lock::Lock;
use crate::host::log::{KEEP, rotated};
use crate::host::record::Identity;
use crate::tool;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use stoa_model::deployment::TaskState;
use stoa_model::plan::TaskId;
use stoa_model::{Paths, Time};

/// What is remembered of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub(super) enum Record {
    /// Its wrapper watches over it, unless that is gone.
    Running {
        /// The boot it belongs to.
        boot: String,
        /// The wrapper.
        process: Identity,
        /// Since when.
        since: Time,
        /// The command as written, without anything filled in.
        command: String,
    },
    /// It ended with exit status 0.
    Done,
    /// It did not.
    Failed {
        /// How it ended.
        why: String,
        /// What it printed last.
        last_lines: Vec<String>,
    },
}

impl Record {
    /// The record of a task; `None` where there is none.
    pub(super) fn load(paths: &Paths, task: TaskId) -> Result<Option<Self>, FileError> {
        let path = paths.task(task);
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new("read", &path, error)),
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                record.map(Some).map_err(|error| FileError::new("read", &path, io::Error::other(error)))
            }
        }
    }

    /// Writes it whole.
    pub(super) fn store(&self, paths: &Paths, task: TaskId) -> Result<(), FileError> {
        let path = paths.task(task);
        let bytes = serde_json::to_vec(self)
            .map_err(|error| FileError::new("write", &path, io::Error::other(error)))?;
        write_atomic(&path, &bytes, 0o600)
    }

    /// What is true now, where this record alone tells.
    fn state(self) -> Option<TaskState> {
        match self {
            Record::Done => Some(TaskState::Done),
            Record::Failed { why, last_lines } => Some(TaskState::Failed { why, last_lines }),
            Record::Running { boot, process, since, .. } => {
                (boot == clock::boot() && process.is_alive()).then_some(TaskState::Running { since })
            }
        }
    }
}

/// Where the records are.
pub(super) fn folder(paths: &Paths) -> PathBuf {
    paths.root().join("tasks")
}

/// Held by the wrapper whose command runs: one at a time.
pub(super) fn lock(paths: &Paths) -> PathBuf {
    folder(paths).join("lock")
}

/// Whether there is a record of a task, readable or not.
pub(super) fn exists(paths: &Paths, task: TaskId) -> bool {
    std::fs::symlink_metadata(paths.task(task)).is_ok()
}

/// Every task there is a record of.
pub(super) fn all(paths: &Paths) -> Vec<TaskId> {
    let entries = std::fs::read_dir(folder(paths)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect()
}

/// What became of a task.
pub(super) fn state(paths: &Paths, task: TaskId) -> Option<TaskState> {
    match told(paths, task) {
        Told::State(state) => state,
        Told::Gone(_) => Some(settle(paths, task)),
    }
}

enum Told {
    State(Option<TaskState>),
    /// The record says that it runs, and its wrapper is gone.
    Gone(Record),
}

fn told(paths: &Paths, task: TaskId) -> Told {
    match Record::load(paths, task) {
        Ok(None) => Told::State(None),
        Ok(Some(record)) => match record.clone().state() {
            None => Told::Gone(record),
            state => Told::State(state),
        },
        Err(error) => Told::State(Some(TaskState::Failed {
            why: format!("what became of it is not known: {error}"),
            last_lines: Vec::new(),
        })),
    }
}

/// Its wrapper is gone. That one wrote the outcome just before it ended, or it was killed: then whatever its
/// command left behind is ended before anybody is told, and nothing can change any more.
fn settle(paths: &Paths, task: TaskId) -> TaskState {
    let lock = Lock::attempt(&lock(paths));
    let gone = match told(paths, task) {
        Told::State(Some(state)) => return state,
        Told::State(None) => return cut_short(&task.to_string(), "its record is gone"),
        Told::Gone(record) => record,
    };
    let (command, here) = match &gone {
        Record::Running { command, boot, .. } => (command.clone(), boot == clock::boot()),
        _ => (task.to_string(), true),
    };
    let how = match here {
        true => "the process that watched over it was killed",
        false => "the machine went down while it ran",
    };
    let mut state = cut_short(&command, how);
    if let TaskState::Failed { why, last_lines: lines } = &mut state {
        *lines = last_lines(&paths.task_log(task));
        // Without the lock another task runs, whose wrapper has already ended what was left.
        if let Ok(Some(_held)) = lock {
            tool::sweep_blocking(&mark(paths));
            let record = Record::Failed { why: why.clone(), last_lines: lines.clone() };
            if let Err(error) = record.store(paths, task) {
                tracing::warn!(%task, %error, "that it was cut short is not written down");
            }
        }
    }
    state
}

/// Forgets all but the newest records, and what those commands printed. One that runs is not forgotten.
pub(super) fn prune(paths: &Paths, keep: usize) -> Result<(), FileError> {
    let mut tasks = all(paths);
    tasks.sort_by_key(|task| (task.deploy, task.kind));
    let many = tasks.len().saturating_sub(keep);
    for task in tasks.into_iter().take(many) {
        if matches!(Record::load(paths, task), Ok(Some(Record::Running { .. }))) {
            continue;
        }
        let log = paths.task_log(task);
        for old in (1..=KEEP).map(|number| rotated(&log, number)) {
            remove_file(&old)?;
        }
        remove_file(&log)?;
        remove_file(&paths.task(task))?;
    }
    Ok(())
}
