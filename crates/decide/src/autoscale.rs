//! How many instances a tier should have, between the bounds that the operator gave, and how many requests
//! are let through to them.
//!
//! [`next`] is one pure function, run live, in tests and in simulation. It adds instances at once, as many
//! as are needed, and takes one at a time, only on evidence over a window longer than a start-up. A missing
//! measurement changes nothing. Where more instances do not help it stops and says so. It starts and stops
//! nothing itself: it says a count, and the tier's own file brings that about.

mod admission;
mod effect;
mod learn;
mod offered;
mod queueing;
mod say;
mod window;

use crate::planner::Planner;
use learn::Instance;
use queueing::Bound;
use stoa_model::demand::Sample;
use stoa_model::plan::WaitKind;
use stoa_model::scaling::Trial;
use stoa_model::{Demand, Millis, Scaling, Tier, Time};
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

/// A busy nginx instance keeps so much of its processor free that a burst does not wait.
const WEB_BUSY: f64 = 0.7;
/// A start-up that was never measured takes so long.
const START_UP: Millis = Millis::from_secs(20);
/// What waits is worked off within so many seconds.
const WORKED_OFF: f64 = 10.0;
/// An instance is kept, idle, for so many start-ups: letting it go and needing it again costs visitors one
/// start-up of waiting, keeping it costs no visitor anything. Bounded by these.
const KEPT_START_UPS: f64 = 6.0;
const KEPT: (f64, f64) = (60.0, 300.0);
/// Between two instances taken, the effect of the first is to be seen.
const PAUSE: Millis = Millis::from_secs(15);
/// Fewer instances must hold so much more than the most that was seen.
const MARGIN: f64 = 1.1;
/// Over so many seconds the wait is measured that says "over target".
const OVER: f64 = 8.0;
/// An addition has settled so long after it should have served.
const SETTLED: Millis = Millis::from_secs(10);

/// What is asked of a tier.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The load now, in requests worked on at once.
    load: f64,
    /// What was sized for: the load and what must be worked off, or the forecast.
    sized: f64,
    /// Requests that wait.
    backlog: f64,
    /// The load to be expected within so many seconds.
    forecast: Option<(f64, f64)>,
}

/// How the instances that serve do.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Whether requests wait longer than they should, or the instances are busier.
    over: bool,
    /// Requests that wait, in the balancers or inside an instance.
    backlog: f64,
}

/// How many instances there should be from now on, and what has to be remembered for that. The same as
/// before, wherever nothing says otherwise.
pub fn next(
    rules: &ScaleRules,
    before: Option<&Scaling>,
    demand: &Demand,
    serving: u16,
    now: Time,
) -> Scaling {
    let mut scaling = recall(rules, before, now);
    let window = Window::new(demand, now);
    if window.newest().is_none() {
        return scaling;
    }
    let Some(instance) = learn::instance(rules, &mut scaling, &window) else { return scaling };
    let look = look(rules, &instance, &window);
    effect::follow(&mut scaling, &window, &look, now);
    let Some(asked) = asked(rules, &scaling, &instance, &window, demand, &look) else { return scaling };
    if !grow(rules, &mut scaling, &instance, &window, &asked, &look, serving, now) {
        shrink(rules, &mut scaling, &instance, &window, (demand, &asked), &look, serving, now);
    }
    scaling.admission = admission::bound(rules, scaling.admission, &instance, serving);
    scaling
}

