//! The judge of a deployment.
// Until the deployment calls it.
#![allow(dead_code)]

mod bets;
mod effect;
mod growth;

use bets::{Count, ERROR_ODDS, SLOW_ODDS};
use stoa_model::control::{DURATION_BOUNDS_MS, Report};
use stoa_model::deployment::{Evidence, Pair, Tally};
use stoa_model::site::DeployRules;
use stoa_model::{InstanceId, Millis, Time};

/// A window is closed at so many answers, whoever gave them: were it closed by the new release's own
/// answers, their share of it would not be chance alone.
const WINDOW: u64 = 20;

/// The old release answers alone nothing worth comparing with where it has less than this part of the
/// new one's answers: what it still gives is the tail of what it had begun.
const REMAINDER: u64 = 50;

/// An instance's first seconds tell how it warms up, not how it serves.
const WARM_UP: Millis = Millis::from_secs(5);

/// Each of the two tests convicts a release that is no worse at most once in so many deployments.
const ONCE_IN: f64 = 1000.0;

/// Without answers of the old release to compare with, a new one that fails so often is no good anyhow.
const HOPELESS: f64 = 0.5;

/// So few answers of the old release bound its error ratio by nothing below [`HOPELESS`].
const NOTHING_KNOWN: u64 = 10;

/// Which release an instance runs, as seen from a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that served before.
    Old,
    /// The one that is to serve.
    New,
}

/// What the evidence says of the new release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has answered too little to be judged.
    TooFew,
    /// It is not shown to be worse.
    Even,
    /// It is worse; the figures, as a sentence without a full stop.
    Worse(String),
}

/// Adds what the balancers have counted since they were read last, and moves the tests.
///
/// `reports` hold the start of each balancer's process. What an instance without a side answered is never
/// counted; with no side for any of them, a span is passed over (while the database is away, say).
pub(crate) fn gather(
    evidence: &mut Evidence,
    reports: &[(InstanceId, Time, &Report)],
    side: &dyn Fn(InstanceId) -> Option<Side>,
    now: Time,
) {
    for (balancer, started, report) in reports {
        for grown in growth::since_last(&mut evidence.read, *balancer, *started, report) {
            match side(grown.instance) {
                Some(Side::Old) => {
                    evidence.old.add(&grown.tally);
                    evidence.window.old.add(&grown.tally);
                }
                Some(Side::New) => {
                    let judged = timed_if_warm(evidence, &grown, now);
                    evidence.new.add(&judged);
                    evidence.window.new.add(&judged);
                }
                None => {}
            }
        }
        if evidence.window.old.requests + evidence.window.new.requests >= WINDOW {
            close(evidence);
        }
    }
    evidence.warm_since.retain(|instance, _| side(*instance) == Some(Side::New));
}

/// Whether the new release is shown to be worse than the old one.
pub(crate) fn judge(evidence: &Evidence, rules: &DeployRules) -> Verdict {
    if evidence.new.requests < rules.min_requests.max(1) {
        return Verdict::TooFew;
    }
    let errs = bets::worth(&evidence.errs);
    let slow = bets::worth(&evidence.slow);
    let proven = |worth: f64| worth >= ONCE_IN.ln();
    let why = proven(errs)
        .then(|| effect::errs_more(evidence, rules.min_requests, errs))
        .or_else(|| Some(hopeless(evidence)))
        .flatten()
        .or_else(|| proven(slow).then(|| effect::is_slower(evidence, rules.min_requests, slow)).flatten());
    why.map_or(Verdict::Even, Verdict::Worse)
}

/// What is counted of an instance of the new release: its durations only once it is warm.
fn timed_if_warm(evidence: &mut Evidence, grown: &growth::Grown, now: Time) -> Tally {
    let since = evidence.warm_since.entry(grown.instance).or_insert(now);
    // Later than now: another boot's clock.
    if grown.anew || *since > now {
        *since = now;
    }
    if now.since(*since) >= WARM_UP {
        return grown.tally.clone();
    }
    Tally { requests: grown.tally.requests, errors: grown.tally.errors, ..Tally::default() }
}

/// Ends the window: every test takes what both releases answered in it.
fn close(evidence: &mut Evidence) {
    let Pair { old, new } = std::mem::take(&mut evidence.window);
    if new.requests == 0 {
        return;
    }
    evidence.windows = evidence.windows.saturating_add(1);
    let alone = old.requests.saturating_mul(REMAINDER) <= new.requests;
    let stake = bets::stake(evidence.windows);

    let mut errs = Vec::with_capacity(ERROR_ODDS.len());
    let failed = |tally: &Tally| Count::new(tally.requests, tally.errors);
    errs.extend(bets::factors(
        &ERROR_ODDS,
        failed(&new),
        against(alone, failed(&old), failed(&evidence.old)),
    ));
    bets::take(&mut evidence.errs, stake, &errs);

    let mut slow = Vec::with_capacity(SLOW_ODDS.len() * DURATION_BOUNDS_MS.len());
    for bound in 0..DURATION_BOUNDS_MS.len() {
        let above = |tally: &Tally| Count::new(tally.timed(), tally.above(bound));
        let other = against(alone, above(&old), above(&evidence.old));
        slow.extend(bets::factors(&SLOW_ODDS, above(&new), other));
    }
    bets::take(&mut evidence.slow, stake, &slow);

    if alone {
        evidence.alone.add(&new);
    } else {
        evidence.beside.old.add(&old);
        evidence.beside.new.add(&new);
    }
}

/// What the new release is held against: the old one in the same window, or all that is known of it.
fn against(alone: bool, beside: Count, before: Count) -> bets::Against {
    if alone { bets::Against::Before(before) } else { bets::Against::Beside(beside) }
}

/// A release that fails most of the time is told from a good one without another to compare it with.
fn hopeless(evidence: &Evidence) -> Option<String> {
    let (new, old) = (&evidence.new, &evidence.old);
    let hopeless = old.requests < NOTHING_KNOWN
        && new.error_ratio() >= HOPELESS
        && new.error_ratio() >= old.error_ratio() + effect::ERRORS_MORE;
    hopeless.then(|| {
        format!("{} of the new release failed; the old one gave too few to compare with", effect::errors(new))
    })
}

#[cfg(test)]
mod tests;
