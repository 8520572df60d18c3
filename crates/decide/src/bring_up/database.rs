//! The database servers: their data folders, their processes, and that replicas follow the primary. Who is
//! primary, and when another one is, is decided in [`crate::failover`].

use super::start;
use crate::drain;
use crate::failover::{self, acknowledge, astray, switchover};
use crate::planner::Planner;
use crate::replace;
use stoa_model::observed::{DataState, DatabaseStatus, Replication};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Endpoint, InstanceId, Millis, Term, Tier};

/// A replica that is restarted may have statements under way for so long.
const REST: Millis = Millis::from_secs(30);

/// Keeps the wanted database servers running, one of them writable.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    replace::resize_in_place(plan, Tier::Database);
    if plan.staying(Tier::Database).is_empty() {
        return;
    }
    failover::choose(plan);
    switchover::advance(plan);
    failover::fence_the_others(plan);
    failover::promote(plan);
    astray::keep(plan);
    for id in plan.staying(Tier::Database) {
        keep_running(plan, id);
    }
    follow(plan);
    acknowledge::keep(plan);
    restart_one(plan);
    say_what_drifted(plan);
    say_whose_disk_is_full(plan);
}

/// Whether the primary takes writes.
pub(crate) fn ready(plan: &Planner<'_>) -> Result<(), String> {
    if plan.input.intent.site.database.is_none() {
        return Ok(());
    }
    let Some(primary) = plan.roster.primary else { return Err("a database has a place".to_owned()) };
    if !plan.sight().answer(primary).is_some_and(|status| status.writable) {
        return Err(format!("the database primary {primary} takes writes"));
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

/// Another one that is not well, or will not be once what this plan does is done.
pub(crate) fn unwell_beside(plan: &Planner<'_>, id: InstanceId) -> Option<InstanceId> {
    let mut others = plan.staying(Tier::Database).into_iter().filter(|other| *other != id);
    others.find(|other| plan.acts_on(*other) || !is_well(plan, *other))
}

fn keep_running(plan: &mut Planner<'_>, id: InstanceId) {
    let ready = astray::may_start(plan, id);
    if !plan.sight().is_down(id) {
        return start::when_down(plan, id, ready);
    }
    match plan.sight().data(id) {
        DataState::Ready => start::when_down(plan, id, ready),
        DataState::Unknown => plan.wait(WaitKind::Progress, id, "it is known what its data folder holds"),
        DataState::Foreign { found, installed } => {
            let until = format!(
                "its data folder {} is moved away or the server it was made by is installed: the data is of {found}, \
                 installed is {installed}",
                plan.input.paths.data(id).display()
            );
            plan.wait(WaitKind::Stuck, id, until);
        }
        DataState::Absent => match plan.sight().busy_with(id) {
            Some(key) => plan.wait(WaitKind::Progress, id, key.end()),
            None if plan.roster.primary == Some(id) => prepare(plan, id),
            None => clone(plan, id),
        },
    }
}

/// The first server of an empty site gets an empty data folder.
fn prepare(plan: &mut Planner<'_>, id: InstanceId) {
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

/// Every other one is made from the primary, which goes on serving. A replica is no source: it applies side by
/// side, and what it has prepared when it is copied is neither in its data nor behind its position.
fn clone(plan: &mut Planner<'_>, id: InstanceId) {
    let Some((from, _)) = failover::leader_status(plan) else {
        plan.wait(WaitKind::Progress, id, "the primary takes writes, so that its data can be cloned");
        return;
    };
    let endpoint = plan.roster.instances.get(&from).map(|place| place.endpoint.clone());
    let (Some(spec), Some(endpoint)) = (plan.spec(id), endpoint) else { return };
    let term = plan.roster.term;
    let because = format!("{id} has no data yet; it is cloned from {from}, which goes on serving");
    plan.step(Action::Clone { instance: id, spec, from, endpoint, term }, because);
    plan.wait(WaitKind::Progress, id, format!("its data folder is cloned from {from}"));
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

fn follow(plan: &mut Planner<'_>) {
    let Some(primary) = plan.roster.primary else { return };
    let term = plan.roster.term;
    let Some(endpoint) = plan.roster.instances.get(&primary).map(|place| place.endpoint.clone()) else {
        return;
    };
    // What is not known of it stays with each replica as it is.
    let tls = plan.sight().running(primary).map(|running| running.tls);
    let leads = failover::leads(plan, primary);
    for id in plan.staying(Tier::Database) {
        if id == primary || plan.sight().running(id).is_none_or(|running| running.stopping) {
            continue;
        }
        if plan.roster.database.astray.contains_key(&id) || plan.roster.database.resting.contains_key(&id) {
            continue;
        }
        let Some(status) = plan.sight().answer(id).filter(|status| !status.writable) else { continue };
        let Some(because) = why_follow(id, status, (&endpoint, tls), term) else {
            acknowledge::count_on(plan, id, false);
            if let Some(replication) = &status.replication
                && !replication.runs()
            {
                let why = replication.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
                let until = format!("its replication from {primary} is connected{why}");
                plan.wait(WaitKind::Progress, id, until);
            }
            continue;
        };
        plan.wait(follow_kind(status), id, format!("it replicates from {primary}: {because}"));
        if leads {
            acknowledge::count_on(plan, id, true);
            let tls = tls.unwrap_or_default();
            let action = Action::Follow { instance: id, primary, endpoint: endpoint.clone(), tls, term };
            plan.step(action, because);
        }
    }
}

fn follow_kind(status: &DatabaseStatus) -> WaitKind {
    let troubled = |replication: &Replication| replication.error.is_some() || replication.is_mute();
    if status.replication.as_ref().is_some_and(troubled) { WaitKind::Trouble } else { WaitKind::Progress }
}

/// A server that runs as something else than the others and the file say.
fn say_what_drifted(plan: &mut Planner<'_>) {
    let all = plan.staying(Tier::Database);
    let newest = all.iter().filter_map(|id| plan.sight().answer(*id)).map(|status| &status.version).max();
    for id in all {
        let Some(status) = plan.sight().answer(id) else { continue };
        if let Some(newest) = newest.filter(|newest| **newest != status.version) {
            let until = format!("it is restarted: it runs {}, another one {newest}", status.version);
            plan.wait(WaitKind::Limit, id, until);
        }
        if !status.drift.is_empty() {
            let until = format!("it is restarted, or set back by hand: {}", status.drift.join(", "));
            plan.wait(WaitKind::Limit, id, until);
        }
    }
}

/// A replica whose disk is full may not be able to say so. Of the primary it is a diagnosis.
fn say_whose_disk_is_full(plan: &mut Planner<'_>) {
    for id in plan.staying(Tier::Database) {
        if let Some(what) = plan.sight().full(id).filter(|_| plan.roster.primary != Some(id)) {
            let until = format!("its disk has room again, until then it falls behind: {what}");
            plan.wait(WaitKind::Trouble, id, until);
        }
    }
}

fn why_follow(
    id: InstanceId,
    status: &DatabaseStatus,
    (primary, tls): (&Endpoint, Option<bool>),
    term: Term,
) -> Option<String> {
    match &status.replication {
        None => Some(format!("{id} replicates from nobody yet")),
        Some(Replication { primary: from, .. }) if from != primary => {
            Some(format!("{id} replicates from {from}, the primary is {primary}"))
        }
        Some(replication) if tls.is_some_and(|tls| tls != replication.tls) => {
            let how = if replication.tls { "inside TLS" } else { "without TLS" };
            Some(format!("{id} replicates {how}, the primary is connected to otherwise"))
        }
        Some(_) if status.term != term => {
            Some(format!("{id} knows the term {}, it is the term {term}", status.term))
        }
        Some(replication) if replication.goes_on() => None,
        Some(Replication { error: Some(error), .. }) => {
            Some(format!("the replication of {id} broke: {error}"))
        }
        Some(replication) if replication.is_stuck() => Some(format!(
            "the replication of {id} has been connecting for too long, as one that is stuck does"
        )),
        Some(replication) if replication.is_mute() => {
            Some(format!("{id} gets what {primary} writes and does not acknowledge it"))
        }
        Some(_) => Some(format!("the replication of {id} does not run")),
    }
}

/// Restarts one server in its place where it runs as something else than it should: replicas before the
/// primary, and only while all others are well, and once the splitters know how it will be connected to. A primary
/// hands over to a replica before, where there is one.
fn restart_one(plan: &mut Planner<'_>) {
    let primary = plan.roster.primary;
    let staying = plan.staying(Tier::Database);
    let mut outdated: Vec<_> = staying.into_iter().filter(|id| plan.runs_outdated(*id)).collect();
    outdated.sort_by_key(|id| (primary == Some(*id), *id));
    let first = outdated.first().copied();
    plan.roster.database.resting.retain(|id, _| Some(*id) == first);
    let Some(id) = first else { return };
    if plan.roster.database.handover.is_some() {
        plan.roster.database.resting.clear();
        plan.wait(WaitKind::Progress, id, "the change of primary is over, so that it may be restarted");
        return;
    }
    if let Some(sick) = unwell_beside(plan, id) {
        plan.roster.database.resting.clear();
        plan.wait(
            WaitKind::Progress,
            id,
            format!("{sick} is well, so that {id} may be restarted in its place"),
        );
        return;
    }
    if let Some(splitter) = plan.staying(Tier::Splitter).into_iter().find(|other| plan.runs_outdated(*other))
    {
        plan.roster.database.resting.clear();
        plan.wait(
            WaitKind::Progress,
            id,
            format!("{splitter} runs with its new configuration, before {id} does"),
        );
        return;
    }
    let because = format!("{id} is to run with another configuration and is restarted in its place");
    if primary == Some(id) {
        let to = switchover::best(plan).unwrap_or(id);
        if switchover::pauses(plan) {
            plan.wait(
                WaitKind::Progress,
                id,
                "another one can take over while it is restarted, after a pause",
            );
        } else if failover::leads(plan, id) {
            switchover::begin(plan, to, because);
        } else if plan.roster.database.leader.is_none() {
            stop(plan, id, because);
        }
        plan.wait(WaitKind::Progress, id, "it has stopped, to start with its new configuration");
        return;
    }
    plan.wait(WaitKind::Progress, id, "it has stopped, to start with its new configuration");
    let now = plan.input.now;
    let since = *plan.roster.database.resting.entry(id).or_insert(now);
    let rested = drain::emptied(plan, id);
    if rested.is_ok() || (now.since(since) > REST && drain::acknowledged(plan, id).is_ok()) {
        stop(plan, id, because);
    } else if let Err(until) = rested {
        plan.wait(WaitKind::Progress, id, until);
    }
}

fn stop(plan: &mut Planner<'_>, id: InstanceId, because: String) {
    let Some(spec) = plan.spec(id) else { return };
    plan.step(Action::Stop { instance: id, grace: spec.stop_timeout() }, because);
}
