//! The table: medians of all rounds, and ratios between those that stood in the same round.

use std::fmt::Write;

/// What ours is called.
pub(crate) const OURS: &str = "Stoa";

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: &'static str,
    /// How many digits stand behind the point.
    pub(crate) decimals: usize,
}

/// One server in every round, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// A round's values, one a column.
    pub(crate) rounds: Vec<Vec<f64>>,
    /// What failed in all of them.
    pub(crate) errors: u64,
}

/// The rows, and where the last is ours its ratios to the others.
pub(crate) fn render(columns: &[Column], rows: &[Row]) -> String {
    let mut out = format!("{:<16}", "");
    for column in columns {
        let _ = write!(out, "  {:>19}", column.title);
    }
    out.push('\n');
    for row in rows {
        let _ = write!(out, "{:<16}", row.name);
        for (place, Column { decimals, .. }) in columns.iter().enumerate() {
            let values = row.rounds.iter().map(|round| at(round, place)).collect();
            let _ = write!(out, "  {:>19.decimals$}", median(values));
        }
        let _ = writeln!(out, "{}", errors(row.errors));
    }
    if let Some((ours, peers)) = rows.split_last().filter(|(last, _)| last.name == OURS) {
        for peer in peers {
            let _ = write!(out, "{:<16}", format!("{OURS}/{}", peer.name));
            for place in 0..columns.len() {
                let both = ours.rounds.iter().zip(&peer.rounds);
                // One round without a ratio, and their median would be of luck.
                let ratios: Option<Vec<f64>> =
                    both.map(|(ours, theirs)| quotient(at(ours, place), at(theirs, place))).collect();
                let _ = write!(out, "  {:>19}", ratio(median(ratios.unwrap_or_default())));
            }
            out.push('\n');
        }
    }
    out
}

/// Bytes a connection, and our ratios to the others.
pub(crate) fn render_memory(connections: usize, found: &[(&'static str, f64)]) -> String {
    let mut out = format!("Memory of an idle connection, of {connections}\n");
    for (name, bytes) in found {
        let _ = writeln!(out, "{name:<16}  {bytes:>10.0} bytes");
    }
    if let Some(((_, ours), peers)) = found.split_last().filter(|((name, _), _)| *name == OURS) {
        for (name, theirs) in peers {
            let quotient = quotient(*ours, *theirs).unwrap_or(f64::NAN);
            let _ = writeln!(out, "{:<16}  {:>10}", format!("{OURS}/{name}"), ratio(quotient));
        }
    }
    out
}

/// Said where anything failed.
pub(crate) fn errors(count: u64) -> String {
    if count == 0 { String::new() } else { format!("  {count} ERRORS") }
}

/// An amount of each.
pub(crate) fn per(amount: f64, count: u64) -> f64 {
    if count == 0 { f64::NAN } else { amount / count as f64 }
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn at(round: &[f64], place: usize) -> f64 {
    round.get(place).copied().unwrap_or(f64::NAN)
}

/// Only of two amounts that are there: what is within the noise of zero has no ratio.
fn quotient(ours: f64, theirs: f64) -> Option<f64> {
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

fn ratio(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.2}") }
}

#[cfg(test)]
#[allow(unused_imports, reason = "a bench has no harness: its tests are run with the tasks")]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round_and_only_of_what_is_there() {
        let columns = [Column { title: "cost", decimals: 1 }, Column { title: "added", decimals: 0 }];
        let row = |name, rounds: [[f64; 2]; 3]| {
            let rounds = rounds.map(|round| round.to_vec()).to_vec();
            Row { name, rounds, errors: 0 }
        };
        let theirs = row("Other", [[10.0, 5.0], [100.0, -1.0], [20.0, 5.0]]);
        let ours = Row { errors: 3, ..row(OURS, [[5.0, 10.0], [50.0, 10.0], [30.0, 10.0]]) };
        let table = render(&columns, &[theirs, ours]);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [
                vec!["cost", "added"],
                vec!["Other", "20.0", "5"],
                vec![OURS, "30.0", "10", "3", "ERRORS"],
                vec!["Stoa/Other", "0.50", "-"],
            ]
        );
    }

    #[test]
    fn memory_has_a_ratio_to_every_other() {
        let table = render_memory(512, &[("Other", 2000.0), (OURS, 1000.0)]);
        assert!(table.ends_with("Stoa/Other              0.50\n"), "{table}");
    }

    #[test]
    fn nothing_has_no_median_and_no_share() {
        assert!(median(Vec::new()).is_nan() && per(1.0, 0).is_nan());
    }
}
