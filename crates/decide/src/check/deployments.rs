//! What a deployment must never do, whatever decided it.

use super::{Case, Rule};
use stoa_model::deployment::TaskState;
use stoa_model::observed::ProcessState;
use stoa_model::{Action, ReleaseId, Tier};

/// A canary that nobody serves would turn requests away, and all or nothing is no share.
pub(super) fn canary_has_servers(case: &mut Case<'_>) {
    let routes = &case.plan.routes;
    let Some(canary) = &routes.canary else { return };
    if !routes.app.iter().any(|route| route.release.as_ref() == Some(&canary.release)) {
        let what = format!("the canary {} has no route", canary.release);
        case.refuse(Rule::CanaryShare, what);
    }
    if !(1..=99).contains(&canary.percent) {
        let what = format!("the canary {} gets {} % of the requests", canary.release, canary.percent);
        case.refuse(Rule::CanaryShare, what);
    }
}

/// A page must find its files: a release is not sent its first request before they are looked for in it.
pub(super) fn files_come_first(case: &mut Case<'_>) {
    for route in &case.plan.routes.app {
        let before = case.input.routes.app.iter();
        let mut same = before.filter(|b| b.instance == route.instance && b.started == route.started);
        let Some(release) = route.release.as_ref().filter(|_| same.next().is_none()) else { continue };
        let hosts = case.input.observed.hosts.values().filter(|host| case.fresh(host));
        if hosts.into_iter().any(|host| !host.static_roots.contains(release)) {
            let what =
                format!("{} is sent requests, and no files are looked for in {release}", route.instance);
            case.refuse(Rule::FilesFirst, what);
        }
    }
}

/// A migration that has run, or may still run, is never run again; nor is one of another deployment.
pub(super) fn tasks_once(case: &mut Case<'_>) {
    for step in &case.plan.steps {
        let Action::Run { task, .. } = &step.action else { continue };
        let current = case.plan.roster.deployment.as_ref().map(|deployment| deployment.number);
        if current != Some(task.deploy) {
            case.refuse(Rule::TasksOnce, format!("{task} is run, which is not of the deployment under way"));
        }
        let mut traces = case.input.observed.hosts.values().filter_map(|host| host.tasks.get(task));
        let what = match traces.next() {
            None => continue,
            Some(TaskState::Running { .. }) => "runs",
            Some(TaskState::Done) => "has run",
            Some(TaskState::Failed { .. }) => "has failed",
        };
        case.refuse(Rule::TasksOnce, format!("{task} is run again, which {what}"));
    }
}

/// What serves, runs, is to run, or may have to be gone back to is never removed.
pub(super) fn nothing_needed_is_removed(case: &mut Case<'_>) {
    for step in &case.plan.steps {
        let Action::Remove { release } = &step.action else { continue };
        if let Some(why) = needed(case, release) {
            case.refuse(Rule::RemoveUnused, format!("{release} is removed, {why}"));
        }
    }
}

fn needed(case: &Case<'_>, release: &ReleaseId) -> Option<&'static str> {
    let (roster, intent) = (&case.plan.roster, case.input.intent);
    if roster.live.as_ref() == Some(release) || intent.release == *release {
        return Some("which serves or is wanted");
    }
    let deployment = roster.deployment.as_ref();
    if deployment.is_some_and(|d| d.to == *release || d.from.as_ref() == Some(release)) {
        return Some("which the last deployment is from or to");
    }
    if roster.tier(Tier::App).any(|(_, place)| place.release.as_ref() == Some(release)) {
        return Some("which an instance is to run");
    }
    let runs = |process: &ProcessState| match process {
        ProcessState::Running(running) => running.release.as_ref() == Some(release),
        _ => false,
    };
    let mut seen = case.input.observed.hosts.values().flat_map(|host| host.instances.values());
    seen.any(|seen| runs(&seen.process)).then_some("which an instance runs")
}
