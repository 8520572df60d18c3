//! What a deployment would do, told in order before it is begun.

use super::words::instances;
use crate::Input;
use crate::planner::Planner;
use stoa_model::deployment::DeployKind;
use stoa_model::observed::ReleaseState;
use stoa_model::site::{CommandLine, DeployRules, Strategy};
use stoa_model::{Millis, ReleaseId, Tier};

/// The sentences of what a deployment of `intent.release` would do, in order.
pub fn course(input: &Input<'_>) -> Vec<String> {
    let plan = Planner::new(input);
    let rules = &input.intent.site.deploy;
    let (to, from) = (&input.intent.release, input.roster.live.as_ref());
    if from == Some(to) {
        return vec![format!("{to} serves already; nothing is to be done")];
    }
    let rollback = input.intent.deploy.kind == DeployKind::Rollback;
    let mut told = vec![build(&plan, to)];
    if !rollback {
        let task = |key: &str, command: &Option<CommandLine>| Some(ran(key, command.as_ref()?, rules));
        told.extend(task("before_deploy", &rules.before_deploy));
        told.extend(task("migrate", &rules.migrate));
    }
    told.push(format!("nginx finds the static files of {to}"));
    told.extend(take_over(&plan, to, from, rollback));
    told.extend(rules.after_deploy.as_ref().filter(|_| !rollback).map(|c| ran("after_deploy", c, rules)));
    if let Some(from) = from.filter(|_| !rollback && plan.app_kind().is_some()) {
        told.extend(watch(rules, to, from));
    }
    told
}

fn build(plan: &Planner<'_>, to: &ReleaseId) -> String {
    let built = |seen: Option<&ReleaseState>| seen == Some(&ReleaseState::Built);
    let mut hosts = plan.input.observed.hosts.values();
    match hosts.all(|seen| built(seen.releases.get(to))) && !plan.input.observed.hosts.is_empty() {
        true => format!("{to} is built already"),
        false => format!("{to} is built"),
    }
}

fn ran(key: &str, command: &CommandLine, rules: &DeployRules) -> String {
    let words = command.words().join(" ");
    let failed =
        if key == "after_deploy" { "it failing undoes nothing" } else { "if it fails, nothing changes" };
    format!("`{key}` is run once: `{words}`, for {} at most; {failed}", rules.task_timeout)
}

fn take_over(plan: &Planner<'_>, to: &ReleaseId, from: Option<&ReleaseId>, rollback: bool) -> Vec<String> {
    let rules = &plan.input.intent.site.deploy;
    let wanted = usize::from(plan.wanted(Tier::App));
    let all = instances(wanted);
    let checks = match rules.checks {
        1 => "a check".to_owned(),
        n => format!("{n} checks in a row"),
    };
    let Some(from) = from.filter(|_| plan.app_kind().is_some()) else {
        return match plan.app_kind() {
            None => vec![format!("static files come from {to}")],
            Some(_) => vec![format!("{all} of {to} are started; each is sent requests after {checks}")],
        };
    };
    let batches = format!(
        "{all} of {from} are replaced by {to}, {} at a time, with at most {} more than {wanted} running; each \
         new one is sent requests after {checks}",
        rules.batch, rules.max_surge
    );
    let raised = format!(
        "{all} of {to} are started beside {from}; when all have passed {checks}, all requests go to them at once"
    );
    match rules.strategy {
        _ if rollback => vec![raised, format!("the instances of {from} are drained and stopped")],
        Strategy::Rolling => vec![batches],
        Strategy::BlueGreen => {
            let warm = rules.keep_warm;
            vec![raised, format!("the instances of {from} are kept running without requests for {warm}")]
        }
        Strategy::Canary => {
            let share = |percent: &u8| {
                let count = (wanted * usize::from(*percent)).div_ceil(100).max(1);
                let get = if count == 1 { "gets" } else { "get" };
                format!(
                    "{} of {to} {get} {percent} % of the requests for {} at least, and until {} are answered",
                    instances(count),
                    rules.hold,
                    rules.min_requests
                )
            };
            rules.steps.iter().map(share).chain([batches]).collect()
        }
    }
}

fn watch(rules: &DeployRules, to: &ReleaseId, from: &ReleaseId) -> Option<String> {
    (rules.watch_after > Millis(0)).then(|| {
        format!(
            "{to} is watched for {} after it serves in full: if it errs more or is slower than {from}, crashes or \
             turns sick, {from} is brought back",
            rules.watch_after
        )
    })
}
