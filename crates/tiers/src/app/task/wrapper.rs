//! The process that watches over a task: `stoa role task`, in a session of its own.
//!
//! It is told its job through its standard input, because a job holds secrets. It runs the command once, with
//! the rights of the application's user, ends it with everything that it started, and writes down how that went.
//! SIGTERM means that the site is taken down. When it is killed itself, the kernel kills the command with it.

use super::record::{self, Record};
use super::{GRACE, TaskError, mark};
use crate::app::build::{blame, last_lines};
use crate::host::error::FileError;
use crate::host::files::open_log;
use crate::host::lock::Lock;
use crate::host::record::Identity as Process;
use crate::host::users::Identity;
use crate::host::{clock, proc};
use crate::tool::{Log, Tool, ToolError, describe, sweep, sweep_blocking};
use rustix::process::{Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use stoa_model::plan::TaskId;
use stoa_model::{Millis, Paths};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// The wrapper's word that the record stands.
pub(super) const READY: &str = "stoa task: ready";

/// Its word that nothing was begun, and why.
pub(super) const REFUSED: &str = "stoa task: not begun: ";

/// The largest job that is read.
const JOB_MAX: u64 = 8 << 20;

/// How often the outcome is tried to be written; a disk that is full may have room again.
const TRIES: u32 = 20;

/// What is to be done.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: TaskId,
    pub(super) paths: Paths,
    /// The command as written, without anything filled in.
    pub(super) written: String,
    pub(super) argv: Vec<OsString>,
    /// Holds secrets.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    pub(super) user: Option<Identity>,
    pub(super) timeout: Millis,
}

/// Does the one job that stands on standard input, and returns when it is over. Called by a process that does
/// nothing else, on its first thread.
pub fn carry_out() -> Result<(), TaskError> {
    // Fails where it leads a session already, which is as good.
    let _ = rustix::process::setsid();
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(JOB_MAX).read_to_end(&mut bytes);
    let job: Result<Job, _> = read.and_then(|_| serde_json::from_slice(&bytes).map_err(io::Error::from));
    drop(bytes);
    // The daemon died while it wrote: then nobody waits for a word.
    let Ok(job) = job else { return say(&format!("{REFUSED}its job cannot be read")) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let begun = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let begun = runtime.block_on(async { Begun::new(&job) }).map_err(|error| error.to_string())?;
        Ok((runtime, begun))
    });
    match begun {
        Err(why) => say(&format!("{REFUSED}{why}")),
        Ok((_, None)) => say(READY),
        Ok((runtime, Some(begun))) => {
            // Whether anybody hears it makes no difference to the task.
            let _ = say(READY);
            let outcome = runtime.block_on(begun.run(&job));
            wait_until_written(&outcome, &job)
        }
    }
}

/// A task whose record stands and whose command does not run yet.
struct Begun {
    _lock: Lock,
    log: Log,
    terminate: Signals,
}

impl Begun {
    /// `None` where the task was run before.
    fn new(job: &Job) -> Result<Option<Self>, FileError> {
        let paths = &job.paths;
        let lock = Lock::wait_for(&record::lock(paths), job.timeout.as_duration())?;
        if record::exists(paths, job.id) {
            return Ok(None);
        }
        sweep_blocking(&mark(paths));
        let path = paths.task_log(job.id);
        let unhandled = |error| FileError::new("watch over", &path, error);
        // What loses its parent becomes this process' child, so that it can be found.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| unhandled(e.into()))?;
        let terminate = signal(SignalKind::terminate()).map_err(unhandled)?;
        let mut log = Log::new(open_log(&path, None)?);
        log.line(&format!("$ {}", job.written)).map_err(FileError::at("write", &path))?;
        let own = proc::stat(std::process::id()).map(|stat| Process { pid: stat.pid, started: stat.started });
        let process = own.ok_or_else(|| unhandled(io::Error::other("/proc does not show this process")))?;
        let (boot, command) = (clock::boot().to_owned(), job.written.clone());
        Record::Running { boot, process, since: clock::now(), command }.store(paths, job.id)?;
        Ok(Some(Begun { _lock: lock, log, terminate }))
    }

    async fn run(mut self, job: &Job) -> Record {
        let mut argv = job.argv.iter().cloned();
        let environment = job.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let tool = Tool::new(argv.next().unwrap_or_default(), &job.directory).arguments(argv);
        let tool = tool.environment(environment).identity(job.user).timeout(job.timeout.as_duration());
        let mark = mark(&job.paths);
        let mut stopped = false;
        let ended = {
            let work = tool.dies_with_parent().run_into(&mut self.log, &mark);
            tokio::pin!(work);
            tokio::select! {
                ended = &mut work => Some(ended),
                _ = self.terminate.recv() => {
                    stopped = true;
                    children().into_iter().for_each(|child| {
                        let _ = kill_process_group(child, Signal::TERM);
                    });
                    tokio::time::timeout(GRACE, &mut work).await.ok()
                }
            }
        };
        sweep(&mark).await;
        end_children();
        outcome(job, stopped, ended)
    }
}

fn outcome(job: &Job, stopped: bool, ended: Option<Result<ExitStatus, ToolError>>) -> Record {
    let (written, allowed) = (&job.written, job.timeout);
    let why = match ended {
        Some(Ok(status)) if status.success() => return Record::Done,
        _ if stopped => format!("`{written}` was stopped with the site; how far it came is not known"),
        Some(Ok(status)) => {
            blame(&job.directory, format!("`{written}` ended with {}", describe(status))).to_string()
        }
        Some(Err(ToolError::TimedOut { .. })) => format!(
            "`{written}` was killed: it took longer than {allowed} ([deploy] task_timeout); how far it came is \
             not known"
        ),
        Some(Err(error)) => format!("`{written}`: {error}"),
        None => format!("`{written}` was stopped; how far it came is not known"),
    };
    Record::Failed { why, last_lines: last_lines(&job.paths.task_log(job.id)) }
}

fn wait_until_written(outcome: &Record, job: &Job) -> Result<(), TaskError> {
    for _ in 1..TRIES {
        match outcome.store(&job.paths, job.id) {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(task = %job.id, %error, "its outcome cannot be written yet"),
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(outcome.store(&job.paths, job.id)?)
}

/// Kills whatever is left below this process, however it detached itself.
fn end_children() {
    for _ in 0..200 {
        let left = children();
        if left.is_empty() {
            return;
        }
        left.into_iter().for_each(|child| {
            let _ = kill_process(child, Signal::KILL);
        });
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn children() -> Vec<rustix::process::Pid> {
    let own = std::process::id();
    let living = proc::all().into_iter().filter(|stat| stat.parent == own && !stat.is_dead());
    living.filter_map(|stat| proc::raw(stat.pid)).collect()
}

fn say(line: &str) -> Result<(), TaskError> {
    // A reader that is gone is the daemon that died.
    let _ = writeln!(io::stdout().lock(), "{line}").and_then(|()| io::stdout().flush());
    Ok(())
}
