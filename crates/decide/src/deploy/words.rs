//! What people are told of a deployment that is under way.

use super::composition::canary_size;
use super::routing::{canary_in_force, passed};
use super::{rules, staying_of};
use crate::planner::Planner;
use stoa_model::Tier;
use stoa_model::deployment::{Deployment, Phase};
use stoa_model::plan::WaitKind;

/// Says how far the deployment is, where it is under way. One that is over or only watched says nothing:
/// the site is at rest.
pub(crate) fn say(plan: &mut Planner<'_>) {
    let Some(deployment) = plan.roster.deployment.clone() else { return };
    let to = deployment.to.clone();
    let wanted = usize::from(plan.wanted(Tier::App));
    let staying = staying_of(plan, &to);
    let serving = staying.iter().filter(|id| plan.sight().serves(**id)).count();
    let until = match &deployment.phase {
        // The build and the tasks speak for themselves.
        Phase::Prepare | Phase::Watch | Phase::Done | Phase::Failed(_) => return,
        Phase::Raise => {
            let ready = staying.iter().filter(|id| passed(plan, **id)).count();
            format!(
                "all {wanted} of its instances are healthy ({ready} are), then it takes over in one switch"
            )
        }
        Phase::Canary { step } => canary(plan, &deployment, *step),
        Phase::Roll => format!("{wanted} of its instances serve ({serving} do)"),
        Phase::Back(why) => {
            let from = deployment.from.as_ref().map_or_else(String::new, ToString::to_string);
            format!("{from} serves in its place again: {why}")
        }
    };
    plan.wait(WaitKind::Progress, to, until);
}

fn canary(plan: &Planner<'_>, deployment: &Deployment, step: usize) -> String {
    let rules = rules(plan);
    let percent = rules.steps.get(step).copied().unwrap_or(100);
    if canary_in_force(plan, &deployment.to) != Some(percent) {
        let size = canary_size(plan, step).unwrap_or(1);
        let plural = if size == 1 { "instance is" } else { "instances are" };
        return format!("{size} {plural} healthy, to be sent {percent} % of the requests");
    }
    let (age, answers) = (deployment.age(plan.input.now), deployment.evidence.new.requests);
    let few = if answers < rules.min_requests {
        format!("; {answers} answers, {} are needed to judge it", rules.min_requests)
    } else {
        format!("; {answers} answers, {} of them errors", deployment.evidence.new.errors)
    };
    format!("the canary at {percent} % is held for {} ({age} so far{few})", rules.hold)
}
