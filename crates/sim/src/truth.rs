//! The rules, against what is true in the world and `decide` never sees.

use crate::world::{Process, World};
use stoa_model::deployment::{Phase, TaskState};
use stoa_model::intent::Power;
use stoa_model::observed::ReleaseState;
use stoa_model::plan::TaskKind;
use stoa_model::{InstanceId, ReleaseId, Roster, Spec, TaskId, Tier, Time};

/// Never two writable primaries.
pub(crate) fn one_writable(world: &World) -> Result<(), String> {
    let writable = |process: &&crate::world::Process| process.database.as_ref().is_some_and(|db| db.writable);
    let count = world.processes.values().filter(writable).count();
    if count > 1 && !world.meddled { Err(format!("{count} database servers take writes")) } else { Ok(()) }
}

/// Once all but the primary refuse writes again, meddling is no excuse any more.
pub(crate) fn forgive_meddling(world: &mut World) {
    let primary = world.roster.primary;
    let mut others = world.processes.iter().filter(|(id, _)| primary != Some(**id));
    world.meddled &= others.any(|(_, process)| process.database.as_ref().is_some_and(|db| db.writable));
}

/// No balancer sends requests to a process that has never been healthy.
pub(crate) fn only_proven_is_sent_to(world: &World) -> Result<(), String> {
    for (role, process) in &world.processes {
        let Some(served) = &process.served else { continue };
        for route in served.routes.sent_by(role.tier) {
            if let Some((id, target)) = world.listening(&route.endpoint)
                && !target.ever_healthy
                && !target.excused
            {
                return Err(format!(
                    "{role} sends requests to {id}, which was never healthy since it started"
                ));
            }
        }
    }
    Ok(())
}

/// A process that is asked to end is named by no living balancer's routes, unless its time to drain is over.
pub(crate) fn may_be_stopped(world: &World, id: InstanceId) -> Result<(), String> {
    let Some(process) = world.processes.get(&id) else { return Ok(()) };
    let retiring = world.roster.instances.get(&id).and_then(|place| place.retiring);
    let grace = process.spec.stop_timeout();
    if retiring.is_some_and(|since| world.now.since(since) > grace) {
        return Ok(());
    }
    for (role, other) in &world.processes {
        let Some(served) = &other.served else { continue };
        // One that answers nobody is fenced by its end.
        let hangs = id.tier == Tier::Database && !world.is_well(id);
        let mut routes = served.routes.sent_by(role.tier).filter(|_| !hangs);
        if routes.any(|route| route.instance == id && route.started == process.started) {
            return Err(format!("{id} is stopped while {role} sends requests to it"));
        }
    }
    Ok(())
}

/// What is forgotten is named by no living balancer's routes: its place is given to another, which would
/// be sent what was meant for it.
pub(crate) fn may_be_forgotten(world: &World, next: &Roster) -> Result<(), String> {
    let kept = |id: &InstanceId| next.instances.contains_key(id) || world.intent.power == Power::Off;
    for id in world.roster.instances.keys().filter(|id| !kept(id)) {
        let mut roles = world.processes.iter().filter(|(role, _)| id.tier.routed_by() == Some(role.tier));
        let names =
            |process: &Process| process.served.as_ref().is_some_and(|served| served.routes.names(*id));
        if let Some((role, _)) = roles.find(|(_, process)| names(process)) {
            return Err(format!("{id} is forgotten while {role} sends requests to it"));
        }
    }
    Ok(())
}

/// Where nothing else goes wrong, no deployment leaves fewer than are wanted to serve, and no page is sent
/// before its files are there.
pub(crate) fn enough_can_serve(world: &World) -> Result<(), String> {
    if !world.unnoticed {
        return Ok(());
    }
    let serving = world.routes.app.iter().filter(|route| world.is_well(route.instance)).count();
    let wanted = usize::from(world.intent.site.count(Tier::App).min);
    if serving < wanted {
        return Err(format!("{serving} instances can serve, {wanted} are wanted"));
    }
    let bare =
        world.routes.app.iter().find(|route| {
            route.release.as_ref().is_some_and(|release| !world.static_roots.contains(release))
        });
    match bare {
        Some(route) => Err(format!("{} is sent requests, and its files are nowhere", route.instance)),
        None => Ok(()),
    }
}

/// A task that has begun is never begun again.
pub(crate) fn may_be_run(world: &World, task: TaskId) -> Result<(), String> {
    let begun = world.unnoticed && world.tasks.contains_key(&task);
    if begun { Err(format!("{task} is run again")) } else { Ok(()) }
}

/// A release that is good serves, and one that is bad was given up for what is wrong with it.
pub(crate) fn ended_for_a_reason(world: &World) -> Result<(), String> {
    let Some(deployment) = &world.roster.deployment else { return Err("nothing was deployed".to_owned()) };
    let (to, has_app) = (&deployment.to, world.intent.site.app.is_some());
    let task = TaskId { kind: TaskKind::Migrate, deploy: deployment.number };
    let expected = [
        // Its removal had begun when it was asked for.
        (!world.releases.contains_key(to), "its code is not on the host"),
        (world.bad_builds.contains(to), "its build failed"),
        (matches!(world.tasks.get(&task), Some(TaskState::Failed { .. })), "its `migrate` failed"),
        (has_app && world.sick_releases.contains(to), "did not become healthy"),
    ];
    let expected = expected.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why);
    match (&deployment.phase, expected) {
        (Phase::Failed(why), Some(expected)) if why.contains(expected) => Ok(()),
        (Phase::Done, None) => Ok(()),
        // What already served is not deployed.
        (Phase::Done, Some(_)) if deployment.from.as_ref() == Some(to) => Ok(()),
        (phase, expected) => {
            Err(format!("the deployment of {to} ended as {phase:?}, expected: {expected:?}"))
        }
    }
}

