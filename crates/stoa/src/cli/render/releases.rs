//! `stoa releases`: every release, the newest first.

use super::deployment::kind;
use super::status::wrap;
use super::units;
use crate::api::types::{ReleaseStanding, ReleaseStatus};
use crate::cli::style::{Mood, Style, harmless, pad};
use stoa_model::Millis;
use stoa_model::deployment::DeployKind;

/// What a row has beside its sign, with its width; the last one is as wide as it needs to be.
const COLUMNS: [(&str, usize); 5] = [("RELEASE", 12), ("STATE", 10), ("WHEN", 11), ("BY", 18), ("REF", 14)];

/// The table; `now` is the time of the Unix epoch in milliseconds.
pub(crate) fn releases(all: &[ReleaseStatus], now: u64, style: Style, width: usize) -> String {
    let head: String = COLUMNS.iter().map(|(title, width)| pad(title, width + 1)).collect();
    let mut lines = vec![style.dim(&format!("  {head}NOTE"))];
    for release in all {
        lines.push(row(release, now, style));
        if let Some(why) = &release.failed {
            let room = width.saturating_sub(6);
            lines.extend(wrap(&harmless(why), room).map(|line| format!("      {}", style.dim(&line))));
        }
    }
    lines.join("\n") + "\n"
}

fn row(release: &ReleaseStatus, now: u64, style: Style) -> String {
    let (mood, word) = standing(release.state);
    let when = release.at_unix_ms.map(|at| format!("{} ago", units::span(Millis(now.saturating_sub(at)))));
    let [name, state, rest @ ..] = COLUMNS.map(|(_, width)| width);
    let values = [when.unwrap_or_default(), harmless(&release.by), harmless(&release.reference)];
    let mut line = format!(
        "{} {} {} ",
        style.sign(mood),
        pad(&release.release.to_string(), name),
        style.mood(mood, &pad(word, state))
    );
    for (value, width) in values.iter().zip(rest) {
        let value = if value.is_empty() { "-" } else { value.as_str() };
        line.push_str(&pad(&style.fit(value, width), width));
        line.push(' ');
    }
    let note = release.kind.filter(|kind| *kind != DeployKind::Deploy).map(kind).unwrap_or_default();
    format!("{line}{note}").trim_end().to_owned()
}

fn standing(state: ReleaseStanding) -> (Mood, &'static str) {
    match state {
        ReleaseStanding::Live => (Mood::Good, "live"),
        ReleaseStanding::Deploying => (Mood::Moving, "deploying"),
        ReleaseStanding::Built => (Mood::Quiet, "built"),
        ReleaseStanding::Failed => (Mood::Bad, "failed"),
        ReleaseStanding::Taken => (Mood::Quiet, "taken"),
        ReleaseStanding::Removed => (Mood::Quiet, "removed"),
    }
}
