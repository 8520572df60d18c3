//! The table: medians of all rounds, and ratios between those that stood in the same round.

use crate::wrk::{Case, Seen};

/// One server in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measure {
    /// Under the load.
    pub(crate) loaded: Seen,
    /// With one connection, where nothing waits for another.
    pub(crate) alone: Seen,
    /// Microseconds of CPU that the server used under the load.
    pub(crate) cpu: u64,
}

/// One server in every round, in their order.
pub(crate) struct Rounds {
    /// Its name.
    pub(crate) name: &'static str,
    /// One a round.
    pub(crate) measures: Vec<Measure>,
}

/// A column: what it is called, and its value from a server's measure and that of the origin without it.
type Column = (&'static str, usize, fn(&Measure, &Measure) -> f64);

const COLUMNS: [Column; 5] = [
    ("requests/s", 0, |m, _| per(m.loaded.requests as f64 * 1e6, m.loaded.micros)),
    ("CPU µs/request", 2, |m, _| per(m.cpu as f64, m.loaded.requests)),
    ("p50 added µs", 0, |m, origin| m.loaded.p50 as f64 - origin.loaded.p50 as f64),
    ("p99 added µs", 0, |m, origin| m.loaded.p99 as f64 - origin.loaded.p99 as f64),
    ("alone, p50 added µs", 0, |m, origin| m.alone.p50 as f64 - origin.alone.p50 as f64),
];

/// Prints one case: the servers, then Stoa's ratios to the others. `origin` is what was asked without any.
pub(crate) fn print(case: Case, connections: u32, origin: &Rounds, servers: &[Rounds]) {
    println!("\n{}, {connections} keep-alive connections", case.name);
    print!("{:<16}", "");
    for (title, ..) in COLUMNS {
        print!("  {title:>19}");
    }
    println!();
    for server in servers {
        print!("{:<16}", server.name);
        for (_, decimals, value) in COLUMNS {
            let values = pairs(server, origin).map(|(m, o)| value(m, o));
            print!("  {:>19.decimals$}", median(values.collect()));
        }
        println!("{}", errors(server));
    }
    if let Some((stoa, peers)) = servers.split_last().filter(|(last, _)| last.name == "Stoa") {
        for peer in peers {
            print!("{:<16}", format!("Stoa/{}", peer.name));
            for (.., value) in COLUMNS {
                let ours = pairs(stoa, origin).map(|(m, o)| value(m, o));
                let theirs = pairs(peer, origin).map(|(m, o)| value(m, o));
                // One round without a ratio, and their median would be of luck.
                let ratios: Option<Vec<f64>> = ours.zip(theirs).map(quotient).collect();
                print!("  {:>19}", ratio(median(ratios.unwrap_or_default())));
            }
            println!();
        }
    }
    let of = |value: fn(&Measure) -> u64| median(origin.measures.iter().map(|m| value(m) as f64).collect());
    println!(
        "without a proxy: p50 {:.0} µs, p99 {:.0} µs, alone p50 {:.0} µs{}",
        of(|m| m.loaded.p50),
        of(|m| m.loaded.p99),
        of(|m| m.alone.p50),
        errors(origin)
    );
}

/// Prints bytes a connection, and Stoa's ratios to the others.
pub(crate) fn print_memory(connections: usize, found: &[(&'static str, f64)]) {
    println!("\nMemory of an idle connection, of {connections}");
    for (name, bytes) in found {
        println!("{name:<16}  {bytes:>10.0} bytes");
    }
    if let Some(((_, ours), peers)) = found.split_last().filter(|((name, _), _)| *name == "Stoa") {
        for (name, theirs) in peers {
            let quotient = quotient((*ours, *theirs)).unwrap_or(f64::NAN);
            println!("{:<16}  {:>10}", format!("Stoa/{name}"), ratio(quotient));
        }
    }
}

fn pairs<'a>(
    server: &'a Rounds,
    origin: &'a Rounds,
) -> impl Iterator<Item = (&'a Measure, &'a Measure)> + use<'a> {
    server.measures.iter().zip(&origin.measures)
}

fn errors(server: &Rounds) -> String {
    match server.measures.iter().map(|m| m.loaded.errors + m.alone.errors).sum::<u64>() {
        0 => String::new(),
        count => format!("  {count} ERRORS"),
    }
}

fn per(amount: f64, count: u64) -> f64 {
    if count == 0 { f64::NAN } else { amount / count as f64 }
}

/// Only of two amounts that are there: what is within the noise of zero has no ratio.
fn quotient((ours, theirs): (f64, f64)) -> Option<f64> {
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

fn ratio(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.2}") }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
