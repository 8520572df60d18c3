//! What to type next, so that it works where the reader stands.

use super::Context;
use super::args::{Cli, Global};
use super::locate::{Loaded, Located, Place};
use clap::CommandFactory;
use std::path::Path;
use stoa_model::{EnvironmentName, Paths};

/// How this program is called for this site from this folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    /// With the environment, where it is not production.
    program: String,
    /// For verbs that need the site's state.
    options: String,
    /// For verbs that need the site's file.
    folder: String,
}

impl Typed {
    /// For a site whose state was found.
    pub(crate) fn located(context: &Context, site: &Located) -> Self {
        let file = site.file.as_deref();
        Typed::new(&context.place, &context.global, &site.environment, &site.paths, file)
    }

    /// For a site whose file was read.
    pub(crate) fn loaded(context: &Context, site: &Loaded) -> Self {
        let environment = &site.site.environment;
        Typed::new(&context.place, &context.global, environment, &site.paths, Some(&site.file))
    }

    /// For the site at `paths` described by `file`, from `place`, after `global` was typed.
    pub(crate) fn new(
        place: &Place,
        global: &Global,
        environment: &EnvironmentName,
        paths: &Paths,
        file: Option<&Path>,
    ) -> Self {
        let state = global.state.as_ref().map(|state| format!(" --state {}", word(&state.to_string_lossy())));
        let state = state.unwrap_or_default();
        let near = file.and_then(Path::parent).map(|folder| match folder.strip_prefix(&place.current) {
            Ok(near) if near.as_os_str().is_empty() => ".".to_owned(),
            Ok(near) => word(&near.to_string_lossy()),
            Err(_) => word(&folder.to_string_lossy()),
        });
        let folder = match &near {
            // Nobody knows where the file of a site is that was found by its state.
            None => " DIR".to_owned(),
            Some(_) if place.nearest().as_deref() == file => String::new(),
            Some(near) => format!(" {near}"),
        };
        let asked = Global { environment: Some(environment.clone()), ..Global::default() };
        let bare = place.locate(&asked, None);
        let options = match near {
            Some(near) if !bare.is_ok_and(|found| found.paths == *paths) && state.is_empty() => {
                format!(" --config {near}")
            }
            _ => String::new(),
        };
        let mut typed = Typed {
            program: program(),
            options: format!("{options}{state}"),
            folder: format!("{folder}{state}"),
        };
        typed.turn_to(environment);
        typed
    }

    /// The same site's lines for another of its environments.
    pub(crate) fn of_environment(&self, environment: &EnvironmentName) -> Self {
        let mut typed = Typed { program: program(), ..self.clone() };
        typed.turn_to(environment);
        typed
    }

    fn turn_to(&mut self, environment: &EnvironmentName) {
        if !environment.is_production() {
            self.program = format!("{} -e {environment}", self.program);
        }
    }

    /// For a command that may have no site yet.
    pub(crate) fn bare() -> Self {
        Typed { program: program(), options: String::new(), folder: String::new() }
    }

    /// As tests want it.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Typed { program: "stoa".to_owned(), options: String::new(), folder: String::new() }
    }

    /// The line for a verb and its arguments that needs the site's state.
    pub(crate) fn line(&self, verb: &str) -> String {
        format!("{} {verb}{}", self.program, self.options)
    }

    /// `text` of somebody who knows neither how this program is called nor for which site: its lines
    /// (`stoa scale app=4`) as they work here.
    pub(crate) fn adapted(&self, text: &str) -> String {
        let verbs = Cli::command();
        let known = |word: &str| verbs.find_subcommand(word).is_some_and(|verb| !verb.is_hide_set());
        let mut words = text.split(' ').peekable();
        let mut adapted: Vec<String> = Vec::new();
        while let Some(word) = words.next() {
            let verb = words.peek().and_then(|next| next.split(|c: char| !c.is_ascii_alphanumeric()).next());
            let (lead, bare) = word.split_at(word.rfind(['`', '(', '\n']).map_or(0, |at| at + 1));
            if bare == "stoa" && verb.is_some_and(known) {
                adapted.push(format!("{lead}{}{}", self.program, self.options));
            } else {
                adapted.push(word.to_owned());
            }
        }
        adapted.join(" ")
    }

    /// The line for a verb that needs the site's file.
    pub(crate) fn folder_line(&self, verb: &str) -> String {
        format!("{} {verb}{}", self.program, self.folder)
    }
}

/// As it was called: by its bare name when the shell found it, else by the path that was typed.
fn program() -> String {
    std::env::args().next().filter(|name| !name.is_empty()).map_or("stoa".to_owned(), |name| word(&name))
}

/// `text` as one word of a shell's line.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
