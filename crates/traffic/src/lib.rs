//! The data plane of Stoa. It serves from its last routes when all else is dead, and so knows nothing of
//! the daemon but the control socket it may be told new routes on.

pub mod http;
pub mod sql;
