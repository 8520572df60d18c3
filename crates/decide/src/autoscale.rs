//! How many instances a tier should have, between the bounds that the operator gave, and how many requests
//! are let through to them.
//!
//! [`next`] is one pure function, run live, in tests and in simulation. It adds instances at once, as many
//! as are needed, and takes one at a time, only on evidence over a window longer than a start-up. A missing
//! measurement changes nothing. Where more instances do not help it stops and says so. It starts and stops
//! nothing itself: it says a count, and the tier's own file brings that about.

mod adjust;
mod admission;
mod effect;
mod learn;
mod offered;
mod queueing;
mod resize;
mod say;
mod window;

pub(crate) use adjust::adjust;

use learn::Instance;
use offered::Load;
use queueing::Bound;
use stoa_model::demand::Sample;
use stoa_model::{Demand, Millis, Scaling, Time};
use window::{Window, seconds};

/// By what a tier is scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleRules {
    /// The fewest instances.
    pub min: u16,
    /// The most.
    pub max: u16,
    /// What is kept.
    pub target: Target,
    /// How many requests one instance works on at once; none: learned.
    pub concurrency: Option<u16>,
    /// How many balancers share what is let through.
    pub balancers: u16,
}

/// What a scale keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The mean wait of a request for an instance stays below this.
    Wait(Millis),
    /// The load is a number of busy processors, of which one instance has one, and this part of it is used.
    Utilisation(f64),
}

/// A start-up that was never measured takes so long.
const START_UP: Millis = Millis::from_secs(20);
/// What waits is worked off within so many seconds, and so large a part of the time until a new instance serves:
/// the later it comes, the less of what waits now will still be there. It
/// counts no more than the load itself: where something all instances share is slow, they would be for nothing.
const WORKED_OFF: (f64, f64) = (1.0, 0.06);
/// The share of requests that may wait longer than the target. This and the other figures here were chosen
/// with `cargo xtask bench autoscale`, over several seeds.
const TAIL: f64 = 0.014;
/// Over so many seconds it is measured whether the wait is over target.
const OVER: f64 = 8.0;
/// No span is remembered that ends later than this: such a one is of another clock.
const AHEAD: Millis = Millis::from_secs(3600);

/// Everything one decision is made from.
struct Facts<'a> {
    rules: &'a ScaleRules,
    demand: &'a Demand,
    window: &'a Window<'a>,
    instance: Instance,
    look: Look,
    serving: u16,
    now: Time,
}

/// How the instances that serve do.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Whether requests wait longer than they should, or the instances are busier.
    over: bool,
    /// Requests that wait, in the balancers or inside an instance.
    backlog: f64,
}

/// What is asked of a tier.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The load now, in requests worked on at once.
    load: f64,
    /// What is sized for: the load and what must be worked off, or the forecast.
    sized: f64,
    /// Requests that wait.
    backlog: f64,
    /// The load to be expected within so many seconds.
    forecast: Option<(f64, f64)>,
}

/// How many instances there should be from now on, and what has to be remembered for that. The same as
/// before, wherever nothing says otherwise; so where nothing was measured for 15 seconds.
pub fn next(
    rules: &ScaleRules,
    before: Option<&Scaling>,
    demand: &Demand,
    serving: u16,
    now: Time,
) -> Scaling {
    decide(rules, before, demand, serving, now).0
}

/// The same, and whether the instances that serve are over their target; none where that is not known.
fn decide(
    rules: &ScaleRules,
    before: Option<&Scaling>,
    demand: &Demand,
    serving: u16,
    now: Time,
) -> (Scaling, Option<bool>) {
    let mut scaling = recall(rules, before, now);
    let window = &Window::new(demand, now);
    if window.newest().is_none() {
        return (scaling, None);
    }
    let Some(instance) = learn::instance(rules, &mut scaling, window) else { return (scaling, Some(false)) };
    let look = look(rules, &instance, window);
    let facts = Facts { rules, demand, window, instance, look, serving, now };
    effect::follow(&mut scaling, window, &look, now);
    if let Some(asked) = asked(&facts, &scaling)
        && !resize::grow(&facts, &asked, &mut scaling)
    {
        resize::shrink(&facts, &asked, &mut scaling);
    }
    scaling.admission = admission::bound(rules, scaling.admission, &instance, serving);
    (scaling, Some(look.over))
}

