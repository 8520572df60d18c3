//! `stoa db status` and `stoa db top`.

use super::status::{state, wrap};
use super::units;
use crate::api::types::database::{DatabaseFacts, DatabaseReport, DatabaseServer, DatabaseTop};
use crate::cli::style::{Mood, Style, harmless, pad};
use std::collections::BTreeSet;
use stoa_model::Millis;
use stoa_model::cluster::HandoverKind;
use stoa_model::control::DigestReport;
use stoa_model::site::Consistency;

/// What a row of servers has, with its width; the first and the last one are as wide as they need to be.
const SERVERS: [(&str, usize); 4] = [("STATE", 10), ("ROLE", 8), ("BEHIND", 12), ("SEMI-SYNC", 9)];
/// The columns of `top` before the statement's text.
const STATEMENTS: [(&str, usize); 5] =
    [("TIME", 8), ("MEAN", 8), ("COUNT", 8), ("REPLICAS", 8), ("ERRORS", 6)];
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
        let wait = if report.held == 1 { "waits" } else { "wait" };
        let what = format!("{} {wait} for a primary", counted(report.held, "statement"));
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
    let versions: BTreeSet<_> =
        report.servers.iter().filter_map(|server| Some(&server.facts.as_ref()?.version)).collect();
    let versions: Vec<_> = versions.into_iter().map(|version| harmless(version)).collect();
    let engine = style.bold(format!("{} {}", report.engine, versions.join(", ")).trim_end());
    let encrypted = !report.servers.is_empty() && report.servers.iter().all(|server| server.tls);
    let tls = if encrypted { format!("{dot}TLS") } else { String::new() };
    format!("{engine}{dot}{primary}{dot}term {}{dot}{sessions}{tls}", report.term)
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
    let [state, role, behind, semi_sync] = SERVERS.map(|(_, width)| width);
    let facts = server.facts.as_ref();
    let is_primary = server.role == "primary";
    let behind_by = facts.map_or_else(|| "-".to_owned(), |facts| lag(facts, is_primary));
    let acknowledged = facts.map_or("-", |facts| acknowledgement(facts, is_primary));
    let gtid = facts.map_or_else(|| "-".to_owned(), |facts| harmless(&facts.gtid.to_string()));
    let line = format!(
        "{} {} {} {} {} {} ",
        style.sign(mood),
        pad(&server.id.to_string(), first),
        style.mood(mood, &pad(word, state)),
        pad(&server.role, role),
        pad(&behind_by, behind),
        pad(acknowledged, semi_sync),
    );
    let used = first + SERVERS.iter().map(|(_, width)| width + 1).sum::<usize>() + 3;
    let room = width.saturating_sub(used).max(12);
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
    let values =
        [micros(row.time_us), micros(mean), count.to_string(), format!("{share} %"), row.errors.to_string()];
    let mut line = String::new();
    for (value, (_, width)) in values.iter().zip(STATEMENTS) {
        line.push_str(&pad(value, width + 1));
    }
    let used = STATEMENTS.iter().map(|(_, width)| width + 1).sum::<usize>();
    let room = width.saturating_sub(used).max(20);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::InstanceState;
    use std::collections::BTreeMap;
    use stoa_model::cluster::{Degraded, PrimaryChange};
    use stoa_model::observed::SemiSync;
    use stoa_model::{Endpoint, InstanceId, Term, Tier, Time};
    use unicode_width::UnicodeWidthStr;

    const SIGNS: Style = Style { color: false, unicode: true };

    fn id(number: u16) -> InstanceId {
        InstanceId::new(Tier::Database, number)
    }

    fn server(number: u16, role: &str, behind: u64) -> DatabaseServer {
        let facts = DatabaseFacts {
            writable: role == "primary",
            term: Term(3),
            gtid: "0-1-40211".parse().unwrap(),
            behind: Some(behind),
            lag_seconds: (role == "replica").then_some(behind.min(1)),
            semi_sync: SemiSync { enabled: role == "primary", acknowledging: 1, ..SemiSync::default() },
            version: "10.11.6-MariaDB".to_owned(),
            drift: Vec::new(),
        };
        DatabaseServer {
            id: id(number),
            role: role.to_owned(),
            state: InstanceState::Serving,
            note: None,
            endpoint: Endpoint::Tcp(([127, 0, 0, 1], 20_000 + number).into()),
            tls: false,
            facts: Some(facts),
        }
    }

    fn cluster() -> DatabaseReport {
        DatabaseReport {
            engine: "mariadb".to_owned(),
            primary: Some(id(2)),
            term: Term(3),
            address: Some(Endpoint::Tcp(([127, 0, 0, 1], 20_100).into())),
            consistency: Consistency::Session,
            changed: Some(PrimaryChange {
                at: Time(1000),
                kind: HandoverKind::Failover,
                from: id(1),
                to: id(2),
                because: "database-1 ended: killed by signal 9".to_owned(),
                position: "0-1-40000".parse().unwrap(),
            }),
            changed_ago: Some(Millis(61_000)),
            handover: None,
            degraded: None,
            switchover: None,
            servers: vec![server(1, "replica", 12), server(2, "primary", 0), server(3, "replica", 0)],
            held: 0,
            sessions: 14,
        }
    }

    #[test]
    fn a_cluster_tells_who_is_primary_and_why() {
        insta::assert_snapshot!(status(&cluster(), SIGNS, 80));
    }

    #[test]
    fn what_is_not_well_stands_out() {
        let mut report = cluster();
        report.primary = None;
        report.held = 3;
        let because = "no replica acknowledges since database-3 was lost".to_owned();
        report.degraded = Some(Degraded { since: Time(1), because, goal: None });
        report.servers[1].facts = None;
        report.servers[1].state = InstanceState::Crashed;
        report.servers[1].note = Some("killed by signal 9".to_owned());
        insta::assert_snapshot!(status(&report, SIGNS, 80));
    }

    #[test]
    fn statements_are_told_by_the_time_they_take() {
        let row = |text: &str, replica, time_us| DigestReport {
            digest: "00000000000000ab".to_owned(),
            text: text.to_owned(),
            primary: 10,
            replica,
            errors: 1,
            rows: 400,
            time_us,
            longest_us: 900,
        };
        let long = "SELECT a_rather_long_name_of_a_column FROM entries WHERE id IN (...) ORDER BY id LIMIT ?";
        let digests = vec![row(long, 90, 12_345_678), row("INSERT INTO entries VALUES (...)", 0, 8_000)];
        let statements = BTreeMap::from([(id(1), 20), (id(2), 90)]);
        let text = top(&DatabaseTop { digests, statements }, SIGNS, 80);
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    }
}
