//! `stoa status`: how the site stands.

use crate::cli::Context;
use crate::cli::args::Folder;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::label;
use crate::cli::provide::interrupted;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::client::{Client, ClientError};
use std::process::ExitCode;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Folder) -> Outcome<ExitCode> {
    let screen = context.screen;
    let located = context.place.locate(&context.global, arguments.folder.as_deref())?;
    let typed = Typed::located(context, &located);
    let asked = Session::new()?.wait(Client::new(&located.paths).status()).map_err(|_| interrupted())?;
    let status = asked.map_err(|error| match error {
        ClientError::NotRunning { .. } => {
            let name = located.name.as_ref();
            let name = name.map_or("the site".to_owned(), |name| label(name, &located.environment));
            let state = located.paths.root().display();
            let why = if located.paths.database().exists() {
                format!("no daemon answers; its data lies in {state}")
            } else {
                format!("nothing was ever brought up in {state}")
            };
            Failure::failed(format!("{name} is not running"), why, typed.folder_line("up"))
        }
        error => Failure::client(error, &typed),
    })?;
    screen.answer(&status);
    screen.say(render::status::status(&status, screen.style, screen.width, &typed).trim_end());
    Ok(ExitCode::SUCCESS)
}
