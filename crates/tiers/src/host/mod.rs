//! This host: processes, users, ports, cgroups, logs.

mod adopt;
mod cgroup;
pub mod clock;
pub mod credentials;
pub mod error;
pub mod files;
mod follow;
pub mod launch;
pub mod listeners;
pub(crate) mod lock;
pub mod log;
pub(crate) mod pidfd;
pub mod ports;
pub mod proc;
pub mod processes;
pub mod programs;
mod publish;
pub mod record;
pub mod secrets;
pub(crate) mod spawn;
mod start;
mod stop;
mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;
pub mod users;

pub use credentials::Credentials;
pub use error::{FileError, HostError};
pub use launch::Launch;
pub use processes::{Processes, Started, Subject};
pub use secrets::{Secrets, SecretsError};
pub use users::Users;

#[cfg(test)]
mod tests;
