//! How a process is to be started: a plain value that the tiers render and tests compare.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use stoa_model::{InstanceId, ReleaseId, Spec, Tier};

/// How a process is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Whose process it is.
    pub instance: InstanceId,
    /// The program (absolute, or found in `environment`'s `PATH`) and its arguments. Never a secret in it.
    pub argv: Vec<OsString>,
    /// Its whole environment: nothing is inherited.
    pub environment: BTreeMap<OsString, OsString>,
    /// Where it starts.
    pub directory: PathBuf,
    /// The tier whose user it runs as, where the daemon is root.
    pub user: RunAs,
    /// What it may take.
    pub limits: Limits,
    /// The signal that asks it to end cleanly.
    pub stop_signal: StopSignal,
    /// What it is run as, kept in its record for the next daemon.
    pub spec: Spec,
    /// The code it runs, for the app tier.
    pub release: Option<ReleaseId>,
    /// Written before it starts, each by temp file, fsync and rename.
    pub files: Vec<RenderedFile>,
    /// Made before it starts, owned by its user.
    pub folders: Vec<PathBuf>,
    /// A folder that it finds open, as the number that follows its sockets: 3 where it has none.
    pub held: Option<PathBuf>,
}

/// Whose rights a process has where the daemon is root; without root everything runs as the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    /// The unprivileged user of this tier.
    Tier(Tier),
    /// The daemon's own: a role drops its rights itself, because after that it could no longer run the
    /// binary from a private folder.
    Daemon,
}

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_NOFILE`, bounded by what the daemon itself may have.
    pub open_files: u64,
    /// The most memory in bytes, where a cgroup can bound it.
    pub memory: Option<u64>,
}

/// The signal that asks a server to end cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopSignal {
    /// SIGTERM: most servers.
    Term,
    /// SIGQUIT: nginx and php-fpm end gracefully by it.
    Quit,
}

/// A configuration file as it is to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Holds a secret: mode 0600, else 0644.
    pub secret: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { open_files: 65_536, memory: None }
    }
}
