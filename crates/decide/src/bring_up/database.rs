//! The database: one primary that takes writes, replicas that follow it. Fence, then promote, then
//! follow; a server that may take writes without anybody knowing holds up every promotion.
//!
//! In this version the primary never changes: a dead one is started again in its place.

use super::start;
use crate::planner::Planner;
use crate::replace;
use crate::sight::Standing;
use stoa_model::observed::{DataState, DatabaseStatus, ProcessState, Replication};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Endpoint, InstanceId, Term, Tier};

/// Keeps the wanted database servers running, one of them writable.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    replace::resize_in_place(plan, Tier::Database);
    choose_primary(plan);
    for id in plan.staying(Tier::Database) {
        prepare(plan, id);
    }
    fence_the_others(plan);
    promote(plan);
    follow(plan);
    restart_one(plan);
}

/// Whether the primary takes writes and the replicas that applications are told of have been there once.
pub(crate) fn ready(plan: &Planner<'_>) -> Result<(), String> {
    if plan.input.intent.site.database.is_none() {
        return Ok(());
    }
    let Some(primary) = plan.roster.primary else { return Err("a database has a place".to_owned()) };
    if !plan.sight().answer(primary).is_some_and(|status| status.writable) {
        return Err(format!("the database primary {primary} takes writes"));
    }
    let replica = plan.staying(Tier::Database).into_iter().find(|id| *id != primary);
    if let Some(replica) = replica
        && plan.roster.instances.get(&replica).is_some_and(|place| place.proven.is_none())
        && !in_trouble(plan, replica)
    {
        return Err(format!("the database replica {replica} answers"));
    }
    Ok(())
}

/// Whether the site's primary, if it has one, says that it takes writes.
pub(crate) fn takes_writes(plan: &Planner<'_>) -> bool {
    let writable = |primary| plan.sight().answer(primary).is_some_and(|status| status.writable);
    plan.input.intent.site.database.is_none() || plan.roster.primary.is_some_and(writable)
}

/// Whether it is healthy in the role it has.
pub(crate) fn is_well(plan: &Planner<'_>, id: InstanceId) -> bool {
    let sight = plan.sight();
    let role = |status: &DatabaseStatus| match plan.roster.primary {
        Some(primary) if primary == id => status.writable,
        _ => !status.writable && status.replication.as_ref().is_some_and(|r| r.runs()),
    };
    sight.is_healthy(id) && sight.busy_with(id).is_none() && sight.answer(id).is_some_and(role)
}

/// Whether something about it failed, so that nobody should wait for it.
fn in_trouble(plan: &Planner<'_>, id: InstanceId) -> bool {
    let sight = plan.sight();
    let failed =
        |host| sight.host(host).is_some_and(|h| h.failures.keys().any(|k| k.subject() == id.to_string()));
    matches!(sight.process(id), ProcessState::Exited(_))
        || matches!(sight.data(id), DataState::Foreign { .. })
        || sight.host_of(id).is_some_and(failed)
}

fn choose_primary(plan: &mut Planner<'_>) {
    if plan.roster.primary.is_none() {
        let Some(first) = plan.staying(Tier::Database).into_iter().next() else { return };
        plan.roster.primary = Some(first);
        plan.roster.term = plan.roster.term.next();
    }
    // Servers remember terms of a roster that was lost; a lower one would be refused by them.
    let known = plan.staying(Tier::Database).into_iter().filter_map(|id| plan.sight().answer(id));
    let highest = known.map(|status| status.term).max().unwrap_or_default();
    plan.roster.term = plan.roster.term.max(highest);
}

fn prepare(plan: &mut Planner<'_>, id: InstanceId) {
    if !plan.sight().is_down(id) {
        return start::when_down(plan, id, Ok(()));
    }
    match plan.sight().data(id) {
        DataState::Ready => start::when_down(plan, id, Ok(())),
        DataState::Unknown => plan.wait(WaitKind::Progress, id, "it is known what its data folder holds"),
        DataState::Foreign { found, installed } => {
            let until = format!(
                "its data folder {} is moved away or the server it was made by is installed: the data is of {found}, \
                 installed is {installed}",
                plan.input.paths.data(id).display()
            );
            plan.wait(WaitKind::Stuck, id, until);
        }
        DataState::Absent if plan.sight().busy_with(id).is_some_and(|key| key.verb() == "prepare") => {
            plan.wait(WaitKind::Progress, id, "its data folder is made");
        }
        DataState::Absent => {
            if let Some(other) = holder_of_data(plan, id) {
                let until = format!(
                    "it is known that {other} holds no data of this site: {id} is its primary and has an empty data \
                     folder, and an empty primary must not take the place of one with data"
                );
                plan.wait(WaitKind::Trouble, id, until);
                return;
            }
            let Some(spec) = plan.spec(id) else { return };
            plan.step(Action::Prepare { instance: id, spec }, format!("{id} has no data folder yet"));
            plan.wait(WaitKind::Progress, id, "its data folder is made");
        }
    }
}

/// Another server that has, or may have, followed this primary before: it holds what the primary lost.
fn holder_of_data(plan: &Planner<'_>, id: InstanceId) -> Option<InstanceId> {
    if plan.roster.primary != Some(id) {
        return None;
    }
    let mut others = plan.sight().known_of(Tier::Database);
    others.retain(|other| *other != id);
    others.into_iter().find(|other| match plan.sight().answer(*other) {
        Some(status) => status.term > Term(0),
        None => !matches!(plan.sight().data(*other), DataState::Absent),
    })
}

