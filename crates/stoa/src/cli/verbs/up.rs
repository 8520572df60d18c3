//! `stoa up`: the site stands as its file says, or it is said what is in the way.

use crate::api::types::{Status, UpRequest};
use crate::cli::Context;
use crate::cli::args::Up;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::follow::{End, Follow, span};
use crate::cli::judge::{Judge, Reason};
use crate::cli::provide::{Consent, interrupted, provide};
use crate::cli::render::progress;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::cli::who;
use crate::client::{Client, ClientError};
use crate::daemon;
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;
use stoa_model::Millis;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Up) -> Outcome<ExitCode> {
    let began = Instant::now();
    let screen = context.screen;
    let loaded = context.place.load(&context.global, arguments.folder.folder.as_deref())?;
    let typed = Typed::loaded(context, &loaded);
    let mut session = Session::catching()?;
    let consent = if arguments.yes { Consent::Given } else { Consent::Ask };
    provide(&loaded, screen, &mut session, consent)?;
    let client = Client::new(&loaded.paths);
    let before = session.wait(client.status()).map_err(|_| interrupted())?;
    daemon::ensure(&loaded.paths).map_err(|report| {
        Failure::report(&report, format!("see what it says: {}", typed.line("logs daemon")))
    })?;

    let start_timeout = loaded.site.app.as_ref().map(|app| app.start_timeout);
    let (site, file, text) = (loaded.site.clone(), loaded.file.clone(), loaded.text.clone());
    let request = UpRequest { site, file, text, by: who::asks() };
    let accepted = session.wait(client.up(&request)).map_err(|_| interrupted())?;
    let accepted = accepted.map_err(|error| {
        if matches!(before, Err(ClientError::NotRunning { .. })) {
            // Were it not to end, it would be an idle process and nothing worse.
            let _ = session.wait(client.dismiss());
        }
        Failure::client(error, &typed)
    })?;
    for warning in &accepted.warnings {
        screen.warn(&format!("warning: {warning}"));
    }

    // The site can be found without its file now.
    let typed = Typed::loaded(context, &loaded);
    let before = before.ok().and_then(|status| Some(status.deployment?.number));
    let mut judge = Judge::of_up(accepted.release, before, start_timeout);
    let follow = Follow { screen, client: &client, paths: &loaded.paths, typed: &typed, began, first: true };
    match follow.until(&mut session, |status, now| judge.look(status, now))? {
        End::Done(status, time) => {
            let next = [
                (typed.line("status"), "every instance: health, memory, load"),
                (typed.line("logs -f"), "what they print"),
                (typed.line("down"), "stop the site; its data stays"),
            ];
            screen.say(progress::arrival(&status, time, screen.style, &next).trim_end());
            screen.answer(&answer(&status, time));
            Ok(ExitCode::SUCCESS)
        }
        End::Stuck(status, reason) => {
            let failure = follow.stuck(&status, &reason, &typed.folder_line("up"));
            if screen.json {
                screen.answer(&stuck_answer(&failure, &status, &reason, span(began)));
                return Ok(ExitCode::from(failure.code));
            }
            screen.say("");
            Err(failure)
        }
        End::Interrupted => Err(follow.interrupted()),
    }
}

fn answer(status: &Status, time: Millis) -> serde_json::Value {
    json!({
        "urls": status.urls,
        "release": status.release,
        "seconds": time.0 as f64 / 1000.0,
        "status": status,
    })
}

/// The site stands in part: the error, and how it stands.
fn stuck_answer(failure: &Failure, status: &Status, reason: &Reason, time: Millis) -> serde_json::Value {
    let mut value = answer(status, time);
    value["error"] = failure.json()["error"].take();
    value["error"]["log"] = json!(reason.log);
    value
}
