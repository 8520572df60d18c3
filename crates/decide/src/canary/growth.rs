//! What the balancers have counted since they were read last.
//!
//! Counters begin at zero with each start of a balancer, and with each instance that a balancer comes to
//! know. It never guesses: what was counted before a balancer was first seen is nobody's.

use std::collections::BTreeMap;
use stoa_model::control::Report;
use stoa_model::deployment::{Read, Tally};
use stoa_model::{InstanceId, Tier, Time};

/// What one balancer has counted of one instance of the application.
pub(super) struct Grown {
    /// Whose answers.
    pub(super) instance: InstanceId,
    /// How many more; never none.
    pub(super) tally: Tally,
    /// Whether its counters began anew while the balancer lived on: it is another process.
    pub(super) anew: bool,
}

/// What `report` has more than was read last, and remembers it as read. The first sight of a balancer is
/// the baseline alone.
pub(super) fn since_last(
    read: &mut BTreeMap<InstanceId, Read>,
    balancer: InstanceId,
    started: Time,
    report: &Report,
) -> Vec<Grown> {
    let known = |(instance, of): (&InstanceId, &stoa_model::control::UpstreamReport)| {
        let tally = Tally::from(&of.traffic);
        // One that is left out counts from zero when it comes back, as does the balancer's own counter.
        (instance.tier == Tier::App && tally.requests > 0).then_some((*instance, tally))
    };
    let instances: BTreeMap<InstanceId, Tally> = report.instances.iter().filter_map(known).collect();
    let before = read.get(&balancer);
    let mut grown = Vec::new();
    if let Some(before) = before {
        let same = before.started == started;
        let zero = Tally::default();
        for (instance, now) in &instances {
            let was = before.instances.get(instance).filter(|_| same).unwrap_or(&zero);
            let mut tally = Tally::default();
            tally.add_growth(was, now);
            if tally.requests > 0 {
                grown.push(Grown { instance: *instance, tally, anew: now.requests < was.requests });
            }
        }
    }
    if before.is_none_or(|before| before.started != started || before.instances != instances) {
        read.insert(balancer, Read { started, instances });
    }
    grown
}
