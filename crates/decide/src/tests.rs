//! Scenarios and properties of the judgement.

mod bring_up;
mod databases;
mod deploying;
mod down;
mod failover;
mod meanwhile;
mod properties;
mod replacing;
pub(crate) mod scene;
mod servers;
mod taken_back;
mod trouble;
