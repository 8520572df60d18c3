//! What is measured of a server, and how it stands in the table.

use crate::shared::table::{Column, Row, errors, median, per, render};
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

const COLUMNS: [Column; 5] = [
    Column { title: "requests/s", decimals: 0 },
    Column { title: "CPU µs/request", decimals: 2 },
    Column { title: "p50 added µs", decimals: 0 },
    Column { title: "p99 added µs", decimals: 0 },
    Column { title: "alone, p50 added µs", decimals: 0 },
];

/// The values of the columns, from a server's measure and that of the origin without it.
fn values((m, origin): (&Measure, &Measure)) -> Vec<f64> {
    vec![
        per(m.loaded.requests as f64 * 1e6, m.loaded.micros),
        per(m.cpu as f64, m.loaded.requests),
        m.loaded.p50 as f64 - origin.loaded.p50 as f64,
        m.loaded.p99 as f64 - origin.loaded.p99 as f64,
        m.alone.p50 as f64 - origin.alone.p50 as f64,
    ]
}

/// Prints one case: the servers, then Stoa's ratios to the others. `origin` is what was asked without any.
pub(crate) fn print(case: Case, connections: u32, origin: &Rounds, servers: &[Rounds]) {
    println!("\n{}, {connections} keep-alive connections", case.name);
    let row = |server: &Rounds| Row {
        name: server.name,
        rounds: server.measures.iter().zip(&origin.measures).map(values).collect(),
        errors: failed(server),
    };
    print!("{}", render(&COLUMNS, &servers.iter().map(row).collect::<Vec<_>>()));
    let of = |value: fn(&Measure) -> u64| median(origin.measures.iter().map(|m| value(m) as f64).collect());
    println!(
        "without a proxy: p50 {:.0} µs, p99 {:.0} µs, alone p50 {:.0} µs{}",
        of(|m| m.loaded.p50),
        of(|m| m.loaded.p99),
        of(|m| m.alone.p50),
        errors(failed(origin))
    );
}

fn failed(server: &Rounds) -> u64 {
    server.measures.iter().map(|m| m.loaded.errors + m.alone.errors).sum()
}
