//! The horizontal pod autoscaler of Kubernetes, by its published rules and defaults: a tolerance of a tenth, a
//! decision every 15 seconds on metrics that are 15 to 30 seconds old, at most 4 pods or as many again every
//! 15 seconds, down to the most that was wanted in 5 minutes. How busy the CPU that was requested is to be is
//! for the user to say; where nobody does, the API takes 80 %.
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>

use super::controller::Controller;
use super::fleet::{Second, World};
use std::collections::VecDeque;

/// The API's default, and the head-room that is KPA's default.
pub(crate) const TARGETS: [f64; 2] = [0.8, 0.7];
const TOLERANCE: f64 = 0.1;
const SYNC: u64 = 15;
const STABLE: u64 = 300;

/// The rules, and what they remember.
pub(crate) struct Hpa {
    world: World,
    target: f64,
    wanted: u16,
    /// Utilisation of the pods that were ready, and how many they were: the span under way, the last.
    span: (f64, u16, u64),
    published: Option<(f64, u16)>,
    /// What was wanted, and when.
    recommended: VecDeque<(u64, u16)>,
}

impl Hpa {
    pub(crate) fn new(world: &World, target: f64) -> Self {
        let (world, wanted) = (world.clone(), world.min);
        Hpa { world, target, wanted, span: (0.0, 0, 0), published: None, recommended: VecDeque::new() }
    }

    /// A mean over the 15 seconds before the last full span: 15 to 30 seconds old when it is used.
    fn measure(&mut self, now: u64, seen: &Second) -> Option<(f64, u16)> {
        let workers = f64::from(seen.serving.max(1)) * f64::from(self.world.concurrency);
        let (sum, _, count) = self.span;
        self.span = (sum + (seen.busy / workers).min(1.0), seen.serving, count + 1);
        if !(now + 1).is_multiple_of(SYNC) {
            return None;
        }
        let (sum, ready, count) = std::mem::take(&mut self.span);
        self.published.replace((sum / count as f64, ready))
    }

    fn sync(&mut self, now: u64, utilisation: f64, measured: u16, seen: &Second) {
        // Pods that serve but have no metric yet count as not ready; so do those that start.
        let unready = self.wanted.saturating_sub(measured.min(seen.serving));
        let desired = desired(utilisation / self.target, measured.min(self.wanted), unready, self.wanted);
        self.recommended.push_back((now, desired));
        while self.recommended.front().is_some_and(|(at, _)| at + STABLE < now) {
            self.recommended.pop_front();
        }
        let stable = self.recommended.iter().map(|(_, count)| *count).max().unwrap_or(desired);
        let next = if desired > self.wanted {
            desired.min((self.wanted + 4).max(self.wanted.saturating_mul(2)))
        } else {
            stable.min(self.wanted)
        };
        self.wanted = next.clamp(self.world.min, self.world.max);
    }
}

/// `desired = ceil(current x ratio)`, the ratio of metric and target by the pods whose metric is known. Where more would be wanted
/// those that are not ready are taken to use nothing.
fn desired(ratio: f64, ready: u16, unready: u16, current: u16) -> u16 {
    let within = |ratio: f64| (ratio - 1.0).abs() <= TOLERANCE;
    if ratio <= 1.0 || unready == 0 {
        return if within(ratio) { current } else { (ratio * f64::from(ready)).ceil() as u16 };
    }
    let all = ready + unready;
    let diluted = ratio * f64::from(ready) / f64::from(all);
    if within(diluted) || diluted < 1.0 {
        return current;
    }
    ((diluted * f64::from(all)).ceil() as u16).max(current)
}

/// What it is called with a target.
pub(crate) fn name(target: f64) -> String {
    format!("HPA {:.0} %", target * 100.0)
}

impl Controller for Hpa {
    fn name(&self) -> String {
        name(self.target)
    }

    fn tick(&mut self, now: u64, seen: &Second) -> Option<u16> {
        if let Some((utilisation, measured)) = self.measure(now, seen) {
            self.sync(now, utilisation, measured, seen);
        }
        Some(self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World { concurrency: 4, min: 1, max: 40, start_up: 10.0, service: 0.2, variation: 1.0, target: 0.1 }
    }

    fn seen(utilisation: f64, serving: u16) -> Second {
        Second { busy: utilisation * 4.0 * f64::from(serving), serving, ..Second::default() }
    }

    #[test]
    fn twice_the_target_doubles_half_of_it_halves_and_a_tenth_is_let_be() {
        assert_eq!(desired(1.4 / 0.7, 3, 0, 3), 6, "200m where 100m are wanted");
        assert_eq!(desired(0.35 / 0.7, 4, 0, 4), 2, "50m where 100m are wanted");
        assert_eq!(desired(0.76 / 0.7, 4, 0, 4), 4);
        assert_eq!(desired(0.64 / 0.7, 4, 0, 4), 4);
        assert_eq!(desired(0.78 / 0.7, 4, 0, 4), 5);
    }

    #[test]
    fn pods_that_are_not_ready_use_nothing_when_more_are_wanted() {
        assert_eq!(desired(1.0 / 0.7, 2, 2, 4), 4, "diluted to less than the target: as it is");
        assert_eq!(desired(1.0 / 0.7, 4, 1, 5), 6);
    }

    #[test]
    fn it_acts_every_15_seconds_on_metrics_of_the_span_before() {
        let mut hpa = Hpa::new(&world(), 0.7);
        let at = |hpa: &mut Hpa, now: u64| hpa.tick(now, &seen(1.0, hpa.wanted));
        assert!((0..29).all(|now| at(&mut hpa, now) == Some(1)));
        assert_eq!(at(&mut hpa, 29), Some(2), "one at 100 % of a target of 70 %");
        assert!((30..44).all(|now| at(&mut hpa, now) == Some(2)));
    }

    #[test]
    fn it_goes_up_by_4_or_as_many_again_and_down_to_the_most_of_5_minutes() {
        let mut hpa = Hpa { wanted: 3, ..Hpa::new(&world(), 0.7) };
        hpa.sync(0, 9.9, 3, &seen(9.9, 3));
        assert_eq!(hpa.wanted, 7);
        hpa.sync(15, 9.9, 7, &seen(9.9, 7));
        assert_eq!(hpa.wanted, 14);
        hpa.recommended.clear();
        hpa.sync(30, 0.6, 14, &seen(0.6, 14));
        assert_eq!(hpa.wanted, 12);
        for now in (45..=330).step_by(15) {
            hpa.sync(now, 0.1, hpa.wanted, &seen(0.1, hpa.wanted));
            assert_eq!(hpa.wanted, 12, "{now}");
        }
        hpa.sync(345, 0.1, 12, &seen(0.1, 12));
        assert!(hpa.wanted <= 3);
    }
}
