//! The pod autoscaler of Knative, by its published rules and defaults: concurrency at 70 % of what a container
//! takes, a decision every 2 seconds, by the mean of 60 seconds or, where that of 6 seconds asks for twice of
//! what is ready, by those without ever going down until 60 seconds after the last such moment.
//! <https://knative.dev/docs/serving/autoscaling/kpa-specific/>

use super::controller::Controller;
use super::fleet::{Second, World};
use std::collections::VecDeque;

const TARGET: f64 = 0.7;
const TICK: u64 = 2;
const STABLE: usize = 60;
const PANIC: usize = 6;
const PANIC_AT: f64 = 2.0;
const UP_RATE: f64 = 1000.0;
const DOWN_RATE: f64 = 2.0;

/// The rules, and what they remember.
pub(crate) struct Kpa {
    world: World,
    wanted: u16,
    /// The mean concurrency of each of the last seconds, the newest last.
    seconds: VecDeque<f64>,
    /// When it last panicked, and the most it has wanted since.
    panic: Option<(u64, u16)>,
}

impl Kpa {
    pub(crate) fn new(world: &World) -> Self {
        Kpa { world: world.clone(), wanted: world.min, seconds: VecDeque::new(), panic: None }
    }

    fn mean(&self, seconds: usize) -> f64 {
        let count = seconds.min(self.seconds.len()).max(1);
        self.seconds.iter().rev().take(seconds).sum::<f64>() / count as f64
    }

    fn decide(&mut self, now: u64, ready: u16) -> u16 {
        let ready = f64::from(ready.max(1));
        let target = TARGET * f64::from(self.world.concurrency);
        let (most, least) = ((UP_RATE * ready).ceil(), (ready / DOWN_RATE).floor());
        let desired = |mean: f64| (mean / target).ceil().clamp(least, most) as u16;
        let (stable, panic) = (desired(self.mean(STABLE)), desired(self.mean(PANIC)));
        let over = (self.mean(PANIC) / target).ceil() / ready >= PANIC_AT;
        self.panic = match self.panic {
            _ if over => Some((now, self.panic.map_or(0, |(_, most)| most))),
            Some((at, _)) if at + (STABLE as u64) <= now => None,
            other => other,
        };
        let Some((_, most)) = &mut self.panic else { return stable };
        *most = (*most).max(panic).max(stable);
        *most
    }
}

impl Controller for Kpa {
    fn name(&self) -> String {
        "KPA".to_owned()
    }

    fn tick(&mut self, now: u64, seen: &Second) -> Option<u16> {
        self.seconds.push_back(seen.concurrency);
        if self.seconds.len() > STABLE {
            self.seconds.pop_front();
        }
        if now.is_multiple_of(TICK) {
            self.wanted = self.decide(now, seen.serving).clamp(self.world.min, self.world.max);
        }
        Some(self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kpa(concurrency: &[f64]) -> Kpa {
        let world = World {
            concurrency: 10,
            min: 1,
            max: 900,
            start_up: 1.0,
            service: 0.2,
            variation: 1.0,
            target: 0.1,
        };
        Kpa { seconds: concurrency.iter().copied().collect(), ..Kpa::new(&world) }
    }

    #[test]
    fn concurrency_over_the_target_is_the_count() {
        // 70 % of 10 each: 35 at once need 5.
        assert_eq!(kpa(&[35.0; 60]).decide(0, 5), 5);
        assert_eq!(kpa(&[35.1; 60]).decide(0, 5), 6);
    }

    #[test]
    fn it_panics_at_twice_what_is_ready_and_does_not_go_down_for_a_minute() {
        let mut seconds = vec![14.0; 60];
        seconds[54..].fill(140.0);
        let mut kpa = kpa(&seconds);
        assert_eq!(kpa.decide(0, 2), 20, "by the last 6 seconds");
        kpa.seconds = vec![1.0; 60].into();
        assert_eq!(kpa.decide(58, 20), 20);
        assert_eq!(kpa.decide(60, 20), 10, "calm again: at most half of them go at once");
        assert_eq!(kpa.decide(62, 10), 5);
    }

    #[test]
    fn short_of_panic_the_minute_counts() {
        let mut seconds = vec![14.0; 60];
        seconds[54..].fill(20.0);
        assert_eq!(kpa(&seconds).decide(0, 2), 3, "14.6 in the mean");
    }
}
