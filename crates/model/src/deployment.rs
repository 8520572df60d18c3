//! A deployment: the change of the application from one release to another, as it was asked for and as
//! far as it has come.

use crate::ids::{DeployNumber, InstanceId, ReleaseId};
use crate::plan::TaskId;
use crate::time::{Millis, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the operator asked for last: which release, how and who. Part of the intent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeployOrder {
    /// Grows with each; a higher one than the roster's deployment has begins anew.
    pub number: DeployNumber,
    /// How it came about.
    pub kind: DeployKind,
    /// Who, such as `anna@laptop`.
    pub by: String,
    /// When, in milliseconds since the Unix epoch: for people.
    pub at_unix_ms: u64,
}

/// How a deployment came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployKind {
    /// `stoa up` took the source.
    #[default]
    Up,
    /// `stoa deploy`.
    Deploy,
    /// `stoa rollback`: a release that is built already; no migration, no canary, no judge.
    Rollback,
    /// `stoa promote`.
    Promote,
}

/// One deployment, as far as it has come. Part of the roster: stored before a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Which order it carries out.
    pub number: DeployNumber,
    /// How it came about.
    pub kind: DeployKind,
    /// What served before; none where nothing did.
    pub from: Option<ReleaseId>,
    /// What is to serve.
    pub to: ReleaseId,
    /// How far it has come.
    pub phase: Phase,
    /// Since when it is in this phase. Later than now after a reboot: then it counts from now.
    pub since: Time,
    /// What both releases have answered at the same time.
    pub evidence: Evidence,
}

/// How far a deployment has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Built, then its `before_deploy` and `migrate` run. Nothing of it is routed to.
    Prepare,
    /// Blue-green: all of the new ones are started beside all old ones, which serve alone.
    Raise,
    /// The new one gets `steps[step]` percent of the requests.
    Canary {
        /// Which of the configured steps, from 0.
        step: usize,
    },
    /// Old instances are replaced, a batch at a time.
    Roll,
    /// The new one serves in full and is watched. Blue-green: the old ones are kept warm.
    Watch,
    /// It is over and well.
    Done,
    /// The old release is brought back to serve alone; why.
    Back(String),
    /// It is over, and the old release serves; why.
    Failed(String),
}

/// What both releases have answered, and the sums of the sequential tests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The old release's answers since the deployment began.
    pub old: Tally,
    /// The new release's answers. Durations are counted of warm instances only.
    pub new: Tally,
    /// What both answered in the windows in which both answered.
    #[serde(default)]
    pub beside: Pair,
    /// What the new release answered in the windows in which the old one answered nothing.
    #[serde(default)]
    pub alone: Tally,
    /// The window that is not yet full.
    #[serde(default)]
    pub window: Pair,
    /// When the last window was closed.
    #[serde(default)]
    pub closed: Time,
    /// How many windows the new release has answered in.
    #[serde(default)]
    pub windows: u32,
    /// What each balancer had counted of each instance when it was read last.
    pub read: BTreeMap<InstanceId, Read>,
    /// Since when each instance of the new release is sent requests: its first seconds are not judged
    /// for their latency.
    pub warm_since: BTreeMap<InstanceId, Time>,
    /// Log likelihood ratios for "errs more often", a place for each ratio that is tried, in 2^-20 nats.
    pub errs: Vec<i64>,
    /// The same for "is slower", a place for each duration bound and ratio.
    pub slow: Vec<i64>,
    /// Instances of the new release that ended by themselves.
    pub crashes: u32,
    /// When each instance was last seen to have ended: one end is counted once.
    pub ended: BTreeMap<InstanceId, Time>,
}

/// What both releases answered at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pair {
    /// The old release.
    pub old: Tally,
    /// The new one.
    pub new: Tally,
}

/// What one balancer had counted when it was read last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When the balancer's process had started: its counters begin at zero with it.
    pub started: Time,
    /// By instance; one that has answered nothing has no entry.
    pub instances: BTreeMap<InstanceId, Tally>,
}

/// Answers counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those with a status of 500 or above, and those that never came.
    pub errors: u64,
    /// By duration, the buckets of [`crate::control::DURATION_BOUNDS_MS`] and one above.
    pub durations: [u64; crate::control::DURATION_BOUNDS_MS.len() + 1],
    /// The sum of the durations, in microseconds.
    pub duration_sum_us: u64,
}

/// A task of a deployment as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Its command runs.
    Running {
        /// Since when.
        since: Time,
    },
    /// It ended with exit status 0.
    Done,
    /// It did not, or was cut short by a crash of the machine: how far it came is not known.
    Failed {
        /// How it ended.
        why: String,
        /// The last lines it printed, oldest first.
        last_lines: Vec<String>,
    },
}

