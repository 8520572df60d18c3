//! Scenarios and properties of the judgement.

mod bring_up;
mod databases;
mod down;
mod properties;
mod replacing;
pub(crate) mod scene;
mod trouble;
