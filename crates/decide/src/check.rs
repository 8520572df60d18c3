//! Refuses an unsafe plan, whatever made it.
//!
//! Written against the rules of DESIGN.md section 6 and not against the planner: it shares no code with
//! it, so that a mistake in one of them is seen by the other. It never mends a plan.

mod databases;
mod deployments;
mod routes;
mod steps;

use crate::Input;
use std::fmt;
use stoa_model::intent::Power;
use stoa_model::observed::{Health, HostObserved, InstanceObserved, ProcessState, Running};
use stoa_model::{InstanceId, Millis, Plan, Tier};

/// One thing for which a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Unsafe {
    /// Which rule it breaks.
    pub rule: Rule,
    /// What in it, and what that meets in what was observed.
    pub what: String,
}

/// The rules of safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Never two writable primaries, and no step back to an earlier term.
    OnePrimary,
    /// Nobody becomes primary who may lack a write that was acknowledged.
    NothingLost,
    /// Data that may be needed is not given up.
    DataKept,
    /// Writes are routed only to the primary of the term, once it takes them.
    PrimaryRoute,
    /// Never route to what has not been proven healthy since it last started.
    ProvenRoutes,
    /// Never stop an instance that routes still name.
    NoStopWhileRouted,
    /// Never below a tier's minimum to replace an instance.
    Minimum,
    /// Nothing that destroys on what is not known.
    UnknownIsNotDead,
    /// Two servers never share an endpoint.
    OwnEndpoint,
    /// No step for an instance without a place; it would not be found again.
    HasPlace,
    /// A change of routes is a new generation, and only that.
    Generations,
    /// A canary has servers and a share between none and all.
    CanaryShare,
    /// No page of a release before its files are looked for.
    FilesFirst,
    /// A task of a deployment is run once.
    TasksOnce,
    /// Nothing is removed that is needed.
    RemoveUnused,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::OnePrimary => "never two writable primaries",
            Rule::NothingLost => "no acknowledged write is left behind",
            Rule::DataKept => "no data is given up that may be needed",
            Rule::PrimaryRoute => "writes go to the primary of the term",
            Rule::ProvenRoutes => "never route to what is not proven",
            Rule::NoStopWhileRouted => "never stop what routes still name",
            Rule::Minimum => "never below the minimum to replace",
            Rule::UnknownIsNotDead => "unknown is not dead",
            Rule::OwnEndpoint => "an endpoint has one server",
            Rule::HasPlace => "a step needs an instance with a place",
            Rule::Generations => "changed routes are a new generation",
            Rule::CanaryShare => "a canary has servers and a share",
            Rule::FilesFirst => "no page before its files",
            Rule::TasksOnce => "a task is run once",
            Rule::RemoveUnused => "nothing is removed that is needed",
        })
    }
}

/// Whether a plan is safe to carry out; else everything that is wrong with it.
pub fn check(input: &Input<'_>, plan: &Plan) -> Result<(), Vec<Unsafe>> {
    let mut case = Case { input, plan, found: Vec::new() };
    databases::one_primary(&mut case);
    databases::nothing_lost(&mut case);
    databases::data_kept(&mut case);
    databases::primary_route(&mut case);
    routes::only_proven(&mut case);
    routes::generations(&mut case);
    routes::not_below_the_minimum(&mut case);
    steps::not_while_routed(&mut case);
    steps::not_below_the_minimum(&mut case);
    steps::not_on_unknown(&mut case);
    steps::own_endpoint(&mut case);
    steps::has_place(&mut case);
    deployments::canary_has_servers(&mut case);
    deployments::files_come_first(&mut case);
    deployments::tasks_once(&mut case);
    deployments::nothing_needed_is_removed(&mut case);
    if case.found.is_empty() { Ok(()) } else { Err(case.found) }
}

/// A plan under examination.
struct Case<'a> {
    input: &'a Input<'a>,
    plan: &'a Plan,
    found: Vec<Unsafe>,
}

impl<'a> Case<'a> {
    fn refuse(&mut self, rule: Rule, what: String) {
        self.found.push(Unsafe { rule, what });
    }

    fn fresh(&self, host: &HostObserved) -> bool {
        self.input.now.since(host.at) <= Millis::from_secs(10)
    }

    /// Where it is seen, or would be: a host that was lately heard of.
    fn seen_host(&self, id: InstanceId) -> Option<&'a HostObserved> {
        let observed = &self.input.observed.hosts;
        let roster = self.plan.roster.instances.get(&id).or_else(|| self.input.roster.instances.get(&id));
        let host = match roster {
            Some(place) => observed.get(&place.host),
            None => observed.values().find(|host| host.instances.contains_key(&id)),
        };
        host.filter(|host| self.fresh(host))
    }

    fn seen(&self, id: InstanceId) -> Option<&'a InstanceObserved> {
        self.seen_host(id)?.instances.get(&id)
    }

    fn running(&self, id: InstanceId) -> Option<&'a Running> {
        match &self.seen(id)?.process {
            ProcessState::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Known not to run: it was said so, or its host is heard of and has no trace of it.
    fn known_down(&self, id: InstanceId) -> bool {
        match self.seen(id) {
            Some(seen) => matches!(seen.process, ProcessState::Absent | ProcessState::Exited(_)),
            None => self.seen_host(id).is_some(),
        }
    }

    fn healthy(&self, id: InstanceId) -> bool {
        self.running(id).is_some_and(|r| !r.stopping && matches!(r.health, Health::Healthy { .. }))
    }

    fn stops(&self) -> impl Iterator<Item = InstanceId> + use<'a> {
        let stops = self.plan.steps.iter().filter(|step| step.action.verb() == "stop");
        stops.filter_map(|step| step.action.instance())
    }

    fn retiring(&self, id: InstanceId) -> bool {
        self.plan.roster.instances.get(&id).is_some_and(|place| place.retiring.is_some())
    }

    fn going_down(&self) -> bool {
        self.input.intent.power == Power::Off
    }

    fn minimum(&self, tier: Tier) -> usize {
        match self.input.intent.site.count(tier).max {
            0 => 0,
            _ => usize::from(self.input.intent.count(tier).min),
        }
    }
}

#[cfg(test)]
mod tests;
