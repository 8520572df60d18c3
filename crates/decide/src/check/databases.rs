//! Never two writable primaries.

use super::{Case, Rule};
use std::collections::BTreeSet;
use stoa_model::observed::{Detail, Health, ProcessState};
use stoa_model::{Action, InstanceId, Millis, Tier};

pub(super) fn one_primary(case: &mut Case<'_>) {
    let (before, after) = (case.input.roster, &case.plan.roster);
    if after.term < before.term {
        case.refuse(Rule::OnePrimary, format!("the term goes back from {} to {}", before.term, after.term));
    }
    if after.primary.is_some() && after.primary != before.primary && after.term <= before.term {
        case.refuse(Rule::OnePrimary, format!("the primary changes within the term {}", after.term));
    }
    let promotions: Vec<_> = case
        .plan
        .steps
        .iter()
        .filter_map(|step| match step.action {
            Action::Promote { instance, term, .. } => Some((instance, term)),
            _ => None,
        })
        .collect();
    for (instance, term) in &promotions {
        if after.primary != Some(*instance) {
            case.refuse(
                Rule::OnePrimary,
                format!("{instance} is promoted and is not the primary of the roster"),
            );
        }
        if *term != after.term {
            case.refuse(
                Rule::OnePrimary,
                format!("{instance} is promoted in {term}, the term is {}", after.term),
            );
        }
        for other in databases(case) {
            if other != *instance
                && let Some(doubt) = doubt(case, other)
            {
                case.refuse(Rule::OnePrimary, format!("{instance} is promoted while {other} {doubt}"));
            }
        }
    }
    if promotions.len() > 1 {
        case.refuse(Rule::OnePrimary, format!("{} servers are promoted at once", promotions.len()));
    }
}

fn databases(case: &Case<'_>) -> BTreeSet<InstanceId> {
    let seen = case.input.observed.hosts.values().flat_map(|host| host.instances.keys());
    let rosters = case.input.roster.instances.keys().chain(case.plan.roster.instances.keys());
    rosters.chain(seen).copied().filter(|id| id.tier == Tier::Database).collect()
}

/// Why a server may be writable, unless it certainly is not.
fn doubt(case: &Case<'_>, id: InstanceId) -> Option<&'static str> {
    if case.known_down(id) {
        return None;
    }
    let Some(seen) = case.seen(id) else { return Some("is not seen") };
    let ProcessState::Running(running) = &seen.process else { return Some("may run") };
    if let Detail::Database { at, status } = &seen.detail
        && *at >= running.started
        && case.input.now.since(*at) <= Millis::from_secs(10)
    {
        return status.writable.then_some("takes writes");
    }
    // It started read-only and has not been in a state to be promoted since.
    let place = case.input.roster.instances.get(&id);
    let answered = place.is_some_and(|place| place.proven == Some(running.started));
    let silent_since_start = matches!(running.health, Health::Unproven(_)) && !answered;
    (!silent_since_start).then_some("runs and does not say whether it takes writes")
}
