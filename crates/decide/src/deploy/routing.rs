//! Which of the instances that may be sent requests are sent them, by the phase of the deployment.
//!
//! Health has been looked at before: here a release is preferred, never a sick instance chosen. Nothing that
//! serves is given up before as many others are certain to.

use super::composition::canary_size;
use super::{release_of, rules};
use crate::planner::{Planner, times};
use crate::sight::Standing;
use std::collections::BTreeSet;
use stoa_model::deployment::Phase;
use stoa_model::observed::{Health, Running};
use stoa_model::routes::{Canary, Route};
use stoa_model::{InstanceId, ReleaseId, Tier};

/// An application instance that may be sent requests.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) route: Route,
    /// Its last check passed.
    pub(crate) sure: bool,
    /// The routes in force name it.
    pub(crate) before: bool,
}

/// Whether an instance that is sent nothing yet may be; else what is waited for. One that fails is no
/// better for more checks: it is a last resort as it is.
pub(crate) fn may_be_sent_requests(
    plan: &Planner<'_>,
    running: &Running,
    standing: Standing<'_>,
) -> Result<(), String> {
    let asked = rules(plan).checks;
    match running.health {
        Health::Healthy { passes, .. } if passes >= asked => {}
        Health::Healthy { passes, .. } => {
            return Err(format!("its check has passed {}; {passes} so far", times(asked)));
        }
        _ if matches!(standing, Standing::Failing(_)) => {}
        _ => return Err(format!("its check has passed {}", times(asked))),
    }
    match &running.release {
        Some(release) if !is_published(plan, release) => {
            Err(format!("nginx looks for static files in {release}, so that its pages find theirs"))
        }
        _ => Ok(()),
    }
}

/// Whether every host finds the static files of a release.
fn is_published(plan: &Planner<'_>, release: &ReleaseId) -> bool {
    plan.sight().hosts().all(|(_, seen)| seen.static_roots.contains(release))
}

/// Whether an instance is healthy and is sent requests, or might be from now on.
pub(super) fn passed(plan: &Planner<'_>, id: InstanceId) -> bool {
    let Some(running) = plan.sight().running(id).filter(|running| !running.stopping) else { return false };
    let same = |route: &&Route| route.instance == id && route.started == running.started;
    let healthy = matches!(running.health, Health::Healthy { .. });
    let routed = plan.input.routes.app.iter().any(|route| same(&route));
    healthy && (routed || may_be_sent_requests(plan, running, Standing::Healthy).is_ok())
}

/// The share of the requests that a release is sent by the routes in force, as a canary.
pub(super) fn canary_in_force(plan: &Planner<'_>, release: &ReleaseId) -> Option<u8> {
    let canary = plan.input.routes.canary.as_ref()?;
    (canary.release == *release).then_some(canary.percent)
}

/// Whom the application's requests are sent to.
pub(crate) fn choose(plan: &mut Planner<'_>, all: &[Candidate]) -> (Vec<Route>, Option<Canary>) {
    let Some(deployment) = plan.roster.deployment.clone() else { return (routes(all, |_| true), None) };
    let (from, to) = (deployment.from.as_ref(), &deployment.to);
    match deployment.phase {
        Phase::Roll => (routes(all, |_| true), None),
        Phase::Canary { step } => share(plan, all, from, to, step),
        Phase::Watch | Phase::Done => (prefer(plan, all, Some(to)), None),
        Phase::Prepare | Phase::Raise | Phase::Back(_) | Phase::Failed(_) => (prefer(plan, all, from), None),
    }
}

fn routes(all: &[Candidate], chosen: impl Fn(&Candidate) -> bool) -> Vec<Route> {
    all.iter().filter(|candidate| chosen(candidate)).map(|candidate| candidate.route.clone()).collect()
}

/// Those of a release, and of the others so many of those that serve now as are missing.
fn prefer(plan: &Planner<'_>, all: &[Candidate], release: Option<&ReleaseId>) -> Vec<Route> {
    let wanted = usize::from(plan.wanted(Tier::App));
    let is_of = |c: &Candidate| release.is_some() && runs(plan, &c.route) == release;
    let sure = all.iter().filter(|c| c.sure && is_of(c)).count();
    let missing = wanted.saturating_sub(sure);
    let mut others: Vec<_> = all.iter().filter(|c| c.before && !is_of(c)).collect();
    others.sort_by_key(|c| !c.sure);
    if others.iter().filter(|c| c.sure).count() >= missing {
        others.truncate(missing);
    }
    let kept: BTreeSet<_> = others.into_iter().map(|c| c.route.instance).collect();
    let chosen = routes(all, |c| is_of(c) || kept.contains(&c.route.instance));
    // Something proven is better than nothing.
    if chosen.is_empty() { routes(all, |_| true) } else { chosen }
}

/// The release that a route leads to; routes of an earlier version of Stoa do not tell.
fn runs<'p>(plan: &'p Planner<'_>, route: &'p Route) -> Option<&'p ReleaseId> {
    route.release.as_ref().or_else(|| release_of(plan, route.instance))
}

/// The new release gets its share once all of the step's instances may be sent requests; until then it
/// keeps the share that it has.
fn share(
    plan: &mut Planner<'_>,
    all: &[Candidate],
    from: Option<&ReleaseId>,
    to: &ReleaseId,
    step: usize,
) -> (Vec<Route>, Option<Canary>) {
    let (new, old): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|c| runs(plan, &c.route) == Some(to));
    let ready = canary_size(plan, step).is_some_and(|size| new.len() >= size);
    let in_force = canary_in_force(plan, to);
    let due = rules(plan).steps.get(step).copied().filter(|_| ready);
    let Some(percent) = due.or(in_force).filter(|_| !new.is_empty()) else {
        return (prefer(plan, all, from), None);
    };
    if due.is_some()
        && due != in_force
        && let Some(deployment) = &mut plan.roster.deployment
    {
        // The hold counts from the moment at which the share is first sent.
        deployment.since = plan.input.now;
    }
    let chosen: BTreeSet<_> = if old.is_empty() { Vec::new() } else { prefer(plan, &old, from) }
        .into_iter()
        .chain(new.into_iter().map(|c| c.route))
        .map(|route| route.instance)
        .collect();
    let canary = Canary { release: to.clone(), percent };
    (routes(all, |c| chosen.contains(&c.route.instance)), Some(canary))
}
