//! `stoa run -- CMD`: becomes the command, in the release's folder, with the app's environment and rights.

use crate::cli::Context;
use crate::cli::args::Run;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::provide::interrupted;
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::client::Client;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use stoa_model::Paths;
use stoa_model::spec::AppSpec;
use stoa_tiers::app;
use stoa_tiers::host::credentials::Credentials;

/// What of the caller's environment a command at the terminal needs.
const TERMINAL: [&str; 4] = ["TERM", "COLORTERM", "COLUMNS", "LINES"];

/// Does it; returns only where it could not.
pub(crate) fn run(context: &Context, arguments: &Run) -> Outcome<ExitCode> {
    let located = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &located);
    let asked = Session::new()?.wait(Client::new(&located.paths).environment()).map_err(|_| interrupted())?;
    let environment = asked.map_err(|error| Failure::client(error, &typed))?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Failure::usage("no command was given", "there is nothing to run", "stoa run -- CMD"));
    };
    let mut command = Command::new(program);
    command.args(rest).env_clear().current_dir(&environment.directory);
    for name in TERMINAL {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let variables = variables(&located.paths, &environment.spec, &typed)?;
    command.envs(&variables);
    if let Some((uid, gid)) = environment.user {
        command.uid(uid).gid(gid);
    }
    let error = command.exec();
    let path = variables.get("PATH").cloned().unwrap_or_default();
    Err(Failure::failed(
        format!("{} cannot be run in {}", program.display(), environment.directory.display()),
        error.to_string(),
        format!("give a program of the release or of its PATH: {path}"),
    ))
}

/// The variables of an instance. What is secret among them is read here, from the state folder, and never
/// passes through an answer of the daemon.
fn variables(paths: &Paths, spec: &AppSpec, typed: &Typed) -> Outcome<BTreeMap<String, String>> {
    let credentials = Credentials::load_or_create(paths).map_err(|error| {
        let next = "run it as the user that the site belongs to";
        Failure::failed("the credentials of the site cannot be read", error.to_string(), next)
    })?;
    let secrets = stoa_tiers::host::Secrets::open(paths).values(&spec.secrets.names).map_err(|error| {
        let next = format!("see which secrets are set: {}", typed.line("secrets list"));
        let why = typed.adapted(&error.to_string());
        Failure::failed("the secrets of the application cannot be read", why, next)
    })?;
    Ok(app::run::environment(None, spec, paths, &credentials, &secrets))
}
