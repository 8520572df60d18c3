//! What people are told of a deployment while it is under way: whose turn it is and until when. A release
//! that is only watched has nothing to wait for.

use super::composition::canary_size;
use super::phase::serving;
use super::routing::{canary_in_force, passed};
use super::{rules, staying_of};
use crate::planner::Planner;
use stoa_model::deployment::{Deployment, Phase};
use stoa_model::plan::WaitKind;
use stoa_model::{ReleaseId, Tier};

/// Says where the deployment is.
pub(crate) fn say(plan: &mut Planner<'_>) {
    let Some(deployment) = plan.roster.deployment.clone() else { return };
    if plan.app_kind().is_none() {
        return;
    }
    let to = &deployment.to;
    let wanted = usize::from(plan.wanted(Tier::App));
    let until = match &deployment.phase {
        Phase::Raise => {
            let ready = passing(plan, to);
            format!(
                "{} beside the old ones, then all requests go to it at once ({ready} so far)",
                pass(plan, wanted)
            )
        }
        Phase::Canary { step } => canary(plan, &deployment, *step),
        Phase::Roll => {
            let serve = serving(plan, to).min(wanted);
            format!("it serves in full: {serve} of {} so far", instances(wanted))
        }
        Phase::Back(why) => match &deployment.from {
            Some(from) => {
                let serve = serving(plan, from).min(wanted);
                format!(
                    "it is taken back: {why}; {from} serves alone then, {serve} of {} so far",
                    instances(wanted)
                )
            }
            None => return,
        },
        Phase::Prepare | Phase::Watch | Phase::Done | Phase::Failed(_) => return,
    };
    plan.wait(WaitKind::Progress, to, until);
}

fn canary(plan: &Planner<'_>, deployment: &Deployment, step: usize) -> String {
    let (rules, to) = (rules(plan), &deployment.to);
    let percent = rules.steps.get(step).copied().unwrap_or_default();
    let size = canary_size(plan, step).unwrap_or(1);
    // By the plan that is being made: that is what will be in force when this is read.
    let share = plan.routes.canary.as_ref().filter(|canary| canary.release == *to).map(|c| c.percent);
    if share != Some(percent) {
        let ready = passing(plan, to);
        let until = format!("{}, then it gets {percent} % of the requests", pass(plan, size));
        return match (ready, canary_in_force(plan, to)) {
            (0, _) => until,
            (ready, None) => format!("{until} ({ready} so far)"),
            (ready, Some(now)) => format!("{until} ({ready} so far, and it gets {now} % until then)"),
        };
    }
    let (age, answers) = (deployment.age(plan.input.now), deployment.evidence.new.requests);
    let whole_seconds = stoa_model::Millis::from_secs(age.0 / 1000);
    let hold = rules.hold;
    let judged = match rules.min_requests {
        fewest if answers >= fewest => format!("{answers} answers"),
        fewest => format!("{answers} answers, {fewest} are needed"),
    };
    format!("the canary at {percent} % is held for {hold} ({whole_seconds} so far; {judged})")
}

fn passing(plan: &Planner<'_>, release: &ReleaseId) -> usize {
    staying_of(plan, release).into_iter().filter(|id| passed(plan, *id)).count()
}

/// "2 instances have passed 2 checks in a row".
fn pass(plan: &Planner<'_>, count: usize) -> String {
    let have = if count == 1 { "has" } else { "have" };
    match rules(plan).checks {
        1 => format!("{} {have} passed a check", instances(count)),
        checks => format!("{} {have} passed {checks} checks in a row", instances(count)),
    }
}

/// "1 instance", "3 instances".
pub(super) fn instances(count: usize) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}
