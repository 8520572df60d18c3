//! Eyes and hands on the real software. Nothing in here decides anything.

pub mod app;
pub mod cache;
pub mod database;
pub mod health;
pub mod host;
pub mod nginx;

mod tool;
