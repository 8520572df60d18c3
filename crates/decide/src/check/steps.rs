//! What steps may be taken on what.

use super::{Case, Rule};
use std::collections::BTreeMap;
use stoa_model::observed::{DataState, ProcessState};
use stoa_model::{Action, Endpoint, InstanceId, Spec, Tier};

pub(super) fn not_while_routed(case: &mut Case<'_>) {
    for id in case.stops() {
        // One that answers nobody is fenced by its end; nothing that is sent to it comes back anyway.
        let hangs = id.tier == Tier::Database && !case.healthy(id);
        if case.input.routes.names(id) && !hangs {
            case.refuse(Rule::NoStopWhileRouted, format!("{id} is stopped and the routes in force name it"));
        }
    }
}

pub(super) fn not_below_the_minimum(case: &mut Case<'_>) {
    for id in case.stops() {
        if !case.healthy(id) || !case.plan.roster.instances.contains_key(&id) {
            continue;
        }
        let what = match (case.going_down(), id.tier) {
            (true, Tier::Database) => primary_last(case, id),
            (true, _) => None,
            (false, Tier::App | Tier::Web) => {
                (!case.retiring(id)).then(|| format!("{id} is healthy, is stopped and does not retire"))
            }
            (false, Tier::Balancer | Tier::Splitter) => last_role(case, id),
            // Its data is not the site's: it is made anew, however the others are.
            (false, Tier::Database) if case.plan.roster.database.astray.contains_key(&id) => None,
            (false, Tier::Database) => sick_beside(case, id),
            (false, Tier::Cache) => None,
        };
        if let Some(what) = what {
            case.refuse(Rule::Minimum, what);
        }
    }
    let reloads: Vec<_> = case.plan.steps.iter().filter(|step| step.action.verb() == "reload").collect();
    if reloads.len() > 1 {
        case.refuse(Rule::Minimum, format!("{} instances are reloaded at once", reloads.len()));
    }
}

fn others(case: &Case<'_>, id: InstanceId) -> Vec<InstanceId> {
    let staying = |(other, place): (InstanceId, &stoa_model::roster::Assignment)| {
        (other != id && place.retiring.is_none()).then_some(other)
    };
    case.plan.roster.tier(id.tier).filter_map(staying).collect()
}

fn last_role(case: &Case<'_>, id: InstanceId) -> Option<String> {
    let stays = |other: &InstanceId| case.healthy(*other) && !case.stops().any(|stop| stop == *other);
    let left = others(case, id).iter().filter(|other| stays(other)).count();
    (left == 0 && case.minimum(id.tier) > 0)
        .then(|| format!("{id} is stopped and no other {} is healthy", id.tier))
}

fn sick_beside(case: &Case<'_>, id: InstanceId) -> Option<String> {
    let well = |other: &InstanceId| case.healthy(*other) && !case.stops().any(|stop| stop == *other);
    let sick = others(case, id).into_iter().find(|other| !well(other))?;
    Some(format!("{id} is stopped while {sick} is not healthy"))
}

fn primary_last(case: &Case<'_>, id: InstanceId) -> Option<String> {
    if case.plan.roster.primary != Some(id) {
        return None;
    }
    let mut all = case.plan.roster.tier(Tier::Database).map(|(other, _)| other);
    let left = all.find(|other| *other != id && !case.known_down(*other))?;
    Some(format!("the primary {id} is stopped while its replica {left} still runs"))
}

pub(super) fn not_on_unknown(case: &mut Case<'_>) {
    for step in &case.plan.steps {
        let known_host = case.input.observed.hosts.get(&step.host).is_some_and(|host| case.fresh(host));
        if !known_host {
            let what = format!("{} while the host {} is not heard of", step.action.key(), step.host);
            case.refuse(Rule::UnknownIsNotDead, what);
            continue;
        }
        let Some(id) = step.action.instance() else { continue };
        let seen = case.seen(id);
        if seen.is_some_and(|seen| seen.process == ProcessState::Unknown) {
            let what = format!("{} while it is not known whether {id} runs", step.action.key());
            case.refuse(Rule::UnknownIsNotDead, what);
        }
        let data = seen.map_or(&DataState::Absent, |seen| &seen.data);
        let what = match &step.action {
            Action::Prepare { .. } | Action::Clone { .. }
                if *data != DataState::Absent || !case.known_down(id) =>
            {
                "is not known to be empty and without a process"
            }
            Action::Salvage { .. } | Action::Discard { .. } if !case.known_down(id) => {
                "is not known to be without a process"
            }
            Action::Start { .. } if id.tier == Tier::Database && *data != DataState::Ready => "is not ready",
            _ => continue,
        };
        case.refuse(Rule::UnknownIsNotDead, format!("{}, whose data folder {what}", step.action.key()));
    }
}

pub(super) fn own_endpoint(case: &mut Case<'_>) {
    let mut starts: BTreeMap<&Endpoint, InstanceId> = BTreeMap::new();
    for step in &case.plan.steps {
        let Action::Start { instance, spec } = &step.action else { continue };
        let endpoint = endpoint(spec);
        if let Some(other) = starts.insert(endpoint, *instance) {
            case.refuse(Rule::OwnEndpoint, format!("{instance} and {other} are started at {endpoint}"));
        }
        let mut places = case.plan.roster.instances.iter();
        let assigned = places.find(|(id, place)| *id != instance && place.endpoint == *endpoint);
        if let Some((other, _)) = assigned {
            case.refuse(
                Rule::OwnEndpoint,
                format!("{instance} is started at {endpoint}, the place of {other}"),
            );
        }
        let mut seen = case.input.observed.hosts.values().flat_map(|host| &host.instances);
        let listening = seen.find(|(id, seen)| {
            *id != instance && matches!(&seen.process, ProcessState::Running(r) if r.endpoint == *endpoint)
        });
        if let Some((other, _)) = listening {
            case.refuse(
                Rule::OwnEndpoint,
                format!("{instance} is started at {endpoint}, where {other} listens"),
            );
        }
    }
}

fn endpoint(spec: &Spec) -> &Endpoint {
    match spec {
        Spec::Balancer(spec) => &spec.control,
        Spec::Splitter(spec) => &spec.control,
        Spec::Web(spec) => &spec.endpoint,
        Spec::App(spec) => &spec.endpoint,
        Spec::Database(spec) => &spec.endpoint,
        Spec::Cache(spec) => &spec.endpoint,
    }
}

pub(super) fn has_place(case: &mut Case<'_>) {
    for step in &case.plan.steps {
        let Some(id) = step.action.instance() else { continue };
        let place = case.plan.roster.instances.get(&id);
        if place.is_none() && step.action.verb() != "stop" {
            case.refuse(Rule::HasPlace, format!("{} without a place in the roster", step.action.key()));
        }
        if place.is_some_and(|place| place.host != step.host) {
            let what = format!("{} on the host {}, which is not its place", step.action.key(), step.host);
            case.refuse(Rule::HasPlace, what);
        }
    }
}
