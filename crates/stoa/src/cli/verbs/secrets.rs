//! `stoa secrets`: set one, take one away, list their names. A value is read from the terminal without an
//! echo, or from standard input; it is never an argument and never shown.

use crate::api::types::{SecretRequest, SecretStatus};
use crate::cli::Context;
use crate::cli::args::{SecretWords, Secrets};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::Located;
use crate::cli::provide::interrupted;
use crate::cli::render;
use crate::cli::session::Session;
use crate::cli::style::Mood;
use crate::cli::typed::Typed;
use crate::client::{Client, ClientError};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use serde_json::json;
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;
use stoa_model::config;
use stoa_model::site::VariableName;
use stoa_tiers::host::Secrets as Kept;

/// More than any value may have.
const READ_MAX: u64 = (64 << 10) + 2;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Secrets) -> Outcome<ExitCode> {
    let site = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &site);
    match arguments {
        Secrets::Set(words) => {
            let name = name(words, &typed)?;
            let value = value(&name)?;
            change(context, &site, &typed, SecretRequest { name, value: Some(value) })
        }
        Secrets::Unset(words) => {
            let name = name(words, &typed)?;
            change(context, &site, &typed, SecretRequest { name, value: None })
        }
        Secrets::List => list(context, &site, &typed),
    }
}

fn change(context: &Context, site: &Located, typed: &Typed, request: SecretRequest) -> Outcome<ExitCode> {
    let screen = context.screen;
    let asked =
        Session::new()?.wait(Client::new(&site.paths).set_secret(&request)).map_err(|_| interrupted())?;
    let text = match asked {
        Ok(accepted) => accepted.text,
        // Before the first `up` nobody runs who could be asked, and nothing that would have to be told.
        Err(ClientError::NotRunning { .. }) => keep(site, &request)?,
        Err(error) => return Err(Failure::client(error, typed)),
    };
    screen.say(&format!("{} {}", screen.style.sign(Mood::Good), typed.adapted(&text)));
    screen.answer(&json!({ "name": request.name, "text": text }));
    Ok(ExitCode::SUCCESS)
}

fn keep(site: &Located, request: &SecretRequest) -> Outcome<String> {
    let secrets = Kept::open(&site.paths);
    let failed = |error: &dyn std::fmt::Display| {
        let next = "mend that, then try again";
        Failure::failed(format!("the secret {} cannot be kept", request.name), error.to_string(), next)
    };
    match &request.value {
        Some(value) => {
            std::fs::create_dir_all(site.paths.root()).map_err(|error| failed(&error))?;
            secrets.set(&request.name, value).map_err(|error| failed(&error))?;
            Ok(format!("{} is set; the next `stoa up` gives it to the application", request.name))
        }
        None => match secrets.unset(&request.name).map_err(|error| failed(&error))? {
            true => Ok(format!("{} is taken away", request.name)),
            false => Err(failed(&"nothing of this name is set")),
        },
    }
}

fn list(context: &Context, site: &Located, typed: &Typed) -> Outcome<ExitCode> {
    let screen = context.screen;
    let asked = Session::new()?.wait(Client::new(&site.paths).secrets()).map_err(|_| interrupted())?;
    let all = match asked {
        Ok(all) => all,
        Err(ClientError::NotRunning { .. }) => {
            let names = Kept::open(&site.paths).names().map_err(|error| {
                let next = "mend that, then try again";
                Failure::failed("the secrets of this site cannot be read", error.to_string(), next)
            })?;
            names.into_iter().map(|name| SecretStatus { name, set: true, used: false }).collect()
        }
        Err(error) => return Err(Failure::client(error, typed)),
    };
    screen.answer(&all);
    screen.say(render::secrets::secrets(&all, screen.style, typed).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The name, checked. What else was typed may be a secret: nothing of it is repeated.
fn name(words: &SecretWords, typed: &Typed) -> Outcome<VariableName> {
    let next =
        format!("give the name alone, and type the value when asked: {}", typed.line("secrets set NAME"));
    let text = words.name.to_str().unwrap_or_default();
    if !words.more.is_empty() || text.contains('=') {
        let why = "arguments can be read by everybody on this machine, and the shell remembers them; if it was \
                   a real one, change it";
        return Err(Failure::usage("the value of a secret is not typed as an argument", why, next));
    }
    config::secret_name(text)
        .map_err(|refusal| Failure::usage("that is no name of a secret", refusal.reason, refusal.fix))
}

fn value(name: &VariableName) -> Outcome<String> {
    let failed = |why: &dyn std::fmt::Display| {
        let next =
            format!("type it when asked, or give it on standard input: stoa secrets set {name} < FILE");
        Failure::failed(format!("the value of {name} cannot be read"), why.to_string(), next)
    };
    let stdin = std::io::stdin();
    if isatty(&stdin) {
        let once = hidden(&format!("{name}: ")).map_err(|error| failed(&error))?;
        let again = hidden("again: ").map_err(|error| failed(&error))?;
        return match (once == again, once.is_empty()) {
            (_, true) => Err(failed(&"nothing was typed")),
            (true, false) => Ok(once),
            (false, _) => Err(failed(&"the two were not the same")),
        };
    }
    let mut text = String::new();
    stdin.lock().take(READ_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    if value.is_empty() {
        return Err(failed(&"standard input was empty"));
    }
    Ok(value.to_owned())
}

/// One line from the terminal, not shown as it is typed. The terminal is as it was afterwards, whatever
/// happened.
fn hidden(prompt: &str) -> std::io::Result<String> {
    struct Restore(Termios);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
        }
    }
    let mut error = std::io::stderr();
    write!(error, "{prompt}")?;
    error.flush()?;
    let before = tcgetattr(std::io::stdin())?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    quiet.local_modes.insert(LocalModes::ECHONL);
    let restore = Restore(before);
    tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)?;
    let mut line = String::new();
    std::io::stdin().lock().take(READ_MAX).read_line(&mut line)?;
    drop(restore);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
