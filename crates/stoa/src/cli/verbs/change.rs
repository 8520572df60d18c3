//! `stoa scale` and `stoa restart`: a change that the daemon takes and that is then followed.

use crate::api::types::{Accepted, RestartRequest, ScaleRequest};
use crate::cli::Context;
use crate::cli::args::{Restart, Scale};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::follow::{End, Follow};
use crate::cli::judge::Judge;
use crate::cli::provide::interrupted;
use crate::cli::render::units;
use crate::cli::session::Session;
use crate::cli::style::Mood;
use crate::cli::typed::Typed;
use crate::client::{Client, ClientError};
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

/// `stoa scale app=4`.
pub(crate) fn scale(context: &Context, arguments: &Scale) -> Outcome<ExitCode> {
    let (tier, instances) = arguments.count;
    change(context, async |client| client.scale(&ScaleRequest { tier, instances }).await)
}

/// `stoa restart app`.
pub(crate) fn restart(context: &Context, arguments: &Restart) -> Outcome<ExitCode> {
    let tier = arguments.tier;
    change(context, async |client| client.restart(&RestartRequest { tier }).await)
}

fn change(
    context: &Context,
    ask: impl AsyncFnOnce(&Client) -> Result<Accepted, ClientError>,
) -> Outcome<ExitCode> {
    let began = Instant::now();
    let screen = context.screen;
    let located = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &located);
    let client = Client::new(&located.paths);
    let mut session = Session::catching()?;
    let accepted = session.wait(ask(&client)).map_err(|_| interrupted())?;
    let accepted = accepted.map_err(|error| Failure::client(error, &typed))?;
    screen.say(&typed.adapted(&accepted.text));

    let follow =
        Follow { screen, client: &client, paths: &located.paths, typed: &typed, began, first: false };
    let mut judge = Judge::of_change();
    match follow.until(&mut session, |status, now| judge.look(status, now))? {
        End::Done(status, time) => {
            screen.say(&format!("{} done, {}", screen.style.sign(Mood::Good), units::seconds(time)));
            screen.answer(
                &json!({ "text": accepted.text, "seconds": time.0 as f64 / 1000.0, "status": status }),
            );
            Ok(ExitCode::SUCCESS)
        }
        End::Stuck(status, reason) => Err(follow.stuck(&status, &reason, &typed.folder_line("up"))),
        End::Interrupted => Err(follow.interrupted()),
    }
}
