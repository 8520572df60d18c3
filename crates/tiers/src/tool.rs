//! Runs a helper program to its end: git, a build command, `mariadb-install-db`.
//!
//! Argv only, never a shell; the environment is exactly what the caller gives; every run has a time-out
//! after which the program dies with its children. Servers are not started here: that is
//! `host::processes`.

use crate::host::spawn::bind_to_parent;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// The most that is kept of what a program prints; the rest is read and dropped.
const KEEP_MAX: u64 = 4 << 20;

/// The most that a build may write into its log: a command that prints for ever must not fill the disk.
const LOG_MAX: u64 = 32 << 20;

/// How long a log is waited for once nothing that is known of writes into it.
const ESCAPED: Duration = Duration::from_secs(5);

/// A variable in the environment of a command and so of all its children, however far they detach.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    name: &'static str,
    value: String,
}

/// Whose rights a helper program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group; there are no supplementary ones.
    pub gid: u32,
}

/// A program to be run to its end.
#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: PathBuf,
    input: Vec<u8>,
    stdin: Option<OwnedFd>,
    stdout: Option<File>,
    timeout: Duration,
    identity: Option<Identity>,
    bound: bool,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its status.
    pub(crate) status: ExitStatus,
    /// What it printed, unless that went to a file.
    pub(crate) stdout: Vec<u8>,
    /// What it complained about.
    pub(crate) stderr: Vec<u8>,
}

/// A program could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Not installed.
    #[error("{0} is not installed")]
    Missing(String),
    /// The system refused to start it or to talk to it.
    #[error("could not run {program}: {error}")]
    Io {
        /// Which.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// It and its children were killed.
    #[error("{program} did not end within {} s and was killed", .after.as_secs())]
    TimedOut {
        /// Which.
        program: String,
        /// The time it had.
        after: Duration,
    },
}

impl Tool {
    /// `program`, found on the environment's `PATH` where it is no path, started in `directory`.
    pub(crate) fn new(program: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        Tool {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            directory: directory.into(),
            input: Vec::new(),
            stdin: None,
            stdout: None,
            timeout: Duration::from_secs(60),
            identity: None,
            bound: false,
        }
    }

    pub(crate) fn arguments<I: IntoIterator<Item: Into<OsString>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn environment(mut self, environment: BTreeMap<OsString, OsString>) -> Self {
        self.environment = environment;
        self
    }

    /// Given to it on its standard input, the only place for a secret.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Read by it, instead of an input.
    pub(crate) fn stdin(mut self, stdin: OwnedFd) -> Self {
        self.stdin = Some(stdin);
        self
    }

    pub(crate) fn stdout(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn identity(mut self, identity: Option<Identity>) -> Self {
        self.identity = identity;
        self
    }

    /// The kernel kills it when the thread that runs it is gone.
    pub(crate) fn dies_with_parent(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Runs it; what it prints is kept.
    pub(crate) async fn run(mut self) -> Result<Ended, ToolError> {
        let stdout = self.stdout.take();
        let to_file = stdout.is_some();
        let mut command = self.command();
        command.stdin(self.stdin.take().map_or_else(Stdio::piped, Stdio::from)).stderr(Stdio::piped());
        command.stdout(stdout.map_or_else(Stdio::piped, Stdio::from));
        let mut child = self.spawn(command)?;
        let group = Group::of(&child);
        let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = std::mem::take(&mut self.input);
        let work = async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A program that ends without reading everything has its own say by its status.
                    let _ = stdin.write_all(&input).await;
                }
            };
            let ((), stdout, stderr, status) = tokio::join!(feed, keep(out), keep(err), child.wait());
            Ok(Ended { status: status?, stdout: stdout?, stderr: stderr? })
        };
        let ended = tokio::time::timeout(self.timeout, work).await;
        match ended {
            Ok(ended) => {
                group.ended();
                debug_assert!(!to_file || ended.as_ref().is_ok_and(|e: &Ended| e.stdout.is_empty()));
                ended.map_err(|error| self.io(error))
            }
            Err(_) => {
                drop(group);
                let _ = child.wait().await;
                Err(self.timed_out())
            }
        }
    }

    /// Runs it with both outputs going to `log` in their order, and leaves none of its children alive:
    /// they all carry `mark`.
    pub(crate) async fn run_into(mut self, log: &mut Log, mark: &Mark) -> Result<ExitStatus, ToolError> {
        self.environment.insert(mark.name.into(), mark.value.clone().into());
        let (reader, writer) = io::pipe().map_err(|error| self.io(error))?;
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(writer.try_clone().map_err(|error| self.io(error))?).stderr(writer);
        let mut child = self.spawn(command)?;
        let group = Group::of(&child);
        let (over, copied) = tokio::sync::oneshot::channel();
        let mut copying = log.try_clone().map_err(|error| self.io(error))?;
        // No task of the runtime, which would wait for it when it ends.
        std::thread::spawn(move || {
            let result = copying.copy(reader);
            let _ = over.send((copying, result));
        });
        let status = tokio::time::timeout(self.timeout, child.wait()).await;
        if status.is_err() {
            drop(group);
            let _ = child.wait().await;
        } else {
            group.ended();
        }
        // What still runs would hold the pipe open, and write into a release that is being sealed.
        sweep(mark).await;
        // A child that has shed its mark is not waited for: the program itself is what counts.
        let copied = match tokio::time::timeout(ESCAPED, copied).await {
            Ok(Ok((after, result))) => {
                *log = after;
                result
            }
            _ => log.line("[a process that the command left behind is not waited for]"),
        };
        match status {
            Err(_) => Err(self.timed_out()),
            Ok(status) => {
                copied.map_err(|error| self.io(error))?;
                status.map_err(|error| self.io(error))
            }
        }
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment).current_dir(&self.directory);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(identity) = self.identity {
            use std::os::unix::process::CommandExt;
            // With a uid and no groups named, the standard library also empties the supplementary ones.
            command.gid(identity.gid).uid(identity.uid);
        }
        if self.bound {
            bind_to_parent(&mut command);
        }
        command
    }

    /// Takes the command by value: it holds the writing ends of the pipes.
    fn spawn(&self, command: std::process::Command) -> Result<tokio::process::Child, ToolError> {
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if self.directory.is_dir() => ToolError::Missing(self.name()),
            _ => self.io(error),
        })
    }

    fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    fn io(&self, error: io::Error) -> ToolError {
        ToolError::Io { program: self.name(), error }
    }

    fn timed_out(&self) -> ToolError {
        ToolError::TimedOut { program: self.name(), after: self.timeout }
    }
}

