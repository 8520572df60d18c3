//! MariaDB and MySQL: data folders, configuration, replication, and what a server says of itself.

pub mod accounts;
pub mod certificate;
mod client;
mod clone;
mod clone_by_server;
pub mod data;
mod discard;
mod drift;
mod fence;
mod follow;
mod lasting;
mod making;
pub mod observe;
pub mod prepare;
mod promote;
pub mod render;
mod salvage;
mod semi_sync;
mod sessions;
mod term;
mod words;

use crate::host::credentials::Credentials;
use crate::host::error::FileError;
use crate::tool::ToolError;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{InstanceId, Paths, Term};

pub use certificate::Certificate;
pub use clone::clone;
pub use discard::discard;
pub use fence::fence;
pub use follow::{Source, follow};
pub use observe::Monitor;
pub use prepare::prepare;
pub use promote::promote;
pub use render::launch;
pub use salvage::{salvage, salvaged};
pub use semi_sync::semi_sync;

/// A database server of this host.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// Which.
    pub instance: InstanceId,
    /// What it is run as.
    pub spec: &'a DatabaseSpec,
    /// Where its files are.
    pub paths: &'a Paths,
    /// The passwords of the site.
    pub credentials: &'a Credentials,
}

/// Something could not be done with a database server.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A program that is not installed.
    #[error("{program} is not installed: {}", crate::host::programs::how_to_install(.program))]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// A data folder that the installed server must not be let loose on.
    #[error(
        "{instance}: its data folder is of {found}, installed is {installed}; install a server of that \
         version, or restore a backup into a new one"
    )]
    Foreign {
        /// Whose.
        instance: InstanceId,
        /// Whose data it is.
        found: String,
        /// What is installed.
        installed: String,
    },
    /// A schema that the server needs for itself.
    #[error("[database] name = {name:?} is the server's own schema; choose another name")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A helper program could not be run to its end.
    #[error("{instance}: {error}")]
    Tool {
        /// Whose.
        instance: InstanceId,
        /// Why.
        error: ToolError,
    },
    /// A helper program failed.
    #[error("{instance}: could not {verb}: {said}")]
    Failed {
        /// Whose.
        instance: InstanceId,
        /// What was being done.
        verb: &'static str,
        /// What it said last.
        said: String,
    },
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value that cannot stand in my.cnf.
    #[error("{instance}: {value:?} cannot be written into my.cnf; choose another state folder with --state")]
    Unwritable {
        /// Whose.
        instance: InstanceId,
        /// The value.
        value: String,
    },
    /// The server could not be asked, or refused.
    #[error("{instance}: could not {verb}: {why}")]
    Sql {
        /// Which.
        instance: InstanceId,
        /// What was being done.
        verb: &'static str,
        /// The server's own words, or why there were none.
        why: String,
        /// The server's own number for it.
        code: Option<u16>,
    },
    /// A primary that waits for its replicas cannot be fenced from within.
    #[error(
        "{instance}: commits wait for a replica's acknowledgement ({sessions} now), and to end them would show \
         everybody what no replica may have; end its process instead"
    )]
    Unacknowledged {
        /// Which.
        instance: InstanceId,
        /// How many of them.
        sessions: u64,
    },
    /// An actor of the past.
    #[error("{instance} is in term {known} and refuses to {verb} in term {asked}, which is over")]
    StaleTerm {
        /// Which.
        instance: InstanceId,
        /// What was asked of it.
        verb: &'static str,
        /// In which term.
        asked: Term,
        /// The one it remembers.
        known: Term,
    },
}

impl DatabaseError {
    /// The server's own number for it, where it is the server that refused.
    pub(crate) fn server_code(&self) -> Option<u16> {
        match self {
            DatabaseError::Sql { code, .. } => *code,
            _ => None,
        }
    }
}

#[cfg(test)]
mod cluster_tests;
