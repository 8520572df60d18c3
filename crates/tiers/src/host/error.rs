//! What can go wrong on this host, each told with the place, the value, the reason and what to do next.

use super::ports::Listener;
use super::programs;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use stoa_model::{Endpoint, InstanceId};

/// Something could not be done on this host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program that is not installed.
    #[error("{program} is not installed: {}", programs::how_to_install(.program))]
    ProgramMissing {
        /// Its name.
        program: String,
    },
    /// Somebody else listens where an instance is to listen.
    #[error("{endpoint} is taken by {}; {advice}", .by.as_ref().map_or_else(unseen_owner, Listener::to_string))]
    Taken {
        /// Where.
        endpoint: Endpoint,
        /// Who, where that could be seen.
        by: Option<Listener>,
        /// What to do about it.
        advice: &'static str,
    },
    /// A socket could not be made.
    #[error("cannot listen on {endpoint}: {source}{}", listen_hint(.source))]
    Listen {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The path of a Unix socket does not fit into the kernel's address.
    #[error(
        "the socket path {} has {} bytes, the system allows {}; choose a shorter state folder with --state",
        .path.display(), .path.as_os_str().len(), stoa_model::endpoint::UNIX_PATH_MAX
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
    },
    /// A program is there but could not be started.
    #[error("cannot start {} for {instance}: {source}", .program.display())]
    Spawn {
        /// Whose process it would be.
        instance: InstanceId,
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs already, as something else.
    #[error("{instance} runs already (pid {pid}) as something else; it has to be stopped first")]
    RunsAlready {
        /// Which.
        instance: InstanceId,
        /// Its process.
        pid: u32,
    },
    /// It is just being started by somebody else.
    #[error("{instance} is being started already")]
    Busy {
        /// Which.
        instance: InstanceId,
    },
    /// It does not run.
    #[error("{instance} does not run")]
    NotRunning {
        /// Which.
        instance: InstanceId,
    },
    /// Its record cannot be read, so that nobody can tell whether it runs.
    #[error("the record {} cannot be read ({why}); make sure that {instance} does not run, then remove it", .path.display())]
    Record {
        /// Whose.
        instance: InstanceId,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Processes are left after SIGKILL.
    #[error(
        "{instance} does not end: pid {pids:?} still there after SIGKILL; the kernel holds it (a hanging disk?)"
    )]
    Survives {
        /// Whose.
        instance: InstanceId,
        /// Which.
        pids: Vec<u32>,
    },
    /// A user or group of the system.
    #[error("{what}: {why}")]
    Users {
        /// What was tried, such as `user stoa-web`.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// A configuration that its server refuses, or cannot be written safely.
    #[error("{instance}: {why}")]
    Config {
        /// Whose.
        instance: InstanceId,
        /// What the server said, or which value cannot be written.
        why: String,
    },
    /// It did not do what it was asked to in time.
    #[error("{instance} {what}")]
    Late {
        /// Which.
        instance: InstanceId,
        /// What it failed to do.
        what: String,
    },
    /// The daemon ends while this was under way.
    #[error("interrupted because the daemon ends")]
    Interrupted,
}

/// A file or folder could not be read, written or made.
#[derive(Debug)]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// What was being done (`write`, `create the folder`), to what.
    pub fn new(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        FileError { doing, path: path.to_owned(), source: source.into() }
    }

    /// A closure for `map_err`.
    pub fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| FileError { doing, path, source }
    }

    /// Why.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileError { doing, path, source } = self;
        // The file itself may be gone by now, or never have come to be.
        let folder = path.parent().unwrap_or(path).display();
        let path = path.display();
        match source.kind() {
            io::ErrorKind::StorageFull => {
                let how = format!("`df -h {folder}` shows it, make room and try again");
                write!(f, "cannot {doing} {path}: the disk is full; {how}")
            }
            io::ErrorKind::QuotaExceeded => {
                write!(f, "cannot {doing} {path}: the disk quota is used up; make room and try again")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                write!(f, "cannot {doing} {path}: the file system is read-only; `dmesg` may say why")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "cannot {doing} {path}: permission denied; is this the user that started the site?")
            }
            _ => write!(f, "cannot {doing} {path}: {source}"),
        }
    }
}

impl std::error::Error for FileError {}

fn unseen_owner() -> String {
    "a program of another user (`sudo ss -ltnp` shows it)".to_owned()
}

fn listen_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root: run with sudo or set [balancer] listen to a higher one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has that address: set [balancer] listen"
        }
        _ => "",
    }
}
