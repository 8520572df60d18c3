//! What the data plane may send where: only what has been proven since it last started.

use crate::planner::Planner;
use crate::sight::Standing;
use stoa_model::observed::{Health, ProcessState, Running};
use stoa_model::plan::WaitKind;
use stoa_model::routes::{AppFace, Route};
use stoa_model::{InstanceId, Routes, Tier};

/// Routes follow what is known of health. Where nothing changed, the routes in force stay as they are.
pub(crate) fn follow_health(plan: &mut Planner<'_>) {
    let site = &plan.input.intent.site;
    let timeout = site.web.timeout;
    let app_face = match &site.app {
        Some(app) => AppFace { kind: app.kind, health: app.health.clone(), timeout, admission: None },
        None => AppFace { timeout, ..AppFace::default() },
    };
    let web = places(plan, Tier::Web, &plan.input.routes.web);
    let app = places(plan, Tier::App, &plan.input.routes.app);
    put_in_force(plan, Routes { web, app, app_face, ..Routes::default() });
    say_who_has_not_got_them(plan);
}

/// Nothing is routed to any more.
pub(crate) fn empty(plan: &mut Planner<'_>) {
    let app_face = plan.input.routes.app_face.clone();
    put_in_force(plan, Routes { app_face, ..Routes::default() });
}

fn put_in_force(plan: &mut Planner<'_>, next: Routes) {
    let now = plan.input.routes;
    if !now.same_places(&next) {
        plan.routes = Routes { generation: now.generation.next(), ..next };
    }
}

fn places(plan: &mut Planner<'_>, tier: Tier, in_force: &[Route]) -> Vec<Route> {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for id in plan.staying(tier) {
        let before = in_force.iter().find(|route| route.instance == id);
        match plan.sight().process(id) {
            ProcessState::Unknown => good.extend(before.cloned()),
            ProcessState::Running(running) if !running.stopping => {
                let same = before.filter(|r| r.started == running.started && r.endpoint == running.endpoint);
                match plan.sight().standing(id, running) {
                    Standing::Healthy => good.push(route(id, running, "its checks pass")),
                    Standing::Wavering(_) => {
                        good.push(route(id, running, "its last check failed, but it was healthy"))
                    }
                    Standing::Unchecked => good.extend(same.cloned()),
                    // Its proof is another daemon's: what routes say of it is all there is.
                    Standing::Failing(_) if matches!(running.health, Health::Unproven(_)) => {
                        bad.extend(same.cloned())
                    }
                    Standing::Failing(_) => {
                        bad.push(route(id, running, "its checks fail, but so do those of all others"));
                    }
                    Standing::Unproven(_) => {}
                }
            }
            ProcessState::Running(_) | ProcessState::Absent | ProcessState::Exited(_) => {}
        }
    }
    if good.is_empty() && !bad.is_empty() {
        let until = "the checks of one of them pass; they fail for all, so all are still sent requests";
        plan.wait(WaitKind::Trouble, tier, until);
        return bad;
    }
    good
}

fn route(instance: InstanceId, running: &Running, because: &str) -> Route {
    let because = because.to_owned();
    let release = running.release.clone();
    Route { instance, endpoint: running.endpoint.clone(), started: running.started, because, release }
}

fn say_who_has_not_got_them(plan: &mut Planner<'_>) {
    let generation = plan.routes.generation;
    for id in plan.staying(Tier::Balancer) {
        let report = plan.sight().report(id);
        if plan.sight().is_healthy(id) && report.is_none_or(|report| report.serving < generation) {
            plan.wait(WaitKind::Progress, id, format!("it serves by the routes {generation}"));
        }
    }
}
