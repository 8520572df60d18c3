//! What decides how many instances there are, as the run sees it, and the simplest ones.

use super::fleet::{Gate, Second, World};

/// Decides how many instances there are.
pub(crate) trait Controller {
    fn name(&self) -> String;

    /// Once a second, with what was seen in it. What is wanted from now on; none: as before.
    fn tick(&mut self, now: u64, seen: &Second) -> Option<u16>;

    /// What is let through to so many serving instances, where it decides that too.
    fn gate(&self) -> Option<Option<Gate>> {
        None
    }
}

/// The same count all the time.
pub(crate) struct Fixed(pub(crate) &'static str, pub(crate) u16);

impl Controller for Fixed {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn tick(&mut self, _: u64, _: &Second) -> Option<u16> {
        Some(self.1)
    }
}

/// What the balancer lets through where the controller does not say: what the instances work on, and five
/// seconds' worth of waiting. So every controller stands behind the same balancer.
pub(crate) fn usual_gate(world: &World, serving: u16) -> Gate {
    let concurrency = f64::from(world.concurrency);
    let waiting = (f64::from(serving) * concurrency * 5.0 / world.service).ceil() as u64;
    Gate { per_instance: u64::from(world.concurrency), waiting: waiting.max(1) }
}
