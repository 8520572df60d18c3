//! What came of adding instances: how long they took to serve, whether more was answered for it, and whether
//! the machine has room for more. Where more do not help, it sets a ceiling for a while and says why; it
//! never takes an instance away.

use super::window::{Window, seconds, weighted};
use super::{Look, moved};
use stoa_model::scaling::{Ceiling, Trial};
use stoa_model::{Millis, Scaling, Time};

/// How long more instances are taken not to help, before some more are tried.
const BELIEVED: Millis = Millis::from_secs(300);
/// New instances are judged once they have served this long; and over this long.
const SETTLED: Millis = Millis::from_secs(12);
const JUDGED_OVER: f64 = 8.0;
/// What was answered before is told from so many seconds.
const BEFORE: f64 = 5.0;
/// Less than this part of what they could have brought is no help.
const HELP: f64 = 0.3;
/// New instances that have not served for this long are not waited for any more.
const GIVEN_UP: Millis = Millis::from_secs(900);
/// The processors and the memory of a machine that is full, and of one that has room again.
const FULL: (f64, f64) = (0.95, 0.92);
const ROOM: (f64, f64) = (0.85, 0.88);

/// Follows the scale-out under way, if there is one.
pub(super) fn follow(scaling: &mut Scaling, window: &Window<'_>, look: &Look, now: Time) {
    lift(scaling, window, now);
    let Some(mut trial) = scaling.trial.take() else { return };
    if trial.served.is_none()
        && let Some(first) = window
            .last(600.0)
            .iter()
            .find(|sample| sample.at > trial.at && sample.instances > f64::from(trial.from) + 0.5)
    {
        trial.served = Some(first.at);
        // What those that served before could do shows best while they had too much to do: just before.
        let before = window.last(window.age(first) + BEFORE);
        let before = before.iter().filter(|sample| sample.at < first.at).map(|s| (s.answered, s.span));
        let answered = weighted(before).map_or(0, |answered| (answered * 1000.0) as u64);
        trial.answered_milli = trial.answered_milli.max(answered);
        started(scaling, first.at.since(trial.at));
    }
    match trial.served {
        Some(at) if now.since(at) >= SETTLED => judge(scaling, &trial, window, look, now),
        None if now.since(trial.at) > GIVEN_UP => {}
        _ => scaling.trial = Some(trial),
    }
}

/// New instances served after so long.
fn started(scaling: &mut Scaling, took: Millis) {
    let smoothed = scaling.start_up_ms.map_or(took.0, |before| (7 * before + 3 * took.0) / 10);
    if moved(scaling.start_up_ms, smoothed) {
        scaling.start_up_ms = Some(smoothed);
    }
}

/// Whether they helped, where that can be told.
fn judge(scaling: &mut Scaling, trial: &Trial, window: &Window<'_>, look: &Look, now: Time) {
    let mean = |of: fn(&stoa_model::demand::Sample) -> f64| window.mean(JUDGED_OVER, |s| Some(of(s)));
    let (Some(count), Some(answered), Some(arrivals)) =
        (mean(|s| s.instances), mean(|s| s.answered), mean(|s| s.arrivals))
    else {
        scaling.trial = Some(trial.clone());
        return;
    };
    let before = trial.answered_milli as f64 / 1000.0;
    let could = arrivals.min(before * count / f64::from(trial.from.max(1)));
    let told = trial.from > 0 && count > f64::from(trial.from) + 0.5 && could > 1.1 * before;
    if !look.over || !told {
        // Nothing waits any more, or nothing can be said of it.
        if !look.over {
            scaling.ceiling = None;
        }
        return;
    }
    if answered - before >= HELP * (could - before) {
        scaling.ceiling = None;
        return;
    }
    let because = no_help(trial, window, (before, answered, count), now);
    let instances = trial.from;
    scaling.ceiling = Some(Ceiling { instances, until: now + BELIEVED, because, machine: false });
}

/// What was seen when more did not help, and what it looks like.
fn no_help(trial: &Trial, window: &Window<'_>, seen: (f64, f64, f64), now: Time) -> String {
    let (before, answered, count) = seen;
    let ago = seconds(now.since(trial.at));
    let then = window
        .last(ago + 15.0)
        .iter()
        .filter(|sample| sample.at <= trial.at)
        .filter_map(|sample| Some((sample.service?, sample.answered)));
    let then = weighted(then);
    let took = window.mean(JUDGED_OVER, |sample| sample.service);
    let cpu = window.mean(JUDGED_OVER, |sample| sample.cpu);
    let mut because = format!(
        "{count:.0} instances answer {answered:.0} requests a second, {} instances answered {before:.0}",
        trial.from
    );
    match (then, took, cpu) {
        (Some(then), Some(took), Some(cpu)) if took > 1.3 * then && cpu < 0.8 => {
            because += &format!(
                ", each in {} instead of {} while the processors are {:.0} % busy: something all instances share, such as the database, is the bottleneck",
                super::say::time(took),
                super::say::time(then),
                cpu * 100.0
            );
        }
        _ => because += ": more instances do not help",
    }
    because
}

/// Ends a ceiling that is no more true or was not needed for long.
fn lift(scaling: &mut Scaling, window: &Window<'_>, now: Time) {
    let Some(ceiling) = &scaling.ceiling else { return };
    let forgotten = now > ceiling.until + BELIEVED;
    if forgotten
        || (ceiling.machine && usage(window).is_some_and(|(cpu, memory)| cpu < ROOM.0 && memory < ROOM.1))
    {
        scaling.ceiling = None;
    }
}

/// The processors over some seconds and the memory now; what could not be read does not count as full.
fn usage(window: &Window<'_>) -> Option<(f64, f64)> {
    window.newest()?;
    let cpu = window.mean(20.0, |sample| sample.cpu).filter(|_| window.covered(20.0) > 0.7);
    let memory = window.mean(5.0, |sample| sample.memory);
    Some((cpu.unwrap_or(0.0), memory.unwrap_or(0.0)))
}

/// The most instances that may be asked for, when `wanted` are wanted now; sets a ceiling where the machine
/// has no room for more.
pub(super) fn most(scaling: &mut Scaling, window: &Window<'_>, now: Time) -> u16 {
    if let Some((cpu, memory)) = usage(window)
        && (cpu >= FULL.0 || memory >= FULL.1)
        && scaling.ceiling.as_ref().is_none_or(|ceiling| ceiling.until <= now)
    {
        let what = if memory >= FULL.1 { ("memory", memory) } else { ("processors", cpu) };
        let because = format!(
            "the machine is full: {:.0} % of its {} are in use, so more instances would only take from each other",
            what.1 * 100.0,
            what.0
        );
        let instances = scaling.wanted;
        scaling.ceiling = Some(Ceiling { instances, until: now + BELIEVED, because, machine: true });
    }
    match &scaling.ceiling {
        Some(ceiling) if ceiling.until > now => ceiling.instances.max(scaling.wanted),
        // One try again, with so many that it can be told whether they help.
        Some(_) if scaling.trial.is_none() => {
            scaling.wanted.saturating_add(scaling.wanted.div_ceil(4).max(1))
        }
        Some(_) => scaling.wanted,
        None => u16::MAX,
    }
}
