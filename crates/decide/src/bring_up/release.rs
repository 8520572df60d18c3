//! Releases: built once, their static files found by nginx for as long as their pages may be open, removed
//! when nothing needs them any more. Never removes what runs, served last or may have to serve again.

use crate::planner::Planner;
use std::cmp::Reverse;
use stoa_model::deployment::{Deployment, Phase};
use stoa_model::observed::{HostObserved, ReleaseState};
use stoa_model::plan::{STATIC_ROOTS, WaitKind};
use stoa_model::{Action, HostId, ReleaseId, Tier};

/// So many failures in a row to begin a build are no accident.
const ATTEMPTS: u32 = 4;

/// Has the release built that is to serve. What runs of another release is not touched by a build that fails.
pub(crate) fn build(plan: &mut Planner<'_>) {
    let Some(deployment) = plan.roster.deployment.clone() else { return };
    if let Phase::Failed(why) = &deployment.phase
        && deployment.from.is_none()
    {
        let until = format!("its code or its tasks are mended, and it is deployed again; {why}");
        plan.wait(WaitKind::Stuck, &deployment.to, until);
        return;
    }
    let brought_back = matches!(deployment.phase, Phase::Back(_) | Phase::Failed(_));
    if let Some(from) = deployment.from.as_ref().filter(|_| brought_back) {
        // What failed is told of the deployment: nothing is missing of the site.
        build_everywhere(plan, from);
    } else {
        build_everywhere(plan, &deployment.to);
    }
}

fn build_everywhere(plan: &mut Planner<'_>, release: &ReleaseId) {
    for (host, state) in states(plan, release) {
        match state {
            Some(ReleaseState::Built) => {
                if let Some(key) = plan.sight().busy(&host, &release.to_string()) {
                    plan.wait(WaitKind::Progress, release, key.end());
                }
            }
            Some(ReleaseState::Taken) => {
                let action = build_of(plan, release);
                plan.step_on(host, action, format!("the release {release} is wanted and not built yet"));
                plan.wait(WaitKind::Progress, release, "it is built");
            }
            Some(ReleaseState::Failed { .. }) => say_what_failed(plan, release),
            None => {
                let until = format!("its source is on the host {host}; `stoa up` takes it again");
                plan.wait(WaitKind::Trouble, release, until);
            }
        }
    }
}

fn states<'a>(plan: &Planner<'a>, release: &ReleaseId) -> Vec<(HostId, Option<&'a ReleaseState>)> {
    plan.sight().hosts().map(|(host, seen)| (host.clone(), seen.releases.get(release))).collect()
}

fn build_of(plan: &Planner<'_>, release: &ReleaseId) -> Action {
    let site = &plan.input.intent.site;
    Action::Build {
        site: site.name.clone(),
        release: release.clone(),
        commands: site.source.build.clone(),
        persist: site.app.as_ref().map_or_else(Vec::new, |app| app.persist.clone()),
        timeout: site.source.build_timeout,
    }
}

fn say_what_failed(plan: &mut Planner<'_>, release: &ReleaseId) {
    if let Some((why, last)) = failed(plan, release) {
        let until = format!("its code or its build commands are mended; its build failed: {why}{last}");
        plan.wait(WaitKind::Stuck, release, until);
    }
}

fn failed(plan: &Planner<'_>, release: &ReleaseId) -> Option<(String, String)> {
    states(plan, release).into_iter().find_map(|(_, state)| match state {
        Some(ReleaseState::Failed { why, last_lines }) => {
            let line = last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
            Some((why.clone(), line))
        }
        _ => None,
    })
}

/// Why a release cannot be built, where it cannot. Without one that serves meanwhile, what could not even
/// be begun is tried again for ever.
pub(crate) fn build_failed(plan: &Planner<'_>, deployment: &Deployment) -> Option<String> {
    if let Some((why, last)) = failed(plan, &deployment.to) {
        return Some(format!("its build failed: {why}{last}"));
    }
    deployment.from.as_ref()?;
    if let Some(why) = is_gone(plan, deployment) {
        return Some(why);
    }
    let key = build_of(plan, &deployment.to).key();
    let mut hosts = plan.sight().hosts();
    let failure = hosts.find_map(|(_, seen)| seen.failures.get(&key))?;
    let (times, error) = (failure.attempts, &failure.error);
    (times >= ATTEMPTS).then(|| format!("its build could not be begun, {times} times in a row: {error}"))
}

/// Whether a host has lost the code of the release that is to serve, as when its removal had begun before it
/// was asked for.
pub(crate) fn is_gone(plan: &Planner<'_>, deployment: &Deployment) -> Option<String> {
    // What was seen before the order may be older than its source.
    let seen_since = |host: &HostId| plan.sight().host(host).is_some_and(|seen| seen.at > deployment.since);
    let gone = |(host, state): &(HostId, Option<&ReleaseState>)| state.is_none() && seen_since(host);
    let (host, _) = states(plan, &deployment.to).into_iter().find(gone)?;
    Some(format!("its code is not on the host {host} any more"))
}