impl Mark {
    pub(crate) fn new(name: &'static str, value: String) -> Self {
        Mark { name, value }
    }

    fn needle(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

impl Ended {
    /// The standard output as text, without its last line break.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// The line that says best what went wrong: the first one that calls itself an error, else the first.
    pub(crate) fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr).into_owned();
        let mut lines = text.lines().map(printable).filter(|line| !line.is_empty());
        let loud = |line: &String| ["fatal:", "error:", "ERROR"].iter().any(|word| line.contains(word));
        let first = lines.clone().find(loud).or_else(|| lines.next());
        first.unwrap_or_else(|| describe(self.status))
    }
}

/// `exit status 1` or `killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A line of foreign text as it may be shown on a terminal: no control characters, bounded.
pub(crate) fn printable(line: &str) -> String {
    line.trim_end().chars().filter(|c| !c.is_control() || *c == '\t').take(500).collect()
}

/// The first executable file called `program` in the folders of `path`; a name with `/` is taken from
/// `directory`.
pub(crate) fn look_up(program: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
    let executable =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(directory.join(program)).filter(executable);
    }
    std::env::split_paths(path).map(|folder| folder.join(program)).find(executable)
}

async fn keep(reader: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut reader) = reader {
        (&mut reader).take(KEEP_MAX).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

/// Kills a process group when it is dropped before its leader was waited for: until then its number
/// cannot be another's.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Kills every process that carries `mark`.
pub(crate) fn sweep_blocking(mark: &Mark) {
    kill_marked(&mark.needle());
}

/// Kills every process that carries `mark`.
pub(crate) async fn sweep(mark: &Mark) {
    let needle = mark.needle();
    // Reading /proc waits for nobody, so that the task ends whatever happens to it.
    let _ = tokio::task::spawn_blocking(move || kill_marked(&needle)).await;
}

/// Again until none is left, because they may fork meanwhile.
fn kill_marked(needle: &str) {
    for _ in 0..50 {
        let mut found = false;
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
            let marked = environment.split(|b| *b == 0).any(|variable| variable == needle.as_bytes());
            if let Some(pid) = Pid::from_raw(pid).filter(|_| marked) {
                found |= rustix::process::kill_process(pid, Signal::KILL).is_ok();
            }
        }
        if !found {
            return;
        }
    }
}

/// A log file that takes no more than a bound.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    left: u64,
}

impl Log {
    pub(crate) fn new(file: File) -> Self {
        Log { file, left: LOG_MAX }
    }

    /// One line of our own.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes())
    }

    fn try_clone(&self) -> io::Result<Log> {
        Ok(Log { file: self.file.try_clone()?, left: self.left })
    }

    /// Everything of `reader`, which is read to its end whatever happens to the file.
    fn copy(&mut self, mut reader: impl Read) -> io::Result<()> {
        let result = self.copy_bounded(&mut reader);
        io::copy(&mut reader, &mut io::sink())?;
        result
    }

    fn copy_bounded(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let copied = io::copy(&mut reader.by_ref().take(self.left), &mut self.file)?;
        self.left -= copied;
        if self.left == 0 && copied > 0 {
            self.line("\n[the rest of the output is not kept: it is over 32 MB]")?;
        }
        Ok(())
    }
}
