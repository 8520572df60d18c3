//! What to type next, so that it works where the reader stands.

use super::args::Global;
use super::locate::Place;
use std::path::Path;
use stoa_model::Paths;

/// How this program is called for this site from this folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    program: String,
    /// For verbs that need the site's state.
    options: String,
    /// For verbs that need the site's file.
    folder: String,
}

impl Typed {
    /// For the site at `paths` described by `file`, from `place`, after `global` was typed.
    pub(crate) fn new(place: &Place, global: &Global, paths: &Paths, file: Option<&Path>) -> Self {
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
        let bare = place.locate(&Global::default(), None);
        let options = match near {
            Some(near) if !bare.is_ok_and(|found| found.paths == *paths) && state.is_empty() => {
                format!(" --config {near}")
            }
            _ => String::new(),
        };
        Typed { program: program(), options: format!("{options}{state}"), folder: format!("{folder}{state}") }
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
