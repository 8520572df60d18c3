//! Answers as text: pure functions from values to lines. Nothing here asks, reads or writes.

pub(crate) mod database;
pub(crate) mod deployment;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod plan;
pub(crate) mod preview;
pub(crate) mod progress;
pub(crate) mod releases;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod secrets;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod units;
