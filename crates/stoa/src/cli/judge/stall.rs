//! Trouble that does not pass by itself.

use super::Reason;
use crate::api::types::{BuildStatus, Status};
use stoa_model::deployment::Phase;
use stoa_model::plan::WaitKind;
use stoa_model::{DeployNumber, Millis, Tier};

/// Trouble that nothing has changed about for this long is not expected to pass.
const STALLED: Millis = Millis::from_secs(60);

/// Notices trouble without a step forward.
#[derive(Debug, Clone, Default)]
pub(super) struct Stall {
    progress: Option<Progress>,
}

/// How far things had come, and since when.
#[derive(Debug, Clone)]
struct Progress {
    ready: Vec<(Tier, u16)>,
    build: &'static str,
    deployment: Option<(DeployNumber, Phase)>,
    since: Millis,
}

impl Stall {
    /// A look at the site, `now` after the request.
    pub(super) fn look(&mut self, status: &Status, now: Millis) -> Option<Reason> {
        let ready: Vec<_> = status.tiers.iter().map(|tier| (tier.tier, tier.ready)).collect();
        let build = match status.build {
            BuildStatus::Taken => "taken",
            BuildStatus::Building => "building",
            BuildStatus::Built => "built",
            BuildStatus::Failed { .. } => "failed",
        };
        let deployment = status.deployment.as_ref().map(|one| (one.number, one.phase.clone()));
        let trouble = status.waiting.iter().find(|waiting| waiting.kind == WaitKind::Trouble);
        let what = trouble.map(|waiting| format!("{} waits until {}", waiting.subject, waiting.until));
        let what = what.or_else(|| status.failures.first().cloned());
        let moved = self
            .progress
            .as_ref()
            .is_none_or(|was| was.ready != ready || was.build != build || was.deployment != deployment);
        // A share of the requests is held on purpose, for as long as the site's file says.
        let held = matches!(deployment, Some((_, Phase::Canary { .. })));
        let Some(what) = what.filter(|_| !moved && !held) else {
            self.progress = Some(Progress { ready, build, deployment, since: now });
            return None;
        };
        let since = self.progress.as_ref().map_or(now, |was| was.since);
        (now.0.saturating_sub(since.0) >= STALLED.0).then(|| Reason {
            what,
            why: format!("it was tried again and again, and nothing has got better for {STALLED}"),
            log: "daemon".to_owned(),
            lines: Vec::new(),
        })
    }
}
