//! What to type next, so that it works where the reader stands.

use super::args::Global;
use super::locate::Place;
use std::path::Path;
use stoa_model::Paths;

/// How this program is called for this site from this folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    program: String,
    options: String,
}

impl Typed {
    /// For the site at `paths` described by `file`, from `place`, after `global` was typed.
    pub(crate) fn new(place: &Place, global: &Global, paths: &Paths, file: Option<&Path>) -> Self {
        let mut options = String::new();
        let bare = place.locate(&Global::default(), None).map(|found| (found.paths, found.file));
        let found = bare.as_ref().is_ok_and(|(found, _)| found == paths);
        if !found && let Some(folder) = file.and_then(Path::parent) {
            let near = folder.strip_prefix(&place.current).unwrap_or(folder);
            let near = if near.as_os_str().is_empty() { Path::new(".") } else { near };
            options.push_str(&format!(" --config {}", word(&near.to_string_lossy())));
        }
        if let Some(state) = &global.state {
            options.push_str(&format!(" --state {}", word(&state.to_string_lossy())));
        }
        Typed { program: program(), options }
    }

    /// For a command that may have no site yet.
    pub(crate) fn bare() -> Self {
        Typed { program: program(), options: String::new() }
    }

    /// As tests want it.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Typed { program: "stoa".to_owned(), options: String::new() }
    }

    /// The line for a verb and its arguments.
    pub(crate) fn line(&self, verb: &str) -> String {
        format!("{} {verb}{}", self.program, self.options)
    }

    /// The line for a verb that takes the site's folder as its argument.
    pub(crate) fn folder_line(&self, verb: &str) -> String {
        format!("{} {verb}{}", self.program, self.options.replacen(" --config", "", 1))
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
