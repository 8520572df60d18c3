//! What routes may name, and what may be taken out of them.

use super::{Case, Rule};
use stoa_model::observed::{Health, ProcessState};
use stoa_model::routes::Route;
use stoa_model::{InstanceId, Tier};

fn routes_of(routes: &stoa_model::Routes) -> impl Iterator<Item = &Route> {
    routes.web.iter().chain(&routes.app).chain(routes.sql.all())
}

fn same(a: &Route, b: &Route) -> bool {
    a.instance == b.instance && a.endpoint == b.endpoint && a.started == b.started
}

pub(super) fn only_proven(case: &mut Case<'_>) {
    for route in routes_of(&case.plan.routes) {
        if let Some(what) = wrong(case, route) {
            case.refuse(Rule::ProvenRoutes, format!("a route names {}, which {what}", route.instance));
        }
    }
    let wrong_tier = case.plan.routes.web.iter().any(|r| r.instance.tier != Tier::Web)
        || case.plan.routes.app.iter().any(|r| r.instance.tier != Tier::App)
        || case.plan.routes.sql.all().any(|r| r.instance.tier != Tier::Database);
    if wrong_tier {
        case.refuse(Rule::ProvenRoutes, "a route of one tier names an instance of another".to_owned());
    }
}

fn wrong(case: &Case<'_>, route: &Route) -> Option<&'static str> {
    let id = route.instance;
    // It was proven when it came in; a process of the same start has lost nothing of that.
    let was_in_force = routes_of(case.input.routes).any(|before| same(before, route));
    match case.plan.roster.instances.get(&id) {
        None => return Some("has no place"),
        Some(place) if place.retiring.is_some() => return Some("retires"),
        Some(_) => {}
    }
    let process = case.seen(id).map(|seen| &seen.process);
    match process {
        Some(ProcessState::Running(running)) => {
            let is_it = running.started == route.started && running.endpoint == route.endpoint;
            let proven = was_in_force || !matches!(running.health, Health::Unproven(_));
            match (is_it, proven, running.stopping) {
                (false, ..) => Some("runs as another process, or elsewhere"),
                (_, false, _) => Some("was never healthy since it started"),
                (_, _, true) => Some("is being stopped"),
                _ => None,
            }
        }
        _ if case.known_down(id) => Some("does not run"),
        _ => (!was_in_force).then_some("is not known to run"),
    }
}

pub(super) fn generations(case: &mut Case<'_>) {
    let (before, after) = (case.input.routes, &case.plan.routes);
    let changed = !before.same_places(after);
    let grown = after.generation > before.generation;
    if changed && !grown {
        let what = format!("the routes change and stay in the generation {}", after.generation);
        case.refuse(Rule::Generations, what);
    }
    if !changed && after.generation != before.generation {
        let what = format!(
            "the routes stay and go from the generation {} to {}",
            before.generation, after.generation
        );
        case.refuse(Rule::Generations, what);
    }
}

/// Taking a serving instance out of the routes is what makes a tier smaller.
pub(super) fn not_below_the_minimum(case: &mut Case<'_>) {
    if case.going_down() {
        return;
    }
    for tier in [Tier::Web, Tier::App] {
        let of = |routes: &stoa_model::Routes| -> Vec<Route> {
            routes_of(routes).filter(|r| r.instance.tier == tier).cloned().collect()
        };
        let (before, after) = (of(case.input.routes), of(&case.plan.routes));
        let left = after.iter().filter(|r| case.healthy(r.instance)).count();
        for route in before {
            let stays = after.iter().any(|now| now.instance == route.instance);
            if !stays && serves(case, &route) && left < case.minimum(tier) {
                let what = format!(
                    "{} is taken out of the routes and leaves {left} healthy of {} wanted",
                    route.instance,
                    case.minimum(tier)
                );
                case.refuse(Rule::Minimum, what);
            }
        }
    }
}

fn serves(case: &Case<'_>, route: &Route) -> bool {
    let id: InstanceId = route.instance;
    let running = case.running(id).filter(|r| r.started == route.started && !r.stopping);
    running.is_some_and(|r| match &r.health {
        Health::Failing { streak, .. } => *streak < 3,
        Health::Unproven(failed) => failed.is_none(),
        Health::Healthy { .. } => true,
    })
}
