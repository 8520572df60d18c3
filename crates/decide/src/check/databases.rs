//! Never two writable primaries, never one that may lack an acknowledged write, and no data given up that may
//! be needed.

use super::{Case, Rule};
use std::collections::BTreeSet;
use stoa_model::observed::{DatabaseStatus, Detail, Health, ProcessState, Receiving};
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

/// Another primary than the one that led has all that was acknowledged: it led itself, or its predecessor is
/// fenced and it has what that has, or everybody who acknowledged is heard and nobody has more.
pub(super) fn nothing_lost(case: &mut Case<'_>) {
    let (before, after) = (case.input.roster, &case.plan.roster);
    let Some(next) = after.primary.filter(|_| after.primary != before.primary) else { return };
    let Some(leader) = before.database.leader.map(|leader| leader.instance) else { return };
    if leader == next {
        return;
    }
    if let Some(what) = may_lack(case, next, leader) {
        case.refuse(Rule::NothingLost, format!("{next} is to be primary after {leader}, and {what}"));
    }
}

fn may_lack(case: &Case<'_>, next: InstanceId, leader: InstanceId) -> Option<String> {
    let Some(mine) = answer(case, next) else { return Some("it does not answer".to_owned()) };
    if let Some(last) = answer(case, leader).filter(|last| !last.writable && !case.known_down(leader)) {
        let lacks = !mine.holds().contains(&last.gtid);
        return lacks.then(|| "it lacks what that has".to_owned());
    }
    let cluster = &case.input.roster.database;
    if cluster.degraded.is_some() {
        return Some("writes may be on that alone".to_owned());
    }
    if !cluster.acknowledgers.contains(&next) {
        return Some("it acknowledged nothing".to_owned());
    }
    for other in cluster.acknowledgers.iter().filter(|other| **other != leader) {
        let Some(theirs) = answer(case, *other) else { return Some(format!("{other} is not heard")) };
        if cluster.owing.get(other).is_some_and(|goal| !theirs.holds().contains(goal)) {
            return Some(format!("{other} has not got back what it may have had"));
        }
        let receiving = theirs.replication.as_ref().map(|r| (r.receiving, r.error.is_some()));
        if matches!(receiving, None | Some((Receiving::Stopped, false))) {
            return Some(format!("{other} does not tell what it received"));
        }
        let more = theirs.holds().subtract(mine.holds());
        // What one that went astray began itself was never acknowledged by the leader.
        let more = if cluster.astray.contains_key(other) { more.not_of(&theirs.origin) } else { more };
        if !more.is_empty() {
            return Some(format!("it lacks what {other} has"));
        }
    }
    None
}

/// A fresh answer of a process that runs.
fn answer<'a>(case: &Case<'a>, id: InstanceId) -> Option<&'a DatabaseStatus> {
    let running = case.running(id)?;
    match &case.seen(id)?.detail {
        Detail::Database { at, status }
            if *at >= running.started && case.input.now.since(*at) <= Millis::from_secs(10) =>
        {
            Some(status)
        }
        _ => None,
    }
}

/// The data of whoever leads or is to lead stays, and nothing is removed while nobody else takes writes.
pub(super) fn data_kept(case: &mut Case<'_>) {
    let roster = &case.plan.roster;
    let before = case.input.roster.database.leader.map(|leader| leader.instance);
    let after = roster.database.leader.map(|leader| leader.instance);
    for step in &case.plan.steps {
        let (Action::Clone { instance, .. }
        | Action::Discard { instance }
        | Action::Salvage { instance, .. }) = &step.action
        else {
            continue;
        };
        let needed = [roster.primary, case.input.roster.primary, after].contains(&Some(*instance));
        let led = before == Some(*instance) && after == before;
        if needed || led {
            case.refuse(Rule::DataKept, format!("{}, which is, was or is to be primary", step.action.key()));
        }
        let leads = roster.primary.is_some_and(|primary| {
            answer(case, primary).is_some_and(|status| status.writable && status.term == roster.term)
        });
        if !leads {
            case.refuse(Rule::DataKept, format!("{} while nobody takes writes", step.action.key()));
        }
    }
}

/// Writes are sent to the primary of this term once it has said that it takes them.
pub(super) fn primary_route(case: &mut Case<'_>) {
    let (before, after) = (&case.input.routes.sql, &case.plan.routes.sql);
    let Some(route) = &after.primary else { return };
    let (id, term) = (route.instance, case.plan.roster.term);
    if case.plan.roster.primary != Some(id) {
        case.refuse(Rule::PrimaryRoute, format!("writes are sent to {id}, which is not the primary"));
    }
    if after.term != term {
        case.refuse(Rule::PrimaryRoute, format!("routes are of the term {}, it is {term}", after.term));
    }
    let kept = before.term == after.term && before.primary.as_ref().is_some_and(|b| b.same_place(route));
    let takes_writes = answer(case, id).is_some_and(|status| status.writable && status.term == term);
    if !kept && !takes_writes {
        case.refuse(Rule::PrimaryRoute, format!("writes are sent to {id}, which does not say it takes them"));
    }
    if after.replicas.iter().any(|replica| replica.instance == id) {
        case.refuse(Rule::PrimaryRoute, format!("{id} is routed to as primary and as replica"));
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
