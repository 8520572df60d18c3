//! Eyes and hands on the real software. Nothing in here decides anything.

pub mod app;
pub mod database;
pub mod host;

mod tool;
