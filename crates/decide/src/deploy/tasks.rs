//! The tasks of a deployment: its hooks and its migration, each run at most once, in this order.

use super::faults::ATTEMPTS;
use crate::bring_up::database;
use crate::planner::Planner;
use crate::spec;
use stoa_model::deployment::{DeployKind, TaskState};
use stoa_model::plan::{TaskId, TaskKind, WaitKind};
use stoa_model::site::CommandLine;
use stoa_model::{Action, HostId};

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing to run, or it has run.
    Over,
    /// It runs, or is to run.
    Pending,
    /// It failed; why.
    Failed(String),
}

/// Has a task run, unless it has.
pub(super) fn turn(plan: &mut Planner<'_>, kind: TaskKind, command: Option<&CommandLine>) -> Turn {
    let Some((deployment, command)) = plan.roster.deployment.as_ref().zip(command) else { return Turn::Over };
    // Without an application there is nothing whose environment it could be run in.
    if deployment.kind == DeployKind::Rollback || plan.app_kind().is_none() {
        return Turn::Over;
    }
    let (task, release) = (TaskId { kind, deploy: deployment.number }, deployment.to.clone());
    let key = key(kind);
    match trace(plan, task) {
        Some(TaskState::Done) => return Turn::Over,
        Some(TaskState::Failed { why, last_lines }) => {
            let line = last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
            return Turn::Failed(format!("its `{key}` failed: {why}{line}"));
        }
        Some(TaskState::Running { since }) => {
            let age = plan.input.now.since(*since);
            let limit = plan.input.intent.site.deploy.task_timeout;
            let words = command.words().join(" ");
            let until = format!("its `{key}` has run, for {limit} at most: `{words}` runs for {age} so far");
            plan.wait(WaitKind::Progress, release, until);
            return Turn::Pending;
        }
        None => {}
    }
    if let Some(host) = unheard(plan) {
        let until = format!("the host {host} says whether its `{key}` has run there");
        plan.wait(WaitKind::Progress, release, until);
        return Turn::Pending;
    }
    if let Some(why) = cannot_begin(plan, task) {
        return Turn::Failed(format!("its `{key}` could not be begun: {why}"));
    }
    if kind == TaskKind::Migrate
        && let Err(until) = database::ready(plan)
    {
        plan.wait(WaitKind::Progress, release, format!("{until}, which its `{key}` needs"));
        return Turn::Pending;
    }
    plan.wait(WaitKind::Progress, &release, format!("its `{key}` has run"));
    let Some(spec) = spec::of_a_task(plan.input, &plan.roster, &release) else {
        plan.wait(WaitKind::Progress, task, "what it is told about has a place");
        return Turn::Pending;
    };
    let timeout = plan.input.intent.site.deploy.task_timeout;
    let action = Action::Run { task, command: command.clone(), spec: Box::new(spec), timeout };
    let because = match kind {
        TaskKind::Before => format!("{release} is to be deployed"),
        TaskKind::Migrate => format!("{release} is built, and no instance of it has been started"),
        TaskKind::After => format!("{release} serves in full"),
    };
    plan.step(action, because);
    Turn::Pending
}

/// The key of the configuration.
fn key(kind: TaskKind) -> String {
    kind.word().replace('-', "_")
}

/// What any host has seen of it, however long ago: what has begun is never begun again.
fn trace<'a>(plan: &Planner<'a>, task: TaskId) -> Option<&'a TaskState> {
    plan.input.observed.hosts.values().find_map(|seen| seen.tasks.get(&task))
}

/// A host that it may have been begun on and that is not heard of.
fn unheard(plan: &Planner<'_>) -> Option<HostId> {
    let mut hosts = plan.input.observed.hosts.keys();
    hosts.find(|host| plan.sight().host(host).is_none()).cloned()
}

/// Why it is given up, where it could not even be begun. The first release of a site has nothing to fall
/// back to: it is tried for ever.
fn cannot_begin(plan: &Planner<'_>, task: TaskId) -> Option<String> {
    plan.roster.deployment.as_ref()?.from.as_ref()?;
    let about = |key: &stoa_model::StepKey| key.verb() == "run" && key.subject() == task.to_string();
    let mut hosts = plan.sight().hosts();
    let failure = hosts.find_map(|(_, seen)| seen.failures.iter().find(|(key, _)| about(key)))?.1;
    (failure.attempts >= ATTEMPTS).then(|| failure.error.clone())
}
