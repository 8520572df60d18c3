//! `stoa deploy`: another release serves, or it is told what would be done.

use crate::api::types::{DeployPreview, DeployRequest};
use crate::cli::Context;
use crate::cli::args::Deploy;
use crate::cli::deploying::Deploying;
use crate::cli::failure::Outcome;
use crate::cli::locate::{Located, label};
use crate::cli::render;
use crate::cli::typed::word;
use crate::cli::who;
use std::process::ExitCode;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Deploy) -> Outcome<ExitCode> {
    let site = context.place.locate(&context.global, None)?;
    let mut deploying = Deploying::new(context, &site)?;
    let request =
        DeployRequest { reference: arguments.reference.clone(), by: who::asks(), dry_run: arguments.dry_run };
    let client = deploying.client.clone();
    if arguments.dry_run {
        let preview = deploying.ask(client.deploy_preview(&request))?;
        return Ok(tell(context, &site, &deploying, &preview));
    }
    let before = deploying.live()?;
    let accepted = deploying.ask(client.deploy(&request))?;
    let follows = before.map(|live| format!("; {live} serves until then")).unwrap_or_default();
    let first = format!("deployment {}: release {} is to serve{follows}", accepted.number, accepted.release);
    let reference = arguments.reference.as_ref().map(|name| format!(" {}", word(name))).unwrap_or_default();
    let again = deploying.typed.line(&format!("deploy{reference}"));
    deploying.follow(&accepted, &first, &again, arguments.watch)
}

fn tell(context: &Context, site: &Located, deploying: &Deploying<'_>, preview: &DeployPreview) -> ExitCode {
    let screen = context.screen;
    for warning in &preview.warnings {
        screen.warn(&format!("warning: {}", deploying.typed.adapted(warning)));
    }
    screen.answer(preview);
    let name = site.name.as_ref().map_or("the site".to_owned(), |name| label(name, &site.environment));
    screen.say(render::preview::preview(preview, &name, screen.style, screen.width).trim_end());
    ExitCode::SUCCESS
}
