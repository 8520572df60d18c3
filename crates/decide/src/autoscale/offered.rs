//! How much is asked: the load now, the most of the last minutes, and the most that is to be expected until
//! a new instance could serve. A forecast is a reason to add or to keep instances, never to take any away.

use super::window::{Window, quantile};
use stoa_model::Demand;
use stoa_model::demand::Sample;

/// Short spans count only so far as they are beyond what chance does: so many standard errors.
const BEYOND_CHANCE: f64 = 2.5;
/// The spans that are looked at for a sudden rise, in seconds.
const SHORT: [f64; 3] = [2.0, 5.0, 12.0];
/// The span whose mean is taken as it is.
const LONG: f64 = 30.0;
/// A trend is told from this many spans of this many seconds.
const TREND: (f64, usize) = (5.0, 12);
/// It must still be seen in the newest of them alone: what has ended leads nowhere.
const STILL: usize = 5;
/// A trend wears off: with this time constant, in seconds.
const DAMPED: f64 = 45.0;
/// A surge is told from three spans of so many seconds ...
const SURGE: f64 = 2.0;
/// ... over which the load grew beyond chance by so many standard errors, to so many times what it was.
const SURGE_BEYOND_CHANCE: f64 = 3.0;
const SURGE_TIMES: f64 = 3.0;
/// A few seconds' foresight is worth less where new instances take longer than this, in seconds.
const WORTH: f64 = 15.0;
/// The spans of which the busiest is evidence against fewer instances, in seconds.
const PEAK: f64 = 15.0;

/// What one sample counts as load, in the caller's unit.
pub(super) type Load = fn(&Sample) -> f64;

/// The load now: the mean of the last half minute, or what the last seconds hold beyond chance.
pub(super) fn now(window: &Window<'_>, of: Load) -> Option<f64> {
    let mean = window.mean(LONG, |sample| Some(of(sample)))?;
    let scatter = scatter(window, of);
    let sudden = SHORT.into_iter().filter_map(|span| {
        let count = window.last(span).len();
        let mean = window.mean(span, |sample| Some(of(sample)))?;
        (count >= 2).then(|| mean - BEYOND_CHANCE * scatter / (count as f64).sqrt())
    });
    Some(sudden.fold(mean, f64::max))
}

/// The busiest quarter of a minute of the last seconds.
pub(super) fn most(window: &Window<'_>, seconds: f64, of: Load) -> f64 {
    let bins = window.bins(PEAK, (seconds / PEAK).ceil() as usize, of);
    bins.into_iter().flatten().fold(0.0, f64::max)
}

/// The standard deviation of one sample, from how much neighbours differ: a trend adds nothing to it.
fn scatter(window: &Window<'_>, of: Load) -> f64 {
    let samples = window.last(60.0);
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let squares: f64 = pairs.map(|(a, b)| (of(a) - of(b)).powi(2) / 2.0).sum();
    (squares / (samples.len().max(2) - 1) as f64).sqrt()
}

/// What a rise leads to in so many seconds; none where there is no clear one, or it has ended.
pub(super) fn trend(window: &Window<'_>, of: Load, ahead: f64) -> Option<f64> {
    let bins = window.bins(TREND.0, TREND.1, of);
    let points: Vec<_> =
        bins.iter().enumerate().filter_map(|(at, bin)| Some((-(at as f64) * TREND.0, (*bin)?))).collect();
    if points.len() < TREND.1 * 2 / 3 {
        return None;
    }
    // A step some time ago is a rise over the whole that has ended.
    let slope = rise(&points)?.min(rise(points.get(..STILL)?)?);
    let mut levels: Vec<_> = points.iter().take(STILL).map(|(at, load)| load - slope * at).collect();
    let level = quantile(&mut levels, 0.5)?;
    let lasting = DAMPED * (1.0 - (-ahead / DAMPED).exp());
    Some(level + slope * lasting)
}

/// The slope of a clear rise. Theil and Sen: the median of the slopes between all pairs, which a few odd
/// seconds do not turn.
fn rise(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes: Vec<_> = points
        .iter()
        .enumerate()
        .flat_map(|(at, a)| points.iter().skip(at + 1).map(move |b| (a.1 - b.1) / (a.0 - b.0)))
        .collect();
    let least = quantile(&mut slopes, 0.25)?;
    quantile(&mut slopes, 0.5).filter(|_| least > 0.0)
}

/// What a sudden rise leads to: one that was watched for four seconds is expected to go on for four more.
pub(super) fn surge(window: &Window<'_>, of: Load, ahead: f64) -> Option<f64> {
    let scatter = scatter(window, of);
    let bins = window.bins(SURGE, 3, of);
    let [new, mid, old] = bins.as_slice() else { return None };
    let (new, mid, old) = ((*new)?, (*mid)?, (*old)?);
    let sure = SURGE_BEYOND_CHANCE * scatter * (2.0 / SURGE).sqrt();
    let goes_on = (2.0 * (new - mid)).max(new - old) * (WORTH / ahead).min(1.0);
    (new - mid > sure && new > SURGE_TIMES * old).then_some(new + goes_on)
}

/// What the same hour of earlier days leads to at most within so many seconds, seen from a load now: today
/// is taken to grow in the proportion in which those days did.
pub(super) fn same_hour(demand: &Demand, now: f64, ahead: f64) -> Option<f64> {
    let (_, then) = demand.same_hour.first_key_value()?;
    let sane = |load: &f64| (0.0..=1e9).contains(load);
    let last = ahead.ceil() as u32;
    let most = demand.same_hour.range(..=last).map(|(_, load)| *load).filter(sane).fold(0.0, f64::max);
    let grown = if sane(then) && *then > 0.0 { now * most / then } else { most };
    // A day that is much quieter or busier than today says little about its size.
    Some(grown.min(2.0 * now.max(most)))
}
