//! `stoa db status` and `stoa db top`.

use super::status::{state, wrap};
use super::units;
use crate::api::types::database::{DatabaseFacts, DatabaseReport, DatabaseServer, DatabaseTop};
use crate::cli::style::{Mood, Style, harmless, pad};
use stoa_model::Millis;
use stoa_model::cluster::HandoverKind;
use stoa_model::control::DigestReport;
use stoa_model::site::Consistency;

/// What a row of servers has, with its width; the first and the last one are as wide as they need to be.
const SERVERS: [(&str, usize); 5] =
    [("STATE", 10), ("ROLE", 8), ("BEHIND", 14), ("SEMI-SYNC", 10), ("VERSION", 18)];
/// The columns of `top` before the statement's text.
const STATEMENTS: [(&str, usize); 6] =
    [("TIME", 9), ("MEAN", 9), ("COUNT", 9), ("READ ELSEWHERE", 14), ("ROWS", 9), ("ERRORS", 7)];
/// How many statements are shown.
const SHOWN: usize = 25;

/// The whole screen of `stoa db status`.
pub(crate) fn status(report: &DatabaseReport, style: Style, width: usize) -> String {
    let mut lines = vec![head(report, style)];
    let indented = |text: &str| -> Vec<String> {
        let text = harmless(text);
        wrap(&text, width.saturating_sub(2)).map(|line| format!("  {line}")).collect()
    };
    if let Some(address) = &report.address {
        let what = format!("applications reach it at {address}, {}", kept(report.consistency));
        lines.extend(indented(&what).iter().map(|line| style.dim(line)));
    }
    lines.extend(last_change(report).iter().flat_map(|text| indented(text)));
    if let Some(handover) = &report.handover {
        let what = format!("{} takes over from {}: {}", handover.to, handover.from, handover.because);
        lines.extend(indented(&what).iter().map(|line| style.mood(Mood::Moving, line)));
    }
    if let Some(degraded) = &report.degraded {
        let what = format!("acknowledged writes may be on one server only: {}", degraded.because);
        lines.extend(indented(&what).iter().map(|line| style.mood(Mood::Bad, line)));
    }
    if report.held > 0 {
        let what = format!("{} wait for a primary", counted(report.held, "statement"));
        lines.push(style.mood(Mood::Moving, &format!("  {what}")));
    }
    lines.push(String::new());
    lines.extend(servers(report, style, width));
    lines.join("\n") + "\n"
}

fn head(report: &DatabaseReport, style: Style) -> String {
    let primary = report.primary.map_or_else(|| "no primary".to_owned(), |id| format!("primary {id}"));
    let dot = style.dot();
    let sessions = counted(report.sessions, "session");
    format!("{}{dot}{primary}{dot}term {}{dot}{sessions}", style.bold(&report.engine), report.term)
}

fn kept(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Eventual => "which answers reads from what a replica has",
        Consistency::Session => "where a connection reads its own writes",
        Consistency::Global => "where a read sees every write acknowledged before it",
    }
}

fn last_change(report: &DatabaseReport) -> Option<String> {
    let change = report.changed.as_ref()?;
    let kind = match change.kind {
        HandoverKind::Failover => "failover",
        HandoverKind::Switchover => "switchover",
    };
    let ago = report.changed_ago.map(units::span).unwrap_or_default();
    Some(format!("last {kind} {ago} ago, from {} to {}: {}", change.from, change.to, change.because))
}

fn servers(report: &DatabaseReport, style: Style, width: usize) -> Vec<String> {
    let names = report.servers.iter().map(|server| server.id.to_string().len());
    let first = names.max().unwrap_or(0).max("SERVER".len()) + 1;
    let head: String = SERVERS.iter().map(|(title, width)| pad(title, width + 1)).collect();
    let mut lines = vec![style.dim(&format!("  {} {head}GTID", pad("SERVER", first)))];
    for server in &report.servers {
        lines.push(row(server, first, style, width));
        let drift = server.facts.iter().flat_map(|facts| facts.drift.iter());
        for note in server.note.iter().chain(drift) {
            let note = harmless(note);
            lines.extend(
                wrap(&note, width.saturating_sub(6)).map(|line| format!("      {}", style.dim(&line))),
            );
        }
    }
    lines
}

