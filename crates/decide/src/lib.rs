//! The judgement of Stoa, pure: what should be done, and because of what.
//!
//! [`plan`] reads as the list of what is looked at, in order; [`check()`] refuses an unsafe plan, whatever
//! made it, and shares no reasoning with the planner. Nothing here reads a clock, draws a random number
//! or touches the world, and nothing is remembered between two calls: all memory is in [`Input`].

pub mod autoscale;
mod backoff;
mod bring_up;
mod canary;
pub mod check;
mod deploy;
mod drain;
mod failover;
mod health;
mod planner;
mod replace;
mod routes;
mod shutdown;
mod sight;
mod spec;

pub use check::{Rule, Unsafe, check};
pub use deploy::course;

use planner::Planner;
use std::collections::BTreeMap;
use stoa_model::intent::Power;
use stoa_model::{Demand, Intent, Observed, Paths, Plan, Roster, Routes, Spec, Tier, Time};

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// What the operator asked for.
    pub intent: &'a Intent,
    /// What has been decided to exist.
    pub roster: &'a Roster,
    /// What the data plane may send where now.
    pub routes: &'a Routes,
    /// What is.
    pub observed: &'a Observed,
    /// What was asked of each tier over the last minutes; a tier that is not in it was not measured.
    pub demand: &'a BTreeMap<Tier, Demand>,
    /// Where state lies (the same on every host).
    pub paths: &'a Paths,
    /// Now, on the clock of `observed`.
    pub now: Time,
}

/// What should be done, and because of what.
pub fn plan(input: &Input<'_>) -> Plan {
    let mut plan = Planner::new(input);
    if plan.is_blind() {
        // Unknown is not dead: what was decided stays as it is until somebody can see again.
        return plan.finish();
    }
    health::remember_what_is_proven(&mut plan);
    if input.intent.power == Power::Off {
        shutdown::stop_from_the_visitors_side(&mut plan);
        return plan.finish();
    }

    deploy::begin(&mut plan);
    autoscale::adjust(&mut plan);
    bring_up::release::build(&mut plan);
    bring_up::balancer::keep(&mut plan);
    bring_up::database::keep(&mut plan);
    bring_up::splitter::keep(&mut plan);
    bring_up::cache::keep(&mut plan);
    deploy::advance(&mut plan);
    bring_up::app::keep(&mut plan);
    bring_up::web::keep(&mut plan);

    health::stop_the_hopeless(&mut plan);
    drain::stop_the_retired(&mut plan);
    drain::stop_strangers(&mut plan);
    bring_up::release::publish(&mut plan);
    bring_up::release::remove_old(&mut plan);
    routes::follow_health(&mut plan);
    deploy::say(&mut plan);
    plan.finish()
}

/// What an instance of the application runs as, for a command that is to run beside it: one of the live
/// release where there is one.
pub fn app_spec(input: &Input<'_>) -> Option<Spec> {
    let staying = || input.roster.tier(Tier::App).filter(|(_, place)| place.retiring.is_none());
    let live = staying().find(|(_, place)| place.release == input.roster.live);
    let (id, _) = live.or_else(|| staying().next())?;
    spec::of(input, input.roster, id)
}

#[cfg(test)]
mod tests;