fn fence_the_others(plan: &mut Planner<'_>) {
    let assigned: Vec<_> = plan.roster.tier(Tier::Database).map(|(id, _)| id).collect();
    for id in assigned {
        let writable = plan.sight().answer(id).is_some_and(|status| status.writable);
        if writable && plan.roster.primary != Some(id) {
            let because = format!("{id} takes writes and is not the primary");
            plan.step(Action::Fence { instance: id }, because);
            plan.wait(WaitKind::Trouble, id, "it refuses writes, which only the primary may take");
        }
    }
}

fn promote(plan: &mut Planner<'_>) {
    let Some(primary) = plan.roster.primary else { return };
    let term = plan.roster.term;
    let Some(running) = plan.sight().running(primary).filter(|running| !running.stopping) else { return };
    let Some(status) = plan.sight().answer(primary) else {
        if !matches!(plan.sight().standing(primary, running), Standing::Unproven(_)) {
            plan.wait(WaitKind::Trouble, primary, "the primary answers: it runs, but nothing is known of it");
        }
        return;
    };
    if status.writable && status.term == term {
        return;
    }
    for other in plan.sight().known_of(Tier::Database) {
        if other != primary
            && let Some(doubt) = may_be_writable(plan, other)
        {
            plan.wait(WaitKind::Progress, primary, format!("it may take writes: {doubt}"));
            return;
        }
    }
    plan.step(
        Action::Promote { instance: primary, term, wait: true },
        format!("{primary} is the primary of term {term}"),
    );
    plan.wait(WaitKind::Progress, primary, format!("it takes writes in term {term}"));
}

/// Every server starts read-only and only one that answered is ever promoted; so one that has not
/// answered since it started refuses writes, and one that has and falls silent is in doubt.
fn may_be_writable(plan: &Planner<'_>, id: InstanceId) -> Option<String> {
    let sight = plan.sight();
    if sight.busy_with(id).is_some_and(|key| key.verb() == "promote") {
        return Some(format!("{id} is being promoted"));
    }
    match (sight.process(id), sight.answer(id)) {
        (ProcessState::Absent | ProcessState::Exited(_), _) => None,
        (_, Some(status)) => status.writable.then(|| format!("{id} takes writes too")),
        (ProcessState::Unknown, None) => Some(format!("it is not known whether {id} runs")),
        (ProcessState::Running(running), None) => match sight.standing(id, running) {
            Standing::Unproven(_) => None,
            _ => Some(format!("{id} runs, but does not say whether it takes writes")),
        },
    }
}

fn follow(plan: &mut Planner<'_>) {
    let Some(primary) = plan.roster.primary else { return };
    let term = plan.roster.term;
    let Some(endpoint) = plan.roster.instances.get(&primary).map(|place| place.endpoint.clone()) else {
        return;
    };
    let leads = plan.sight().answer(primary).is_some_and(|status| status.writable && status.term == term);
    for id in plan.staying(Tier::Database) {
        if id == primary || plan.sight().running(id).is_none_or(|running| running.stopping) {
            continue;
        }
        let Some(status) = plan.sight().answer(id).filter(|status| !status.writable) else { continue };
        let Some(because) = why_follow(id, status, &endpoint, term) else {
            if let Some(replication) = &status.replication
                && !replication.runs()
            {
                plan.wait(WaitKind::Progress, id, format!("its replication from {primary} is connected"));
            }
            continue;
        };
        plan.wait(follow_kind(status), id, format!("it replicates from {primary}: {because}"));
        if leads {
            let action = Action::Follow { instance: id, primary, endpoint: endpoint.clone(), term };
            plan.step(action, because);
        }
    }
}

fn follow_kind(status: &DatabaseStatus) -> WaitKind {
    let broken = status.replication.as_ref().is_some_and(|replication| replication.error.is_some());
    if broken { WaitKind::Trouble } else { WaitKind::Progress }
}

fn why_follow(id: InstanceId, status: &DatabaseStatus, primary: &Endpoint, term: Term) -> Option<String> {
    match &status.replication {
        None => Some(format!("{id} replicates from nobody yet")),
        Some(Replication { primary: from, .. }) if from != primary => {
            Some(format!("{id} replicates from {from}, the primary is {primary}"))
        }
        Some(_) if status.term != term => {
            Some(format!("{id} knows the term {}, it is the term {term}", status.term))
        }
        Some(replication @ Replication { error: Some(error), .. }) if !replication.runs() => {
            Some(format!("the replication of {id} broke: {error}"))
        }
        // A server never begins to replicate by itself after a start; one that only lost its connection goes
        // on applying and connects again by itself.
        Some(Replication { applying: false, .. }) => Some(format!("the replication of {id} does not run")),
        Some(_) => None,
    }
}

/// Restarts one server in its place where it runs as something else than it should: replicas before the
/// primary, and only while all others are well.
fn restart_one(plan: &mut Planner<'_>) {
    let primary = plan.roster.primary;
    let staying = plan.staying(Tier::Database);
    let mut outdated: Vec<_> = staying.iter().copied().filter(|id| plan.runs_outdated(*id)).collect();
    outdated.sort_by_key(|id| (primary == Some(*id), *id));
    let Some(id) = outdated.first().copied() else { return };
    let Some(spec) = plan.spec(id) else { return };
    if let Some(sick) = staying.into_iter().find(|other| *other != id && !is_well(plan, *other)) {
        plan.wait(
            WaitKind::Progress,
            id,
            format!("{sick} is well, so that {id} may be restarted in its place"),
        );
        return;
    }
    let stop = Action::Stop { instance: id, grace: spec.stop_timeout() };
    plan.step(stop, format!("{id} is to run with another configuration and is restarted in its place"));
    plan.wait(WaitKind::Progress, id, "it has stopped, to start with its new configuration");
}
