//! The judge of a deployment: whether the new release errs more often, or is slower, than the old one.
//!
//! It compares what both answered at the same time, as the balancers counted it, and speaks only where it
//! is not chance *and* large enough to matter. It never sees a request, never decides what becomes of the
//! deployment, and never says that a release is good: only that it is not shown to be worse.
//!
//! **The test** is sequential, valid however often one looks: a bet that grows where the new release is
//! worse and is fair or losing where it is not, so that it reaches 1000 at most once in 1000 deployments
//! (Ville 1939; Grünwald, de Heide and Koolen, "Safe Testing", 2019). Answers are taken window by window.
//! Where both answered, the errors of the window fall on the new one as from an urn (Fisher's conditional
//! test; Turner, Ly and Grünwald 2021 on its sequential form), whatever the common error ratio is and does
//! over time: a database that fails for both says nothing against one. Where the old one no longer answers,
//! what it did before is the measure, by upper bounds of its ratios, each wrong once in 1000. A part of
//! each bet is staked at every window (Shin, Ramdas and Rinaldo, "E-detectors", 2022), so that a release
//! that turns bad late is found as well. "Slower" is tested as "took longer than" for every bound of the
//! histogram at once. Windows last a second at least and add a bounded amount: what fails together, in one
//! second, is not as many witnesses.
//!
//! **Large enough**: half a percentage point more errors; a median or nine tenths 1.4 times and 5 ms longer,
//! beyond the doubt that few answers leave, which the exact mean confirms (1.3 times). The configured
//! minimum of answers is a promise: before it nothing is judged, however bad it looks, and crashes and
//! failing checks are found elsewhere.
//!
//! **Measured** by `tests/study.rs`, with seeds that no constant was chosen by: the default canary (5, 25,
//! 50 % for 60 s each, then replaced and watched for 60 s) at 100 requests a second with 0.1 % errors where
//! nothing else is said; durations log-normal.
//!
//! | of 1000 deployments of a release that is no worse | taken back |
//! |---|---|
//! | 0, 0.1 or 1 % errors; 0.1 % at 5 requests a second | 0 |
//! | 5 % errors, at 100 and at 5 requests a second | 1 and 1 |
//! | half of all answers of both fail for 10 s, before it or at 5 or 50 % | 0 |
//! | everything 50 % slower by and by; heavy tail; some requests 50 times heavier | 0 |
//! | all take 99 ms, the new one 101 ms | 0 |
//! | every instance stalls for 1 s about once in a minute | 6 |
//! | 20 % slower, at 100 and at 5 requests a second | 11 and 23 |
//! | half of all fail for 1 s in the watch | 1 |
//! | half of all fail for 10 s in the watch, where nothing else answers | all |
//!
//! The share of 200 deployments that is found, where it is not all of them, and after how long (the median):
//!
//! | | canary, 100/s | 20/s | 5/s | switch, 100/s | 20/s | 5/s |
//! |---|---|---|---|---|---|---|
//! | all fail | 11 s | 49 s | 84 s | 2.5 s | 3.5 s | 12 s |
//! | 5 % fail | 18 s | 69 s | 97 %, 149 s | 3.5 s | 98 %, 17 s | none |
//! | 1 % fail | 78 s | 66 %, 184 s | none | 81 %, 25 s | none | none |
//! | 3 times slower | 11 s | 49 s | 84 s | 7.5 s | 9.5 s | 22 s |
//! | 1.5 times slower | 36 s | 83 s | 89 %, 161 s | 8.5 s | 88 %, 21 s | 6 %, 45 s |
//!
//! **What it misses**: too few answers (5 % of 5 requests a second are 50 answers in 200 s); a switch with
//! little known of the old release; a release that turns slightly worse after hours of a good canary. It
//! takes answers for independent within a window: what befalls one instance alone, such as the stalls above,
//! costs more false alarms than the one in 1000. What befalls everybody after a full switch looks like the
//! new release's doing: the caller gives no side to anybody while it knows better.

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

/// A window lasts as long as it takes every balancer to report once: what goes wrong in one second goes
/// wrong in two of them at most.
const WINDOW_LASTS: Millis = Millis::from_secs(1);

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
    }
    let answers = evidence.window.old.requests + evidence.window.new.requests;
    // Later than now: another boot's clock.
    let lasted = evidence.closed > now || now.since(evidence.closed) >= WINDOW_LASTS;
    if answers >= WINDOW && lasted {
        evidence.closed = now;
        close(evidence);
    }
    evidence.warm_since.retain(|instance, _| side(*instance) == Some(Side::New));
}

/// Whether the new release is shown to be worse than the old one.
pub(crate) fn judge(evidence: &Evidence, rules: &DeployRules) -> Verdict {
    if evidence.new.requests < rules.min_requests.max(1) {
        return Verdict::TooFew;
    }
    let proven = |sums: &[i64]| Some(bets::worth(sums)).filter(|worth| *worth >= ONCE_IN.ln());
    let errs =
        proven(&evidence.errs).and_then(|worth| effect::errs_more(evidence, rules.min_requests, worth));
    let slow = || effect::is_slower(evidence, rules.min_requests, proven(&evidence.slow)?);
    let why = errs.or_else(|| hopeless(evidence)).or_else(slow);
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

    let failed = |tally: &Tally| Count::new(tally.requests, tally.errors);
    let errs = bets::factors(&ERROR_ODDS, failed(&new), against(alone, failed(&old), failed(&evidence.old)));
    bets::take(&mut evidence.errs, stake, &errs);

    let slow = (0..DURATION_BOUNDS_MS.len()).flat_map(|bound| {
        let above = |tally: &Tally| Count::new(tally.timed(), tally.above(bound));
        bets::factors(&SLOW_ODDS, above(&new), against(alone, above(&old), above(&evidence.old)))
    });
    let slow: Vec<f64> = slow.collect();
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
