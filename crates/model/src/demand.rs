//! Demand: what was asked of a tier, measured where it arrives. A second that was not measured is absent,
//! never zero.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The demand on one tier over the last minutes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Demand {
    /// Oldest first, about one a second; [`Demand::KEPT`] at most.
    pub samples: Vec<Sample>,
    /// The mean offered concurrency of the same minutes of earlier days, by how many seconds ahead of now
    /// they lie; empty where no day is known.
    pub same_hour: BTreeMap<u32, f64>,
}

/// One measurement, over the span since the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// The end of the span.
    pub at: Time,
    /// Its length in seconds, above zero.
    pub span: f64,
    /// Requests that arrived, a second.
    pub arrivals: f64,
    /// Requests that were answered, a second.
    pub answered: f64,
    /// The mean number of requests that were being worked on or waited for an instance.
    pub concurrency: f64,
    /// Requests that wait for an instance at its end.
    pub waiting: f64,
    /// The mean time a request waited for an instance, in seconds.
    pub wait: f64,
    /// The mean time an instance took to answer, in seconds; absent where nothing was answered.
    pub service: Option<f64>,
    /// The squared coefficient of variation of that time; absent where too few were answered.
    pub variation: Option<f64>,
    /// Requests that were refused because too many waited, a second.
    pub shed: f64,
    /// Instances that served.
    pub instances: f64,
    /// How busy the processors of the host were, 0 to 1; absent where it could not be read.
    pub cpu: Option<f64>,
    /// The share of the host's memory that is not available, 0 to 1; absent where it could not be read.
    pub memory: Option<f64>,
}

impl Demand {
    /// How many samples are kept: ten minutes of seconds.
    pub const KEPT: usize = 600;

    /// Adds the newest measurement and forgets the oldest ones beyond [`Demand::KEPT`]. What bears a later
    /// time than the newest was measured before the clock went back, and is forgotten too.
    pub fn keep(&mut self, sample: Sample) {
        self.samples.retain(|kept| kept.at < sample.at);
        self.samples.push(sample);
        self.samples.drain(..self.samples.len().saturating_sub(Self::KEPT));
    }
}
