//! Whether what was asked for has come true, still may, or cannot without the user. Pure: time is an
//! argument.

use crate::api::types::{BuildStatus, InstanceState, InstanceStatus, Status};
use stoa_model::plan::WaitKind;
use stoa_model::{Millis, ReleaseId, Tier};

/// An instance that ended this often in a row is not expected to mend itself.
const CRASHES: u32 = 3;
/// Trouble that nothing has changed about for this long is not expected to pass by itself.
const STALLED: Millis = Millis::from_secs(60);
/// A settled status has to be seen this often in a row: the first may be older than what was asked.
const SETTLED: u8 = 2;
/// How much earlier than its time-out an instance is given up, at most: the daemon ends it at the time-out
/// itself, and two looks are less than this apart.
const EARLIER: Millis = Millis(300);

/// Watches one request come true.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    release: Option<ReleaseId>,
    start_timeout: Option<Millis>,
    settled: u8,
    progress: Option<Progress>,
}

/// How far things had come, and since when.
#[derive(Debug, Clone)]
struct Progress {
    ready: Vec<(Tier, u16)>,
    build: &'static str,
    since: Millis,
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
    /// Whose log tells more: an instance, `build` or `daemon`.
    pub(crate) log: String,
    /// The last lines it printed.
    pub(crate) lines: Vec<String>,
}

impl Judge {
    /// For a request after which `release` should run, where it is about one.
    pub(crate) fn new(release: Option<ReleaseId>, start_timeout: Option<Millis>) -> Self {
        Judge { release, start_timeout, settled: 0, progress: None }
    }

    /// A look at the site, `now` after the request.
    pub(crate) fn look(&mut self, status: &Status, now: Millis) -> Verdict {
        if self.release.as_ref().is_some_and(|release| *release != status.release) {
            return Verdict::Going;
        }
        self.settled = if status.settled { self.settled + 1 } else { 0 };
        if self.settled >= SETTLED {
            return Verdict::Done;
        }
        if status.settled {
            return Verdict::Going;
        }
        let reason = failed_build(status).or_else(|| self.failed_instance(status)).or_else(|| stuck(status));
        match reason.or_else(|| self.stalled(status, now)) {
            Some(reason) => Verdict::Stuck(reason),
            None => Verdict::Going,
        }
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

    /// Trouble, and no step forward for a while.
    fn stalled(&mut self, status: &Status, now: Millis) -> Option<Reason> {
        let ready = status.tiers.iter().map(|tier| (tier.tier, tier.ready)).collect();
        let build = match status.build {
            BuildStatus::Taken => "taken",
            BuildStatus::Building => "building",
            BuildStatus::Built => "built",
            BuildStatus::Failed { .. } => "failed",
        };
        let trouble = status.waiting.iter().find(|waiting| waiting.kind == WaitKind::Trouble);
        let what = trouble.map(|waiting| format!("{} waits until {}", waiting.subject, waiting.until));
        let what = what.or_else(|| status.failures.first().cloned());
        let moved = self.progress.as_ref().is_none_or(|was| was.ready != ready || was.build != build);
        let Some(what) = what.filter(|_| !moved) else {
            self.progress = Some(Progress { ready, build, since: now });
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
