//! Follows a request until it has come true, cannot, or ctrl-C: shows each tier on the way.

use super::failure::{Failure, Outcome};
use super::judge::{Reason, Verdict};
use super::render::progress::{self, Clock};
use super::render::status::wrap;
use super::screen::{Block, Screen};
use super::session::Session;
use super::style::harmless;
use super::typed::Typed;
use crate::api::types::{BuildStatus, Status};
use crate::client::{Client, ClientError};
use std::time::{Duration, Instant};
use stoa_model::intent::Power;
use stoa_model::plan::{TaskId, TaskKind};
use stoa_model::{DeployNumber, InstanceId, Millis, Paths};
use stoa_tiers::host::log;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// A daemon that gives no answer for this long while a request is followed is not waited for any longer:
/// it may be started again meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many of the last lines a failure shows.
const LINES: usize = 12;

/// How following ended.
#[derive(Debug)]
pub(crate) enum End {
    /// As asked for, after this time.
    Done(Box<Status>, Millis),
    /// Not without the user.
    Stuck(Box<Status>, Reason),
    /// By ctrl-C.
    Interrupted,
}

/// What following needs.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    /// Where it is shown.
    pub(crate) screen: Screen,
    /// Whose.
    pub(crate) client: &'a Client,
    /// Where its logs are.
    pub(crate) paths: &'a Paths,
    /// What to type next.
    pub(crate) typed: &'a Typed,
    /// When the command was typed.
    pub(crate) began: Instant,
    /// How the site stands at the first look is news.
    pub(crate) first: bool,
}

impl Follow<'_> {
    /// Until `judge` says so of a look, which is given with the time since the request.
    pub(crate) fn until(
        &self,
        session: &mut Session,
        mut judge: impl FnMut(&Status, Millis) -> Verdict,
    ) -> Outcome<End> {
        let mut block = Block::new(self.screen);
        let mut before: Option<Status> = None;
        let mut building: Option<Instant> = None;
        let mut heard = Instant::now();
        let asked = Instant::now();
        let end = loop {
            let status = match session.wait(self.client.status()) {
                Err(_) => break Ok(End::Interrupted),
                Ok(Ok(status)) => status,
                Ok(Err(error))
                    if heard.elapsed() > PATIENCE || matches!(error, ClientError::Forbidden { .. }) =>
                {
                    break Err(self.lost(error));
                }
                Ok(Err(_)) => {
                    if session.pause(LOOK).is_err() {
                        break Ok(End::Interrupted);
                    }
                    continue;
                }
            };
            heard = Instant::now();
            if status.power == Power::Off {
                break Err(self.taken_down());
            }
            building = match status.build {
                BuildStatus::Building => building.or(Some(heard)),
                _ => None,
            };
            let clock = Clock { since: span(self.began), building: building.map(span) };
            self.show(&mut block, before.as_ref(), &status, clock);
            match judge(&status, span(asked)) {
                Verdict::Done => break Ok(End::Done(Box::new(status), span(self.began))),
                Verdict::Stuck(reason) => break Ok(End::Stuck(Box::new(status), reason)),
                Verdict::Going => before = Some(status),
            }
            if session.pause(LOOK).is_err() {
                break Ok(End::Interrupted);
            }
        };
        if self.screen.live && matches!(end, Ok(End::Done(..))) {
            block.clear();
        }
        end
    }

    fn show(&self, block: &mut Block, before: Option<&Status>, now: &Status, clock: Clock) {
        let style = self.screen.style;
        if self.screen.live {
            block.draw(&progress::block(now, clock, style, self.screen.width));
        } else if before.is_some() || self.first {
            for line in progress::news(before, now, clock.since, style) {
                self.screen.say(&line);
            }
        }
    }

    /// The failure that a stuck request is; `again` is what to type once it is mended.
    pub(crate) fn stuck(&self, status: &Status, reason: &Reason, again: &str) -> Failure {
        let (typed, log) = (self.typed, reason.log.as_str());
        let mut next = vec![format!("mend it, then: {again}")];
        match log {
            "" => next.clear(),
            "build" => next.push(format!("all that the build printed: {}", typed.line("logs build"))),
            "deploy" => next.push(format!("what its tasks printed: {}", typed.line("logs deploy"))),
            log => next.push(format!("see more: {}", typed.line(&format!("logs {log}")))),
        }
        if matches!(log, "" | "deploy") {
            next.push(format!("what happened, and why: {}", typed.line("events")));
        }
        next.push(match (&status.deployment, &status.live) {
            (Some(deployment), Some(live)) if *live != deployment.to => format!("Release {live} serves."),
            _ => "The rest of the site is left as it is.".to_owned(),
        });
        let lines = self.last_lines(status, reason);
        let lines = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().to_vec();
        let (what, why) = (typed.adapted(&harmless(&reason.what)), typed.adapted(&harmless(&reason.why)));
        // A failure stands behind a margin of eight columns.
        let width = if self.screen.live { self.screen.width.saturating_sub(8) } else { usize::MAX };
        let why: Vec<String> = why.lines().flat_map(|line| wrap(line, width)).collect();
        Failure::failed(what, why.join("\n"), next.join("\n")).with_lines(lines)
    }

    fn last_lines(&self, status: &Status, reason: &Reason) -> Vec<String> {
        let told: Vec<String> = reason.lines.iter().map(|line| harmless(line)).collect();
        if !told.is_empty() {
            return told;
        }
        // One that never ended has not been asked for its last words yet.
        if let Ok(id) = reason.log.parse::<InstanceId>() {
            return log::tail(&log::current(&self.paths.log(id)), LINES);
        }
        let deployment = status.deployment.as_ref().filter(|one| reason.log == "deploy" && one.new.0 == 0);
        deployment.map(|one| self.last_task(one.number)).unwrap_or_default()
    }

    /// The last lines of the last task of a deployment that printed any.
    fn last_task(&self, deploy: DeployNumber) -> Vec<String> {
        let logs = TaskKind::ALL.into_iter().rev().map(|kind| self.paths.task_log(TaskId { kind, deploy }));
        logs.map(|file| log::tail(&file, LINES)).find(|lines| !lines.is_empty()).unwrap_or_default()
    }

    /// What ctrl-C leaves.
    pub(crate) fn interrupted(&self) -> Failure {
        Failure::failed(
            "interrupted",
            "only this command ended: the daemon goes on bringing the site to what was asked",
            format!("look: {}\nor undo it: {}", self.typed.line("status"), self.typed.line("down")),
        )
    }

    fn taken_down(&self) -> Failure {
        Failure::failed(
            "the site is taken down",
            "stoa down was asked of it while this command waited",
            format!("bring it back: {}", self.typed.folder_line("up")),
        )
    }

    fn lost(&self, error: ClientError) -> Failure {
        let failure = Failure::client(error, self.typed);
        Failure::failed(
            "the daemon is gone",
            failure.problem.what,
            format!("see why: {}", self.typed.line("logs daemon")),
        )
    }
}

/// How long `since` is ago.
pub(crate) fn span(since: Instant) -> Millis {
    Millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}
