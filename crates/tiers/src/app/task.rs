//! The tasks of a deployment: its hooks, its migration.
//!
//! A task outlives the daemon and is run at most once. So it is watched over by a small process of its own, the
//! wrapper (`wrapper.rs`), which the daemon only starts; what became of it stands in its record (`record.rs`),
//! which is made before the command is. Nothing here decides whether a task should run.

mod record;
mod wrapper;

pub use wrapper::carry_out;

use super::run::{self, RunError};
use crate::host::credentials::Credentials;
use crate::host::error::FileError;
use crate::host::files::ensure_folder;
use crate::host::pidfd::PidFd;
use crate::host::{programs, users::Identity};
use crate::tool::Mark;
use record::Record;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use stoa_model::deployment::{TaskState, Tasks};
use stoa_model::plan::TaskId;
use stoa_model::site::CommandLine;
use stoa_model::spec::AppSpec;
use stoa_model::{Millis, Paths};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use wrapper::Job;

/// How many records are kept, with what their commands printed.
const KEPT: usize = 50;

/// A command that is asked to end is killed after this.
const GRACE: Duration = Duration::from_secs(10);

/// What the wrapper itself may take besides its command.
const OVERHEAD: Duration = Duration::from_secs(10);

/// A task to be run.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// Which; one that has a record is never run again.
    pub id: TaskId,
    /// The command.
    pub command: &'a CommandLine,
    /// As what: the environment of an instance of the release.
    pub spec: &'a AppSpec,
    /// It may take this long.
    pub timeout: Millis,
    /// Whose rights it gets; `None`: the caller's.
    pub user: Option<Identity>,
    /// What starts a process that calls [`carry_out`]: this program and `role task`.
    pub wrapper: &'a [OsString],
}

/// A task could not be begun; it has no record and may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The process that watches over it.
    #[error("{task} could not be begun: {why}")]
    Wrapper {
        /// Which.
        task: TaskId,
        /// What went wrong.
        why: String,
    },
}

/// Begins a task; returns once its record stands. A command that cannot be run as it is written is a task that
/// failed, and is recorded so. `secrets` are those that the spec names.
pub async fn start(
    task: &Task<'_>,
    paths: &Paths,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> Result<(), TaskError> {
    prepare(task, paths)?;
    if record::exists(paths, task.id) {
        return Ok(());
    }
    match job(task, paths, credentials, secrets) {
        Ok(job) => begin(task, &job).await,
        Err(error) => Ok(refuse(task.id, &error.to_string(), paths)?),
    }
}

/// Writes down that a task failed before its command was run, such as for a secret that has no value. One that
/// has a record is left alone.
pub fn refuse(task: TaskId, why: &str, paths: &Paths) -> Result<(), FileError> {
    ensure_folder(&record::folder(paths), 0o700, None)?;
    if record::exists(paths, task) {
        return Ok(());
    }
    Record::Failed { why: why.to_owned(), last_lines: Vec::new() }.store(paths, task)
}

/// What became of each task there is a record of. One whose wrapper is gone without a word is recorded as cut
/// short, after what it left behind was killed. Blocks for moments only.
pub fn observe(paths: &Paths) -> Tasks {
    let states = record::all(paths).into_iter().filter_map(|id| Some((id, record::state(paths, id)?)));
    states.collect()
}

/// Ends every task that runs, and returns when they have ended: SIGTERM, then SIGKILL.
pub async fn stop_all(paths: &Paths) {
    let mut ending = Vec::new();
    for id in record::all(paths) {
        let Ok(Some(Record::Running { process, .. })) = Record::load(paths, id) else { continue };
        // One that is gone meanwhile is what is wanted.
        let Ok(wrapper) = PidFd::open(process) else { continue };
        wrapper.signal(Signal::TERM);
        ending.push((id, wrapper));
    }
    for (id, wrapper) in ending {
        if tokio::time::timeout(GRACE + OVERHEAD, wrapper.ended()).await.is_err() {
            tracing::warn!(%id, "its wrapper does not end and is killed");
            wrapper.signal(Signal::KILL);
            wrapper.ended().await;
        }
    }
    // Whatever was cut short is written down, and what it left is killed.
    let _ = tokio::task::spawn_blocking({
        let paths = paths.clone();
        move || observe(&paths)
    })
    .await;
}

/// What every process of a task of this site carries. One at a time runs, so that all that carry it when
/// another begins were left behind.
fn mark(paths: &Paths) -> Mark {
    Mark::new("STOA_TASK", paths.root().display().to_string())
}

fn prepare(task: &Task<'_>, paths: &Paths) -> Result<(), FileError> {
    ensure_folder(&record::folder(paths), 0o700, None)?;
    let log = paths.task_log(task.id);
    ensure_folder(log.parent().unwrap_or(paths.root()), 0o700, None)?;
    ensure_folder(&run::home(paths), 0o700, task.user)?;
    record::prune(paths, KEPT)
}

fn job(
    task: &Task<'_>,
    paths: &Paths,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> Result<Job, RunError> {
    let mut environment = run::environment(None, task.spec, paths, credentials, secrets);
    environment.insert("STOA_DEPLOY".to_owned(), task.id.deploy.to_string());
    let directory = paths.release(&task.spec.release);
    let argv = run::argv(task.command, &environment, &directory, credentials, secrets)?;
    Ok(Job {
        id: task.id,
        paths: paths.clone(),
        written: task.command.words().join(" "),
        argv,
        environment,
        directory,
        user: task.user,
        timeout: task.timeout,
    })
}

/// Starts the wrapper, hands it the job, which holds secrets, through a pipe, and waits for its word.
async fn begin(task: &Task<'_>, job: &Job) -> Result<(), TaskError> {
    let failed = |why: String| TaskError::Wrapper { task: task.id, why };
    let told = |error: io::Error| failed(error.to_string());
    let Some((program, arguments)) = task.wrapper.split_first() else {
        return Err(failed("no program was named that watches over it".to_owned()));
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().envs(programs::environment()).current_dir("/");
    // It lives on when this handle is dropped.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(told)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let bytes = serde_json::to_vec(job).map_err(|error| failed(error.to_string()))?;
    // It may have to wait for another task to end.
    let patience = task.timeout.as_duration() + OVERHEAD;
    match tokio::time::timeout(patience, hand_over(stdin, stdout, &bytes)).await {
        Err(_) => Err(failed(format!("nothing was heard of its process within {} s", patience.as_secs()))),
        Ok(Err(error)) => Err(told(error)),
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(why))) => Err(failed(why)),
    }
}

/// What the wrapper says went wrong; `None` where all is well.
async fn hand_over(
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    job: &[u8],
) -> io::Result<Option<String>> {
    if let Some(mut stdin) = stdin {
        stdin.write_all(job).await?;
        stdin.shutdown().await?;
    }
    let Some(stdout) = stdout else { return Ok(Some("it cannot be listened to".to_owned())) };
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if line == wrapper::READY {
            return Ok(None);
        }
        if let Some(why) = line.strip_prefix(wrapper::REFUSED) {
            return Ok(Some(why.to_owned()));
        }
    }
    Ok(Some("its process ended at once; the daemon's log may say why".to_owned()))
}

/// How it is told that nobody knows how far a command came.
fn cut_short(written: &str, how: &str) -> TaskState {
    let why = format!("`{written}` was cut short: {how}; how far it came is not known");
    TaskState::Failed { why, last_lines: Vec::new() }
}

#[cfg(test)]
mod tests;
