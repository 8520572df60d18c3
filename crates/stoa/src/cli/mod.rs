//! The face: reads what was typed, asks the daemon, shows the answer. Decides nothing about a site.

mod args;
mod config_report;
mod deploying;
mod failure;
mod follow;
mod hidden;
mod judge;
mod locate;
mod provide;
mod render;
mod screen;
mod session;
mod style;
mod typed;
mod verbs;
mod who;

use crate::{daemon, install, roles};
use args::{Cli, Global, Role, Verb};
use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use failure::{Failure, Outcome};
use locate::Place;
use screen::Screen;
use std::ffi::OsString;
use std::process::ExitCode;
use stoa_model::Paths;

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Options of every verb.
    pub(crate) global: Global,
    /// Where it was typed.
    pub(crate) place: Place,
    /// Where the answer goes.
    pub(crate) screen: Screen,
}

/// The command line, from the first argument to the exit code.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.first().is_some_and(|name| install::is_policy(name)) {
        return ExitCode::from(install::policy_answer());
    }
    // Before the arguments are understood: an error about them has to be told in the way asked for.
    let before_command = || arguments.iter().skip(1).take_while(|word| *word != "--");
    let json = before_command().any(|word| word == "--json");
    let no_color = before_command().any(|word| word == "--no-color");
    let screen = Screen::new(json, no_color);
    let done = parse(&arguments, no_color, json).and_then(|parsed| match parsed {
        Parsed::Cli(cli) => dispatch(*cli, screen),
        Parsed::Told(code) => Ok(code),
    });
    done.unwrap_or_else(|failure| {
        if screen.json {
            screen.put(&format!("{}\n", failure.json()));
        } else {
            screen.warn(failure.text(screen.style).trim_end());
        }
        ExitCode::from(failure.code)
    })
}

/// The arguments, understood.
enum Parsed {
    /// A verb is to be done.
    Cli(Box<Cli>),
    /// They asked for help or the version, and got it.
    Told(ExitCode),
}

fn parse(arguments: &[OsString], no_color: bool, json: bool) -> Outcome<Parsed> {
    let choice = if no_color { ColorChoice::Never } else { ColorChoice::Auto };
    let matches = Cli::command().color(choice).try_get_matches_from(arguments);
    match matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => Ok(Parsed::Cli(Box::new(cli))),
        Err(error) if !error.use_stderr() || (help_instead(&error) && !json) => {
            // Nobody is left to tell when the output is gone.
            let _ = error.print();
            Ok(Parsed::Told(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))))
        }
        Err(_) if may_hold_secrets(arguments) => Err(Failure::usage(
            "the arguments of `stoa secrets` were not understood",
            "they are not repeated here: one of them may be a secret",
            "stoa secrets set NAME (it asks for the value), stoa secrets unset NAME, or stoa secrets list",
        )),
        Err(error) => Err(usage(&error)),
    }
}

/// Whether the verb is one whose arguments may hold, by mistake, what nobody should see.
fn may_hold_secrets(arguments: &[OsString]) -> bool {
    let command = Cli::command();
    let verb = |word: &OsString| word.to_str().and_then(|word| command.find_subcommand(word));
    arguments.iter().skip(1).find_map(verb).is_some_and(|verb| verb.get_name() == "secrets")
}

fn help_instead(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand)
}

/// clap's own words as where, which value, why, what next.
fn usage(error: &clap::Error) -> Failure {
    if help_instead(error) {
        return Failure::usage(
            "no verb was given",
            "stoa does one of several things",
            "see them: stoa --help",
        );
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    let what = parts.next().unwrap_or("the arguments were not understood").to_owned();
    let (what, mut why) = match what.split_once(": ") {
        Some((what, why)) => (what.to_owned(), vec![why.to_owned()]),
        None => (what, Vec::new()),
    };
    let mut next = "add --help to see what is taken".to_owned();
    for part in parts {
        if let Some(tip) = part.strip_prefix("tip: ") {
            next = tip.to_owned();
        } else if !part.starts_with("For more information") {
            why.push(part.to_owned());
        }
    }
    Failure::usage(what, why.join("\n"), next)
}

fn dispatch(cli: Cli, screen: Screen) -> Outcome<ExitCode> {
    // Processes of the site itself come first: they depend on nothing of the place they are started from.
    let verb = match cli.verb {
        Verb::Daemon { kept } => return background(&cli.global, kept),
        Verb::Role(role) => return serve(role),
        verb => verb,
    };
    let context = Context { global: cli.global, place: Place::here()?, screen };
    match verb {
        Verb::Init(arguments) => verbs::init::run(&context, &arguments),
        Verb::Doctor(arguments) => verbs::doctor::run(&context, &arguments),
        Verb::Plan(arguments) => verbs::plan::run(&context, &arguments),
        Verb::Up(arguments) => verbs::up::run(&context, &arguments),
        Verb::Status(arguments) => verbs::status::run(&context, &arguments),
        Verb::Logs(arguments) => verbs::logs::run(&context, &arguments),
        Verb::Scale(arguments) => verbs::change::scale(&context, &arguments),
        Verb::Restart(arguments) => verbs::change::restart(&context, &arguments),
        Verb::Deploy(arguments) => verbs::deploy::run(&context, &arguments),
        Verb::Rollback(arguments) => verbs::rollback::run(&context, &arguments),
        Verb::Releases(arguments) => verbs::releases::run(&context, &arguments),
        Verb::Promote(arguments) => verbs::promote::run(&context, &arguments),
        Verb::Db(arguments) => verbs::db::run(&context, &arguments),
        Verb::Secrets(arguments) => verbs::secrets::run(&context, &arguments),
        Verb::Run(arguments) => verbs::run::run(&context, &arguments),
        Verb::Events(arguments) => verbs::events::run(&context, &arguments),
        Verb::Down(arguments) => verbs::down::run(&context, &arguments),
        Verb::Daemon { .. } | Verb::Role(_) => Ok(ExitCode::SUCCESS),
    }
}

/// `stoa daemon --state DIR`: the keeper, and with `--kept` the daemon itself.
fn background(global: &Global, kept: bool) -> Outcome<ExitCode> {
    let state = global.state.as_deref().filter(|state| state.is_absolute()).ok_or_else(|| {
        Failure::usage(
            "`stoa daemon` needs --state DIR, absolute",
            "it serves one site",
            "let `stoa up` start it",
        )
    })?;
    let paths = Paths::new(state);
    if kept {
        return daemon::run(&paths)
            .map_err(|report| Failure::report(&report, "mend it; the keeper tries again"));
    }
    let kept = daemon::keep(&paths);
    kept.map(|()| ExitCode::SUCCESS).map_err(|error| {
        Failure::failed("the daemon cannot be kept running", error.to_string(), "look at the cause")
    })
}

/// `stoa role …`: a process that outlives the daemon.
fn serve(role: Role) -> Outcome<ExitCode> {
    let served = match role {
        Role::Balancer { name: _, user, threads } => roles::balancer(user, threads),
        Role::Splitter { name, user, settings, threads } => roles::splitter(name, user, &settings, threads),
        Role::Task => roles::task(),
    };
    served.map(|()| ExitCode::SUCCESS).map_err(|report| Failure::report(&report, "see the daemon's log"))
}

#[cfg(test)]
mod tests;
