//! `stoa events`: one entry of the journal as a line.

use super::units;
use crate::cli::style::{Mood, Style, harmless, pad};
use stoa_model::journal::{Entry, Kind};

/// One entry.
pub(crate) fn entry(entry: &Entry, style: Style) -> String {
    let because = match entry.because.as_str() {
        "" => String::new(),
        because => style.dim(&format!(" ({})", harmless(because))),
    };
    format!(
        "{} {} {} {}{because}",
        style.dim(&format!("{}Z", units::utc(entry.at_unix_ms))),
        kind(entry.kind, style),
        pad(&harmless(&entry.subject), 12),
        harmless(&entry.text)
    )
}

fn kind(kind: Kind, style: Style) -> String {
    let (mood, word) = match kind {
        Kind::Asked => (Mood::Moving, "asked"),
        Kind::Step => (Mood::Quiet, "step"),
        Kind::Done => (Mood::Good, "done"),
        Kind::Failed => (Mood::Bad, "failed"),
        Kind::Routes => (Mood::Quiet, "routes"),
        Kind::Decided => (Mood::Moving, "decided"),
        Kind::Seen => (Mood::Moving, "seen"),
        Kind::Refused => (Mood::Bad, "refused"),
    };
    style.mood(mood, &pad(word, 7))
}
