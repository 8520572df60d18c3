//! The client/server protocol of MySQL and MariaDB, for a proxy that is a server to applications and a
//! client to servers. Works on buffers that others fill and empty, and knows nothing of sockets.

pub mod auth;
pub mod capability;
pub mod command;
pub(crate) mod field;
pub mod follower;
pub mod handshake;
pub mod packet;
pub mod reply;
pub mod response;
pub mod status;
pub mod tracking;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is cut short or malformed")]
pub struct Malformed(pub &'static str);