/// Whether every host that is heard of has it built and will go on having it.
pub(crate) fn is_built(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    let removal = Action::Remove { release: release.clone() }.key();
    plan.sight().hosts().all(|(_, seen)| {
        seen.releases.get(release) == Some(&ReleaseState::Built) && !seen.busy.contains(&removal)
    })
}

/// Lets nginx look for static files in the live release, then in the one that is coming or going, then in
/// earlier ones: a page that is open still finds its files.
pub(crate) fn publish(plan: &mut Planner<'_>) {
    let roots = roots(plan);
    let Some(first) = roots.first().cloned() else { return };
    let hosts: Vec<_> =
        plan.sight().hosts().map(|(host, seen)| (host.clone(), seen.static_roots.clone())).collect();
    for (host, published) in hosts {
        if published == roots {
            continue;
        }
        let because = match published.first() {
            None => format!("no static files are served yet, and {first} is built"),
            Some(old) if *old == first => "pages of other releases find their files too".to_owned(),
            Some(old) => format!("{first} serves; static files still come from {old}"),
        };
        plan.step_on(host, Action::Publish { releases: roots.clone() }, because);
        plan.wait(WaitKind::Progress, &first, "nginx serves its static files");
    }
}

fn roots(plan: &Planner<'_>) -> Vec<ReleaseId> {
    let deployment = plan.roster.deployment.as_ref();
    let of_it =
        deployment.into_iter().flat_map(|deployment| [Some(&deployment.to), deployment.from.as_ref()]);
    let mut earlier: Vec<&ReleaseId> =
        plan.sight().hosts().flat_map(|(_, seen)| seen.releases.keys()).collect();
    earlier.sort_by_key(|release| Reverse(release.number()));
    let old: Vec<_> = plan.sight().hosts().flat_map(|(_, seen)| old(plan, seen)).collect();
    earlier.retain(|release| !old.contains(release));
    let failed = deployment.filter(|deployment| matches!(deployment.phase, Phase::Failed(_)));
    let mut roots: Vec<ReleaseId> = Vec::new();
    // Where one order overtakes another, instances of a third release may serve for a while.
    let served = plan.input.routes.app.iter().filter_map(|route| route.release.as_ref());
    for release in plan.roster.live.iter().chain(of_it.flatten()).chain(served).chain(earlier) {
        let given_up = failed.is_some_and(|deployment| deployment.to == *release);
        if !roots.contains(release) && !given_up && is_built(plan, release) && roots.len() < STATIC_ROOTS {
            roots.push(release.clone());
        }
    }
    roots
}

/// Has releases removed that nothing needs any more and whose static files are looked for no longer.
pub(crate) fn remove_old(plan: &mut Planner<'_>) {
    let hosts: Vec<_> = plan.sight().hosts().map(|(host, seen)| (host.clone(), seen)).collect();
    for (host, seen) in hosts {
        for release in old(plan, seen).into_iter().filter(|old| !seen.static_roots.contains(old)) {
            let keep = plan.input.intent.site.deploy.keep_releases;
            let because = format!("the newest {keep} releases are kept, and nothing runs this one");
            plan.step_on(host.clone(), Action::Remove { release: release.clone() }, because);
        }
    }
}

/// The releases of a host that nothing needs any more, the oldest first; none while a deployment is under
/// way. What was never built does not take the place of what could be gone back to.
fn old<'a>(plan: &Planner<'a>, seen: &'a HostObserved) -> Vec<&'a ReleaseId> {
    if plan.roster.deployment.as_ref().is_none_or(|deployment| !deployment.is_over()) {
        return Vec::new();
    }
    let keep = usize::from(plan.input.intent.site.deploy.keep_releases);
    let is_built = |release: &&ReleaseId| seen.releases.get(*release) == Some(&ReleaseState::Built);
    let (built, unbuilt): (Vec<_>, Vec<_>) = seen.releases.keys().partition(is_built);
    let beyond = |mut all: Vec<&'a ReleaseId>| {
        all.sort_by_key(|release| Reverse(release.number()));
        all.into_iter().skip(keep)
    };
    let mut old: Vec<_> =
        beyond(built).chain(beyond(unbuilt)).filter(|release| !is_needed(plan, release)).collect();
    old.sort_by_key(|release| release.number());
    old
}

fn is_needed(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    let deployment = plan.roster.deployment.as_ref();
    let deployed = deployment.is_some_and(|d| d.to == *release || d.from.as_ref() == Some(release));
    let assigned = plan.roster.instances.values().any(|place| place.release.as_ref() == Some(release));
    let sight = plan.sight();
    let runs = sight
        .known_of(Tier::App)
        .into_iter()
        .any(|id| sight.running(id).is_some_and(|running| running.release.as_ref() == Some(release)));
    let wanted = plan.input.intent.release == *release || plan.roster.live.as_ref() == Some(release);
    deployed || assigned || runs || wanted
}
