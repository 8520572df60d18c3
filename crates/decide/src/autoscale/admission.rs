//! How much the balancers let through: requests that could only be answered too late are refused early, so
//! that those which are let in are answered in time. It bounds; it never decides a count.

use super::learn::Instance;
use super::{ScaleRules, Target, moved};
use stoa_model::routes::Admission;

/// The last one that may wait does so for this long at most, in seconds, or for so many target waits.
const LONGEST: (f64, f64) = (5.0, 20.0);

/// What each balancer lets through to `serving` instances; what was decided before where it is about that.
pub(super) fn bound(
    rules: &ScaleRules,
    before: Option<Admission>,
    instance: &Instance,
    serving: u16,
) -> Option<Admission> {
    let Target::Wait(target) = rules.target else { return None };
    // A lower bound of what an instance can do is no reason to let less through than it could take.
    if !instance.known || serving == 0 {
        return before;
    }
    let balancers = f64::from(rules.balancers.max(1));
    let concurrency = instance.server.concurrency;
    let share = |all: f64| (all / balancers).ceil().clamp(1.0, 1e6) as u32;
    let per_instance = match rules.concurrency {
        Some(_) => share(concurrency),
        // What was learned may be wrong, and a bound that is too low would never show it.
        None => share(2.0 * concurrency).max(4),
    };
    let rate = f64::from(serving) * concurrency / instance.server.service;
    let longest = LONGEST.0.max(LONGEST.1 * target.0 as f64 / 1000.0);
    // One for each worker may wait in any case: it does so for one service time.
    let waiting = share((rate * longest).max(f64::from(serving) * concurrency));
    let new = Admission { per_instance, waiting };
    let same = |before: &Admission| {
        !moved(Some(before.per_instance.into()), per_instance.into())
            && !moved(Some(before.waiting.into()), waiting.into())
    };
    before.filter(same).or(Some(new))
}
