//! What a command failed of: where, which value, why, what to type next; and its exit code.

use super::config_report::ConfigReport;
use super::style::Style;
use super::typed::Typed;
use crate::api::types::Problem;
use crate::client::ClientError;
use serde_json::json;

/// A command's failure. Boxed where it travels: it is large, and rare.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What happened.
    pub(crate) problem: Problem,
    /// The mistakes in the site's file, where it is about them.
    pub(crate) config: Option<Box<ConfigReport>>,
    /// The last lines that something printed.
    pub(crate) lines: Vec<String>,
}

/// The result of a command's parts.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Something failed.
const FAILED: u8 = 1;
/// Wrong usage or config.
const USAGE: u8 = 2;

impl Failure {
    /// Something failed.
    pub(crate) fn failed(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        let problem = Problem { what: what.into(), why: why.into(), next: next.into() };
        Failure { code: FAILED, problem, config: None, lines: Vec::new() }
    }

    /// Wrong usage or config.
    pub(crate) fn usage(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Failure { code: USAGE, ..Failure::failed(what, why, next) }
    }

    /// A file holds mistakes.
    pub(crate) fn config(report: ConfigReport) -> Self {
        let next = "mend the file and type the same command again";
        Failure {
            config: Some(Box::new(report.clone())),
            ..Failure::usage(report.title(), report.summary(), next)
        }
    }

    /// What another room reported; its causes are the why, its help is the next.
    pub(crate) fn report(report: &miette::Report, next: impl Into<String>) -> Self {
        let why: Vec<String> = report.chain().skip(1).map(|cause| cause.to_string()).collect();
        let next = report.help().map_or_else(|| next.into(), |help| help.to_string());
        Failure::failed(report.to_string(), why.join(": "), next)
    }

    /// A call to the daemon failed. What it says to type is made to work here.
    pub(crate) fn client(error: ClientError, typed: &Typed) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Refused(Problem { what, why, next }) => {
                Failure::failed(typed.adapted(&what), typed.adapted(&why), typed.adapted(&next))
            }
            ClientError::NotRunning { .. } => Failure::failed(
                "the site is not running",
                what,
                format!("bring it up: {}", typed.folder_line("up")),
            ),
            ClientError::Forbidden { .. } => Failure::failed(
                "the site belongs to another user",
                what,
                "type the command as the user who brought the site up, or with sudo",
            ),
            ClientError::Silent { .. } => Failure::failed(
                what,
                "it is busy, stopped, or the machine is overloaded",
                format!("try again; see what it says: {}", typed.line("logs daemon")),
            ),
            ClientError::Broken { .. } => Failure::failed(
                what,
                "the daemon may be of another version than this command, or ended meanwhile",
                format!("see what it says: {}", typed.line("logs daemon")),
            ),
        }
    }

    /// With the last lines that something printed.
    pub(crate) fn with_lines(self, lines: Vec<String>) -> Self {
        Failure { lines, ..self }
    }

    /// As people read it.
    pub(crate) fn text(&self, style: Style) -> String {
        if let Some(report) = &self.config {
            return report.text(style);
        }
        let Problem { what, why, next } = &self.problem;
        let mut text = format!("{} {}\n", style.red("error:"), style.bold(what));
        if !why.is_empty() {
            text.push_str(&format!("  why:  {}\n", indent(why)));
        }
        for line in &self.lines {
            text.push_str(&format!("        {} {}\n", style.dim(style.bar()), style.dim(line)));
        }
        if !next.is_empty() {
            text.push_str(&format!("  next: {}\n", indent(next)));
        }
        text
    }

    /// As programs read it.
    pub(crate) fn json(&self) -> serde_json::Value {
        let Problem { what, why, next } = &self.problem;
        let mut error = json!({ "what": what, "why": why, "next": next });
        if let Some(report) = &self.config {
            error["mistakes"] = report.json();
        }
        if !self.lines.is_empty() {
            error["lines"] = json!(self.lines);
        }
        json!({ "error": error })
    }
}

/// Further lines stand under the first.
fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n        ")
}
