//! What a site tells of itself: its metrics as Prometheus reads them, and the demand on its tiers.
//!
//! It measures nothing and serves nothing: the daemon hands it what was observed and reported and gets
//! a text back.

pub mod demand;
pub mod metrics;
