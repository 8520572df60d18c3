//! One controller on one trace: what visitors met and what it cost.

use super::controller::{Controller, usual_gate};
use super::fleet::{Fleet, World};
use super::trace::Trace;

/// What one controller made of one trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    pub(crate) name: String,
    pub(crate) requests: u64,
    /// Requests that waited longer than the target or were refused, the refused alone.
    pub(crate) late: u64,
    pub(crate) shed: u64,
    pub(crate) seconds: u64,
    /// Seconds in which the mean wait was over target or requests were refused.
    pub(crate) over: u64,
    /// Instances that served or started, by seconds.
    pub(crate) instance_seconds: u64,
    pub(crate) changes: u64,
    /// Seconds with more, or fewer, serving than the oracle needs.
    pub(crate) above: u64,
    pub(crate) below: u64,
}

impl Score {
    /// The share of requests that waited too long or were refused.
    pub(crate) fn late_share(&self) -> f64 {
        self.late as f64 / self.requests.max(1) as f64
    }

    pub(crate) fn hours(&self) -> f64 {
        self.instance_seconds as f64 / 3600.0
    }

    pub(crate) fn of_time(&self, seconds: u64) -> f64 {
        seconds as f64 / self.seconds.max(1) as f64
    }

    pub(crate) fn changes_an_hour(&self) -> f64 {
        self.changes as f64 * 3600.0 / self.seconds.max(1) as f64
    }
}

/// Lets a controller lead a fleet through a trace.
pub(crate) fn run(world: &World, trace: &Trace, needed: &[u16], controller: &mut dyn Controller) -> Score {
    let mut fleet = Fleet::new(world, trace.seed);
    let mut score = Score { name: controller.name(), ..Score::default() };
    let mut wanted = world.min;
    for (second, count) in trace.counts.iter().enumerate() {
        let now = second as u64;
        let gate = controller.gate().unwrap_or_else(|| Some(usual_gate(world, fleet.serving())));
        fleet.let_through(gate);
        let seen = fleet.second(now, *count);
        score.requests += seen.arrived;
        score.shed += seen.shed;
        score.late += seen.late + seen.shed;
        score.seconds += 1;
        let stuck = seen.begun == 0 && fleet.left() > 0;
        score.over += u64::from(seen.waited > world.target || seen.shed > 0 || stuck);
        score.instance_seconds += u64::from(seen.serving) + u64::from(seen.starting);
        let needed = needed.get(second).copied().unwrap_or(world.min);
        score.above += u64::from(seen.serving > needed);
        score.below += u64::from(seen.serving < needed);
        if let Some(next) = controller.tick(now, &seen) {
            let next = next.clamp(world.min, world.max);
            score.changes += u64::from(next != wanted && second > 0);
            wanted = next;
            fleet.want(next);
        }
    }
    // What still waits at the end waited for nothing.
    score.late += fleet.left();
    score
}

#[cfg(test)]
mod tests {
    use super::super::controller::Fixed;
    use super::super::trace;
    use super::*;

    #[test]
    fn the_most_instances_are_never_late_and_the_fewest_are() {
        let world = World {
            concurrency: 4,
            min: 2,
            max: 40,
            start_up: 10.0,
            service: 0.2,
            variation: 1.0,
            target: 0.1,
        };
        let trace = trace::all(1).remove(1);
        let needed = super::super::oracle::needed(&world, &trace);
        let mut most = Fixed("most", 40);
        let mut fewest = Fixed("fewest", 2);
        let most = run(&world, &trace, &needed, &mut most);
        let fewest = run(&world, &trace, &needed, &mut fewest);
        assert!(most.late_share() < 1e-3 && most.shed == 0, "{most:?}");
        assert!(fewest.late_share() > 0.3 && fewest.shed > 0, "{fewest:?}");
        assert_eq!(most.requests, fewest.requests);
        assert!(most.changes <= 1 && most.above > most.below && fewest.below > 0);
    }
}
