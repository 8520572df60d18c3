//! `stoa events`: the journal, as it is and as it grows.

use crate::cli::Context;
use crate::cli::args::Events;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::provide::interrupted;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::client::Client;
use std::process::ExitCode;
use std::time::Duration;
use stoa_model::journal::Entry;

/// Between two questions for what is new.
const LOOK: Duration = Duration::from_millis(500);
/// The most entries of one answer.
const PAGE: u64 = 500;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Events) -> Outcome<ExitCode> {
    let located = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &located);
    let client = Client::new(&located.paths);
    let mut session = Session::new()?;
    let mut ask = |after, limit| -> Outcome<Vec<Entry>> {
        let asked = session.wait(client.events(after, limit)).map_err(|_| interrupted())?;
        asked.map_err(|error| Failure::client(error, &typed))
    };
    let mut last = show(context, &ask(None, arguments.lines)?).unwrap_or(0);
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(LOOK);
        last = show(context, &ask(Some(last), PAGE)?).unwrap_or(last);
    }
}

/// The number of the last one shown.
fn show(context: &Context, entries: &[Entry]) -> Option<u64> {
    for entry in entries {
        context.screen.answer(entry);
        context.screen.say(&render::events::entry(entry, context.screen.style));
    }
    entries.last().map(|entry| entry.number)
}
