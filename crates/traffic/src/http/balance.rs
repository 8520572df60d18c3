//! Which instance gets a request: the one that holds fewer of two chosen at random.
//!
//! Least of all would send a burst from every thread to the same instance before the counts have caught
//! up; least of two random ones does not, and is nearly as even. With two instances it is least of all.

use super::table::Upstream;
use std::cell::Cell;
use std::sync::Arc;
use stoa_model::InstanceId;

/// Random numbers for choices, xorshift64*: fast, and nobody gains by guessing them.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

/// The instances that one request has been sent to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tried {
    instances: [Option<InstanceId>; super::limits::TRIES_MAX as usize],
    count: usize,
}

impl Rng {
    /// A sequence of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Rng(Cell::new(seed | 1))
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`, which is not zero.
    pub(crate) fn below(&self, n: usize) -> usize {
        // The upper half scaled down: no division, and a bias nobody could measure.
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

impl Tried {
    /// Remembers one more.
    pub(crate) fn add(&mut self, instance: InstanceId) {
        if let Some(slot) = self.instances.get_mut(self.count) {
            *slot = Some(instance);
            self.count += 1;
        }
    }

    fn has(&self, instance: InstanceId) -> bool {
        self.count > 0 && self.instances.contains(&Some(instance))
    }
}

/// Chooses one of `upstreams`, by its place. One that has been tried is chosen only where all have been.
pub(crate) fn choose<'a>(
    upstreams: impl Iterator<Item = &'a Arc<Upstream>> + Clone,
    tried: &Tried,
    rng: &Rng,
) -> Option<usize> {
    let fresh = upstreams.clone().enumerate().filter(|(_, u)| !u.is_ejected() && !tried.has(u.instance.id));
    least_of_two(fresh, rng).or_else(|| {
        let again = upstreams.enumerate().filter(|(_, u)| !u.is_ejected());
        least_of_two(again, rng)
    })
}

fn least_of_two<'a>(
    candidates: impl Iterator<Item = (usize, &'a Arc<Upstream>)> + Clone,
    rng: &Rng,
) -> Option<usize> {
    let count = candidates.clone().count();
    if count == 0 {
        return None;
    }
    // Another thread may eject one between counting and choosing: then there is one candidate fewer.
    let first = rng.below(count);
    let second = if count == 1 { first } else { (first + 1 + rng.below(count - 1)) % count };
    let (mut a, mut b) = (None, None);
    for (n, (place, upstream)) in candidates.enumerate() {
        if n == first {
            a = Some((upstream.instance.in_flight(), place));
        }
        if n == second {
            b = Some((upstream.instance.in_flight(), place));
        }
    }
    match (a, b) {
        // `first` is itself random: taking it where both are equal is a random tie.
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b.1 } else { a.1 }),
        (a, b) => a.or(b).map(|(_, place)| place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limits::Limits;
    use crate::http::table::{Face, Instance, Shared};
    use stoa_model::{Endpoint, Tier, Time};

    fn upstreams(n: u16) -> Vec<Arc<Upstream>> {
        let (shared, _probes) = Shared::new(Limits::default(), 1);
        let make = |number| {
            let instance = Arc::new(Instance::new(InstanceId::new(Tier::App, number), 1));
            let endpoint = Endpoint::Unix("/nowhere".into());
            Arc::new(Upstream::new(instance, Face::App, endpoint, Time(1), shared.clone()))
        };
        (1..=n).map(make).collect()
    }

    #[test]
    fn two_instances_are_kept_exactly_even() {
        let (all, rng) = (upstreams(2), Rng::new(7));
        let mut held = Vec::new();
        for n in 0..100_u32 {
            let place = choose(all.iter(), &Tried::default(), &rng).unwrap();
            held.push(all[place].take());
            let counts = [all[0].instance.in_flight(), all[1].instance.in_flight()];
            assert!(counts[0].abs_diff(counts[1]) <= 1, "{n}: {counts:?}");
        }
        drop(held);
        assert_eq!(all[0].instance.in_flight(), 0);
    }

    #[test]
    fn many_instances_are_kept_nearly_even() {
        let (all, rng) = (upstreams(10), Rng::new(42));
        let mut held = Vec::new();
        for _ in 0..1000 {
            held.push(all[choose(all.iter(), &Tried::default(), &rng).unwrap()].take());
        }
        for upstream in &all {
            let count = upstream.instance.in_flight();
            assert!((95..=105).contains(&count), "{count}");
        }
    }

    #[test]
    fn ties_are_broken_at_random() {
        let (all, rng) = (upstreams(3), Rng::new(3));
        let mut hits = [0; 3];
        for _ in 0..3000 {
            hits[choose(all.iter(), &Tried::default(), &rng).unwrap()] += 1;
        }
        assert!(hits.iter().all(|n| (850..1150).contains(n)), "{hits:?}");
    }

    #[test]
    fn the_ejected_never_and_the_tried_last() {
        let (all, rng) = (upstreams(3), Rng::new(1));
        let mut tried = Tried::default();
        all[0].eject("for the test");
        tried.add(all[1].instance.id);
        for _ in 0..100 {
            assert_eq!(choose(all.iter(), &tried, &rng), Some(2));
        }
        all[2].eject("for the test");
        assert_eq!(choose(all.iter(), &tried, &rng), Some(1));
        all[1].eject("for the test");
        assert_eq!(choose(all.iter(), &tried, &rng), None);
        assert_eq!(choose(upstreams(0).iter(), &tried, &rng), None);
    }
}
