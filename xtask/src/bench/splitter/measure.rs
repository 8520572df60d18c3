//! What one load cost, and how it stands in the table.

use super::proxies::Proxy;
use super::shared::table::{Column, Row, per};
use super::sysbench::Seen;

/// One way to the servers in one round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measure {
    /// What the clients saw.
    pub(crate) seen: Seen,
    /// Microseconds of CPU that the proxy used, the primary, and all replicas.
    pub(crate) proxy: u64,
    pub(crate) primary: u64,
    pub(crate) replicas: u64,
}

pub(crate) const COLUMNS: [Column; 6] = [
    Column { title: "queries/s", decimals: 0 },
    Column { title: "CPU µs/query", decimals: 2 },
    Column { title: "p50 added µs", decimals: 0 },
    Column { title: "p99 added µs", decimals: 0 },
    Column { title: "primary µs/query", decimals: 2 },
    Column { title: "replicas µs/query", decimals: 2 },
];

/// The table's rows from every round's measures; the first way is the one without a proxy.
pub(crate) fn rows(ways: &[Option<&Proxy>], rounds: &[Vec<Measure>]) -> Vec<Row> {
    let row = |(place, way): (usize, &Option<&Proxy>)| {
        let pairs: Vec<_> =
            rounds.iter().filter_map(|round| Some((round.get(place)?, round.first()?))).collect();
        Row {
            name: way.map_or("direct", |proxy| proxy.name),
            rounds: pairs.iter().map(|(measure, direct)| values(measure, direct)).collect(),
            errors: pairs.iter().map(|(measure, _)| measure.seen.errors).sum(),
        }
    };
    ways.iter().enumerate().map(row).collect()
}

fn values(m: &Measure, direct: &Measure) -> Vec<f64> {
    vec![
        if m.seen.seconds > 0.0 { m.seen.queries as f64 / m.seen.seconds } else { f64::NAN },
        per(m.proxy as f64, m.seen.queries),
        m.seen.p50 - direct.seen.p50,
        m.seen.p99 - direct.seen.p99,
        per(m.primary as f64, m.seen.queries),
        per(m.replicas as f64, m.seen.queries),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_relative_to_the_same_round_without_a_proxy() {
        let seen = |p50| Seen { queries: 1000, seconds: 2.0, p50, p99: 10.0 * p50, errors: 1 };
        let measure = |p50, proxy| Measure { seen: seen(p50), proxy, primary: 2000, replicas: 500 };
        let rounds = vec![vec![measure(100.0, 0)], vec![measure(300.0, 0)]];
        let [row] = <[Row; 1]>::try_from(rows(&[None], &rounds)).unwrap();
        assert_eq!((row.name, row.errors), ("direct", 2));
        assert_eq!(row.rounds, vec![vec![500.0, 0.0, 0.0, 0.0, 2.0, 0.5]; 2]);
        assert_eq!(values(&measure(150.0, 7000), &measure(100.0, 0)), [500.0, 7.0, 50.0, 500.0, 2.0, 0.5]);
    }
}
