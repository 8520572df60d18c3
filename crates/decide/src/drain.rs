//! The end of an instance: out of the routes, acknowledged by every living balancer, nothing in flight,
//! stopped, forgotten. Never stops what the routes in force name.

use crate::bring_up::database;
use crate::failover::acknowledge;
use crate::planner::Planner;
use stoa_model::observed::ProcessState;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Cluster, InstanceId, Millis, Tier};

/// How long SIGTERM may take for what no longer has a spec to say so.
pub(crate) const GRACE: Millis = Millis::from_secs(30);

/// Whether no living role sends anything new to `id`; else what is waited for.
///
/// A role whose report is missing or old may still send by any routes: unknown is not dead.
pub(crate) fn acknowledged(plan: &Planner<'_>, id: InstanceId) -> Result<(), String> {
    let routes = plan.input.routes;
    if routes.names(id) {
        return Err("the routes in force no longer name it".to_owned());
    }
    let sight = plan.sight();
    for role in roles(plan, id) {
        match (sight.process(role), sight.report(role)) {
            (ProcessState::Absent | ProcessState::Exited(_), _) => {}
            (_, Some(report)) if report.serving >= routes.generation => {}
            (_, Some(report)) => {
                let (has, should) = (report.serving, routes.generation);
                return Err(format!("{role} serves by the routes {should} without it; it has {has}"));
            }
            (_, None) => return Err(format!("{role} says by which routes it serves")),
        }
    }
    Ok(())
}

/// Every role that may send something to `id`.
fn roles(plan: &Planner<'_>, id: InstanceId) -> Vec<InstanceId> {
    id.tier.routed_by().map(|tier| plan.sight().known_of(tier)).unwrap_or_default()
}

/// How many requests, or statements and open transactions, all roles together still have at `id`.
fn in_flight(plan: &Planner<'_>, id: InstanceId) -> u32 {
    let sight = plan.sight();
    let reports = roles(plan, id).into_iter().filter_map(|role| sight.report(role));
    reports.filter_map(|report| report.instances.get(&id)).map(|upstream| upstream.in_flight).sum()
}

/// Takes every retiring instance a move further towards its end.
pub(crate) fn stop_the_retired(plan: &mut Planner<'_>) {
    let retiring: Vec<_> = plan
        .roster
        .instances
        .iter()
        .filter_map(|(id, place)| place.retiring.map(|since| (*id, since)))
        .collect();
    for (id, since) in retiring {
        let grace = plan.spec(id).map_or(GRACE, |spec| spec.stop_timeout());
        let overdue = plan.input.now.since(since) > grace;
        if let Err(until) = may_end(plan, id, overdue) {
            plan.wait(WaitKind::Progress, id, format!("{until}; then it ends"));
            continue;
        }
        match plan.sight().process(id) {
            ProcessState::Unknown => plan.wait(WaitKind::Progress, id, "it is known whether it runs"),
            ProcessState::Absent | ProcessState::Exited(_) => forget(plan, id),
            ProcessState::Running(_) => {
                let because = match id.tier {
                    Tier::App | Tier::Web if overdue => {
                        format!("{id} retires; its {grace} to drain are over")
                    }
                    Tier::App | Tier::Web => {
                        format!("{id} retires, is out of the routes and has nothing in flight")
                    }
                    _ => format!("{id} retires and is no longer needed"),
                };
                plan.step(Action::Stop { instance: id, grace }, because);
                plan.wait(WaitKind::Progress, id, "it has stopped");
            }
        }
    }
}

