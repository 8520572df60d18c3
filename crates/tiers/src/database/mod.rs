//! MariaDB: data folders, configuration, replication, and what a server says of itself.

pub mod accounts;
pub mod act;
mod client;
pub mod data;
pub mod observe;
pub mod prepare;
pub mod render;

use crate::host::credentials::Credentials;
use crate::host::error::FileError;
use crate::tool::ToolError;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{InstanceId, Paths, Term};

pub use act::{fence, follow, promote};
pub use observe::status;
pub use prepare::prepare;
pub use render::launch;

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
    /// An engine that this version cannot run.
    #[error(
        "{instance}: [database] engine = \"mysql\" is not supported by this version; take the line out for \
         MariaDB, which speaks the same protocol"
    )]
    Unsupported {
        /// Whose.
        instance: InstanceId,
    },
    /// A program that is not installed.
    #[error("{program} is not installed: apt-get install mariadb-server-core")]
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

#[cfg(test)]
mod cluster_tests;