fn row(server: &DatabaseServer, first: usize, style: Style, width: usize) -> String {
    let (mood, word) = state(server.state);
    let [state, role, behind, semi_sync, version] = SERVERS.map(|(_, width)| width);
    let facts = server.facts.as_ref();
    let is_primary = server.role == "primary";
    let behind_by = facts.map_or_else(|| "-".to_owned(), |facts| lag(facts, is_primary));
    let acknowledged = facts.map_or("-", |facts| acknowledgement(facts, is_primary));
    let version_of = facts.map_or_else(|| "-".to_owned(), |facts| harmless(&facts.version));
    let gtid = facts.map_or_else(|| "-".to_owned(), |facts| harmless(&facts.gtid.to_string()));
    let line = format!(
        "{} {} {} {} {} {} {} ",
        style.sign(mood),
        pad(&server.id.to_string(), first),
        style.mood(mood, &pad(word, state)),
        pad(&server.role, role),
        pad(&behind_by, behind),
        pad(acknowledged, semi_sync),
        pad(&style.fit(&version_of, version), version),
    );
    let used = first + SERVERS.iter().map(|(_, width)| width + 1).sum::<usize>() + 3;
    let room = width.saturating_sub(used).max(20);
    format!("{line}{}", style.fit(&gtid, room)).trim_end().to_owned()
}

fn lag(facts: &DatabaseFacts, is_primary: bool) -> String {
    match (is_primary, facts.behind, facts.lag_seconds) {
        (true, ..) => "-".to_owned(),
        (_, Some(0), _) => "nothing".to_owned(),
        (_, Some(n), Some(seconds)) => format!("{n} tx, {seconds} s"),
        (_, Some(n), None) => format!("{n} tx"),
        (_, None, Some(seconds)) => format!("{seconds} s"),
        (_, None, None) => "unknown".to_owned(),
    }
}

fn acknowledgement(facts: &DatabaseFacts, is_primary: bool) -> &'static str {
    match (is_primary, facts.semi_sync.enabled, facts.semi_sync.waiting) {
        (true, true, 0) => "on",
        (true, true, _) => "waiting",
        (true, false, _) => "off",
        (false, ..) => "-",
    }
}

/// The whole screen of `stoa db top`.
pub(crate) fn top(top: &DatabaseTop, style: Style, width: usize) -> String {
    let servers: Vec<_> = top.statements.iter().map(|(id, count)| format!("{id} {count}")).collect();
    let head: String = STATEMENTS.iter().map(|(title, width)| pad(title, width + 1)).collect();
    let mut lines = vec![format!("  statements: {}", servers.join(style.dot())), String::new()];
    lines.push(style.dim(&format!("{head}STATEMENT")));
    lines.extend(top.digests.iter().take(SHOWN).map(|digest| statement(digest, style, width)));
    if top.digests.is_empty() {
        lines.push(style.dim("no statement was answered yet"));
    }
    lines.join("\n") + "\n"
}

fn statement(row: &DigestReport, style: Style, width: usize) -> String {
    let count = row.primary + row.replica;
    let mean = row.time_us / count.max(1);
    let share = row.replica * 100 / count.max(1);
    let values = [
        micros(row.time_us),
        micros(mean),
        count.to_string(),
        format!("{share} %"),
        row.rows.to_string(),
        row.errors.to_string(),
    ];
    let mut line = String::new();
    for (value, (_, width)) in values.iter().zip(STATEMENTS) {
        line.push_str(&pad(value, width + 1));
    }
    let used = STATEMENTS.iter().map(|(_, width)| width + 1).sum::<usize>();
    let room = width.saturating_sub(used).max(30);
    format!("{line}{}", style.fit(&harmless(&row.text), room))
}

fn micros(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1000),
        _ => units::span(Millis(us / 1000)),
    }
}

fn counted(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
