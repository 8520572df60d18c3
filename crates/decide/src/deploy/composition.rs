//! How many instances of which release there are to be in each phase. Arithmetic only.

use super::{keeps_warm, rules, staying_of, target};
use crate::planner::Planner;
use crate::replace::{Group, Of};
use stoa_model::deployment::Phase;
use stoa_model::{InstanceId, ReleaseId, Tier};

/// The groups of application instances, each with the release that it is to run and its count.
pub(crate) fn groups(plan: &Planner<'_>) -> Vec<Group> {
    let wanted = usize::from(plan.wanted(Tier::App));
    let target = target(plan);
    let Some(deployment) = &plan.roster.deployment else { return Vec::new() };
    let main = |of| Group {
        of,
        target: target.clone(),
        wanted,
        batch: usize::from(rules(plan).batch),
        surge: usize::from(rules(plan).max_surge),
    };
    let at_once = |release: &ReleaseId, wanted| Group {
        of: Of::Release(release.clone()),
        target: Some(release.clone()),
        wanted,
        batch: wanted,
        surge: wanted,
    };
    let to = &deployment.to;
    match &deployment.phase {
        Phase::Raise => vec![main(Of::Except(to.clone())), at_once(to, wanted)],
        Phase::Canary { step } => {
            let new = canary_size(plan, *step).unwrap_or(1);
            vec![main(Of::Except(to.clone())), at_once(to, new)]
        }
        Phase::Watch if keeps_warm(plan, deployment) => match &deployment.from {
            // What dies of them is started again, but none is added.
            Some(from) => {
                let warm = warm(plan, from).min(wanted);
                vec![main(Of::Except(from.clone())), at_once(from, warm)]
            }
            None => vec![main(Of::All)],
        },
        // As fast as it can be done: what visitors lose meanwhile is worse than a full machine.
        Phase::Back(_) => vec![Group { batch: wanted, surge: wanted, ..main(Of::All) }],
        _ => vec![main(Of::All)],
    }
}

/// How many of the old instances could serve at once if the switch were turned back: those that run as
/// something else than they should by now are not worth keeping.
fn warm(plan: &Planner<'_>, from: &ReleaseId) -> usize {
    // One that is sent requests stands in for a new one that died: it is needed as it is.
    let worth = |id: &InstanceId| !plan.runs_outdated(*id) || plan.input.routes.names(*id);
    staying_of(plan, from).into_iter().filter(worth).count()
}

/// How many instances of the new release a step of the canary needs; none past the last step.
pub(super) fn canary_size(plan: &Planner<'_>, step: usize) -> Option<usize> {
    let percent = usize::from(*rules(plan).steps.get(step)?);
    let wanted = usize::from(plan.wanted(Tier::App));
    Some((wanted * percent).div_ceil(100).max(1).min(wanted))
}
