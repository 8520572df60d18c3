//! Where statements may be sent: writes to the server that takes them in the term of the roster, reads to
//! replicas that apply and tell how far they are behind. Without a primary the splitters hold.

use super::route;
use crate::failover::{self, diagnosis::Replica, switchover};
use crate::planner::Planner;
use crate::sight::Standing;
use stoa_model::observed::ProcessState;
use stoa_model::routes::{Route, SqlRoutes};
use stoa_model::{InstanceId, Tier};

/// The routes of the splitters.
pub(super) fn sql(plan: &Planner<'_>) -> SqlRoutes {
    let mut replicas = Vec::new();
    for id in plan.staying(Tier::Database) {
        if plan.roster.primary != Some(id) {
            replicas.extend(replica(plan, id));
        }
    }
    SqlRoutes { term: plan.roster.term, primary: primary(plan), replicas }
}

fn primary(plan: &Planner<'_>) -> Option<Route> {
    if switchover::holds(plan) {
        return None;
    }
    let id = plan.roster.primary?;
    if failover::is_stuck(plan, id) {
        return None;
    }
    let before = plan
        .input
        .routes
        .sql
        .primary
        .as_ref()
        .filter(|route| route.instance == id && plan.input.routes.sql.term == plan.roster.term);
    match plan.sight().process(id) {
        ProcessState::Unknown => before.cloned(),
        ProcessState::Running(running) if !running.stopping => {
            let same = before.filter(|r| r.started == running.started && r.endpoint == running.endpoint);
            let writable = failover::leads(plan, id);
            match plan.sight().standing(id, running) {
                Standing::Unproven(_) => None,
                Standing::Healthy if writable => Some(route(id, running, "it takes writes")),
                // It answered that it refuses them.
                _ if plan.sight().answer(id).is_some_and(|status| !status.writable) => None,
                _ => same.cloned(),
            }
        }
        _ => None,
    }
}

fn replica(plan: &Planner<'_>, id: InstanceId) -> Option<Route> {
    let cluster = &plan.roster.database;
    if cluster.astray.contains_key(&id) || cluster.resting.contains_key(&id) {
        return None;
    }
    let before = plan.input.routes.sql.replicas.iter().find(|route| route.instance == id);
    let running = match plan.sight().process(id) {
        ProcessState::Unknown => return before.cloned(),
        ProcessState::Running(running) if !running.stopping => running,
        _ => return None,
    };
    let same = before.filter(|r| r.started == running.started && r.endpoint == running.endpoint);
    match plan.sight().standing(id, running) {
        Standing::Unproven(_) | Standing::Failing(_) => return None,
        Standing::Unchecked | Standing::Wavering(_) => return same.cloned(),
        Standing::Healthy => {}
    }
    let Some(status) = plan.sight().answer(id) else { return same.cloned() };
    let replication = status.replication.as_ref().filter(|_| !status.writable)?;
    let of = plan.roster.primary.and_then(|primary| plan.roster.instances.get(&primary));
    let fetches = of.is_some_and(|place| place.endpoint == replication.primary);
    match failover::diagnosis::of_replica(plan.sight(), id) {
        Replica::Well | Replica::Lagging(_) if fetches && replication.lag_seconds.is_some() => {
            Some(route(id, running, "it replicates"))
        }
        // It falls behind, and does not come back by itself.
        Replica::DiskFull(_) => None,
        // While its primary is gone it goes on answering what it was sent before.
        _ if replication.applying => same.cloned(),
        _ => None,
    }
}
