//! What `deploy`, `rollback` and `promote` have in common: a deployment that the daemon took is followed
//! until it serves or is taken back.

use super::Context;
use super::failure::{Failure, Outcome};
use super::follow::{End, Follow};
use super::judge::{Asked, DeployJudge, Reason};
use super::locate::Located;
use super::provide::interrupted;
use super::render::status::wrap;
use super::render::units;
use super::session::Session;
use super::style::Mood;
use super::typed::Typed;
use crate::api::types::{DeployAccepted, Status};
use crate::client::{Client, ClientError};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Instant;
use stoa_model::deployment::Phase;
use stoa_model::{Millis, ReleaseId};

/// One command that lets another release serve.
pub(crate) struct Deploying<'a> {
    context: &'a Context,
    site: &'a Located,
    /// What to type next.
    pub(crate) typed: Typed,
    /// Talks to the daemon.
    pub(crate) client: Client,
    session: Session,
    began: Instant,
}

impl<'a> Deploying<'a> {
    /// For `site`.
    pub(crate) fn new(context: &'a Context, site: &'a Located) -> Outcome<Self> {
        let typed = Typed::located(context, site);
        let client = Client::new(&site.paths);
        Ok(Deploying { context, site, typed, client, session: Session::catching()?, began: Instant::now() })
    }

    /// What the daemon answers.
    pub(crate) fn ask<T>(&mut self, call: impl Future<Output = Result<T, ClientError>>) -> Outcome<T> {
        let asked = self.session.wait(call).map_err(|_| interrupted())?;
        asked.map_err(|error| Failure::client(error, &self.typed))
    }

    /// The release that serves now, where one does.
    pub(crate) fn live(&mut self) -> Outcome<Option<ReleaseId>> {
        let client = self.client.clone();
        Ok(self.ask(client.status())?.live)
    }

    /// Follows what was taken. `first` is its first line, `again` what to type once a failure is mended.
    pub(crate) fn follow(
        mut self,
        accepted: &DeployAccepted,
        first: &str,
        again: &str,
        watch: bool,
    ) -> Outcome<ExitCode> {
        let screen = self.context.screen;
        for warning in &accepted.warnings {
            screen.warn(&format!("warning: {}", self.typed.adapted(warning)));
        }
        if accepted.unchanged {
            let text = format!("release {} serves already; nothing to do", accepted.release);
            screen.say(&format!("{} {text}", screen.style.sign(Mood::Good)));
            screen.answer(&self.answer(accepted, "unchanged", &text, None));
            return Ok(ExitCode::SUCCESS);
        }
        screen.say(first);
        let mut judge = DeployJudge::new(Asked { number: accepted.number, watch });
        let (client, typed, began) = (self.client.clone(), self.typed.clone(), self.began);
        let paths = &self.site.paths;
        let follow = Follow { screen, client: &client, paths, typed: &typed, began, first: true };
        match follow.until(&mut self.session, |status, now| judge.look(status, now))? {
            End::Done(status, time) => {
                let text = closing(accepted, &status);
                let sign = screen.style.sign(Mood::Good);
                let line = format!("{text}; {}", units::seconds(time));
                // Where nobody reads along, a line is a line.
                let width = if screen.live { screen.width.saturating_sub(2) } else { usize::MAX };
                let lines: Vec<String> = wrap(&line, width).collect();
                screen.say(&format!("{sign} {}", lines.join("\n  ")));
                screen.answer(&self.answer(accepted, "serves", &text, Some(&status)));
                Ok(ExitCode::SUCCESS)
            }
            End::Stuck(status, reason) => {
                let failure = follow.stuck(&status, &reason, again);
                if screen.json {
                    screen.answer(&self.failed(accepted, &failure, &status, &reason));
                    return Ok(ExitCode::from(failure.code));
                }
                screen.say("");
                Err(failure)
            }
            End::Interrupted => Err(left_alone(accepted, &typed)),
        }
    }

    fn answer(&self, accepted: &DeployAccepted, outcome: &str, text: &str, status: Option<&Status>) -> Value {
        let time: Millis = super::follow::span(self.began);
        json!({
            "number": accepted.number, "release": accepted.release, "outcome": outcome, "text": text,
            "warnings": accepted.warnings, "seconds": time.0 as f64 / 1000.0,
            "deployment": status.and_then(|status| status.deployment.as_ref()), "status": status,
        })
    }

    fn failed(
        &self,
        accepted: &DeployAccepted,
        failure: &Failure,
        status: &Status,
        reason: &Reason,
    ) -> Value {
        let number = status.deployment.as_ref().map(|deployment| deployment.number);
        let outcome = if number.is_some_and(|now| now > accepted.number) { "overtaken" } else { "failed" };
        let mut value = self.answer(accepted, outcome, &reason.what, Some(status));
        value["error"] = failure.json()["error"].take();
        value["error"]["log"] = json!(reason.log);
        value
    }
}

/// The last line of one that is well.
fn closing(accepted: &DeployAccepted, status: &Status) -> String {
    let release = &accepted.release;
    let deployment = status.deployment.as_ref();
    let left = deployment.filter(|one| one.phase == Phase::Watch).and_then(|one| one.left);
    match left.filter(|left| left.0 > 0) {
        Some(left) => format!(
            "release {release} serves; it is watched for {} more and taken back by itself if it errs more",
            units::span(left)
        ),
        None => format!("release {release} serves"),
    }
}

/// What ctrl-C leaves.
fn left_alone(accepted: &DeployAccepted, typed: &Typed) -> Failure {
    Failure::failed(
        "interrupted",
        format!("only this command ended: deployment {} to {} goes on", accepted.number, accepted.release),
        format!("look: {}\nor go back: {}", typed.line("status"), typed.line("rollback")),
    )
}