/// How a deployment ended, for the list of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which deployment.
    pub number: DeployNumber,
    /// Which release.
    pub release: ReleaseId,
    /// Why it failed; none where it is well.
    pub failed: Option<String>,
}

impl Deployment {
    /// Whether nothing of it is left to do but to watch.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Watch | Phase::Done | Phase::Failed(_))
    }

    /// How long it has been in its phase.
    pub fn age(&self, now: Time) -> Millis {
        now.since(self.since)
    }
}

impl Tally {
    /// Adds what `now` has more than `before`; counters that went back began anew.
    pub fn add_growth(&mut self, before: &Tally, now: &Tally) {
        let anew = now.requests < before.requests;
        let zero = Tally::default();
        let before = if anew { &zero } else { before };
        self.requests += now.requests.saturating_sub(before.requests);
        self.errors += now.errors.saturating_sub(before.errors);
        self.duration_sum_us += now.duration_sum_us.saturating_sub(before.duration_sum_us);
        for ((sum, old), new) in self.durations.iter_mut().zip(&before.durations).zip(&now.durations) {
            *sum += new.saturating_sub(*old);
        }
    }
}

impl Tally {
    /// Adds what `more` has counted.
    pub fn add(&mut self, more: &Tally) {
        self.add_growth(&Tally::default(), more);
    }

    /// How many answers a duration was counted of.
    pub fn timed(&self) -> u64 {
        self.durations.iter().sum()
    }

    /// How many of them took longer than the bound with this place in
    /// [`DURATION_BOUNDS_MS`](crate::control::DURATION_BOUNDS_MS).
    pub fn above(&self, bound: usize) -> u64 {
        self.durations.iter().skip(bound + 1).sum()
    }

    /// The share of errors, 0 to 1; 0 without answers.
    pub fn error_ratio(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 }
    }

    /// What the part `q` of the answers took at most, in milliseconds, taken as evenly spread within its
    /// bucket; none without answers. What took longer than the last bound counts as the last bound.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let rank = q.clamp(0.0, 1.0) * self.timed() as f64;
        let mut below = 0.0;
        for (bucket, count) in self.durations.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let (from, to) = bucket_ms(bucket);
                return Some(from + (to - from) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

/// From where to where, in milliseconds, a bucket of durations reaches; the last one has no width.
pub fn bucket_ms(bucket: usize) -> (f64, f64) {
    let bounds = &crate::control::DURATION_BOUNDS_MS;
    let last = bounds.last().copied().unwrap_or_default();
    let from = bucket.checked_sub(1).map_or(0, |before| bounds.get(before).copied().unwrap_or(last));
    (from as f64, bounds.get(bucket).copied().unwrap_or(last) as f64)
}

impl From<&crate::control::Traffic> for Tally {
    fn from(traffic: &crate::control::Traffic) -> Self {
        Tally {
            requests: traffic.status.iter().sum::<u64>() + traffic.broken,
            errors: traffic.status[4] + traffic.broken,
            durations: traffic.durations,
            duration_sum_us: traffic.duration_sum_us,
        }
    }
}

impl Phase {
    /// The word for it, as in `status`.
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Prepare => "preparing",
            Phase::Raise => "raising",
            Phase::Canary { .. } => "canary",
            Phase::Roll => "rolling",
            Phase::Watch => "watched",
            Phase::Done => "done",
            Phase::Back(_) => "going back",
            Phase::Failed(_) => "failed",
        }
    }
}

/// The tasks of a deployment that a host has a trace of.
pub type Tasks = BTreeMap<TaskId, TaskState>;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(durations: &[(usize, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (bucket, count) in durations {
            tally.durations[*bucket] = *count;
        }
        tally
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        // 25 to 50 ms, 50 to 100 ms, above all bounds.
        let some = tally(&[(5, 50), (6, 40), (14, 10)]);
        let at = |q: f64| some.quantile_ms(q).unwrap();
        assert_eq!([at(0.0), at(0.25), at(0.5), at(0.7), at(0.9)], [25.0, 37.5, 50.0, 75.0, 100.0]);
        assert_eq!([at(0.95), at(1.0), at(7.0)], [30_000.0; 3]);
        assert_eq!(tally(&[(0, 4)]).quantile_ms(0.5), Some(0.5));
        assert_eq!(Tally::default().quantile_ms(0.5), None);
        assert_eq!([some.above(4), some.above(5), some.above(13), some.above(99)], [100, 50, 10, 0]);
    }

    #[test]
    fn a_ratio_of_nothing_is_zero() {
        assert_eq!(Tally::default().error_ratio(), 0.0);
        assert_eq!(Tally { requests: 8, errors: 2, ..Tally::default() }.error_ratio(), 0.25);
    }
}
