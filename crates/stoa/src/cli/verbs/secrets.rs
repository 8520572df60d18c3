//! `stoa secrets`: set, take away, list. A value comes from standard input alone and goes to the daemon's
//! private socket, or, where the site does not run, straight into its encrypted file.

use crate::api::types::{SecretRequest, SecretStatus};
use crate::cli::Context;
use crate::cli::args::{SecretWords, Secrets};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::hidden::{self, Unread};
use crate::cli::locate::Located;
use crate::cli::provide::interrupted;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::style::Mood;
use crate::cli::typed::Typed;
use crate::client::{Client, ClientError};
use serde_json::json;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;
use stoa_model::config;
use stoa_model::site::VariableName;
use stoa_tiers::host::secrets::{self, SecretsError, VALUE_MAX};

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Secrets) -> Outcome<ExitCode> {
    // Before anything else: what must not have been typed is said first.
    let words = match arguments {
        Secrets::Set(words) | Secrets::Unset(words) => Some(name(words)?),
        Secrets::List => None,
    };
    let site = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &site);
    match (arguments, words) {
        (Secrets::Set(_), Some(name)) => {
            let value = value(context, &name, &typed)?;
            change(context, &site, &typed, name, Some(value))
        }
        (_, Some(name)) => change(context, &site, &typed, name, None),
        (_, None) => list(context, &site, &typed),
    }
}

/// The name that was typed. Nothing of the words is shown: what is no name may be a secret.
fn name(words: &SecretWords) -> Outcome<VariableName> {
    let typed = words.name.to_str().unwrap_or_default();
    if !words.more.is_empty() || typed.contains('=') {
        return Err(Failure::usage(
            "a secret's value was typed as an argument; nothing was set",
            "everybody on this machine can read arguments while a command runs, and the shell keeps them in \
             its history: if it was the real value, give the secret another one",
            "type the name alone and be asked: stoa secrets set NAME\n\
             or read it from a file: stoa secrets set NAME < FILE",
        ));
    }
    config::secret_name(typed).map_err(|refusal| {
        // A word that is no name is not repeated; one that is a name and taken may be.
        let told = refusal.reason.starts_with(typed) && !typed.is_empty();
        let why = if told { refusal.reason } else { "a name is made of A-Z, 0-9 and _".to_owned() };
        let next = "name it as the app finds it in its environment: 1 to 128 of A-Z, 0-9 and _, not beginning \
                    with a digit, such as STRIPE_KEY";
        Failure::usage("this cannot be the name of a secret", why, next)
    })
}

/// The value, from a pipe or typed twice.
fn value(context: &Context, name: &VariableName, typed: &Typed) -> Outcome<String> {
    let failed = |unread| unread_failure(unread, name, typed);
    if !hidden::is_typed() {
        let value = hidden::piped(VALUE_MAX).map_err(failed)?;
        return if value.is_empty() { Err(empty(name, typed)) } else { Ok(value) };
    }
    let ask = |question: &str| {
        context.screen.prompt(question);
        let line = hidden::typed(VALUE_MAX);
        context.screen.prompt("\n");
        line.map_err(failed)
    };
    let value = ask(&format!("Value of {name} (it is not shown): "))?;
    if value.is_empty() {
        return Err(empty(name, typed));
    }
    if ask("The same again: ")? != value {
        let next = format!("try again: {}", typed.line(&format!("secrets set {name}")));
        return Err(Failure::failed("the two values differ", "nothing was set", next));
    }
    Ok(value)
}

fn empty(name: &VariableName, typed: &Typed) -> Failure {
    let next = format!("to take it away: {}", typed.line(&format!("secrets unset {name}")));
    Failure::usage(format!("the value of {name} is empty"), "nothing was set", next)
}