fn may_end(plan: &Planner<'_>, id: InstanceId, overdue: bool) -> Result<(), String> {
    let sight = plan.sight();
    match id.tier {
        Tier::App | Tier::Web => {
            if plan.input.routes.names(id) {
                return Err("the routes in force no longer name it".to_owned());
            }
            if overdue {
                return Ok(());
            }
            acknowledged(plan, id)?;
            match in_flight(plan, id) {
                _ if sight.is_down(id) => Ok(()),
                0 => Ok(()),
                1 => Err("its last request in flight is answered".to_owned()),
                n => Err(format!("its {n} requests in flight are answered")),
            }
        }
        Tier::Balancer | Tier::Splitter => {
            let other = plan.staying(id.tier).into_iter().any(|other| sight.serves(other));
            if other || sight.is_down(id) || plan.wanted(id.tier) == 0 {
                return Ok(());
            }
            Err(format!("another {} serves", id.tier))
        }
        Tier::Database => replaced(plan, id, overdue),
        Tier::Cache => unused(plan),
    }
}

/// Whether no application instance was told of `id`.
fn unused(plan: &Planner<'_>) -> Result<(), String> {
    let sight = plan.sight();
    for app in sight.known_of(Tier::App) {
        let ends = plan.roster.instances.get(&app).is_none_or(|place| place.retiring.is_some());
        if !sight.is_down(app) && (ends || plan.runs_outdated(app)) {
            return Err(format!("{app}, which may use it, is replaced"));
        }
    }
    Ok(())
}

/// Whether nothing is under way at a database server, and the others are well without it.
fn replaced(plan: &Planner<'_>, id: InstanceId, overdue: bool) -> Result<(), String> {
    if plan.sight().running(id).is_none() {
        return Ok(());
    }
    if !overdue {
        emptied(plan, id)?;
    }
    if plan.roster.primary == Some(id) && plan.roster.tier(Tier::Database).count() > 1 {
        return Err("its replicas have ended".to_owned());
    }
    if let Some(other) = database::unwell_beside(plan, id) {
        return Err(format!("{other} is well"));
    }
    acknowledged(plan, id)
}

/// Whether nothing more is sent to `id`, and what was is over.
pub(crate) fn emptied(plan: &Planner<'_>, id: InstanceId) -> Result<(), String> {
    acknowledged(plan, id)?;
    match in_flight(plan, id) {
        0 => Ok(()),
        1 => Err("the last statement or transaction at it is over".to_owned()),
        n => Err(format!("{n} statements and transactions at it are over")),
    }
}

fn forget(plan: &mut Planner<'_>, id: InstanceId) {
    // Its port is given to another, which must not be sent what a balancer still takes for its own.
    if id.tier.routed_by().is_some()
        && let Err(until) = acknowledged(plan, id)
    {
        plan.wait(WaitKind::Progress, id, format!("{until}; then its place is free"));
        return;
    }
    let others = plan.roster.tier(Tier::Database).any(|(other, _)| other != id);
    if id.tier == Tier::Database && others && !acknowledge::is_released(plan, id) {
        plan.wait(WaitKind::Progress, id, "another replica has everything that it may hold");
        return;
    }
    if let Some(key) = plan.sight().busy_with(id) {
        // A start that is still under way may yet bring a process.
        plan.wait(WaitKind::Progress, id, key.end());
        return;
    }
    plan.roster.instances.remove(&id);
    if plan.roster.primary == Some(id) {
        plan.roster.primary = None;
        plan.roster.database = Cluster::default();
    }
}

/// Stops processes that were started for a place that no longer exists.
pub(crate) fn stop_strangers(plan: &mut Planner<'_>) {
    for tier in Tier::ALL {
        for id in plan.sight().known_of(tier) {
            if plan.roster.instances.contains_key(&id) || plan.sight().running(id).is_none() {
                continue;
            }
            let clear = match tier {
                Tier::App | Tier::Web | Tier::Database => acknowledged(plan, id),
                _ => Ok(()),
            };
            match clear {
                Err(until) => plan.wait(WaitKind::Progress, id, until),
                Ok(()) => {
                    let because = format!("{id} runs, but no instance of this name is wanted");
                    plan.step(Action::Stop { instance: id, grace: GRACE }, because);
                }
            }
        }
    }
}
