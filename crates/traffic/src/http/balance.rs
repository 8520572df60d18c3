//! Which instance gets a request: the one that holds fewer of two chosen at random.
//!
//! Least of all would send a burst from every thread to the same instance before the counts have caught
//! up; least of two random ones does not, and is nearly as even. With two instances it is least of all.
//!
//! A canary's share is drawn for each request before that, and the two are chosen among those that run
//! the release drawn.

use super::table::Upstream;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stoa_model::InstanceId;

/// Random numbers for choices, xorshift64*: fast, and nobody gains by guessing them.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

/// What the routes ask of every choice.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Terms {
    /// The most requests that one instance is to hold; none: no bound.
    pub(crate) most: Option<u32>,
    /// How many of a hundred requests go to the canary; zero where there is none.
    pub(crate) canary_percent: u8,
}

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

    /// Whether it has been sent to any.
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    fn has(&self, instance: InstanceId) -> bool {
        self.count > 0 && self.instances.contains(&Some(instance))
    }
}

/// Chooses one of `upstreams`, by its place. One that has been tried is chosen only where all have been,
/// and one of the release that was not drawn only where none of the other is usable.
pub(crate) fn choose<'a>(
    upstreams: impl Iterator<Item = &'a Arc<Upstream>> + Clone,
    tried: &Tried,
    terms: Terms,
    rng: &Rng,
) -> Option<usize> {
    let usable = upstreams.enumerate().filter(move |(_, u)| is_usable(u, terms));
    let fresh = usable.clone().filter(|(_, u)| !tried.has(u.instance.id));
    if terms.canary_percent == 0 {
        return least_of_two(fresh, rng).or_else(|| least_of_two(usable, rng));
    }
    let drawn = rng.below(100) < usize::from(terms.canary_percent);
    let is_drawn = move |u: &(usize, &Arc<Upstream>)| u.1.canary.load(Ordering::Relaxed) == drawn;
    least_of_two(fresh.clone().filter(is_drawn), rng)
        .or_else(|| least_of_two(fresh, rng))
        .or_else(|| least_of_two(usable, rng))
}

/// Whether it may be sent a request now.
pub(crate) fn is_usable(upstream: &Upstream, terms: Terms) -> bool {
    !upstream.is_ejected() && !upstream.instance.is_full(terms.most)
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
            let place = choose(all.iter(), &Tried::default(), Terms::default(), &rng).unwrap();
            held.push(all[place].take(None));
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
            let place = choose(all.iter(), &Tried::default(), Terms::default(), &rng).unwrap();
            held.push(all[place].take(None));
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
            hits[choose(all.iter(), &Tried::default(), Terms::default(), &rng).unwrap()] += 1;
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
            assert_eq!(choose(all.iter(), &tried, Terms::default(), &rng), Some(2));
        }
        all[2].eject("for the test");
        assert_eq!(choose(all.iter(), &tried, Terms::default(), &rng), Some(1));
        all[1].eject("for the test");
        assert_eq!(choose(all.iter(), &tried, Terms::default(), &rng), None);
        assert_eq!(choose(upstreams(0).iter(), &tried, Terms::default(), &rng), None);
    }

    /// Ten instances, the first two of the canary's release.
    fn with_canary() -> Vec<Arc<Upstream>> {
        let all = upstreams(10);
        all[..2].iter().for_each(|u| u.canary.store(true, Ordering::Relaxed));
        all
    }

    #[test]
    fn a_canary_gets_its_share() {
        for percent in [1_u8, 5, 25, 50, 99] {
            let (all, rng) = (with_canary(), Rng::new(u64::from(percent) * 7919));
            let terms = Terms { canary_percent: percent, most: None };
            let (n, mut hits) = (100_000_u32, [0_u32; 10]);
            for _ in 0..n {
                hits[choose(all.iter(), &Tried::default(), terms, &rng).unwrap()] += 1;
            }
            let (canary, p) = (hits[0] + hits[1], f64::from(percent) / 100.0);
            // Five standard deviations of a binomial: one seed of a million misses it, and these do not.
            let bound = 5.0 * (f64::from(n) * p * (1.0 - p)).sqrt();
            assert!((f64::from(canary) - f64::from(n) * p).abs() < bound, "{percent} %: {canary} of {n}");
            assert!(hits[0].abs_diff(hits[1]) < canary / 5 + 50, "even within: {hits:?}");
        }
    }

    #[test]
    fn the_share_falls_to_the_others_where_a_release_has_none_to_take_it() {
        let (all, rng) = (with_canary(), Rng::new(11));
        let chosen = |percent, tried: &Tried| {
            let terms = Terms { canary_percent: percent, most: None };
            (0..1000).map(|_| choose(all.iter(), tried, terms, &rng).unwrap()).collect::<Vec<_>>()
        };
        // A retry crosses over before it comes back to what has failed.
        let mut tried = Tried::default();
        tried.add(all[0].instance.id);
        tried.add(all[1].instance.id);
        assert!(chosen(99, &tried).iter().all(|place| *place >= 2));
        all[..2].iter().for_each(|u| u.eject("for the test"));
        assert!(chosen(99, &Tried::default()).iter().all(|place| *place >= 2));
        all[..2].iter().for_each(|u| u.readmit());
        all[2..].iter().for_each(|u| u.eject("for the test"));
        assert!(chosen(1, &Tried::default()).iter().all(|place| *place < 2));
        // No other is left: one that was tried is better than none.
        assert!(chosen(1, &tried).iter().all(|place| *place < 2));
    }

    #[test]
    fn a_full_one_is_not_chosen_and_tunnels_do_not_fill_it() {
        let (all, rng) = (upstreams(2), Rng::new(5));
        let terms = Terms { most: Some(3), canary_percent: 0 };
        let mut held = Vec::new();
        for _ in 0..6 {
            let place = choose(all.iter(), &Tried::default(), terms, &rng).unwrap();
            held.push((place, all[place].take(terms.most).unwrap()));
        }
        assert_eq!(choose(all.iter(), &Tried::default(), terms, &rng), None);
        assert!(all[0].take(terms.most).is_none() && all[1].take(terms.most).is_none());
        let (_, tunnel) = held.iter().find(|(place, _)| *place == 1).unwrap();
        tunnel.becomes_tunnel();
        tunnel.becomes_tunnel();
        let report = all[1].report();
        assert_eq!((report.in_flight, report.tunnels), (3, 1));
        assert_eq!(choose(all.iter(), &Tried::default(), terms, &rng), Some(1));
        drop(held);
        let report = all[1].report();
        assert_eq!((report.in_flight, report.tunnels), (0, 0));
    }
}
