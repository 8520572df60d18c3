//! The daemon's API.

pub mod types;
