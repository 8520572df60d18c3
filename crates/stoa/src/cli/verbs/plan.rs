//! `stoa plan`: what `up` would do, by the same planner; changes nothing.

use crate::api::types::UpRequest;
use crate::cli::Context;
use crate::cli::args::Folder;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::label;
use crate::cli::provide::missing;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::cli::who;
use crate::client::{Client, ClientError};
use crate::daemon;
use crate::install::{Hints, needs};
use std::process::ExitCode;
use stoa_model::{Paths, Plan};

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Folder) -> Outcome<ExitCode> {
    let screen = context.screen;
    let loaded = context.place.load(&context.global, arguments.folder.as_deref())?;
    let typed = Typed::loaded(context, &loaded);
    let missing = missing(&needs(&loaded.site, Hints::of(&loaded.site)));
    let name = label(&loaded.site.name, &loaded.site.environment);
    let request = UpRequest { site: loaded.site, file: loaded.file, text: loaded.text, by: who::asks() };
    let plan = ask(&loaded.paths, &request, &typed)?;
    screen.answer(&plan);
    screen.say(render::plan::plan(&plan, &name, screen.style, screen.width).trim_end());
    if !missing.is_empty() {
        let names = missing.iter().map(|need| need.thing.name()).collect::<Vec<_>>().join(", ");
        screen.say(&format!("\nFirst of all, `up` would have to install: {names}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// From the daemon, where one runs.
fn ask(paths: &Paths, request: &UpRequest, typed: &Typed) -> Outcome<Plan> {
    let asked = Session::new()?.wait(Client::new(paths).plan(request));
    match asked {
        Ok(Err(ClientError::NotRunning { .. })) | Err(_) => {
            daemon::preview(paths, request).map_err(|report| {
                Failure::report(&report, format!("look at the machine: {}", typed.line("doctor")))
            })
        }
        Ok(answer) => answer.map_err(|error| Failure::client(error, typed)),
    }
}
