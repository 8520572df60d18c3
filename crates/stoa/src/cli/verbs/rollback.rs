//! `stoa rollback`: an earlier release serves again. Which one that is without an argument, the daemon says.

use crate::api::types::{ReleaseStatus, RollbackRequest};
use crate::cli::Context;
use crate::cli::args::{ReleaseName, Rollback};
use crate::cli::deploying::Deploying;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::typed::Typed;
use crate::cli::who;
use std::process::ExitCode;
use stoa_model::ReleaseId;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Rollback) -> Outcome<ExitCode> {
    let site = context.place.locate(&context.global, None)?;
    let mut deploying = Deploying::new(context, &site)?;
    let client = deploying.client.clone();
    let release = match &arguments.release {
        None => None,
        Some(ReleaseName::Whole(release)) => Some(release.clone()),
        Some(ReleaseName::Number(number)) => {
            let all = deploying.ask(client.releases())?;
            Some(numbered(&all, *number).ok_or_else(|| unknown(*number, &deploying.typed))?)
        }
    };
    let before = deploying.live()?;
    let accepted = deploying.ask(client.rollback(&RollbackRequest { release, by: who::asks() }))?;
    let from = before.map(|live| format!(" from {live}")).unwrap_or_default();
    let first = format!("back{from} to {} (deployment {})", accepted.release, accepted.number);
    let again = deploying.typed.line(&format!("rollback {}", accepted.release));
    deploying.follow(&accepted, &first, &again, false)
}

fn numbered(all: &[ReleaseStatus], number: u32) -> Option<ReleaseId> {
    all.iter().map(|one| &one.release).find(|release| release.number() == number).cloned()
}

fn unknown(number: u32, typed: &Typed) -> Failure {
    let why = "the site has no release of this number";
    let next = format!("see those it has: {}", typed.line("releases"));
    Failure::failed(format!("there is no release {number}"), why, next)
}
