//! The client/server protocol of MySQL and MariaDB, for a proxy that is a server to applications and a
//! client to servers. Works on buffers that others fill and empty; only [`stream`] and [`tls`] know of sockets.

pub mod auth;
pub mod capability;
pub mod command;
pub mod compress;
pub(crate) mod field;
pub mod follower;
pub mod handshake;
pub mod packet;
pub mod reply;
pub mod response;
pub mod status;
pub mod stream;
pub mod tls;
pub mod tracking;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is cut short or malformed")]
pub struct Malformed(pub &'static str);
