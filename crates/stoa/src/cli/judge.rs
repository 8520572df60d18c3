//! Whether what was asked for has come true, still may, or cannot without the user. Pure: time is an
//! argument.

mod deployment;
mod stall;

pub(crate) use deployment::{Asked, DeployJudge};

use crate::api::types::{BuildStatus, DeploymentStatus, InstanceState, InstanceStatus, Status};
use stall::Stall;
use stoa_model::deployment::Phase;
use stoa_model::plan::WaitKind;
use stoa_model::{DeployNumber, Millis, ReleaseId, Tier};

/// An instance that ended this often in a row is not expected to mend itself.
const CRASHES: u32 = 3;
/// A settled status has to be seen this often in a row: the first may be older than what was asked.
const SETTLED: u8 = 2;
/// How much earlier than its time-out an instance is given up, at most: the daemon ends it at the time-out
/// itself, and two looks are less than this apart.
const EARLIER: Millis = Millis(300);

/// A deployment that was over before a request may be what is told of for this long after it.
const OLDER: Millis = Millis::from_secs(3);

/// Watches one request come true.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    release: Option<ReleaseId>,
    /// The last deployment before the request.
    before: Option<DeployNumber>,
    start_timeout: Option<Millis>,
    settled: u8,
    /// Visitors were answered by the new release.
    served: bool,
    stall: Stall,
}

/// What a look says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may still come.
    Going,
    /// It has come true.
    Done,
    /// It does not come without the user.
    Stuck(Reason),
}

/// Why it does not come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Reason {
    /// What.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// Whose log tells more: an instance, `build`, `deploy` or `daemon`.
    pub(crate) log: String,
    /// The last lines it printed.
    pub(crate) lines: Vec<String>,
}

impl Judge {
    /// For a request about no release.
    pub(crate) fn of_change() -> Self {
        let stall = Stall::default();
        Judge { release: None, before: None, start_timeout: None, settled: 0, served: false, stall }
    }

    /// For an `up` after which `release` should serve. `before` is the last deployment that was known
    /// before it.
    pub(crate) fn of_up(
        release: ReleaseId,
        before: Option<DeployNumber>,
        start_timeout: Option<Millis>,
    ) -> Self {
        Judge { release: Some(release), before, start_timeout, ..Judge::of_change() }
    }

    /// A look at the site, `now` after the request.
    pub(crate) fn look(&mut self, status: &Status, now: Millis) -> Verdict {
        if self.release.as_ref().is_some_and(|release| *release != status.release) {
            return Verdict::Going;
        }
        let deployment = self.own(status, now);
        self.served |= deployment.is_some_and(served);
        if let Some(reason) = deployment.and_then(|one| failed_deployment(status, one, self.served)) {
            return Verdict::Stuck(reason);
        }
        let serves = deployment.is_none_or(|deployment| status.live.as_ref() == Some(&deployment.to));
        let settled = status.settled && serves;
        self.settled = if settled { self.settled + 1 } else { 0 };
        if self.settled >= SETTLED {
            return Verdict::Done;
        }
        if settled {
            return Verdict::Going;
        }
        let reason = failed_build(status);
        // While another release serves, what is wrong with the new one is the deployment's to judge.
        let alone = deployment.is_none_or(|deployment| deployment.from.is_none() || over(&deployment.phase));
        let reason = reason.or_else(|| self.failed_instance(status).filter(|_| alone));
        let reason = reason.or_else(|| stuck(status).filter(|_| alone));
        match reason.or_else(|| self.stall.look(status, now)) {
            Some(reason) => Verdict::Stuck(reason),
            None => Verdict::Going,
        }
    }

    /// The deployment that carries out the request: of its release, and younger than the request.
    fn own<'a>(&self, status: &'a Status, now: Millis) -> Option<&'a DeploymentStatus> {
        let deployment = status.deployment.as_ref().filter(|one| self.release.as_ref() == Some(&one.to))?;
        let younger = self.before.is_none_or(|before| deployment.number > before);
        (younger || now >= OLDER).then_some(deployment)
    }

    fn failed_instance(&self, status: &Status) -> Option<Reason> {
        let instances = status.tiers.iter().flat_map(|tier| &tier.instances);
        instances.into_iter().find_map(|one| crash_loop(one).or_else(|| self.never_healthy(one)))
    }

    fn never_healthy(&self, instance: &InstanceStatus) -> Option<Reason> {
        let limit = self.start_timeout.filter(|_| instance.id.tier == Tier::App)?;
        let late = instance.uptime? >= Millis(limit.0 - EARLIER.0.min(limit.0 / 4));
        (late && instance.state == InstanceState::Starting).then(|| Reason {
            what: format!("{} did not get healthy within {limit}", instance.id),
            why: instance.note.clone().unwrap_or_else(|| "it gave no answer to its health check".to_owned()),
            log: instance.id.to_string(),
            lines: instance.last_lines.clone(),
        })
    }
}

/// Whether nothing of a deployment is left to do but to watch.
fn over(phase: &Phase) -> bool {
    matches!(phase, Phase::Watch | Phase::Done | Phase::Failed(_))
}

/// Whether visitors are or were answered by the new release.
fn served(deployment: &DeploymentStatus) -> bool {
    deployment.percent > 0 || deployment.new.0 > 0
}

/// What a deployment failed of, where it did. `served`: visitors were answered by the new release.
fn failed_deployment(status: &Status, deployment: &DeploymentStatus, served: bool) -> Option<Reason> {
    let Phase::Failed(why) = &deployment.phase else { return None };
    if let Some(build) = failed_build(status).filter(|_| status.release == deployment.to) {
        return Some(build);
    }
    let how = if served { "was taken back" } else { "is not deployed" };
    Some(Reason {
        what: format!("release {} {how}", deployment.to),
        why: why.clone(),
        log: "deploy".to_owned(),
        lines: Vec::new(),
    })
}

fn failed_build(status: &Status) -> Option<Reason> {
    let BuildStatus::Failed { why, last_lines } = &status.build else { return None };
    Some(Reason {
        what: format!("release {} could not be built", status.release),
        why: why.clone(),
        log: "build".to_owned(),
        lines: last_lines.clone(),
    })
}

fn crash_loop(instance: &InstanceStatus) -> Option<Reason> {
    let down = !matches!(instance.state, InstanceState::Serving | InstanceState::Retiring);
    (down && instance.crashes >= CRASHES).then(|| Reason {
        what: format!("{} ended {} times in a row", instance.id, instance.crashes),
        why: instance.note.clone().unwrap_or_else(|| "it does not stay up".to_owned()),
        log: instance.id.to_string(),
        lines: instance.last_lines.clone(),
    })
}

fn stuck(status: &Status) -> Option<Reason> {
    let waiting = status.waiting.iter().find(|waiting| waiting.kind == WaitKind::Stuck)?;
    let instance = status.tiers.iter().flat_map(|tier| &tier.instances);
    let instance = instance.into_iter().find(|one| one.id.to_string() == waiting.subject);
    Some(Reason {
        what: format!("{} is stuck", waiting.subject),
        why: format!("it waits until {}", waiting.until),
        log: instance.map_or("daemon".to_owned(), |one| one.id.to_string()),
        lines: instance.map(|one| one.last_lines.clone()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
