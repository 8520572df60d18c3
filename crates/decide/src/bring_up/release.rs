//! A release: built once, published when it serves in full.

use crate::planner::Planner;
use stoa_model::observed::ReleaseState;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, ReleaseId, Tier};

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
            Some(ReleaseState::Failed { why, last_lines }) => {
                let last =
                    last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
                let until =
                    format!("its code or its build commands are mended; its build failed: {why}{last}");
                plan.wait(WaitKind::Stuck, release, until);
            }
            None => {
                let until = format!("its source is on the host {host}; `stoa up` takes it again");
                plan.wait(WaitKind::Trouble, release, until);
            }
        }
    }
}

/// Publishes the release that serves in full, and remembers it as the live one.
pub(crate) fn go_live(plan: &mut Planner<'_>) {
    let wanted = &plan.input.intent.release;
    let built = is_built(plan, wanted);
    if built && serves_in_full(plan, wanted) {
        plan.roster.live = Some(wanted.clone());
    }
    // Before anything is live there is nothing that a page's files could fail to match.
    let desired = plan.roster.live.clone().or_else(|| built.then(|| wanted.clone()));
    let Some(release) = desired else { return };
    let hosts: Vec<_> =
        plan.sight().hosts().map(|(host, seen)| (host.clone(), seen.static_roots.first().cloned())).collect();
    for (host, root) in hosts {
        if root.as_ref() == Some(&release) {
            continue;
        }
        if is_built(plan, &release) {
            let because = match root {
                None => format!("no static files are served yet, and {release} is built"),
                Some(old) => format!("{release} serves in full; static files still come from {old}"),
            };
            plan.step_on(host, Action::Publish { releases: vec![release.clone()] }, because);
        }
        plan.wait(WaitKind::Progress, &release, "nginx serves its static files");
    }
}

/// The release that new application instances are to run: the wanted one once it is built, until then
/// the live one.
pub(crate) fn target(plan: &Planner<'_>) -> Option<ReleaseId> {
    let wanted = Some(&plan.input.intent.release);
    let candidates = [wanted, plan.roster.live.as_ref()].into_iter().flatten();
    candidates.into_iter().find(|release| is_built(plan, release)).cloned()
}

/// Whether every host that is heard of has it built.
pub(crate) fn is_built(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    plan.sight().hosts().all(|(_, seen)| seen.releases.get(release) == Some(&ReleaseState::Built))
}

fn serves_in_full(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    let of_it = |id: &InstanceId| {
        let place = plan.roster.instances.get(id);
        place.is_some_and(|place| place.release.as_ref() == Some(release)) && plan.sight().serves(*id)
    };
    plan.staying(Tier::App).iter().filter(|id| of_it(id)).count() >= usize::from(plan.wanted(Tier::App))
}
