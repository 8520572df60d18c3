//! `stoa doctor` as a table.

use super::status::wrap;
use crate::cli::style::{Mood, Style, pad};
use crate::cli::typed::Typed;
use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// What.
    pub(crate) what: String,
    /// How it is.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) text: String,
    /// What it is for.
    pub(crate) why: String,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As needed.
    Good,
    /// Good to know; the site stands without.
    Note,
    /// Needed, and not so.
    Missing,
}

/// The whole answer. `site`: whose needs they are; `install`: the line that installs what is missing.
pub(crate) fn doctor(
    site: Option<&str>,
    rows: &[Row],
    install: Option<&str>,
    style: Style,
    width: usize,
    typed: &Typed,
) -> String {
    let mut lines = vec![match site {
        Some(name) => format!("What {} needs on this machine", style.bold(name)),
        None => "What most sites need on this machine (there is no stoa.toml here)".to_owned(),
    }];
    lines.push(String::new());
    let what = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    for row in rows {
        let (mood, word) = match row.verdict {
            Verdict::Good => (Mood::Good, "ok"),
            Verdict::Note => (Mood::Quiet, "note"),
            Verdict::Missing => (Mood::Bad, "missing"),
        };
        let head =
            format!("  {} {} {}", style.sign(mood), style.mood(mood, &pad(word, 7)), pad(&row.what, what));
        let text = if row.text.contains(&row.why) {
            row.text.clone()
        } else {
            format!("{} ({})", row.text, row.why)
        };
        let column = what + 14;
        for (nth, line) in wrap(&text, width.saturating_sub(column)).enumerate() {
            let lead = if nth == 0 { head.clone() } else { " ".repeat(column - 2) };
            lines.push(format!("{lead}  {line}"));
        }
    }
    lines.push(String::new());
    let bad = rows.iter().filter(|row| row.verdict == Verdict::Missing).count();
    lines.push(match (install, bad) {
        (Some(line), _) => {
            format!("next: {}\n  or: {}   (as root)", line, typed.folder_line("doctor --install"))
        }
        (None, 0) if site.is_none() => format!("next: {}", typed.line("init")),
        (None, 0) => format!("next: {}", typed.folder_line("up")),
        (None, _) => "Mend what is missing, then look again.".to_owned(),
    });
    lines.join("\n") + "\n"
}
