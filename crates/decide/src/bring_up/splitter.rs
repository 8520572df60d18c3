//! Splitters share one address, chosen once: applications are told of it and of no server behind it. They
//! accept nothing before they have routes, and need nothing from anybody.

use super::start;
use crate::planner::Planner;
use crate::replace;
use stoa_model::plan::WaitKind;
use stoa_model::{Endpoint, Tier};

/// Keeps the wanted splitters running.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    if plan.wanted(Tier::Splitter) > 0 {
        choose_address(plan);
    }
    replace::resize_all(plan, Tier::Splitter);
    for id in plan.staying(Tier::Splitter) {
        start::when_down(plan, id, Ok(()));
    }
}

/// Whether the site's database, if it has one, can be reached by applications.
pub(crate) fn ready(plan: &Planner<'_>) -> Result<(), String> {
    if plan.wanted(Tier::Splitter) == 0
        || plan.staying(Tier::Splitter).iter().any(|id| plan.sight().is_healthy(*id))
    {
        return Ok(());
    }
    Err("a splitter answers".to_owned())
}

/// The daemon holds the address for as long as it lives, so another program can only have taken it where none
/// of ours is there: then, and only then, it moves, and applications are told.
fn choose_address(plan: &mut Planner<'_>) {
    if plan.roster.sql_face.is_some() && !is_taken(plan) {
        return;
    }
    match plan.new_port() {
        Some(port) => plan.set_sql_face(Endpoint::loopback(port)),
        None => plan.wait(WaitKind::Trouble, Tier::Splitter, "a loopback port is free"),
    }
}

fn is_taken(plan: &Planner<'_>) -> bool {
    let Some(port) = plan.roster.sql_face.as_ref().and_then(Endpoint::port) else { return false };
    let splitters = plan.sight().known_of(Tier::Splitter);
    let failed = |key: &stoa_model::StepKey| {
        key.verb() == "start" && splitters.iter().any(|id| key.subject() == id.to_string())
    };
    splitters.iter().all(|id| plan.sight().is_down(*id))
        && plan
            .sight()
            .hosts()
            .any(|(_, host)| !host.free_ports.contains(&port) && host.failures.keys().any(failed))
}
