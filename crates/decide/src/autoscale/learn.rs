//! What one instance can do: how long it works on a request, and on how many at once. It is told from what
//! the balancers see of it, which includes the time that requests wait inside an instance that lets them.
//!
//! In all of this `x` is what one instance answers a second, `S` how long that took as the balancers see it
//! and `q` = x·S (Little) how many requests it held. With a true service time `s` it keeps min(q, k) of
//! its workers busy and x·s = min(q, k), so s = S·min(1, k/q).
//!
//! Where `k` is not configured:
//! - `s` is the mean `S` while few requests were held;
//! - the instance is saturated where `S` is well above `s`. Where more is held then but no more answered,
//!   that plateau is k = x·s. Slower answers without a plateau are not saturation: what is asked of an
//!   instance took longer;
//! - before any plateau was seen, the most that was held at an unchanged `S` is a lower bound of k.
//!
//! Its limits: an instance that was never seen uncrowded has its `s` and so its `k` overestimated; a plateau
//! that something all instances share makes is taken for their own (the trial of a scale-out tells, see
//! `effect`); and what is asked must not change its kind within the window by much.

use super::queueing::Server;
use super::window::{Window, quantile, weighted};
use super::{ScaleRules, Target, moved};
use stoa_model::Scaling;
use stoa_model::demand::Sample;

/// So much longer than uncrowded is no noise any more, but saturation.
const SATURATED: f64 = 1.5;
/// It is no noise where it is beyond that by so many standard errors of the mean.
const CERTAIN: f64 = 3.0;
/// So much longer than uncrowded is still unchanged.
const UNCHANGED: f64 = 1.2;
/// Fewer answers, for each request that is worked on, are taken to be the short ones.
const EARLY: f64 = 30.0;
/// An instance holds more than it works on where that is no noise any more.
const CROWDED: f64 = 1.1;
/// Up to this part of what it works on at once, an instance is not crowded.
const UNCROWDED: f64 = 0.7;
/// Samples that are looked at together.
const TOGETHER: usize = 3;
/// A plateau is seen over as many of those at least.
const PLATEAU: usize = 4;
/// How many seconds back saturation is looked for.
const LOOK_BACK: f64 = 300.0;

/// One instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    /// As the formulas want it.
    pub(super) server: Server,
    /// Whether its concurrency is known; otherwise it is at least that.
    pub(super) known: bool,
}

/// What one instance can do, where that can be told; what was learned is kept in `scaling`.
pub(super) fn instance(rules: &ScaleRules, scaling: &mut Scaling, window: &Window<'_>) -> Option<Instance> {
    if let Target::Utilisation(_) = rules.target {
        let server = Server { service: 1.0, concurrency: 1.0, variability: 1.0 };
        return Some(Instance { server, known: true });
    }
    let (concurrency, known) = match rules.concurrency {
        Some(given) => (f64::from(given.max(1)), true),
        None => {
            concurrency(scaling, window);
            (scaling.concurrency_milli? as f64 / 1000.0, scaling.saturated)
        }
    };
    let given = rules.concurrency.is_some();
    let service = if given { corrected(window, concurrency) } else { uncrowded(scaling, window) };
    let service = service.filter(|service| *service > 0.0);
    let service = match (service, remembered(scaling)) {
        // What all instances share may answer slower because there are more of them, which is no reason for
        // still more: until it is judged what the new ones brought, things are seen as they were.
        (Some(service), Some(before)) if scaling.trial.is_some() => service.min(before),
        (Some(service), _) => {
            let new = ((service * 1e6).round() as u64).max(1);
            if moved(scaling.service_us, new) {
                scaling.service_us = Some(new);
            }
            service
        }
        (None, before) => before?,
    };
    Some(Instance { server: Server { service, concurrency, variability: variability(window) }, known })
}

/// How long requests waited inside the instances over the last seconds, as far as that is no noise.
pub(super) fn inner_wait(rules: &ScaleRules, instance: &Instance, window: &Window<'_>, seconds: f64) -> f64 {
    let Some((took, error)) = took(window.last(seconds)) else { return 0.0 };
    let longer = took - instance.server.service;
    let unchanged = if rules.concurrency.is_some() { SATURATED } else { UNCHANGED };
    let noise = (unchanged - 1.0 + CERTAIN * error) * instance.server.service;
    if longer > noise { longer } else { 0.0 }
}

/// The mean time that answers took, and its standard error as a part of it.
fn took(samples: &[&Sample]) -> Option<(f64, f64)> {
    let mean = weighted(samples.iter().filter_map(|s| Some((s.service?, s.answered * s.span))))?;
    let answers: f64 = samples.iter().map(|s| s.answered * s.span).sum();
    let variation = weighted(samples.iter().filter_map(|s| Some((s.variation?, s.answered * s.span))));
    Some((mean, (variation.unwrap_or(1.0).max(1.0) / answers.max(1.0)).sqrt()))
}

/// The requests that one instance held, in the mean.
pub(super) fn held(sample: &Sample) -> Option<f64> {
    (sample.instances > 0.0).then(|| (sample.concurrency - sample.waiting).max(0.0) / sample.instances)
}

