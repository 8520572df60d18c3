//! A deployment: from the order of another release to the moment at which exactly one release serves.
//!
//! This file says what is to run in each phase; its parts say when a phase is over (`phase`), what takes a
//! release back (`faults`), which instances are routed to (`routing`), how many of which release there are
//! (`composition`), what is run once (`tasks`) and what people are told (`words`).
//!
//! | phase | runs | is sent requests | ends when |
//! |---|---|---|---|
//! | `Prepare` | the old one | the old one | the new one is built and its tasks have run |
//! | `Raise` | all old, all new | the old one | all new ones have passed their checks: one switch |
//! | `Canary` | all old, some new | the new one its share, the old one the rest | the last step was held |
//! | `Roll` | a mixture, a batch at a time | both | the new one serves in full |
//! | `Watch` | the new one, the old one warm | the new one | it was watched for long enough |
//! | `Back` | the old one is brought back | the old one, the new one for as long as it must | the old one serves alone |
//!
//! All memory of it is in `roster.deployment`, stored before anything is done, so that a deployment that is
//! interrupted anywhere goes on from where it was. It never stops an instance and never starts one: it
//! only says which should be there.

mod composition;
mod course;
mod faults;
mod phase;
mod routing;
mod tasks;
mod words;

pub(crate) use composition::groups;
pub use course::course;
pub(crate) use phase::advance;
pub(crate) use routing::{Candidate, choose, may_be_sent_requests};
pub(crate) use words::say;

use crate::planner::Planner;
use stoa_model::deployment::{DeployKind, Deployment, Evidence, Phase};
use stoa_model::observed::ProcessState;
use stoa_model::site::{DeployRules, Strategy};
use stoa_model::{InstanceId, ReleaseId, Tier};

/// Begins the deployment that was ordered, where it has not begun.
pub(crate) fn begin(plan: &mut Planner<'_>) {
    let (intent, now) = (plan.input.intent, plan.input.now);
    if let Some(deployment) = &mut plan.roster.deployment
        && (deployment.number, &deployment.to) == (intent.deploy.number, &intent.release)
    {
        // Another boot has another clock.
        deployment.since = deployment.since.min(now);
        return;
    }
    let from = plan.roster.live.clone();
    let to = intent.release.clone();
    let phase = if from.as_ref() == Some(&to) { Phase::Done } else { Phase::Prepare };
    let (number, kind) = (intent.deploy.number, intent.deploy.kind);
    let evidence = Evidence { ended: ends(plan), ..Evidence::default() };
    plan.roster.deployment = Some(Deployment { number, kind, from, to, phase, since: now, evidence });
}

/// When each instance of the application that has ended was seen to have.
fn ends(plan: &Planner<'_>) -> std::collections::BTreeMap<InstanceId, stoa_model::Time> {
    let sight = plan.sight();
    let ended = |id| match sight.process(id) {
        ProcessState::Exited(exited) => Some((id, exited.at)),
        _ => None,
    };
    sight.known_of(Tier::App).into_iter().filter_map(ended).collect()
}

/// An instance that is to run the new release from now on has not run it when it ended: that end is no
/// fault of it.
pub(crate) fn overlook_earlier_ends(plan: &mut Planner<'_>) {
    let ends = ends(plan);
    let before = &plan.input.roster.instances;
    let Some(deployment) = &mut plan.roster.deployment else { return };
    let to = Some(&deployment.to);
    for (id, at) in ends {
        let runs_it = |places: &std::collections::BTreeMap<InstanceId, stoa_model::roster::Assignment>| {
            places.get(&id).is_some_and(|place| place.release.as_ref() == to)
        };
        if runs_it(&plan.roster.instances) && !runs_it(before) {
            deployment.evidence.ended.insert(id, at);
        }
    }
}

/// The release that an instance without one of its own is to run: none before there is one.
pub(crate) fn target(plan: &Planner<'_>) -> Option<ReleaseId> {
    let deployment = plan.roster.deployment.as_ref()?;
    match deployment.phase {
        Phase::Roll | Phase::Watch | Phase::Done => Some(deployment.to.clone()),
        Phase::Prepare | Phase::Raise | Phase::Canary { .. } | Phase::Back(_) | Phase::Failed(_) => {
            deployment.from.clone()
        }
    }
}

/// The rules by which releases follow one another.
fn rules<'a>(plan: &Planner<'a>) -> &'a DeployRules {
    &plan.input.intent.site.deploy
}

/// The instances of a release that are not retiring.
fn staying_of(plan: &Planner<'_>, release: &ReleaseId) -> Vec<InstanceId> {
    let mut all = plan.staying(Tier::App);
    all.retain(|id| release_of(plan, *id) == Some(release));
    all
}

fn release_of<'p>(plan: &'p Planner<'_>, id: InstanceId) -> Option<&'p ReleaseId> {
    plan.roster.instances.get(&id)?.release.as_ref()
}

/// Whether the old release's instances are kept running beside the new ones that serve.
fn keeps_warm(plan: &Planner<'_>, deployment: &Deployment) -> bool {
    rules(plan).strategy == Strategy::BlueGreen && is_judged(plan, deployment)
}

/// Whether the new release is compared with an old one: a release that served before is not judged, and
/// where nothing served before there is nothing to compare with.
fn is_judged(plan: &Planner<'_>, deployment: &Deployment) -> bool {
    deployment.kind != DeployKind::Rollback && deployment.from.is_some() && plan.app_kind().is_some()
}
