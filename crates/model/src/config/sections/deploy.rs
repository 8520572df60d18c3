//! `[deploy]`: how one release follows another. Keys of another strategy than the chosen one are read and
//! checked and have no effect: a strategy can be tried, by an environment too, without losing what was
//! tuned for the other.

use super::super::reader::{Section, choice, count, measure, text};
use super::super::{refuse, units};
use super::Kind;
use super::variables::{self, Variables};
use crate::site::{CommandLine, DeployRules, Strategy};
use toml::de::DeValue;

/// A canary of more steps is no longer one.
const STEPS_MAX: usize = 10;

/// The whole table.
pub(super) fn deploy(deploy: &mut Section<'_, '_>, kind: Kind, variables: &Variables) -> DeployRules {
    let strategies =
        [("rolling", Strategy::Rolling), ("blue-green", Strategy::BlueGreen), ("canary", Strategy::Canary)];
    let usual = DeployRules::default();
    let strategy = deploy.read("strategy", |value| choice(value, &strategies)).unwrap_or(usual.strategy);
    let batch = deploy.read("batch", |value| count(value, 1..=100)).unwrap_or(usual.batch);
    let max_surge = deploy.read("max_surge", |value| count(value, 1..=100)).unwrap_or(batch);
    if max_surge < batch {
        let reason = format!("a batch of {batch} does not fit beside what serves");
        deploy.complain("max_surge", refuse(reason, format!("write {batch} or more, or a smaller batch")));
    }
    let mut span =
        |key, usual| deploy.read(key, |value| units::timeout(measure(value, "60s")?)).unwrap_or(usual);
    let (hold, task_timeout) = (span("hold", usual.hold), span("task_timeout", usual.task_timeout));
    let mut span = |key, usual| {
        deploy.read(key, |value| units::timeout_or_none(measure(value, "60s")?)).unwrap_or(usual)
    };
    let (keep_warm, watch_after) =
        (span("keep_warm", usual.keep_warm), span("watch_after", usual.watch_after));
    let rules = DeployRules {
        strategy,
        batch,
        max_surge,
        checks: deploy.read("checks", |value| count(value, 1..=20)).unwrap_or(usual.checks),
        steps: steps(deploy).unwrap_or(usual.steps),
        hold,
        keep_warm,
        watch_after,
        min_requests: deploy
            .read("min_requests", |value| count(value, 1..=1_000_000))
            .unwrap_or(usual.min_requests),
        keep_releases: deploy
            .read("keep_releases", |value| count(value, 1..=100))
            .unwrap_or(usual.keep_releases),
        migrate: task(deploy, "migrate", variables),
        before_deploy: task(deploy, "before_deploy", variables),
        after_deploy: task(deploy, "after_deploy", variables),
        task_timeout,
    };
    if kind == Kind::Static {
        check_static(deploy, strategy);
    }
    rules
}

/// The percentages of a canary, each larger than the one before.
fn steps(deploy: &mut Section<'_, '_>) -> Option<Vec<u8>> {
    let fix = "write 1 to 10 percentages, such as [5, 25, 50]";
    deploy.read("steps", |value| match value {
        DeValue::Array(steps) if steps.is_empty() => {
            Err(refuse("a canary without a step never gets a request", fix))
        }
        DeValue::Array(steps) if steps.len() > STEPS_MAX => {
            Err(refuse(format!("it has {} steps", steps.len()), fix))
        }
        _ => Ok(()),
    })?;
    let written = deploy.list("steps", |value| count(value, 1..=99))?;
    let mut steps: Vec<u8> = Vec::new();
    for step in written {
        let (place, step) = (step.span(), step.into_inner());
        match steps.last() {
            Some(last) if *last >= step => {
                let fix = "write them in growing order, such as [5, 25, 50]";
                deploy.complain_at("steps", place, refuse(format!("it is not above {last} before it"), fix));
            }
            _ => steps.push(step),
        }
    }
    Some(steps)
}

fn task(deploy: &mut Section<'_, '_>, key: &'static str, variables: &Variables) -> Option<CommandLine> {
    deploy.read(key, |value| {
        let command = CommandLine::parse(text(value)?)?;
        variables.check(&command, &variables::OF_A_TASK)?;
        Ok(command)
    })
}

/// What would be read over in silence: a link is swapped, and nothing of the release is ever run.
fn check_static(deploy: &mut Section<'_, '_>, strategy: Strategy) {
    if strategy != Strategy::Rolling {
        let reason = "a site of static files has no instances of a release: all of it goes live at once";
        deploy.complain("strategy", refuse(reason, "take this line out"));
    }
    for key in ["migrate", "before_deploy", "after_deploy"] {
        if deploy.has(key) {
            let fix = "take this line out; [app] build runs commands in each release";
            deploy.complain(key, refuse("a site of static files has no application to run it as", fix));
        }
    }
}
