//! `stoa down`: everything off, in order; with `--destroy` its data too.

use super::destroy;
use crate::api::types::Status;
use crate::cli::Context;
use crate::cli::args::Down;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::follow::span;
use crate::cli::locate::{Located, label};
use crate::cli::render::progress::{Clock, block};
use crate::cli::render::units;
use crate::cli::screen::Block;
use crate::cli::session::Session;
use crate::cli::style::Mood;
use crate::cli::typed::Typed;
use crate::client::{Client, ClientError};
use crate::daemon;
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use stoa_model::{InstanceId, Paths, SiteName};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// A daemon that listens and gives no answer for this long is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Down) -> Outcome<ExitCode> {
    let began = Instant::now();
    let located = context.place.locate(&context.global, arguments.folder.folder.as_deref())?;
    let typed = Typed::located(context, &located);
    let mut session = Session::catching()?;
    let client = Client::new(&located.paths);
    let name = label(&name(&located, &mut session, &client)?, &located.environment);
    if arguments.destroy {
        if located.guessed {
            return Err(Failure::usage(
                format!("which site's data is to be removed? {name} is only a guess"),
                "no stoa.toml is here or above, and none was named",
                format!("name it: --state {}", located.paths.root().display()),
            ));
        }
        destroy::check(&located.paths, &name, located.file.as_deref())?;
    }
    if !confirmed(context, arguments, &located.paths, &name)? {
        context.screen.say("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    let stopped = stop(context, &located.paths, &mut session, &client, &typed)?;
    if arguments.destroy {
        destroy::destroy(&located.paths)?;
    }
    tell(context, arguments, &located, &name, &stopped, began, &typed);
    Ok(ExitCode::SUCCESS)
}

/// The site's name; asked of the daemon where only `--state` was given.
fn name(located: &Located, session: &mut Session, client: &Client) -> Outcome<SiteName> {
    if let Some(name) = &located.name {
        return Ok(name.clone());
    }
    if let Ok(Ok(status)) = session.wait(client.status()) {
        return Ok(status.site);
    }
    let folder = located.paths.root().file_name().and_then(|name| name.to_str());
    folder.and_then(|name| name.parse().ok()).ok_or_else(|| {
        Failure::usage(
            format!("the name of the site in {} cannot be told", located.paths.root().display()),
            "its daemon does not run, and the folder is not named after a site",
            "name the site's file too: --config DIR",
        )
    })
}

fn confirmed(context: &Context, arguments: &Down, paths: &Paths, name: &str) -> Outcome<bool> {
    let screen = context.screen;
    if arguments.yes {
        return Ok(true);
    }
    if !screen.asks {
        let why = "nobody can be asked here, and the command stops a website";
        return Err(Failure::usage("`stoa down` was not confirmed", why, "add --yes"));
    }
    if !arguments.destroy {
        let question = format!("Stop {name}? Visitors will find nothing; its data stays. [y/N] ");
        return Ok(matches!(screen.ask(&question).to_lowercase().as_str(), "y" | "yes"));
    }
    screen.say(&format!(
        "{} stops {name} and removes {}:\n  databases, uploads, releases and logs, for good.",
        screen.style.red("This"),
        paths.root().display()
    ));
    Ok(screen.ask("Type the site's name to go on: ") == name)
}

/// Stops what runs. Returns which instances did.
fn stop(
    context: &Context,
    paths: &Paths,
    session: &mut Session,
    client: &Client,
    typed: &Typed,
) -> Outcome<BTreeSet<InstanceId>> {
    let failed = |error| Failure::client(error, typed);
    match session.wait(client.status()).map_err(|_| interrupted(typed))? {
        Err(ClientError::NotRunning { .. }) if !leftovers(paths) => return Ok(BTreeSet::new()),
        Err(ClientError::NotRunning { .. }) => {
            // Processes without a daemon: a new one adopts them, and stops them in order.
            daemon::ensure(paths).map_err(|report| Failure::report(&report, typed.line("logs daemon")))?;
        }
        Err(error) if matches!(error, ClientError::Forbidden { .. }) => return Err(failed(error)),
        Ok(_) | Err(_) => {}
    }
    match session.wait(client.down()).map_err(|_| interrupted(typed))? {
        // The daemon of a site that is down already may end faster than it answers.
        Ok(_) | Err(ClientError::NotRunning { .. } | ClientError::Broken { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    watch(context, session, client, typed)
}

/// Follows until the daemon has ended.
fn watch(
    context: &Context,
    session: &mut Session,
    client: &Client,
    typed: &Typed,
) -> Outcome<BTreeSet<InstanceId>> {
    let screen = context.screen;
    let began = Instant::now();
    let mut heard = began;
    let mut lingers: Option<Instant> = None;
    let mut shown = Block::new(screen);
    let mut seen: BTreeSet<InstanceId> = BTreeSet::new();
    let mut before: BTreeSet<InstanceId> = BTreeSet::new();
    loop {
        match session.wait(client.status()).map_err(|_| interrupted(typed))? {
            Ok(status) => {
                heard = Instant::now();
                let now = running(&status);
                lingers = if now.is_empty() { lingers.or(Some(heard)) } else { None };
                if screen.live {
                    let clock = Clock { since: span(began), building: None };
                    shown.draw(&block(&status, clock, screen.style, screen.width));
                } else {
                    before.difference(&now).for_each(|gone| screen.say(&format!("{gone} stopped")));
                }
                seen.extend(&now);
                before = now;
            }
            Err(ClientError::NotRunning { .. }) => break,
            Err(error) if heard.elapsed() > PATIENCE => {
                return Err(Failure::client(error, typed));
            }
            // Its last answer may be cut off by its end.
            Err(_) => {}
        }
        if lingers.is_some_and(|since| since.elapsed() > PATIENCE) {
            let why = "nothing of the site runs any more; only its daemon goes on";
            return Err(Failure::failed(
                "the daemon does not end",
                why,
                format!("see why: {}", typed.line("logs daemon")),
            ));
        }
        session.pause(LOOK).map_err(|_| interrupted(typed))?;
    }
    if screen.live {
        shown.clear();
    } else {
        before.iter().for_each(|gone| screen.say(&format!("{gone} stopped")));
    }
    Ok(seen)
}

/// Ctrl-C while the site stops.
fn interrupted(typed: &Typed) -> Failure {
    let why = "only this command ended: the daemon goes on stopping the site";
    Failure::failed("interrupted", why, format!("look: {}", typed.line("status")))
}

fn running(status: &Status) -> BTreeSet<InstanceId> {
    let instances = status.tiers.iter().flat_map(|tier| &tier.instances);
    instances.filter(|one| one.pid.is_some()).map(|one| one.id).collect()
}

/// Whether a daemon answers for the state at `paths`.
fn runs(paths: &Paths) -> bool {
    UnixStream::connect(paths.api_socket()).is_ok()
}

/// Whether there are records of processes that a daemon started.
fn leftovers(paths: &Paths) -> bool {
    let folder = paths.run().join("pid");
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn tell(
    context: &Context,
    arguments: &Down,
    located: &Located,
    name: &str,
    stopped: &BTreeSet<InstanceId>,
    began: Instant,
    typed: &Typed,
) {
    let screen = context.screen;
    let paths = &located.paths;
    let all: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    let others = located.others();
    screen.answer(&json!({
        "stopped": all, "state": paths.root(), "destroyed": arguments.destroy, "others": others,
        "seconds": span(began).0 as f64 / 1000.0,
    }));
    let sign = screen.style.sign(Mood::Good);
    let name = screen.style.bold(name);
    if all.is_empty() {
        screen.say(&format!("{sign} {name} was not running"));
    } else {
        screen.say(&format!(
            "{sign} {name} is down after {}: {} stopped",
            units::seconds(span(began)),
            all.join(", ")
        ));
    }
    let root = paths.root().display();
    if arguments.destroy {
        screen.say(&format!("  {root} was removed"));
        for other in &others {
            let how = if runs(&located.beside(other)) { "still runs" } else { "is down, and its data stays" };
            let line = typed.of_environment(other).folder_line("down --destroy");
            screen.say(&format!("  its environment {other} {how}; destroy it too: {line}"));
        }
    } else if paths.database().exists() {
        screen.say(&format!("  its data stays in {root}"));
        screen.say(&format!("  bring it back: {}", typed.folder_line("up")));
    }
}