/// What was decided, within the bounds of now. A time that lies ahead is of another clock (the machine was
/// started anew) and means nothing.
fn recall(rules: &ScaleRules, before: Option<&Scaling>, now: Time) -> Scaling {
    let within = |count: u16| count.max(rules.min).min(rules.max);
    let Some(before) = before else {
        let because = "the fewest that are allowed, before anything was measured".to_owned();
        return Scaling {
            wanted: rules.min.min(rules.max),
            since: now,
            because,
            trial: None,
            ceiling: None,
            start_up_ms: None,
            concurrency_milli: None,
            saturated: false,
            service_us: None,
            grown: None,
            admission: None,
        };
    };
    let mut scaling = before.clone();
    if within(scaling.wanted) != scaling.wanted {
        scaling.wanted = within(scaling.wanted);
        scaling.since = now;
        scaling.because = format!("between {} and {} are allowed", rules.min, rules.max);
    }
    let ahead = |time: Time| time > now;
    if ahead(scaling.since) {
        scaling.since = now;
    }
    scaling.grown = scaling.grown.map(|at| at.min(now));
    scaling.trial = scaling.trial.filter(|trial| !ahead(trial.at) && !trial.served.is_some_and(ahead));
    let too_far = now + Millis::from_secs(3600);
    scaling.ceiling = scaling.ceiling.filter(|ceiling| ceiling.until < too_far);
    scaling
}

/// What one sample counts as load: requests a second, or busy processors.
fn load_of(rules: &ScaleRules) -> offered::Load {
    match rules.target {
        Target::Wait(_) => |sample: &Sample| sample.arrivals,
        Target::Utilisation(_) => |sample: &Sample| sample.concurrency,
    }
}

fn look(rules: &ScaleRules, instance: &Instance, window: &Window<'_>) -> Look {
    match rules.target {
        Target::Utilisation(most) => {
            let busy = window.mean(OVER, |s| (s.instances > 0.0).then(|| s.concurrency / s.instances));
            Look { over: busy.is_some_and(|busy| busy > most), backlog: 0.0 }
        }
        Target::Wait(target) => {
            let wait = window.mean(OVER, |sample| Some(sample.wait)).unwrap_or(0.0);
            let inner = window::weighted(
                window.last(OVER).iter().filter_map(|s| Some((s.service?, s.answered * s.span))),
            );
            let inner = inner.map_or(0.0, |seen| learn::inner_wait(rules, instance, seen));
            let newest = window.newest();
            let inside = newest.and_then(|s| Some((learn::held(s)? - instance.server.concurrency) * s.instances));
            let inside = inside.filter(|_| instance.known && inner > 0.0).unwrap_or(0.0).max(0.0);
            Look {
                over: wait + inner > seconds(target),
                backlog: newest.map_or(0.0, |sample| sample.waiting) + inside,
            }
        }
    }
}

fn asked(
    rules: &ScaleRules,
    scaling: &Scaling,
    instance: &Instance,
    window: &Window<'_>,
    demand: &Demand,
    look: &Look,
) -> Option<Asked> {
    let service = instance.server.service;
    let of = load_of(rules);
    let load = offered::now(window, of)? * service;
    let ahead = seconds(start_up(scaling)) + 2.0;
    let trend = offered::trend(window, of, ahead).map(|load| load * service);
    let same_hour = offered::same_hour(demand, load, ahead);
    let forecast = [trend, same_hour].into_iter().flatten().reduce(f64::max).map(|load| (load, ahead));
    let now = load + look.backlog * service / WORKED_OFF;
    let sized = forecast.map_or(now, |(load, _)| load.max(now));
    Some(Asked { load, sized, backlog: look.backlog, forecast })
}

fn start_up(scaling: &Scaling) -> Millis {
    scaling.start_up_ms.map_or(START_UP, Millis)
}

/// What waiting is planned with: half of what is allowed, and only a few wait longer than that.
fn bound(rules: &ScaleRules) -> Bound {
    match rules.target {
        Target::Wait(target) => {
            let target = seconds(target);
            Bound { mean: 0.5 * target, tail: (target, 0.02), busy: 0.9 }
        }
        Target::Utilisation(most) => Bound { mean: f64::INFINITY, tail: (0.0, 1.0), busy: most.clamp(0.05, 1.0) },
    }
}

