//! How many instances an auto-scaled tier is to have, and what must not be forgotten between two
//! decisions. Part of the roster.

use crate::time::Time;
use serde::{Deserialize, Serialize};

/// What was decided for one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// How many instances it is to have.
    pub wanted: u16,
    /// When that was decided.
    pub since: Time,
    /// Why, with the figures it was decided by.
    pub because: String,
    /// A scale-out whose effect is still to be seen.
    pub trial: Option<Trial>,
    /// More instances did not help: until when none are added beyond a count, and why.
    pub ceiling: Option<Ceiling>,
    /// How long new instances took from their decision to serving, in milliseconds, smoothed.
    pub start_up_ms: Option<u64>,
    /// How many requests one instance was seen to work on at once, in thousandths; none before that could
    /// be told.
    pub concurrency_milli: Option<u64>,
    /// Whether it was seen to work on no more than that; otherwise it is at least that.
    #[serde(default)]
    pub saturated: bool,
    /// How long an instance that was not crowded took for one request, in microseconds.
    #[serde(default)]
    pub service_us: Option<u64>,
    /// When instances were last added.
    #[serde(default)]
    pub grown: Option<Time>,
    /// Whether one that was taken away was needed again soon, the last time that some were added.
    #[serde(default)]
    pub regretted: bool,
    /// The most that the balancers let through to one instance and let wait; none: no bound.
    pub admission: Option<crate::routes::Admission>,
}

/// A scale-out whose effect is still to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// When it was decided.
    pub at: Time,
    /// From how many instances.
    pub from: u16,
    /// Answered requests a second before they served, in thousandths.
    pub answered_milli: u64,
    /// When the first of the new instances served.
    #[serde(default)]
    pub served: Option<Time>,
}

/// More instances than this do not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// How many are enough.
    pub instances: u16,
    /// Until when that is believed.
    pub until: Time,
    /// What was seen.
    pub because: String,
    /// Whether it is the machine that is full; believed only as long as it is.
    #[serde(default)]
    pub machine: bool,
}
