//! The data plane of Stoa. It serves from its last routes when all else is dead, and so knows nothing of
//! the daemon but the control socket it may be told new routes on.
//!
//! Two engines, [`http`] and [`sql`], and between them what both need: [`control`] and [`inherit`], the way
//! the daemon reaches a role and its sockets, and connections, buffers, time-outs and counters.

pub mod control;
pub mod http;
pub mod inherit;
pub mod sql;

pub(crate) mod buffer;
pub(crate) mod deadline;
pub(crate) mod socket;
pub(crate) mod stats;
pub(crate) mod stream;
