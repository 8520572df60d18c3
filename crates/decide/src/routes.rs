//! What the data plane may send where: only what has been proven since it last started.

mod sql;

use crate::deploy::{self, Candidate};
use crate::planner::Planner;
use crate::sight::Standing;
use stoa_model::observed::{Health, ProcessState, Running};
use stoa_model::plan::WaitKind;
use stoa_model::routes::{AppFace, Canary, Route, SqlRoutes};
use stoa_model::{InstanceId, Routes, Tier};

/// Routes follow what is known of health. Where nothing changed, the routes in force stay as they are.
pub(crate) fn follow_health(plan: &mut Planner<'_>) {
    let site = &plan.input.intent.site;
    let timeout = site.web.timeout;
    let admission = plan.roster.scaling.get(&Tier::App).and_then(|scaling| scaling.admission);
    let app_face = match &site.app {
        Some(app) => AppFace { kind: app.kind, health: app.health.clone(), timeout, admission },
        None => AppFace { timeout, ..AppFace::default() },
    };
    let web = web(plan);
    let (app, canary) = app(plan);
    let sql = sql::sql(plan);
    put_in_force(plan, Routes { web, app, app_face, canary, sql, ..Routes::default() });
    say_who_has_not_got_them(plan);
}

/// Only the routes of the splitters follow what is known: nobody else is sent anything any more.
pub(crate) fn follow_databases(plan: &mut Planner<'_>) {
    let sql = sql::sql(plan);
    put_in_force(plan, Routes { sql, ..plan.input.routes.clone() });
}

/// The roles of `tier` are gone: nothing that they sent to is routed to any more.
pub(crate) fn empty(plan: &mut Planner<'_>, tier: Tier) {
    let Routes { app_face, sql, .. } = plan.input.routes.clone();
    let nothing = SqlRoutes { term: sql.term, ..SqlRoutes::default() };
    // What was emptied once stays so while the site goes down.
    let emptied = plan.input.routes.sql.all().next().is_none();
    let sql = if tier == Tier::Splitter || emptied { nothing } else { sql::sql(plan) };
    put_in_force(plan, Routes { app_face, sql, ..Routes::default() });
}

fn put_in_force(plan: &mut Planner<'_>, next: Routes) {
    let now = plan.input.routes;
    if !now.same_places(&next) {
        plan.routes = Routes { generation: now.generation.next(), ..next };
    }
}

fn web(plan: &mut Planner<'_>) -> Vec<Route> {
    let places = places(plan, Tier::Web);
    if places.good.is_empty() {
        return last_resort(plan, Tier::Web, places.bad);
    }
    places.good.into_iter().map(|candidate| candidate.route).collect()
}

fn app(plan: &mut Planner<'_>) -> (Vec<Route>, Option<Canary>) {
    let places = places(plan, Tier::App);
    let (chosen, canary) = deploy::choose(plan, &places.good);
    if chosen.is_empty() {
        return (last_resort(plan, Tier::App, places.bad), None);
    }
    (chosen, canary)
}

/// Where all fail, the checks may be what is wrong: all are still sent requests.
fn last_resort(plan: &mut Planner<'_>, tier: Tier, bad: Vec<Route>) -> Vec<Route> {
    if !bad.is_empty() {
        let until = "the checks of one of them pass; they fail for all, so all are still sent requests";
        plan.wait(WaitKind::Trouble, tier, until);
    }
    bad
}

/// The instances of a tier that requests may be sent to.
#[derive(Default)]
struct Places {
    good: Vec<Candidate>,
    /// Those that fail, for want of others.
    bad: Vec<Route>,
}

fn places(plan: &mut Planner<'_>, tier: Tier) -> Places {
    let mut places = Places::default();
    for id in plan.staying(tier) {
        let routes = plan.input.routes;
        let mut in_force = if tier == Tier::Web { &routes.web } else { &routes.app }.iter();
        let before = in_force.find(|route| route.instance == id);
        match plan.sight().process(id) {
            ProcessState::Unknown => places.good.extend(before.map(kept)),
            ProcessState::Running(running) if !running.stopping => {
                let same = before.filter(|r| r.started == running.started && r.endpoint == running.endpoint);
                place(plan, id, running, same, &mut places);
            }
            ProcessState::Running(_) | ProcessState::Absent | ProcessState::Exited(_) => {}
        }
    }
    places
}

fn kept(route: &Route) -> Candidate {
    Candidate { route: route.clone(), sure: false, before: true }
}

fn place(
    plan: &mut Planner<'_>,
    id: InstanceId,
    running: &Running,
    same: Option<&Route>,
    places: &mut Places,
) {
    let before = same.is_some();
    let standing = plan.sight().standing(id, running);
    if !before
        && id.tier == Tier::App
        && let Err(until) = deploy::may_be_sent_requests(plan, running, standing)
    {
        if standing == Standing::Healthy {
            plan.wait(WaitKind::Progress, id, until);
        }
        return;
    }
    let good = |sure, because| Candidate { route: route(id, running, because), sure, before };
    match standing {
        Standing::Healthy => places.good.push(good(true, "its checks pass")),
        Standing::Wavering(_) => {
            places.good.push(good(false, "its last check failed, but it was healthy"));
        }
        Standing::Unchecked => places.good.extend(same.map(kept)),
        // Its proof is another daemon's: what routes say of it is all there is.
        Standing::Failing(_) if matches!(running.health, Health::Unproven(_)) => {
            places.bad.extend(same.cloned());
        }
        Standing::Failing(_) => {
            places.bad.push(route(id, running, "its checks fail, but so do those of all others"));
        }
        Standing::Unproven(_) => {}
    }
}

fn route(instance: InstanceId, running: &Running, because: &str) -> Route {
    let because = because.to_owned();
    let release = running.release.clone();
    Route {
        instance,
        endpoint: running.endpoint.clone(),
        tls: running.tls,
        started: running.started,
        because,
        release,
    }
}

fn say_who_has_not_got_them(plan: &mut Planner<'_>) {
    let generation = plan.routes.generation;
    let roles = [Tier::Balancer, Tier::Splitter].into_iter().flat_map(|tier| plan.staying(tier));
    for id in roles.collect::<Vec<_>>() {
        let report = plan.sight().report(id);
        if plan.sight().is_healthy(id) && report.is_none_or(|report| report.serving < generation) {
            plan.wait(WaitKind::Progress, id, format!("it serves by the routes {generation}"));
        }
    }
}
