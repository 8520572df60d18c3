//! Answers as text: pure functions from values to lines. Nothing here asks, reads or writes.

pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod units;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