/// Adds what is needed, at once. Returns whether more are needed, added or not.
#[allow(clippy::too_many_arguments, reason = "each is another fact, and a struct of them would be used once")]
fn grow(
    rules: &ScaleRules,
    scaling: &mut Scaling,
    instance: &Instance,
    window: &Window<'_>,
    asked: &Asked,
    look: &Look,
    serving: u16,
    now: Time,
) -> bool {
    let wanted = scaling.wanted;
    let mut needed = wanted;
    if instance.known {
        needed = queueing::fewest(asked.sized, &instance.server, &bound(rules), rules.max);
    }
    let settled = serving >= wanted && now.since(scaling.since) >= start_up(scaling).min(START_UP) + SETTLED;
    if look.over && settled {
        // The formula holds, the measurement does not: what is measured is right.
        needed = needed.max(wanted.saturating_add(1)).max(outpaced(instance, window, wanted));
    }
    if needed <= wanted {
        return false;
    }
    let most = effect::most(scaling, window, now).min(rules.max);
    let count = needed.min(most);
    if count > wanted {
        let answered = window.mean(OVER, |sample| Some(sample.answered)).unwrap_or(0.0);
        if scaling.trial.is_none() {
            let answered_milli = (answered * 1000.0) as u64;
            scaling.trial = Some(Trial { at: now, from: serving, answered_milli, served: None });
        }
        scaling.because = say::because(rules, asked, instance, count);
        scaling.wanted = count;
        scaling.since = now;
        scaling.grown = Some(now);
    }
    true
}

/// So many as would answer what arrives, where what one can do is not known: at most twice as many.
fn outpaced(instance: &Instance, window: &Window<'_>, wanted: u16) -> u16 {
    let mean = |of: fn(&Sample) -> f64| window.mean(OVER, |sample| Some(of(sample))).unwrap_or(0.0);
    let (arrivals, answered) = (mean(|s| s.arrivals), mean(|s| s.answered));
    if instance.known || answered <= 0.0 {
        return 0;
    }
    (f64::from(wanted) * (arrivals / answered).clamp(1.0, 2.0)).ceil() as u16
}

/// Takes one, where the last minutes and what is to be expected say that the others would do.
#[allow(clippy::too_many_arguments, reason = "each is another fact, and a struct of them would be used once")]
fn shrink(
    rules: &ScaleRules,
    scaling: &mut Scaling,
    instance: &Instance,
    window: &Window<'_>,
    (demand, asked): (&Demand, &Asked),
    look: &Look,
    serving: u16,
    now: Time,
) {
    let kept = (KEPT_START_UPS * seconds(start_up(scaling))).clamp(KEPT.0, KEPT.1);
    let long_enough = |since: Time, span: f64| seconds(now.since(since)) >= span;
    if scaling.wanted <= rules.min.max(1)
        || serving < scaling.wanted
        || look.over
        || !long_enough(scaling.since, seconds(PAUSE))
        || scaling.grown.is_some_and(|at| !long_enough(at, kept))
        || window.covered(kept) < 0.8
    {
        return;
    }
    let service = instance.server.service;
    let seen = offered::most(window, kept, load_of(rules)) * service;
    let expected = offered::same_hour(demand, asked.load, kept + seconds(start_up(scaling))).unwrap_or(0.0);
    let sized = seen.max(expected).max(asked.sized) * MARGIN;
    let needed = if instance.known {
        queueing::fewest(sized, &instance.server, &bound(rules), rules.max)
    } else {
        // As much as was seen to be held without trouble, and no more.
        (sized / instance.server.concurrency).ceil() as u16
    };
    if needed < scaling.wanted {
        scaling.wanted -= 1;
        scaling.since = now;
        scaling.trial = None;
        let asked = Asked { load: seen, sized, ..*asked };
        scaling.because = format!(
            "for {kept:.0} s at most {}",
            say::because(rules, &asked, instance, scaling.wanted)
        );
    }
}

/// Whether a learned figure moved so far that it is worth being remembered anew.
fn moved(before: Option<u64>, new: u64) -> bool {
    before.is_none_or(|before| before.abs_diff(new) * 10 > before)
}
