//! When a phase of a deployment is over, and which one follows.

use super::composition::canary_size;
use super::routing::{canary_in_force, passed};
use super::tasks::{self, Turn};
use super::{faults, is_judged, keeps_warm, rules, staying_of};
use crate::bring_up::release;
use crate::planner::Planner;
use stoa_model::deployment::{DeployKind, Deployment, Phase};
use stoa_model::plan::TaskKind;
use stoa_model::site::Strategy;
use stoa_model::{Millis, ReleaseId, Tier};

/// A canary that is seldom asked goes on after so many times its hold, however few its answers are.
const PATIENCE: u64 = 3;

/// Takes the deployment as far as what is seen allows.
pub(crate) fn advance(plan: &mut Planner<'_>) {
    faults::gather(plan);
    if let Some(why) = faults::find(plan) {
        enter(plan, Phase::Back(why));
    }
    while let Some(next) = next(plan) {
        enter(plan, next);
    }
}

fn enter(plan: &mut Planner<'_>, phase: Phase) {
    let now = plan.input.now;
    let Some(deployment) = &mut plan.roster.deployment else { return };
    match &phase {
        Phase::Watch => plan.roster.live = Some(deployment.to.clone()),
        Phase::Back(_) => plan.roster.live = deployment.from.clone(),
        _ => {}
    }
    (deployment.phase, deployment.since) = (phase, now);
}

/// The phase that follows the present one, where that is over.
fn next(plan: &mut Planner<'_>) -> Option<Phase> {
    let deployment = plan.roster.deployment.clone()?;
    let to = &deployment.to;
    match &deployment.phase {
        // The application was taken out of the site meanwhile: there is nothing to raise or to share.
        Phase::Raise | Phase::Canary { .. } if plan.app_kind().is_none() => Some(Phase::Roll),
        Phase::Prepare => prepared(plan, &deployment),
        Phase::Raise => {
            let all = staying_of(plan, to).into_iter().filter(|id| passed(plan, *id)).count();
            (all >= usize::from(plan.wanted(Tier::App))).then_some(Phase::Watch)
        }
        Phase::Canary { step } => canary_held(plan, &deployment, *step),
        Phase::Roll => (serves_in_full(plan, to) && !others_are_routed(plan, to)).then_some(Phase::Watch),
        Phase::Watch => {
            let hook = rules(plan).after_deploy.as_ref();
            let over = tasks::turn(plan, TaskKind::After, hook) != Turn::Pending;
            (over && deployment.age(plan.input.now) >= watched_for(plan, &deployment)).then_some(Phase::Done)
        }
        Phase::Back(why) => {
            let from = deployment.from.as_ref()?;
            let left = plan.roster.instances.values().any(|place| place.release.as_ref() == Some(to));
            (serves_in_full(plan, from) && !left).then(|| Phase::Failed(why.clone()))
        }
        Phase::Done | Phase::Failed(_) => None,
    }
}

fn prepared(plan: &mut Planner<'_>, deployment: &Deployment) -> Option<Phase> {
    if let Some(why) = release::build_failed(plan, deployment) {
        return Some(Phase::Failed(why));
    }
    if !release::is_built(plan, &deployment.to) {
        return None;
    }
    let rules = rules(plan);
    for (kind, command) in
        [(TaskKind::Before, rules.before_deploy.as_ref()), (TaskKind::Migrate, rules.migrate.as_ref())]
    {
        match tasks::turn(plan, kind, command) {
            Turn::Over => {}
            Turn::Pending => return None,
            Turn::Failed(why) => return Some(Phase::Failed(why)),
        }
    }
    Some(first_phase(plan, deployment))
}

/// By which phase the new release comes in.
fn first_phase(plan: &Planner<'_>, deployment: &Deployment) -> Phase {
    match (rules(plan).strategy, deployment.kind) {
        // Nothing serves yet, or nothing is started: there is nothing to be careful with.
        _ if deployment.from.is_none() || plan.app_kind().is_none() => Phase::Roll,
        (_, DeployKind::Rollback) | (Strategy::BlueGreen, _) => Phase::Raise,
        (Strategy::Canary, _) => Phase::Canary { step: 0 },
        (Strategy::Rolling, _) => Phase::Roll,
    }
}

/// The hold counts from the moment at which the step's share was first sent.
fn canary_held(plan: &Planner<'_>, deployment: &Deployment, step: usize) -> Option<Phase> {
    let Some(percent) = rules(plan).steps.get(step).copied() else { return Some(Phase::Roll) };
    // A canary that was scaled up must have all of its instances again before it grows.
    let size = canary_size(plan, step)?;
    if canary_in_force(plan, &deployment.to) != Some(percent) || serving(plan, &deployment.to) < size {
        return None;
    }
    let (age, hold) = (deployment.age(plan.input.now), rules(plan).hold);
    let answered = deployment.evidence.new.requests >= rules(plan).min_requests;
    let over = age >= hold && (answered || age.0 >= hold.0.saturating_mul(PATIENCE));
    over.then(|| match rules(plan).steps.get(step + 1) {
        Some(_) => Phase::Canary { step: step + 1 },
        None => Phase::Roll,
    })
}

/// Whether as many instances of `release` serve as are wanted.
fn serves_in_full(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    if plan.app_kind().is_none() {
        return release::is_built(plan, release);
    }
    serving(plan, release) >= usize::from(plan.wanted(Tier::App))
}

/// How many instances of a release serve.
pub(super) fn serving(plan: &Planner<'_>, release: &ReleaseId) -> usize {
    staying_of(plan, release).into_iter().filter(|id| plan.sight().serves(*id)).count()
}

fn others_are_routed(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    let of_it = |id| super::release_of(plan, id) == Some(release);
    plan.input.routes.app.iter().any(|route| !of_it(route.instance))
}

/// How long it is in the phase `Watch`.
fn watched_for(plan: &Planner<'_>, deployment: &Deployment) -> Millis {
    let judged = if is_judged(plan, deployment) { rules(plan).watch_after } else { Millis(0) };
    if keeps_warm(plan, deployment) { judged.max(rules(plan).keep_warm) } else { judged }
}
