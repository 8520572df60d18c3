//! What a thread has the steward see to with other splitters, by way of the daemon.

use super::killing::Killing;
use std::os::fd::OwnedFd;
use stoa_model::control::MovedSession;

/// What a thread asks for.
#[derive(Debug)]
pub(crate) enum Errand {
    /// To end a session that may be another splitter's.
    Kill(Killing),
    /// To pass a session on to another splitter.
    Move(Departure),
}

/// A session that is to go on at another splitter.
#[derive(Debug)]
pub(crate) struct Departure {
    /// What it is in, see [`crate::sql::session`].
    pub(crate) form: MovedSession,
    /// Its client's connection.
    pub(crate) connection: OwnedFd,
}
