//! What knows the future: for each second the fewest instances that keep the mean wait on target, and a
//! controller that has asked for them one start-up before. Its formula is written a second time on purpose,
//! so that it also tells when the product's is wrong.

use super::controller::Controller;
use super::fleet::{Second, World};
use super::trace::Trace;

/// The load of a second is the mean of so many seconds on both sides of it.
const AROUND: usize = 5;

/// The fewest instances that hold, in each second.
pub(crate) fn needed(world: &World, trace: &Trace) -> Vec<u16> {
    needed_for(world, trace, world.target)
}

/// The same, where the mean wait is to be so many seconds at most.
fn needed_for(world: &World, trace: &Trace, mean: f64) -> Vec<u16> {
    let mut sums = vec![0u64];
    sums.extend(trace.counts.iter().scan(0u64, |sum, count| {
        *sum += u64::from(*count);
        Some(*sum)
    }));
    let end = trace.counts.len();
    let mut known = std::collections::HashMap::new();
    (0..end)
        .map(|second| {
            let (from, to) = (second.saturating_sub(AROUND), (second + AROUND + 1).min(end));
            let arrived = sums[to] - sums[from];
            let fewest = || fewest(world, arrived as f64 / (to - from) as f64, mean);
            *known.entry((arrived, to - from)).or_insert_with(fewest)
        })
        .collect()
}

fn fewest(world: &World, rate: f64, mean: f64) -> u16 {
    let load = rate * world.service;
    let holds = |count: &u16| {
        let workers = f64::from(*count) * f64::from(world.concurrency);
        load < workers && wait(load, workers as u32, world) <= mean
    };
    (world.min..world.max).find(holds).unwrap_or(world.max)
}

/// The mean wait: the sum of Erlang's formula, its terms scaled by the largest.
fn wait(load: f64, workers: u32, world: &World) -> f64 {
    let c = f64::from(workers);
    // Terms a^i / i!, told backwards from the last, which counts 1.
    let (mut term, mut sum) = (1.0, 0.0);
    for i in (1..=workers).rev() {
        term *= f64::from(i) / load.max(1e-12);
        sum += term;
        if term < 1e-18 || sum > 1e18 {
            break;
        }
    }
    let tail = c / (c - load);
    let must_wait = tail / (sum + tail);
    must_wait * world.service / (c - load) * (1.0 + world.variation) / 2.0
}

/// Asks for what will be needed.
pub(crate) struct Oracle {
    name: &'static str,
    needed: Vec<u16>,
    ahead: usize,
}

impl Oracle {
    pub(crate) fn new(world: &World, needed: &[u16]) -> Self {
        let ahead = (world.start_up * 1.1).ceil() as usize + 1;
        Oracle { name: "oracle", needed: needed.to_vec(), ahead }
    }

    /// Ones that are more and more careful: what few late requests cost at least. Their shares of a target wait.
    pub(crate) fn careful(world: &World, trace: &Trace) -> Vec<Self> {
        [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
            .into_iter()
            .map(|part| {
                let needed = needed_for(world, trace, world.target / part);
                Oracle { name: "careful oracle", ..Oracle::new(world, &needed) }
            })
            .collect()
    }
}

impl Controller for Oracle {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn tick(&mut self, now: u64, _: &Second) -> Option<u16> {
        let from = (now as usize + 1).min(self.needed.len());
        let to = (from + self.ahead).min(self.needed.len());
        self.needed[from..to].iter().copied().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_the_textbooks() {
        let world = World {
            concurrency: 1,
            min: 1,
            max: 9,
            start_up: 1.0,
            service: 1.0,
            variation: 1.0,
            target: 0.1,
        };
        assert!((wait(0.8, 1, &world) - 4.0).abs() < 1e-9);
        assert!((wait(2.0, 3, &world) - 0.4444).abs() < 1e-3);
        assert!((wait(8.0, 10, &world) - 0.4092 / 2.0).abs() < 1e-3);
        assert!(wait(7999.0, 8000, &world).is_finite());
    }

    #[test]
    fn it_asks_one_start_up_ahead_and_drops_what_is_over() {
        let world = World {
            concurrency: 4,
            min: 1,
            max: 9,
            start_up: 10.0,
            service: 0.2,
            variation: 1.0,
            target: 0.1,
        };
        let mut needed = vec![1; 100];
        needed[50..60].fill(6);
        let mut oracle = Oracle::new(&world, &needed);
        let mut at = |now| oracle.tick(now, &Second::default());
        assert_eq!([at(30), at(40), at(58), at(60)], [Some(1), Some(6), Some(6), Some(1)]);
    }
}
