//! Starting a daemon in the background, and waiting until it answers.

use miette::{IntoDiagnostic, WrapErr, miette};
use rustix::process::{Pid, Signal};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stoa_model::Paths;
use stoa_tiers::host::error::FileError;

/// A new daemon adopts what runs before it answers; that is a matter of milliseconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// What a daemon needs at least for a store and its write-ahead log.
const ROOM: usize = 256 << 10;

/// Starts the daemon of the site whose state lies at `paths` unless one runs, and waits until it answers.
/// Several commands may do so at once: all but one daemon end again by themselves. A daemon of another
/// program than this one ends first, while the site stays up; its balancers run on as they are until they
/// are restarted.
pub(crate) fn ensure(paths: &Paths) -> miette::Result<()> {
    if let Ok(connection) = UnixStream::connect(paths.api_socket()) {
        let Some(daemon) = of_another_program(&connection) else { return Ok(()) };
        end(daemon)?;
    }
    make_folders(paths).into_diagnostic().wrap_err_with(|| {
        format!(
            "the state folder {} cannot be made; give another one with --state DIR",
            paths.root().display()
        )
    })?;
    has_room(paths).into_diagnostic()?;
    let log = paths.daemon_log();
    let out = OpenOptions::new().create(true).append(true).open(&log).into_diagnostic()?;
    Command::new(own_program())
        .arg("daemon")
        .arg("--state")
        .arg(paths.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone().into_diagnostic()?)
        .stderr(out)
        .spawn()
        .into_diagnostic()
        .wrap_err("the daemon cannot be started")?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while Instant::now() < deadline {
        if answers(&paths.api_socket()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let last = last_line(&log);
    Err(miette!(
        help = format!("read {} for the whole story", log.display()),
        "the daemon was started but did not answer within {} s; its last line: {last}",
        ANSWERS_WITHIN.as_secs()
    ))
}

/// The daemon behind `connection`, where the program it runs is another file than this process' own.
fn of_another_program(connection: &UnixStream) -> Option<Pid> {
    let daemon = rustix::net::sockopt::socket_peercred(connection).ok()?.pid;
    let file = |process: &str| {
        let found = std::fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((found.dev(), found.ino()))
    };
    // What cannot be told is not another one: a daemon is not ended on a guess.
    let (its, own) = (file(&daemon.as_raw_nonzero().to_string())?, file("self")?);
    (its != own).then_some(daemon)
}

/// Asks a daemon to end, which leaves its site up, and waits until it has.
fn end(daemon: Pid) -> miette::Result<()> {
    let pid = daemon.as_raw_nonzero();
    if rustix::process::kill_process(daemon, Signal::TERM).is_err() {
        return Ok(());
    }
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while Path::new(&format!("/proc/{pid}")).exists() {
        if Instant::now() > deadline {
            return Err(miette!(
                help = format!("end it with: kill -KILL {pid}; the site stays up meanwhile"),
                "the daemon of another version of Stoa (pid {pid}) was asked to end and did not"
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The program that this process runs, to start others of it. Its file may have been replaced or removed
/// since: what already runs goes on as the version it is.
pub(super) fn own_program() -> PathBuf {
    let file = std::env::current_exe().ok().filter(|file| file.exists());
    file.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// The folders that must be there before a daemon can run. The root may be passed through by the tiers'
/// users, not listed; what lies in it has rights of its own.
fn make_folders(paths: &Paths) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(paths.root())?;
    for folder in [paths.run(), paths.root().join("log")] {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    Ok(())
}

/// A daemon whose disk is full cannot even write down why it does not start.
fn has_room(paths: &Paths) -> Result<(), FileError> {
    let probe = paths.run().join(format!("room-{}", std::process::id()));
    let written = std::fs::write(&probe, vec![0; ROOM]);
    let _ = std::fs::remove_file(&probe);
    written.map_err(FileError::at("write", &paths.run()))
}

fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("(it printed nothing)").to_owned()
}
