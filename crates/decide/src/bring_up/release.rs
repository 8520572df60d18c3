//! A release: built once, its static files published, removed when nothing needs it any more.

use crate::planner::Planner;
use stoa_model::deployment::Phase;
use stoa_model::observed::ReleaseState;
use stoa_model::plan::{STATIC_ROOTS, WaitKind};
use stoa_model::{Action, HostId, ReleaseId, Tier};

/// Has the wanted release built. What runs of another release is not touched by a build that fails.
pub(crate) fn build(plan: &mut Planner<'_>) {
    let release = &plan.input.intent.release;
    let source = &plan.input.intent.site.source;
    let hosts: Vec<_> =
        plan.sight().hosts().map(|(host, seen)| (host.clone(), seen.releases.get(release))).collect();
    for (host, state) in hosts {
        match state {
            Some(ReleaseState::Built) => {}
            Some(ReleaseState::Taken) => {
                let action = Action::Build {
                    site: plan.input.intent.site.name.clone(),
                    release: release.clone(),
                    commands: source.build.clone(),
                    persist: plan
                        .input
                        .intent
                        .site
                        .app
                        .as_ref()
                        .map_or_else(Vec::new, |app| app.persist.clone()),
                    timeout: source.build_timeout,
                };
                plan.step_on(host, action, format!("the release {release} is wanted and not built yet"));
                plan.wait(WaitKind::Progress, release, "it is built");
            }
            // The old release serves on: nothing is missing but what was asked for, and that is told of the
            // deployment.
            Some(ReleaseState::Failed { .. }) if has_failed(plan) => {}
            Some(ReleaseState::Failed { why, last_lines }) => {
                let last =
                    last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
                let until =
                    format!("its code or its build commands are mended; its build failed: {why}{last}");
                plan.wait(WaitKind::Stuck, release, until);
            }
            None if has_failed(plan) => {}
            None => {
                let until = format!("its source is on the host {host}; `stoa up` takes it again");
                plan.wait(WaitKind::Trouble, release, until);
            }
        }
    }
}

/// Whether the deployment has failed and an earlier release serves.
fn has_failed(plan: &Planner<'_>) -> bool {
    let deployment = plan.roster.deployment.as_ref();
    deployment.is_some_and(|known| matches!(known.phase, Phase::Failed(_)) && known.from.is_some())
}

/// A host that has no trace of a release, such as one from which it was just removed.
pub(crate) fn lost(plan: &Planner<'_>, release: &ReleaseId) -> Option<HostId> {
    let mut hosts = plan.sight().hosts();
    hosts.find(|(_, seen)| !seen.releases.contains_key(release)).map(|(host, _)| host.clone())
}

/// Why the build of a release failed, where it did on any host.
pub(crate) fn build_failed(plan: &Planner<'_>, release: &ReleaseId) -> Option<String> {
    plan.sight().hosts().find_map(|(_, seen)| match seen.releases.get(release)? {
        ReleaseState::Failed { why, last_lines } => {
            let last = last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
            Some(format!("its build failed: {why}{last}"))
        }
        ReleaseState::Taken | ReleaseState::Built => None,
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
    earlier.sort_by_key(|release| std::cmp::Reverse(release.number()));
    let failed = deployment.filter(|deployment| matches!(deployment.phase, Phase::Failed(_)));
    let mut roots: Vec<ReleaseId> = Vec::new();
    for release in plan.roster.live.iter().chain(of_it.flatten()).chain(earlier) {
        let given_up = failed.is_some_and(|deployment| deployment.to == *release);
        if !roots.contains(release) && !given_up && is_built(plan, release) && roots.len() < STATIC_ROOTS {
            roots.push(release.clone());
        }
    }
    roots
}

/// Has releases removed that nothing needs any more, the oldest first.
pub(crate) fn forget(plan: &mut Planner<'_>) {
    let deployment = plan.roster.deployment.as_ref();
    if deployment.is_some_and(|deployment| !deployment.is_over()) {
        return;
    }
    let keep = usize::from(plan.input.intent.site.deploy.keep_releases);
    let hosts: Vec<_> = plan
        .sight()
        .hosts()
        .map(|(host, seen)| (host.clone(), seen.releases.keys().cloned().collect::<Vec<_>>()))
        .collect();
    for (host, mut all) in hosts {
        all.sort_by_key(|release| std::cmp::Reverse(release.number()));
        for release in all.into_iter().skip(keep) {
            if !is_needed(plan, &release) {
                let because = format!("the newest {keep} releases are kept, and nothing runs this one");
                plan.step_on(host.clone(), Action::Remove { release }, because);
            }
        }
    }
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

/// Whether every host that is heard of has it built.
pub(crate) fn is_built(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    plan.sight().hosts().all(|(_, seen)| seen.releases.get(release) == Some(&ReleaseState::Built))
}
