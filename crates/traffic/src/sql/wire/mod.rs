//! The client/server protocol of MySQL and MariaDB, for a proxy that is a server to applications and a
//! client to servers. Works on buffers that others fill and empty; only [`stream`] and [`tls`] know of
//! sockets, and nothing here knows what a statement means.
//!
//! How the pieces are used, in the order of a connection's life:
//!
//! 1. A client connects. [`capability::offer`] says what it may be offered (the backends' greetings, and what
//!    we can), [`auth::Nonce::random`] makes the nonce, [`handshake::Greeting::put`] the payload, and
//!    [`packet::put`] the packet, numbered 0.
//! 2. [`packet::front`] with [`packet::LIMIT_BEFORE_LOGIN`] finds its answer, [`handshake::Answer::parse`] reads
//!    it. On [`Answer::Ssl`](handshake::Answer::Ssl), [`tls::Acceptor::accept`] takes the socket and whatever
//!    was read behind the packet, and the login follows inside, numbered on. On garbage,
//!    [`handshake::HandshakeError::put`] answers and the connection is closed.
//! 3. [`auth::server::Verifier`] judges the proof, asking once more where it must. Then [`reply::ok`], or
//!    [`reply::error`] with [`auth::server::DENIED`]. [`capability::agree`] is what holds from here on. If
//!    that has `COMPRESS` or `ZSTD`, everything after the OK goes through [`compress::Compressed`].
//! 4. A backend connection: [`handshake::Greeting::parse`], [`capability::request`] (pools are divided by
//!    [`capability::kind`]), [`auth::client::Prover`] with [`handshake::Login::put`].
//! 5. A command: [`packet::front`] again, [`command::Command::parse`] on what stands of it. One that is longer
//!    than one wants to hold passes by [`packet::Passage`], frame by frame. [`command::set_statement`] changes
//!    the number of a prepared statement where it stands.
//! 6. Its response: [`Follower::begin`](follower::Follower::begin) with
//!    [`Command::reply`](command::Command::reply), then [`Follower::step`](follower::Follower::step) with the
//!    bytes that came, until [`Next::Done`](response::Next::Done). A step says how many bytes go to the client as
//!    they stand, which go after them, and how many are left out: bytes pass where they lie, and where both
//!    sides speak alike a step ends only where the bytes do. [`Follower::outcome`](follower::Follower::outcome)
//!    has status, session changes, errors. On [`Next::File`](response::Next::File) the client's file passes by
//!    [`packet::Upload`].
//! 7. What the splitter answers by itself: [`reply`].

pub mod auth;
pub mod capability;
pub mod command;
pub mod compress;
pub(crate) mod execution;
pub(crate) mod field;
pub mod follower;
pub mod handshake;
pub mod packet;
pub(crate) mod records;
pub mod reply;
pub mod response;
pub mod status;
pub mod stream;
pub mod tls;
pub mod tracking;

#[doc(hidden)]
pub mod proving;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is cut short or malformed")]
pub struct Malformed(pub &'static str);