/// The mean service time over the last minutes, the newest counting most, without what was waited inside.
fn corrected(window: &Window<'_>, concurrency: f64) -> Option<f64> {
    let samples = window.last(120.0);
    let answers: f64 = samples.iter().map(|sample| sample.answered * sample.span).sum();
    let busy = |sample: &Sample| sample.concurrency.min(sample.instances * concurrency);
    let work: f64 = samples.iter().map(|sample| busy(sample) * sample.span).sum();
    if answers < EARLY * window.newest().map_or(0.0, busy) {
        // Of the first requests only the short ones are answered yet; all that are worked on count.
        return (answers > 0.0).then(|| work / answers);
    }
    weighted(samples.iter().filter_map(|sample| {
        let seen = sample.service?;
        let crowd = sample.answered * seen / sample.instances.max(1.0);
        let crowded = crowd > CROWDED * concurrency;
        let service = if crowded { seen * concurrency / crowd } else { seen };
        Some((service, sample.answered * sample.span * (-window.age(sample) / 30.0).exp2()))
    }))
}

/// The mean service time while few requests were held; what is remembered where none were.
fn uncrowded(scaling: &Scaling, window: &Window<'_>) -> Option<f64> {
    let samples = window.last(600.0);
    let half = quantile(&mut samples.iter().filter_map(|sample| held(sample)).collect::<Vec<_>>(), 0.5)?;
    let few = match scaling.concurrency_milli {
        Some(milli) if scaling.saturated => half.min(UNCROWDED * milli as f64 / 1000.0),
        _ => half,
    };
    let mean = |few: f64| {
        weighted(samples.iter().filter(|sample| held(sample).is_some_and(|held| held <= few)).filter_map(
            |sample| {
                let weight = sample.answered * sample.span * (-window.age(sample) / 180.0).exp2();
                Some((sample.service?, weight))
            },
        ))
    };
    mean(few).or(remembered(scaling))
}

fn remembered(scaling: &Scaling) -> Option<f64> {
    scaling.service_us.map(|us| us as f64 / 1e6)
}

/// Learns how many requests an instance works on at once.
fn concurrency(scaling: &mut Scaling, window: &Window<'_>) {
    if scaling.ceiling.is_some() {
        // What more instances did not help with is not the instances' own; nothing is learned from it.
        return;
    }
    let Some(service) = uncrowded(scaling, window) else { return };
    let mut crowded = Vec::new();
    let mut unchanged = Vec::new();
    for together in window.last(LOOK_BACK).chunks_exact(TOGETHER) {
        let Some(Seen { held, answered, took, error }) = look(together) else { continue };
        if took > (SATURATED + CERTAIN * error) * service {
            crowded.push((held, answered * service));
        } else if took <= UNCHANGED * service {
            unchanged.push(answered * service);
        }
    }
    let before = scaling.concurrency_milli;
    let least = quantile(&mut unchanged, 0.75).map(|held| (held * 1000.0).round() as u64);
    if let Some(busy) = plateau(&mut crowded) {
        let new = ((busy * 1000.0).round() as u64).max(1000);
        // More held at an unchanged service time refutes a plateau.
        let new = new.max(least.unwrap_or(0));
        if !scaling.saturated || moved(before, new) {
            scaling.concurrency_milli = Some(new);
        }
        scaling.saturated = true;
    } else if let Some(least) = least
        && least > before.unwrap_or(0)
        && moved(before, least.max(1000))
    {
        scaling.concurrency_milli = Some(least.max(1000));
    }
}

/// What was seen of one instance over samples in which their count was the same.
struct Seen {
    held: f64,
    answered: f64,
    took: f64,
    /// The standard error of `took`, as a part of it.
    error: f64,
}

fn look(together: &[&Sample]) -> Option<Seen> {
    let count = together.first()?.instances;
    if count < 1.0 || together.iter().any(|sample| sample.instances != count) {
        return None;
    }
    let mean =
        |of: fn(&Sample) -> Option<f64>| weighted(together.iter().filter_map(|s| Some((of(s)?, s.span))));
    let (took, error) = took(together)?;
    Some(Seen { held: mean(held)?, answered: mean(|sample| Some(sample.answered))? / count, took, error })
}

/// The busy workers of an instance that holds more and more and answers no more for it.
fn plateau(crowded: &mut [(f64, f64)]) -> Option<f64> {
    if crowded.len() < PLATEAU {
        return None;
    }
    crowded.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (few, many) = crowded.split_at(crowded.len() / 2);
    let mean = |part: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        part.iter().map(of).sum::<f64>() / part.len() as f64
    };
    let held_more = mean(many, |c| c.0) >= 1.3 * mean(few, |c| c.0);
    let answered_more = mean(many, |c| c.1) > 1.15 * mean(few, |c| c.1);
    (held_more && !answered_more)
        .then(|| quantile(&mut crowded.iter().map(|c| c.1).collect::<Vec<_>>(), 0.5))
        .flatten()
}

/// (Ca² + Cs²) / 2: arrivals by how much neighbouring seconds differ, so that a trend is not taken for
/// disorder; service times as measured, exponential where they were not.
fn variability(window: &Window<'_>) -> f64 {
    let samples = window.last(120.0);
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let counts = pairs.map(|(a, b)| (a.arrivals * a.span, b.arrivals * b.span));
    let (differences, all) =
        counts.fold((0.0, 0.0), |(d, all), (a, b)| (d + (a - b) * (a - b) / 2.0, all + (a + b) / 2.0));
    let arrivals = if all > 0.0 { (differences / all).clamp(1.0, 9.0) } else { 1.0 };
    let answered = window.last(600.0).iter();
    let service = weighted(answered.filter_map(|s| Some((s.variation?, s.answered * s.span)))).unwrap_or(1.0);
    (arrivals + service.clamp(0.0, 16.0)) / 2.0
}
