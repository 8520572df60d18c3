//! `stoa releases`: every release of the site.

use crate::cli::Context;
use crate::cli::args::Folder;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::provide::interrupted;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::client::Client;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Folder) -> Outcome<ExitCode> {
    let screen = context.screen;
    let site = context.place.locate(&context.global, arguments.folder.as_deref())?;
    let typed = Typed::located(context, &site);
    let asked = Session::new()?.wait(Client::new(&site.paths).releases()).map_err(|_| interrupted())?;
    let all = asked.map_err(|error| Failure::client(error, &typed))?;
    screen.answer(&all);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    screen.say(render::releases::releases(&all, now, screen.style, screen.width).trim_end());
    Ok(ExitCode::SUCCESS)
}
