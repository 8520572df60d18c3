//! The way down: from the visitor's side inwards, each tier gone before the next is asked to end.

use crate::drain::GRACE;
use crate::planner::Planner;
use crate::routes;
use stoa_model::observed::ProcessState;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Tier};

/// The balancers drain their visitors' requests first, so nothing behind them has anything in flight.
const ORDER: [Tier; 6] = [Tier::Balancer, Tier::Web, Tier::App, Tier::Splitter, Tier::Cache, Tier::Database];

/// Stops the first tier of which something is left. Places are kept: the site comes back as it was.
pub(crate) fn stop_from_the_visitors_side(plan: &mut Planner<'_>) {
    for tier in ORDER {
        if tier == Tier::Database && !stop_all(plan, &replicas(plan)) {
            break;
        }
        let all = plan.sight().known_of(tier);
        if !stop_all(plan, &all) {
            break;
        }
        if tier.is_role() {
            routes::empty(plan, tier);
            if plan.routes != *plan.input.routes {
                // What the routes in force still name is not stopped; the next plan finds them empty.
                plan.wait(WaitKind::Progress, tier, "nothing is routed to any more");
                return;
            }
        }
    }
    let routes = plan.input.routes;
    if routes.web.iter().chain(&routes.app).next().is_some() {
        routes::follow_health(plan);
    } else if routes.sql.all().next().is_some() {
        routes::follow_databases(plan);
    }
    forget_the_retired(plan);
}

fn replicas(plan: &Planner<'_>) -> Vec<InstanceId> {
    let mut all = plan.sight().known_of(Tier::Database);
    all.retain(|id| plan.roster.primary != Some(*id));
    all
}

/// Asks all of them to end. Returns whether all have.
fn stop_all(plan: &mut Planner<'_>, ids: &[InstanceId]) -> bool {
    let mut gone = true;
    for id in ids {
        match plan.sight().process(*id) {
            ProcessState::Absent | ProcessState::Exited(_) => {
                if let Some(key) = plan.sight().busy_with(*id) {
                    plan.wait(WaitKind::Progress, id, key.end());
                    gone = false;
                }
            }
            ProcessState::Unknown => {
                plan.wait(WaitKind::Progress, id, "it is known whether it runs");
                gone = false;
            }
            ProcessState::Running(_) => {
                gone = false;
                let grace = plan.spec(*id).map_or(GRACE, |spec| spec.stop_timeout());
                plan.step(Action::Stop { instance: *id, grace }, "the site is to be down".to_owned());
                plan.wait(WaitKind::Progress, id, "it has stopped");
            }
        }
    }
    gone
}

fn forget_the_retired(plan: &mut Planner<'_>) {
    let sight = plan.sight();
    let primary = plan.roster.primary;
    plan.roster.instances.retain(|id, place| {
        place.retiring.is_none()
            || !sight.is_down(*id)
            || sight.busy_with(*id).is_some()
            || primary == Some(*id)
    });
}
