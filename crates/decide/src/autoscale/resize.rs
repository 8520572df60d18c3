//! The count itself: out at once, in one at a time. It is told what is asked and how things stand, and
//! measures nothing.

use super::window::seconds;
use super::{Asked, Facts, OVER, START_UP, bound, effect, load_of, offered, queueing, say, start_up};
use stoa_model::demand::Sample;
use stoa_model::scaling::Trial;
use stoa_model::{Millis, Scaling, Time};

/// Evidence for fewer instances is over so many seconds, so that a burst which comes back within them finds the
/// instances still there, and over this part of a start-up, which is what needing one again would cost. Longer
/// spans cost more instance-hours than they save in waits (`cargo xtask bench autoscale`).
const KEPT: f64 = 45.0;
const KEPT_START_UPS: f64 = 0.6;
/// Where one was needed again soon after it was taken, evidence must be over so many times as long; soon is so
/// many times as long, too. So a load that comes and goes by the minute is not followed.
const REGRETTED: f64 = 2.0;
const SOON: f64 = 1.5;
/// What was added has shown what it is good for when it has served for so many seconds.
const SERVED: f64 = 6.0;
/// Between two instances taken the effect of the first is to be seen, which is the smaller the more there
/// are: a minute divided by their count, within these bounds, in seconds.
const PAUSES: f64 = 60.0;
const PAUSE: (f64, f64) = (5.0, 15.0);
/// Fewer instances must hold so much more than the most that was seen.
const MARGIN: f64 = 1.1;
/// So much of what made it slow, an instance can hold.
const REFUTED: f64 = 0.9;
/// An addition has settled so long after it should have served.
const SETTLED: Millis = Millis::from_secs(10);
/// So much of the window must have been measured.
const COVERED: f64 = 0.8;

/// Adds what is needed, at once. Returns whether more are needed, added or not.
pub(super) fn grow(facts: &Facts<'_>, asked: &Asked, scaling: &mut Scaling) -> bool {
    let Facts { rules, window, instance, look, serving, now, .. } = facts;
    let wanted = scaling.wanted;
    let mut needed = wanted;
    if instance.known {
        needed = queueing::fewest(asked.sized, &instance.server, &bound(rules), rules.max);
    }
    let settled = *now >= scaling.since + start_up(scaling).min(START_UP) + SETTLED;
    if look.over && *serving >= wanted && settled {
        // The formula is content and the measurement is not: what was measured is right.
        needed = needed.max(wanted.saturating_add(1)).max(outpaced(facts, wanted));
        if !instance.known {
            refute(scaling, asked.load / f64::from((*serving).max(1)));
        }
    }
    if needed <= wanted {
        return false;
    }
    let count = needed.min(rules.max).min(effect::most(scaling, window, *now));
    if count > wanted {
        let answered = window.mean(OVER, |sample| Some(sample.answered)).unwrap_or(0.0);
        let answered_milli = (answered * 1000.0) as u64;
        let trial = Trial { at: *now, from: *serving, answered_milli, served: None };
        scaling.trial.get_or_insert(trial);
        regret(scaling, *now);
        scaling.because = say::because(rules, asked, instance, count);
        scaling.wanted = count;
        scaling.since = *now;
        scaling.grown = Some(*now);
    }
    true
}

/// Over how long it must show that fewer would do, in seconds.
fn kept(scaling: &Scaling) -> f64 {
    (KEPT + KEPT_START_UPS * seconds(start_up(scaling))) * if scaling.regretted { REGRETTED } else { 1.0 }
}

/// Notes whether one that was taken is needed again soon.
fn regret(scaling: &mut Scaling, now: Time) {
    let taken = scaling.grown.is_some_and(|grown| grown != scaling.since);
    let soon = seconds(now.since(scaling.since)) < SOON * kept(scaling);
    scaling.regretted = soon && (taken || scaling.regretted);
}

/// What one instance was seen to hold without slowing was too much where it slows with this.
fn refute(scaling: &mut Scaling, held: f64) {
    let most = ((REFUTED * held * 1000.0) as u64).max(1000);
    scaling.concurrency_milli = scaling.concurrency_milli.map(|least| least.min(most));
}

/// So many as would answer what arrives, where it is not known what one can do: at most twice as many.
fn outpaced(facts: &Facts<'_>, wanted: u16) -> u16 {
    let mean = |of: fn(&Sample) -> f64| facts.window.mean(OVER, |sample| Some(of(sample))).unwrap_or(0.0);
    let (arrivals, answered) = (mean(|s| s.arrivals), mean(|s| s.answered));
    if facts.instance.known || answered <= 0.0 {
        return 0;
    }
    (f64::from(wanted) * (arrivals / answered).clamp(1.0, 2.0)).ceil() as u16
}

/// Takes one, where the last minutes and what is to be expected say that the others would do.
pub(super) fn shrink(facts: &Facts<'_>, asked: &Asked, scaling: &mut Scaling) {
    let Facts { rules, window, instance, look, serving, now, .. } = facts;
    let kept = kept(scaling);
    let lately = |at: Time, span: f64| seconds(now.since(at)) < span;
    if scaling.wanted <= rules.min.max(1)
        || *serving < scaling.wanted
        || look.over
        || lately(scaling.since, (PAUSES / f64::from(scaling.wanted)).clamp(PAUSE.0, PAUSE.1))
        || scaling.grown.is_some_and(|at| lately(at, seconds(start_up(scaling)) + SERVED))
        || window.covered(kept) < COVERED
    {
        return;
    }
    let seen = offered::most(window, kept, load_of(rules)) * instance.server.service;
    let ahead = kept + seconds(start_up(scaling));
    let expected = offered::same_hour(facts.demand, asked.load, ahead).unwrap_or(0.0);
    let sized = seen.max(expected).max(asked.sized) * MARGIN;
    let needed = if instance.known {
        queueing::fewest(sized, &instance.server, &bound(rules), rules.max)
    } else {
        // As much as was seen to be held without trouble, and no more.
        (sized / instance.server.concurrency).ceil() as u16
    };
    if needed < scaling.wanted {
        scaling.wanted -= 1;
        scaling.since = *now;
        scaling.trial = None;
        let asked = Asked { load: seen, sized, ..*asked };
        let because = say::because(rules, &asked, instance, scaling.wanted);
        scaling.because = format!("for {kept:.0} s at most {because}");
    }
}
