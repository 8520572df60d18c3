//! `stoa.toml` as written -> [`Site`]: every default filled in, every value checked, every mistake
//! reported at once with its place, its value, the reason and the fix.
//!
//! It reads a text that it is given and never touches a file: whether a folder exists or a port is free
//! is seen by the tiers. `stoa.example.toml` at the root of the repository names every key; a test
//! holds the two together.

mod command;
mod environments;
mod reader;
mod sections;
mod source;
mod text;
mod units;

#[cfg(test)]
mod tests;

pub use sections::secret_name;
pub use source::{location, reference};

use crate::ids::EnvironmentName;
use crate::site::Site;
use reader::Reader;
use sections::Usual;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::DeTable;

/// The largest file that is read; a real one has a hundred lines.
pub const FILE_MAX: usize = 1 << 20;

/// More mistakes than this help nobody.
const ERRORS_MAX: usize = 50;

/// One mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands, in bytes of the text.
    pub span: Range<usize>,
    /// The key it is about, such as `app.instances`; empty where the text is no TOML.
    pub key: String,
    /// What stands there; empty where something is missing.
    pub value: String,
    /// Why it is refused.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

/// Why a value is refused and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {fix}")]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

/// Reads the text of a `stoa.toml`: the site in production. `folder` is the absolute folder that the file
/// lies in; a relative `source` starts there. All mistakes are reported, in the order of their places,
/// those of every environment among them.
pub fn parse(text: &str, folder: &Path) -> Result<Site, Vec<ConfigError>> {
    parse_environment(text, folder, &EnvironmentName::default())
}

/// As [`parse`], the site in `environment`.
pub fn parse_environment(
    text: &str,
    folder: &Path,
    environment: &EnvironmentName,
) -> Result<Site, Vec<ConfigError>> {
    let document = document(text)?;
    let mut reading = read(text, document.get_ref(), folder);
    let asked = match reading.sites.iter().position(|(name, _)| name == environment) {
        Some(at) => reading.sites.swap_remove(at).1,
        None => {
            let names: Vec<_> = reading.sites.into_iter().skip(1).map(|(name, _)| name).collect();
            reading.errors.push(environments::unknown(environment, &names));
            None
        }
    };
    let mut errors = reading.errors;
    errors.sort_by_key(|error| (error.span.start, error.span.end));
    errors.truncate(ERRORS_MAX);
    match asked {
        Some(site) if errors.is_empty() => Ok(site),
        _ => Err(errors),
    }
}

/// The environments that the text names besides production, in their order; none where it is no TOML.
pub fn environments(text: &str) -> Vec<EnvironmentName> {
    let Ok(document) = document(text) else { return Vec::new() };
    let (environments, _) = environments::written(text, document.get_ref());
    environments.into_iter().map(|environment| environment.name).collect()
}

/// What a document says.
struct Reading {
    /// Production, then the other environments in their order; `None` for those with mistakes.
    sites: Vec<(EnvironmentName, Option<Site>)>,
    errors: Vec<ConfigError>,
    /// Every key that was looked for, present or not.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test of the example compares them"))]
    keys: Vec<String>,
}

fn document(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<ConfigError>> {
    if text.len() > FILE_MAX {
        let refusal = refuse(
            format!("the file has {} bytes; a stoa.toml has at most {FILE_MAX}", text.len()),
            "check that this is the right file",
        );
        return Err(vec![ConfigError::new(text, "", 0..0, refusal)]);
    }
    let (document, broken) = DeTable::parse_recoverable(text);
    if broken.is_empty() { Ok(document) } else { Err(syntax_errors(text, &broken)) }
}

fn read<'t>(text: &'t str, root: &'t DeTable<'t>, folder: &Path) -> Reading {
    let mut reader = Reader::new(text, root, None);
    let production = sections::site(&mut reader, folder, &Usual::production());
    let (of_production, keys) = reader.finish();
    let (written, refused) = environments::written(text, root);
    let mut errors = of_production.clone();
    errors.extend(refused);
    let mut others = Vec::new();
    for environment in written {
        let merged = environment.over(root);
        let mut reader = Reader::new(text, &merged, Some(environment.head.clone()));
        let site = sections::site(&mut reader, folder, &environment.usual(production.as_ref()));
        // Enough for one reading; each environment would repeat what is looked up for a strange key.
        if errors.len() < ERRORS_MAX {
            errors.extend(environment.mistakes(reader.finish().0, &of_production));
        }
        others.push((environment, site));
    }
    if let Some(production) = &production {
        errors.extend(environments::check_listeners(text, production, &others));
    }
    let others = others.into_iter().map(|(environment, site)| (environment.name, site));
    let sites = std::iter::once((EnvironmentName::default(), production)).chain(others).collect();
    Reading { sites, errors, keys }
}

impl ConfigError {
    /// The mistake at `span` of `text`; its value is what stands there.
    fn new(text: &str, key: impl Into<String>, span: Range<usize>, refusal: Refusal) -> Self {
        let value = excerpt(text.get(span.clone()).unwrap_or_default());
        ConfigError { span, key: key.into(), value, reason: refusal.reason, fix: refusal.fix }
    }

    /// The line and the column of its beginning in `text`, counted from 1.
    pub fn place(&self, text: &str) -> (usize, usize) {
        let start = (0..=self.span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let before = text.get(..start.unwrap_or(0)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), self.value.as_str()) {
            ("", "") => {}
            ("", value) => write!(f, "{value}: ")?,
            (key, "") => write!(f, "{key}: ")?,
            (key, name) if key.ends_with(name) => write!(f, "{key}: ")?,
            (key, value) => write!(f, "{key}, {value}: ")?,
        }
        write!(f, "{}; {}", self.reason, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// A refusal from its two halves.
fn refuse(reason: impl Into<String>, fix: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), fix: fix.into() }
}

/// What a person still recognises on one line: the first line, at most 60 characters.
fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String =
        line.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}

/// What the TOML parser says, the first of each line: the rest of a line follows from it.
fn syntax_errors(text: &str, broken: &[toml::de::Error]) -> Vec<ConfigError> {
    let mut errors: Vec<ConfigError> = Vec::new();
    for error in broken {
        let span = error.span().unwrap_or(0..0);
        let (reason, fix) = match error.message() {
            message if message.contains("duplicate key") => (message, "keep one of the two"),
            message if message.contains("quoted") => (message, "put the text in quotes"),
            // What the parser makes of a bare word that begins with t or f.
            message if message.contains("invalid boolean") => {
                ("it is no value; only true, false and numbers go without quotes", "put the text in quotes")
            }
            message => (message, "write it as TOML: key = \"text\", key = 2, key = [\"a\", \"b\"]"),
        };
        let error = ConfigError::new(text, "", span, refuse(reason, fix));
        let line = error.place(text).0;
        if errors.last().is_none_or(|last| last.place(text).0 != line) {
            errors.push(error);
        }
        if errors.len() == ERRORS_MAX {
            break;
        }
    }
    errors.sort_by_key(|error| error.span.start);
    errors
}
