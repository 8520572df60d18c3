//! What takes a release back: it errs more than the old one, crashes, never becomes healthy, or turns sick
//! once it is sent requests. What both releases suffer from at the same time is no fault of the new one.

use super::{is_judged, rules, staying_of};
use crate::bring_up::{database, release};
use crate::canary::{self, Side, Verdict};
use crate::planner::Planner;
use crate::sight::Standing;
use stoa_model::deployment::{Deployment, Phase};
use stoa_model::observed::{Exited, ProcessState};
use stoa_model::{InstanceId, Tier};

/// So many instances of the new release that ended by themselves are no accident.
const CRASHES: u32 = 2;
/// So many failures in a row to do what a deployment needs are no accident.
pub(super) const ATTEMPTS: u32 = 4;

/// Adds what both releases have answered since the last look.
pub(super) fn gather(plan: &mut Planner<'_>) {
    let Some(mut deployment) = plan.roster.deployment.take() else { return };
    if is_judged(plan, &deployment) && is_on_trial(plan, &deployment) {
        let sight = plan.sight();
        let report = |id| Some((id, sight.running(id)?.started, sight.report(id)?));
        let reports: Vec<_> = sight.known_of(Tier::Balancer).into_iter().filter_map(report).collect();
        let (from, to) = (deployment.from.as_ref(), Some(&deployment.to));
        // While all of them suffer, nobody's answers tell anything of a release.
        let shared = is_shared(plan, &deployment);
        let side = |id| match super::release_of(plan, id) {
            _ if shared => None,
            release if release == to => Some(Side::New),
            Some(release) if Some(release) == from => Some(Side::Old),
            _ => None,
        };
        canary::gather(&mut deployment.evidence, &reports, &side, plan.input.now);
    }
    plan.roster.deployment = Some(deployment);
}

/// Why the new release is to be taken back, where it is.
pub(super) fn find(plan: &mut Planner<'_>) -> Option<String> {
    let crashed = count_ends(plan);
    let deployment = plan.roster.deployment.as_ref()?;
    if deployment.from.is_none() || !is_on_trial(plan, deployment) {
        return None;
    }
    let worse = || {
        let serves = !matches!(deployment.phase, Phase::Raise) && is_judged(plan, deployment);
        match serves.then(|| canary::judge(&deployment.evidence, rules(plan)))? {
            Verdict::Worse(why) => Some(why),
            Verdict::TooFew | Verdict::Even => None,
        }
    };
    let sick = || {
        let mut all = staying_of(plan, &deployment.to).into_iter();
        all.find_map(|id| sick(plan, id)).filter(|_| !is_shared(plan, deployment))
    };
    let gone = || release::is_gone(plan, deployment);
    crashed.or_else(sick).or_else(worse).or_else(gone)
}

/// Whether what the new release does counts against it.
fn is_on_trial(plan: &Planner<'_>, deployment: &Deployment) -> bool {
    match deployment.phase {
        Phase::Raise | Phase::Canary { .. } | Phase::Roll => true,
        Phase::Watch => deployment.age(plan.input.now) < rules(plan).watch_after,
        Phase::Prepare | Phase::Done | Phase::Back(_) | Phase::Failed(_) => false,
    }
}

/// Counts each end of an instance of the new release once; says what the last was when they are too many.
fn count_ends(plan: &mut Planner<'_>) -> Option<String> {
    let mut deployment = plan.roster.deployment.take()?;
    let counts = is_on_trial(plan, &deployment) && !is_shared(plan, &deployment);
    let mut last = None;
    for id in staying_of(plan, &deployment.to) {
        let ProcessState::Exited(exited) = plan.sight().process(id) else { continue };
        // An end that nobody saw proves nothing: what crashes does so again before somebody's eyes.
        let new = deployment.evidence.ended.insert(id, exited.at) != Some(exited.at);
        if new && counts && exited.was_seen() {
            deployment.evidence.crashes += 1;
            last = Some((id, exited));
        }
    }
    let crashes = deployment.evidence.crashes;
    plan.roster.deployment = Some(deployment);
    last.filter(|_| crashes >= CRASHES).map(|(id, exited)| crashed(crashes, id, exited))
}

fn crashed(crashes: u32, id: InstanceId, exited: &Exited) -> String {
    let line = exited.last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
    format!("{crashes} of its instances ended by themselves, the last one {id}: {}{line}", exited.how)
}

/// What is wrong with one instance of the new release.
fn sick(plan: &Planner<'_>, id: InstanceId) -> Option<String> {
    let sight = plan.sight();
    if let ProcessState::Absent | ProcessState::Exited(_) = sight.process(id) {
        let failures = &sight.host(sight.host_of(id)?)?.failures;
        let start = |key: &stoa_model::StepKey| key.verb() == "start" && key.subject() == id.to_string();
        let (_, failure) = failures.iter().find(|(key, _)| start(key))?;
        return (failure.attempts >= ATTEMPTS).then(|| {
            format!("{id} could not be started, {} times in a row: {}", failure.attempts, failure.error)
        });
    }
    let running = sight.running(id)?;
    let limit = plan.spec(id)?.start_timeout();
    match sight.standing(id, running) {
        Standing::Unproven(Some(why)) if plan.input.now.since(running.started) > limit => {
            Some(format!("{id} did not become healthy within {limit} of its start: {why}"))
        }
        Standing::Failing(why) if plan.input.routes.names(id) => {
            Some(format!("{id} was healthy at first, was sent requests and fails its checks now: {why}"))
        }
        _ => None,
    }
}

/// Whether something ails that the old release suffers from as well.
fn is_shared(plan: &Planner<'_>, deployment: &Deployment) -> bool {
    let sight = plan.sight();
    let fails = |id: &InstanceId| {
        let failing = |running| matches!(sight.standing(*id, running), Standing::Failing(_));
        plan.input.routes.names(*id) && sight.running(*id).is_some_and(failing)
    };
    let old = deployment.from.as_ref().map(|from| staying_of(plan, from)).unwrap_or_default();
    !database::takes_writes(plan) || old.iter().any(fails)
}
