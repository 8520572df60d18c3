//! Processes with real ones.

mod adoption;
mod ending;
mod starting;
