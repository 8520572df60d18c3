//! What the benches that start servers have in common: the servers' processes, where things are found, and
//! the table. It knows nothing of what is measured.

pub(crate) mod places;
pub(crate) mod process;
pub(crate) mod table;