/// Whether a living balancer that still names `id` was silent for long.
pub(crate) fn some_balancer_is_silent(world: &World, id: InstanceId) -> bool {
    let mut roles = world.processes.iter().filter(|(role, _)| id.tier.routed_by() == Some(role.tier));
    let names = |process: &crate::world::Process| process.served.as_ref().is_some_and(|s| s.routes.names(id));
    roles.any(|(_, process)| names(process)) && {
        let recent = |until: &Time| until.0 + 4_000 > world.now.0;
        let daemon = world.daemon.as_ref();
        daemon.is_none_or(|d| d.silent_until.values().any(recent) || world.now.since(d.since).0 < 5_000)
            || daemon.is_some_and(|d| d.frozen.is_some())
    }
}

/// The site is as it was asked for.
pub(crate) fn is_as_asked(world: &World) -> Result<(), String> {
    if world.intent.power == Power::Off {
        let left: Vec<_> = world.processes.keys().map(ToString::to_string).collect();
        return if left.is_empty() { Ok(()) } else { Err(format!("{} still run", left.join(", "))) };
    }
    let expected = expected(world)?;
    for tier in Tier::ALL {
        let wanted = match (world.intent.site.count(tier).max, tier) {
            (0, _) => 0,
            (_, Tier::Cache) => 1,
            _ => world.roster.wanted(&world.intent, tier),
        };
        let run = world.processes.keys().filter(|id| id.tier == tier);
        let well = run.clone().filter(|id| world.is_well(**id)).count();
        if run.count() != well || well != usize::from(wanted) {
            return Err(format!("of the tier {tier} {well} are well, {wanted} are wanted"));
        }
    }
    for (id, process) in &world.processes {
        if matches!(id.tier, Tier::App | Tier::Web) && !world.routes.names(*id) {
            return Err(format!("{id} is not routed to"));
        }
        if let Some(served) = &process.served
            && served.routes.generation != world.routes.generation
        {
            return Err(format!("{id} does not serve by the routes in force"));
        }
        if let stoa_model::Spec::App(app) = &process.spec
            && (app.release != *expected || app.env != app_env(world))
        {
            return Err(format!("{id} runs {} with {:?}", app.release, app.env));
        }
    }
    if world.static_roots.first() != Some(expected) {
        return Err("the static files are not of the release that is to serve".to_owned());
    }
    if world.routes.canary.is_some() {
        return Err("a canary is left over".to_owned());
    }
    let keep = usize::from(world.intent.site.deploy.keep_releases);
    for built in [true, false] {
        let states = world.releases.values().filter(|state| (**state == ReleaseState::Built) == built);
        let count = states.count();
        if count > keep + 2 {
            return Err(format!("{count} releases are there, {keep} are to be kept; built: {built}"));
        }
    }
    databases_are_in_order(world)
}

/// The release that is to serve: the one that was asked for, or, where its deployment failed, the one before.
fn expected(world: &World) -> Result<&ReleaseId, String> {
    let Some(deployment) = &world.roster.deployment else { return Err("nothing was deployed".to_owned()) };
    if deployment.to != world.intent.release {
        return Err(format!("the deployment is of {}, not of what was asked for", deployment.to));
    }
    match &deployment.phase {
        Phase::Done => Ok(&deployment.to),
        Phase::Failed(_) => {
            deployment.from.as_ref().ok_or_else(|| "the first release failed for good".to_owned())
        }
        phase => Err(format!("the deployment is {}", phase.word())),
    }
}

/// Nothing is removed that a process runs.
pub(crate) fn may_be_removed(world: &World, release: &ReleaseId) -> Result<(), String> {
    let runs =
        |process: &crate::world::Process| matches!(&process.spec, Spec::App(app) if app.release == *release);
    let user = world.processes.iter().find(|(_, process)| runs(process)).map(|(id, _)| *id);
    user.map_or(Ok(()), |id| Err(format!("violation: {release} is removed, which {id} runs")))
}

fn app_env(world: &World) -> std::collections::BTreeMap<String, String> {
    world.intent.site.app.as_ref().map(|app| app.env.clone()).unwrap_or_default()
}

fn databases_are_in_order(world: &World) -> Result<(), String> {
    if world.intent.site.database.is_none() {
        return Ok(());
    }
    let Some(primary) = world.roster.primary else { return Err("there is no primary".to_owned()) };
    world.holds_all(primary)?;
    let replicas = world.processes.keys().filter(|id| id.tier == Tier::Database).count() - 1;
    if (replicas > 0) != world.roster.database.degraded.is_none() {
        return Err(format!("{replicas} replicas, degraded: {:?}", world.roster.database.degraded));
    }
    let endpoint = world.processes.get(&primary).map(|process| process.endpoint.clone());
    for (id, process) in &world.processes {
        let Some(database) = &process.database else { continue };
        let follows = world.disks.get(id).and_then(|disk| disk.follows.clone());
        if database.writable != (*id == primary) {
            return Err(format!("{id} writable: {}, the primary is {primary}", database.writable));
        }
        if *id != primary && (follows != endpoint || database.broken.is_some()) {
            return Err(format!("{id} follows {follows:?}, not {endpoint:?}"));
        }
        if *id != primary && database.mute.is_some() {
            return Err(format!("{id} does not acknowledge"));
        }
        if *id != primary && world.disks.get(id).is_some_and(|disk| disk.tls != process.spec.tls()) {
            return Err(format!("{id} follows with TLS or without, the primary has it otherwise"));
        }
    }
    Ok(())
}
