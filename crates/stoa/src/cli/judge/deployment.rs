//! Whether a deployment that was asked for has come true. It judges itself while it is under way: here it is
//! only read when it is over, and how.

use super::stall::Stall;
use super::{Reason, SETTLED, Verdict, failed_deployment, over, served};
use crate::api::types::{DeploymentStatus, Status};
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::{DeployNumber, Millis};

/// Once the new release serves alone, what else of the site is not at rest is not waited for any longer
/// than this: it may be changing for another reason.
const REST: Millis = Millis::from_secs(30);

/// Which deployment, and until when it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its number.
    pub(crate) number: DeployNumber,
    /// Not before it is watched no longer.
    pub(crate) watch: bool,
}

/// Watches one deployment come true.
#[derive(Debug, Clone)]
pub(crate) struct DeployJudge {
    asked: Asked,
    settled: u8,
    over: Option<Millis>,
    served: bool,
    stall: Stall,
}

impl DeployJudge {
    /// For the deployment that was asked for.
    pub(crate) fn new(asked: Asked) -> Self {
        DeployJudge { asked, settled: 0, over: None, served: false, stall: Stall::default() }
    }

    /// A look at the site, `now` after the request.
    pub(crate) fn look(&mut self, status: &Status, now: Millis) -> Verdict {
        let deployment = status.deployment.as_ref().filter(|one| one.number >= self.asked.number);
        // The daemon has taken it, and not yet decided anew.
        let Some(deployment) = deployment else { return Verdict::Going };
        if deployment.number > self.asked.number {
            return Verdict::Stuck(overtaken(self.asked.number, deployment));
        }
        self.served |= served(deployment);
        if let Some(reason) = failed_deployment(status, deployment, self.served) {
            return Verdict::Stuck(reason);
        }
        if !over(&deployment.phase) || status.live.as_ref() != Some(&deployment.to) {
            (self.settled, self.over) = (0, None);
            let stalled = self.stall.look(status, now);
            return stalled.map_or(Verdict::Going, Verdict::Stuck);
        }
        let since = *self.over.get_or_insert(now);
        self.settled = if status.settled { self.settled + 1 } else { 0 };
        let rests = self.settled >= SETTLED || now.0.saturating_sub(since.0) >= REST.0;
        let watched = deployment.phase == Phase::Watch && deployment.left.is_some_and(|left| left.0 > 0);
        if rests && !(self.asked.watch && watched) { Verdict::Done } else { Verdict::Going }
    }
}

fn overtaken(number: DeployNumber, by: &DeploymentStatus) -> Reason {
    let how = match by.kind {
        DeployKind::Up => "`up`",
        DeployKind::Deploy => "a deployment",
        DeployKind::Rollback => "a rollback",
        DeployKind::Promote => "a promotion",
    };
    let who = if by.by.is_empty() { String::new() } else { format!(" of {}", by.by) };
    Reason {
        what: format!("overtaken by deployment {}{who}", by.number),
        why: format!("deployment {number} is no longer wanted: {how} to release {} was asked for", by.to),
        log: String::new(),
        lines: Vec::new(),
    }
}
