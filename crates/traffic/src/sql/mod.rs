//! The splitter: one database address that sends writes to the primary and reads to the replicas, and
//! hides that the primary changes.
//!
//! What a statement is, is judged in three rooms that hold no state and allocate nothing a statement:
//! [`lexer`] turns its bytes into tokens as the server would, [`classify()`] says where it may run and what
//! it leaves behind in the session, [`digest()`] gives statements that differ in their literals one number.
//!
//! The way through the rooms: [`role`] starts a thread a core, each a `worker`; `listener` accepts;
//! `session` reads commands one after another and sends each on a `backend` connection from the `pool` of
//! the server that was chosen. Which servers there are and which of them is the primary is never decided
//! here: that is said by the routes, which arrive at the control socket.

pub mod classify;
pub mod digest;
pub mod lexer;
pub mod role;
pub mod wire;

pub(crate) mod asker;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod errand;
pub(crate) mod identity;
pub(crate) mod killing;
pub(crate) mod line;
pub(crate) mod listener;
pub(crate) mod placed;
pub(crate) mod pool;
pub(crate) mod position;
pub(crate) mod prober;
pub(crate) mod roll;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod spare;
pub(crate) mod state;
pub(crate) mod steward;
pub(crate) mod table;
pub(crate) mod top;
pub(crate) mod worker;

pub use classify::{Kind, Reason, Route, Statement, classify, statements};
pub use digest::{Digest, digest, digest_text};
pub use lexer::{Charset, Dialect, Engine};
