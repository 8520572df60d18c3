//! The mistakes of a `stoa.toml` as one report: for people with the lines they stand in, for programs
//! as JSON.

use super::style::Style;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;
use std::fmt;
use std::path::{Path, PathBuf};
use stoa_model::config::ConfigError;

/// The mistakes of one file.
#[derive(Debug, Clone)]
pub(crate) struct ConfigReport {
    file: PathBuf,
    text: String,
    errors: Vec<ConfigError>,
}

/// One mistake with the text it stands in, as miette draws it.
struct Mistake<'a> {
    source: NamedSource<String>,
    error: &'a ConfigError,
}

impl ConfigReport {
    /// Of `text`, which was read from `file`.
    pub(crate) fn new(file: &Path, text: &str, errors: Vec<ConfigError>) -> Self {
        ConfigReport { file: file.to_owned(), text: text.to_owned(), errors }
    }

    /// Which file, and how many.
    pub(crate) fn title(&self) -> String {
        match self.errors.len() {
            1 => format!("{} has a mistake", self.file.display()),
            count => format!("{} has {count} mistakes", self.file.display()),
        }
    }

    /// Every mistake in one line each.
    pub(crate) fn summary(&self) -> String {
        let line = |error: &ConfigError| {
            let (line, column) = error.place(&self.text);
            format!("line {line}, column {column}: {error}")
        };
        self.errors.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// As people read it.
    pub(crate) fn text(&self, style: Style) -> String {
        let handler = GraphicalReportHandler::new_themed(theme(style)).with_links(false).with_width(100);
        let mut text = format!("{} {}\n\n", style.red("error:"), style.bold(&self.title()));
        let name = self.file.display().to_string();
        for error in &self.errors {
            let mistake = Mistake { source: NamedSource::new(&name, self.text.clone()), error };
            if handler.render_report(&mut text, &mistake).is_err() {
                text.push_str(&format!("{error}\n"));
            }
            text.push('\n');
        }
        text + "Nothing was changed.\n"
    }

    /// As programs read it.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mistake = |error: &ConfigError| {
            let (line, column) = error.place(&self.text);
            json!({
                "file": self.file, "line": line, "column": column, "key": error.key,
                "value": error.value, "why": error.reason, "next": error.fix,
            })
        };
        self.errors.iter().map(mistake).collect()
    }
}

fn theme(style: Style) -> GraphicalTheme {
    match (style.unicode, style.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme {
            styles: miette::ThemeStyles::ansi(),
            characters: miette::ThemeCharacters::ascii(),
        },
        (false, false) => GraphicalTheme::none(),
    }
}

impl fmt::Debug for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.error, f)
    }
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.key.as_str() {
            "" => write!(f, "{}", self.error.reason),
            key => write!(f, "{key}: {}", self.error.reason),
        }
    }
}

impl std::error::Error for Mistake<'_> {}

impl Diagnostic for Mistake<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.error.fix.is_empty()).then(|| Box::new(&self.error.fix) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), self.error.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}