/// What was decided, within the bounds of now. A time that lies ahead is of another clock (the machine was
/// started anew) and means nothing.
fn recall(rules: &ScaleRules, before: Option<&Scaling>, now: Time) -> Scaling {
    let Some(before) = before else {
        return Scaling {
            wanted: rules.min.min(rules.max),
            since: now,
            because: "the fewest that are allowed, before anything was measured".to_owned(),
            trial: None,
            ceiling: None,
            start_up_ms: None,
            concurrency_milli: None,
            saturated: false,
            service_us: None,
            grown: None,
            regretted: false,
            admission: None,
        };
    };
    let mut scaling = before.clone();
    let within = scaling.wanted.max(rules.min).min(rules.max);
    if within != scaling.wanted {
        scaling.wanted = within;
        scaling.since = now;
        scaling.because = format!("between {} and {} are allowed", rules.min, rules.max);
    }
    let ahead = |time: Time| time > now;
    scaling.since = scaling.since.min(now);
    scaling.grown = scaling.grown.map(|at| at.min(now));
    scaling.trial = scaling.trial.filter(|trial| !ahead(trial.at) && !trial.served.is_some_and(ahead));
    scaling.ceiling = scaling.ceiling.filter(|ceiling| ceiling.until < now + AHEAD);
    scaling
}

/// What one sample counts as load: requests a second, or busy processors.
fn load_of(rules: &ScaleRules) -> Load {
    match rules.target {
        Target::Wait(_) => |sample: &Sample| sample.arrivals,
        Target::Utilisation(_) => |sample: &Sample| sample.concurrency,
    }
}

fn look(rules: &ScaleRules, instance: &Instance, window: &Window<'_>) -> Look {
    let target = match rules.target {
        Target::Wait(target) => seconds(target),
        Target::Utilisation(most) => {
            let busy = window.mean(OVER, |s| (s.instances > 0.0).then(|| s.concurrency / s.instances));
            return Look { over: busy.is_some_and(|busy| busy > most), backlog: 0.0 };
        }
    };
    let wait = window.mean(OVER, |sample| Some(sample.wait)).unwrap_or(0.0);
    let inside = learn::inner_wait(rules, instance, window, OVER);
    let held = |sample: &Sample| {
        let crowd = learn::held(sample)? - instance.server.concurrency;
        Some((crowd * sample.instances).max(0.0))
    };
    let newest = window.newest();
    let crowded = newest.and_then(held).filter(|_| instance.known && inside > 0.0);
    Look {
        over: wait + inside > target,
        backlog: newest.map_or(0.0, |sample| sample.waiting) + crowded.unwrap_or(0.0),
    }
}

fn asked(facts: &Facts<'_>, scaling: &Scaling) -> Option<Asked> {
    let service = facts.instance.server.service;
    let of = load_of(facts.rules);
    let load = offered::now(facts.window, of)? * service;
    let ahead = seconds(start_up(scaling)) + 2.0;
    let trend = offered::trend(facts.window, of, ahead).map(|load| load * service);
    let same_hour = offered::same_hour(facts.demand, load, ahead);
    let surge = offered::surge(facts.window, of, ahead).map(|load| load * service);
    let forecast = [trend, surge, same_hour].into_iter().flatten().reduce(f64::max);
    let backlog = facts.look.backlog;
    let worked_off = WORKED_OFF.0 + WORKED_OFF.1 * ahead;
    let sized = forecast.unwrap_or(0.0).max(load + (backlog * service / worked_off).min(load));
    Some(Asked { load, sized, backlog, forecast: forecast.map(|load| (load, ahead)) })
}

fn start_up(scaling: &Scaling) -> Millis {
    scaling.start_up_ms.map_or(START_UP, Millis)
}

/// What waiting is planned with: half of what is allowed, so that only a few wait longer than that.
fn bound(rules: &ScaleRules) -> Bound {
    match rules.target {
        Target::Wait(target) => {
            Bound { mean: 0.5 * seconds(target), tail: (seconds(target), TAIL), busy: 0.9 }
        }
        Target::Utilisation(most) => {
            Bound { mean: f64::INFINITY, tail: (0.0, 1.0), busy: most.clamp(0.05, 1.0) }
        }
    }
}

/// Whether a learned figure moved so far that it is worth being remembered anew.
fn moved(before: Option<u64>, new: u64) -> bool {
    before.is_none_or(|before| before.abs_diff(new) * 10 > before)
}

#[cfg(test)]
mod tests;
