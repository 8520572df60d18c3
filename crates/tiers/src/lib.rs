//! Eyes and hands on the real software. Nothing in here decides anything.

pub mod host;

mod tool;
