//! What each splitter counts: its clients, the statements that wait, and every database server that it
//! sends to. Statements by digest are no metrics, since their number has no bound: `stoa db top` tells them.

use super::{Exposition, Histogram};
use stoa_model::InstanceId;
use stoa_model::control::{DURATION_BOUNDS_MS, Report, SqlInstanceReport};

impl Exposition {
    /// Adds what `splitter` reports. A report that tells nothing of statements adds only the generation.
    pub fn splitter(&mut self, splitter: InstanceId, report: &Report) {
        let name = splitter.to_string();
        let labels = [("splitter", name.as_str())];
        let help = "The generation of routes that the splitter serves by.";
        self.gauge("stoa_splitter_generation", help, &labels, report.serving.0);
        let Some(sql) = &report.sql else { return };
        self.gauge("stoa_splitter_sessions", "Clients that are connected.", &labels, sql.sessions);
        let help = "Statements that wait for a primary, because there is none or it cannot be reached.";
        self.gauge("stoa_splitter_held", help, &labels, sql.held);
        let help = "Statements that wait for one of the connections there may be to a server.";
        self.gauge("stoa_splitter_waiting", help, &labels, sql.waiting);
        for (instance, server) in &sql.instances {
            self.server(&name, *instance, server);
        }
    }

    fn server(&mut self, splitter: &str, instance: InstanceId, server: &SqlInstanceReport) {
        let id = instance.to_string();
        let labels = [("splitter", splitter), ("id", id.as_str())];
        let help = "Statements that the server answered, those with an error among them.";
        self.counter("stoa_sql_statements_total", help, &labels, server.statements);
        self.counter("stoa_sql_errors_total", "Statements answered with an error.", &labels, server.errors);
        let help = "Statements without an answer because the connection broke.";
        self.counter("stoa_sql_broken_total", help, &labels, server.broken);
        let help = "Connections of the splitter to the server, used or not.";
        self.gauge("stoa_sql_connections", help, &labels, server.connections);
        let help = "Statements and open transactions that the server holds now.";
        self.gauge("stoa_sql_in_flight", help, &labels, server.in_flight);
        let help = "Sessions without a statement that hold a connection of their own.";
        self.gauge("stoa_sql_pinned", help, &labels, server.pinned);
        if let Some(lag) = server.lag_ms {
            let help = "How far a replica is behind the primary; no sample where it is not known.";
            self.gauge("stoa_sql_lag_seconds", help, &labels, lag as f64 / 1000.0);
        }
        let help = "1 while the splitter sends no read to the server.";
        self.gauge("stoa_sql_left_out", help, &labels, server.left_out.is_some());
        let bounds = DURATION_BOUNDS_MS.map(|bound| bound as f64 / 1000.0);
        let sum = server.duration_sum_us as f64 / 1e6;
        let histogram = Histogram { bounds: &bounds, counts: &server.durations, sum };
        let help = "Time from sending a statement to the end of its answer.";
        self.histogram("stoa_sql_statement_duration_seconds", help, &labels, histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::control::SqlReport;
    use stoa_model::{Generation, Tier};

    #[test]
    fn a_splitters_report() {
        let mut durations = [0; DURATION_BOUNDS_MS.len() + 1];
        (durations[0], durations[3]) = (90, 9);
        let primary = SqlInstanceReport {
            connections: 5,
            in_flight: 2,
            pinned: 1,
            statements: 99,
            errors: 3,
            broken: 1,
            durations,
            duration_sum_us: 1_500_000,
            ..SqlInstanceReport::default()
        };
        let replica = SqlInstanceReport {
            lag_ms: Some(1200),
            left_out: Some("1.2 s behind".to_owned()),
            ..SqlInstanceReport::default()
        };
        let id = |number| InstanceId::new(Tier::Database, number);
        let sql = SqlReport {
            sessions: 40,
            held: 4,
            waiting: 2,
            instances: [(id(1), primary), (id(2), replica)].into(),
            ..SqlReport::default()
        };
        let report = Report { serving: Generation(7), sql: Some(sql), ..Report::default() };
        let mut metrics = Exposition::new();
        metrics.splitter(InstanceId::new(Tier::Splitter, 1), &report);
        metrics.splitter(InstanceId::new(Tier::Splitter, 2), &Report::default());
        insta::assert_snapshot!(metrics.finish());
    }
}