fn unread_failure(unread: Unread, name: &VariableName, typed: &Typed) -> Failure {
    let again = format!("try again: {}", typed.line(&format!("secrets set {name}")));
    let what = format!("the value of {name} was not taken");
    match unread {
        Unread::GivenUp => Failure::failed("interrupted", "nothing was set", again),
        Unread::NotText => Failure::failed(what, "it is not UTF-8", "encode it first, for example: base64"),
        Unread::TooLong => {
            let why = format!("it has more than {} KB", VALUE_MAX >> 10);
            Failure::failed(what, why, "keep such a file in a folder of [app] persist")
        }
        Unread::Failed(error) => Failure::failed(what, error.to_string(), again),
    }
}

fn change(
    context: &Context,
    site: &Located,
    typed: &Typed,
    name: VariableName,
    value: Option<String>,
) -> Outcome<ExitCode> {
    let screen = context.screen;
    let request = SecretRequest { name, value };
    let asked = Session::new()?.wait(Client::new(&site.paths).set_secret(&request));
    let text = match asked.map_err(|_| interrupted())? {
        Ok(accepted) => typed.adapted(&accepted.text),
        Err(ClientError::NotRunning { .. }) => at_rest(site, &request, typed)?,
        Err(error) => return Err(Failure::client(error, typed)),
    };
    screen.say(&format!("{} {text}", screen.style.sign(Mood::Good)));
    screen.answer(&json!({ "name": request.name, "set": request.value.is_some(), "text": text }));
    Ok(ExitCode::SUCCESS)
}

/// Where no daemon runs: the secret is there for the next `up`, the first one too.
fn at_rest(site: &Located, request: &SecretRequest, typed: &Typed) -> Outcome<String> {
    let SecretRequest { name, value } = request;
    let all = secrets::Secrets::open(&site.paths);
    let Some(value) = value else {
        return match all.unset(name).map_err(|error| unkept(error, typed))? {
            true => Ok(format!("{name} is taken away")),
            false => Err(Failure::failed(
                format!("there is no secret {name}"),
                "nothing of this name is set",
                format!("see the names: {}", typed.line("secrets list")),
            )),
        };
    };
    let root = site.paths.root();
    // As the daemon makes it: the tiers' users pass through, and list nothing.
    DirBuilder::new().recursive(true).mode(0o711).create(root).map_err(|error| {
        let what = format!("the state folder {} cannot be made", root.display());
        Failure::failed(what, error.to_string(), "mend its rights, or give another one: --state DIR")
    })?;
    all.set(name, value).map_err(|error| unkept(error, typed))?;
    Ok(format!("{name} is set; the site is given it when it is brought up: {}", typed.folder_line("up")))
}

fn list(context: &Context, site: &Located, typed: &Typed) -> Outcome<ExitCode> {
    let asked = Session::new()?.wait(Client::new(&site.paths).secrets()).map_err(|_| interrupted())?;
    let all = match asked {
        Ok(all) => all,
        Err(ClientError::NotRunning { .. }) => known_at_rest(context, site, typed)?,
        Err(error) => return Err(Failure::client(error, typed)),
    };
    context.screen.answer(&all);
    context.screen.say(render::secrets::secrets(&all, context.screen.style, typed).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// From the encrypted file and the site's own.
fn known_at_rest(context: &Context, site: &Located, typed: &Typed) -> Outcome<Vec<SecretStatus>> {
    let set = secrets::Secrets::open(&site.paths).names().map_err(|error| unkept(error, typed))?;
    let loaded = site.file.as_deref().and_then(|file| {
        let global = crate::cli::args::Global { config: Some(file.to_owned()), ..context.global.clone() };
        context.place.load(&global, None).ok()
    });
    let used = loaded.and_then(|loaded| loaded.site.app).map(|app| app.secrets).unwrap_or_default();
    let mut names: Vec<VariableName> = set.iter().chain(&used).cloned().collect();
    names.sort();
    names.dedup();
    let status = |name: VariableName| {
        let (set, used) = (set.contains(&name), used.contains(&name));
        SecretStatus { name, set, used }
    };
    Ok(names.into_iter().map(status).collect())
}

fn unkept(error: SecretsError, typed: &Typed) -> Failure {
    let next = "type the command as the user that the site belongs to, or mend what it says";
    Failure::failed("the secrets of the site cannot be used", typed.adapted(&error.to_string()), next)
}
