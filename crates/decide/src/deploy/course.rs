//! What a deployment would do, told in order before it is done.

use super::phase;
use crate::Input;
use crate::planner::Planner;
use stoa_model::deployment::{Deployment, Evidence, Phase};
use stoa_model::observed::ReleaseState;
use stoa_model::plan::TaskKind;
use stoa_model::site::{DeployRules, Strategy};
use stoa_model::{Millis, Tier};

/// What a deployment of the wanted release would do, a sentence each, in order.
pub fn course(input: &Input<'_>) -> Vec<String> {
    let to = &input.intent.release;
    let rules = &input.intent.site.deploy;
    let from = input.roster.live.clone();
    if from.as_ref() == Some(to) {
        return vec![format!("nothing: {to} serves already")];
    }
    let mut plan = Planner::new(input);
    let (number, kind) = (input.intent.deploy.number, input.intent.deploy.kind);
    plan.roster.deployment = Some(Deployment {
        number,
        kind,
        from: from.clone(),
        to: to.clone(),
        phase: Phase::Prepare,
        since: input.now,
        evidence: Evidence::default(),
    });
    let mut steps = Vec::new();
    let built = plan.sight().hosts().all(|(_, seen)| seen.releases.get(to) == Some(&ReleaseState::Built));
    steps.push(if built { format!("{to} is built already") } else { format!("build {to}") });
    let tasks = [(TaskKind::Before, &rules.before_deploy), (TaskKind::Migrate, &rules.migrate)];
    for (kind, command) in tasks {
        if let Some(command) = command {
            let words = command.words().join(" ");
            steps.push(format!("run {} once: {words}; where it fails, nothing else changes", kind.word()));
        }
    }
    let Some(deployment) = plan.roster.deployment.clone() else { return steps };
    let wanted = plan.wanted(Tier::App);
    let old = from.map_or_else(|| "nothing".to_owned(), |from| from.to_string());
    match phase::first_phase(&plan, &deployment) {
        _ if plan.app_kind().is_none() => steps.push(format!("nginx serves its files in the place of {old}")),
        Phase::Raise => {
            steps.push(format!("start {wanted} of it beside those of {old}, without requests"));
            steps.push(format!("switch all requests over once all {wanted} are healthy"));
        }
        Phase::Canary { .. } => steps.extend(canary(rules, &old)),
        _ => steps.push(rolling(rules, usize::from(wanted), &old)),
    }
    if let Some(command) = &rules.after_deploy {
        steps.push(format!("run after-deploy once: {}", command.words().join(" ")));
    }
    if super::is_judged(&plan, &deployment) && rules.watch_after > Millis(0) {
        steps.push(format!("watch it for {}, and bring {old} back if it is worse", rules.watch_after));
    }
    if super::keeps_warm(&plan, &deployment) && rules.strategy == Strategy::BlueGreen {
        steps.push(format!("keep {old} running for {}, then stop it", rules.keep_warm));
    }
    steps
}

fn canary(rules: &DeployRules, old: &str) -> Vec<String> {
    let step = |percent: &u8| {
        format!(
            "send {percent} % of the requests to it for {}, and bring {old} back if it is worse",
            rules.hold
        )
    };
    let last = format!("replace the rest of {old}");
    rules.steps.iter().map(step).chain([last]).collect()
}

fn rolling(rules: &DeployRules, wanted: usize, old: &str) -> String {
    let batch = usize::from(rules.batch).min(wanted.max(1));
    format!("replace {wanted} instances of {old}, {batch} at a time, each once its successor serves")
}
