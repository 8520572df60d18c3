//! nginx needs nothing but itself: what it serves is a link, its upstream a socket that never changes.

use super::start;
use crate::planner::Planner;
use crate::replace;
use crate::sight::Standing;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Tier};

/// Keeps the wanted nginx instances running with the site's configuration.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    replace::resize_all(plan, Tier::Web);
    for id in plan.staying(Tier::Web) {
        start::when_down(plan, id, Ok(()));
    }
    reload_one(plan);
}

/// Lets one instance re-read its configuration, when all that have already are healthy.
fn reload_one(plan: &mut Planner<'_>) {
    let running =
        |plan: &Planner<'_>, id: &InstanceId| plan.sight().running(*id).is_some_and(|r| !r.stopping);
    let all: Vec<_> = plan.staying(Tier::Web).into_iter().filter(|id| running(plan, id)).collect();
    let (outdated, renewed): (Vec<_>, Vec<_>) = all.into_iter().partition(|id| plan.runs_outdated(*id));
    // One to be replaced for its restart count ends soon and stays as it is until then; one that was
    // never healthy is stopped and started, which no reload mends.
    let asked = plan.input.intent.restarts(Tier::Web);
    let mut turn = outdated.into_iter().filter(|id| {
        let proven = |r| !matches!(plan.sight().standing(*id, r), Standing::Unproven(_));
        plan.sight().running(*id).is_some_and(proven)
            && plan.roster.instances.get(id).is_some_and(|place| place.restart >= asked)
    });
    let Some(id) = turn.next() else { return };
    if let Some(sick) = renewed.into_iter().find(|other| !plan.sight().is_healthy(*other)) {
        plan.wait(WaitKind::Progress, id, format!("{sick}, which has the new configuration, is healthy"));
        return;
    }
    let Some(spec) = plan.spec(id) else { return };
    plan.step(Action::Reload { instance: id, spec }, format!("the configuration of {id} has changed"));
    plan.wait(WaitKind::Progress, id, "it has read its new configuration");
}
