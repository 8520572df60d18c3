//! What each tier needs to stand and to keep standing, a file a tier.

pub(crate) mod app;
pub(crate) mod balancer;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod release;
pub(crate) mod splitter;
mod start;
pub(crate) mod web;
