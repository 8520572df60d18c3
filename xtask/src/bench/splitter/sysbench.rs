//! sysbench, the load: closed loops of clients. Percentiles are read from its histogram, because it names only
//! one by itself.

use super::mariadb::{PASSWORD, SCHEMA, USER};
use super::shared::places::{program, written};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of the table, each of about a hundred bytes.
const ROWS: u32 = 10_000;
/// Rows of a megabyte.
const WIDE_ROWS: u32 = 8;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    PointSelect,
    ReadOnly,
    ReadWrite,
    WriteOnly,
    /// A row of a megabyte.
    Megabyte,
    /// Connect, ask for one row, close.
    Connect,
}

pub(crate) const WORKS: [Work; 6] =
    [Work::PointSelect, Work::ReadOnly, Work::ReadWrite, Work::WriteOnly, Work::Megabyte, Work::Connect];

/// One line of the bench.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) work: Work,
    /// Statements are prepared once, and executed.
    pub(crate) prepared: bool,
    pub(crate) clients: u32,
}

/// What one load saw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) queries: u64,
    pub(crate) seconds: f64,
    /// Microseconds within which half of the events ended: a query, or a transaction.
    pub(crate) p50: f64,
    /// Microseconds within which 99 of 100 ended.
    pub(crate) p99: f64,
    pub(crate) errors: u64,
}

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::PointSelect => "point-select",
            Work::ReadOnly => "read-only",
            Work::ReadWrite => "read-write",
            Work::WriteOnly => "write-only",
            Work::Megabyte => "megabyte",
            Work::Connect => "connect",
        }
    }

    /// Whether it can be done with prepared statements too.
    pub(crate) fn prepares(self) -> bool {
        self.bundled().is_some()
    }

    /// sysbench's own script.
    fn bundled(self) -> Option<&'static str> {
        match self {
            Work::PointSelect => Some("oltp_point_select"),
            Work::ReadOnly => Some("oltp_read_only"),
            Work::ReadWrite => Some("oltp_read_write"),
            Work::WriteOnly => Some("oltp_write_only"),
            Work::Megabyte | Work::Connect => None,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.prepared { "prepared" } else { "text" };
        let many = if self.clients == 1 { "client" } else { "clients" };
        write!(f, "{}, {how}, {} {many}", self.work.name(), self.clients)
    }
}

/// sysbench and where scripts for it lie.
pub(crate) struct Sysbench {
    program: PathBuf,
    folder: PathBuf,
}

impl Sysbench {
    pub(crate) fn find(folder: &Path) -> Result<Sysbench, String> {
        let program = program("sysbench").ok_or("sysbench is missing, and it is the load; install it")?;
        written(&folder.join("megabyte.lua"), &megabyte())?;
        written(&folder.join("connect.lua"), &connect())?;
        Ok(Sysbench { program, folder: folder.to_owned() })
    }

    /// Fills the tables.
    pub(crate) fn prepare(&self, primary: SocketAddr) -> Result<(), String> {
        for work in [Work::PointSelect, Work::Megabyte] {
            self.run(work, primary, &["prepare"])?;
        }
        Ok(())
    }

    /// Loads `address` for some seconds.
    pub(crate) fn load(&self, case: Case, address: SocketAddr, seconds: u32) -> Result<Seen, String> {
        let (threads, time) = (format!("--threads={}", case.clients), format!("--time={seconds}"));
        // A client that is never answered ends its run with an error, and not never.
        let mut words = vec!["run", "--histogram=on", "--forced-shutdown=60", &threads, &time];
        if case.work.prepares() {
            words.push(if case.prepared { "--db-ps-mode=auto" } else { "--db-ps-mode=disable" });
        }
        let said = self.run(case.work, address, &words)?;
        read(&said).ok_or_else(|| format!("sysbench did not tell: {said}"))
    }

    fn run(&self, work: Work, address: SocketAddr, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        match work.bundled() {
            Some(name) => command.arg(name).arg(format!("--table-size={ROWS}")),
            None => command.arg(self.folder.join(format!("{}.lua", work.name()))),
        };
        command.args(["--db-driver=mysql", "--mysql-ssl=off"]);
        command.arg(format!("--mysql-host={}", address.ip()));
        command.arg(format!("--mysql-port={}", address.port()));
        command.arg(format!("--mysql-user={USER}")).arg(format!("--mysql-password={PASSWORD}"));
        command.arg(format!("--mysql-db={SCHEMA}")).args(words);
        let output = command.output().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(format!("sysbench {}: {said}{}", work.name(), String::from_utf8_lossy(&output.stderr)))
    }
}

fn megabyte() -> String {
    format!(
        "function thread_init() drv = sysbench.sql.driver(); con = drv:connect() end\n\
         function thread_done() con:disconnect() end\n\
         function prepare()\n\
         local con = sysbench.sql.driver():connect()\n\
         con:query('CREATE TABLE wide (id INT PRIMARY KEY, body LONGTEXT)')\n\
         for id = 1, {WIDE_ROWS} do\n\
         con:query('INSERT INTO wide VALUES (' .. id .. \", REPEAT('x', 1048576))\")\n\
         end\n\
         con:disconnect()\n\
         end\n\
         function event() con:query('SELECT body FROM wide WHERE id=' .. sysbench.rand.uniform(1, {WIDE_ROWS})) end\n"
    )
}

fn connect() -> String {
    format!(
        "function thread_init() drv = sysbench.sql.driver() end\n\
         function event()\n\
         local con = drv:connect()\n\
         con:query('SELECT c FROM sbtest1 WHERE id=' .. sysbench.rand.uniform(1, {ROWS}))\n\
         con:disconnect()\n\
         end\n"
    )
}

/// What sysbench said.
fn read(said: &str) -> Option<Seen> {
    let after = |label: &str| {
        let line = said.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
        line.split_whitespace().next()
    };
    let histogram: Vec<(f64, u64)> = said.lines().filter_map(bucket).collect();
    Some(Seen {
        queries: after("queries:")?.parse().ok()?,
        seconds: after("total time:")?.trim_end_matches('s').parse().ok()?,
        p50: percentile(&histogram, 0.5)?,
        p99: percentile(&histogram, 0.99)?,
        errors: after("ignored errors:")?.parse().ok()?,
    })
}

/// A line of the histogram, `0.142 |**** 1234`: milliseconds and a count.
fn bucket(line: &str) -> Option<(f64, u64)> {
    let (value, rest) = line.split_once('|')?;
    let count = rest.trim_start_matches('*').trim();
    Some((value.trim().parse().ok()?, count.parse().ok()?))
}

/// Microseconds within which so large a part ended.
fn percentile(histogram: &[(f64, u64)], part: f64) -> Option<f64> {
    let all: u64 = histogram.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let place = histogram.iter().position(|(_, count)| {
        seen += count;
        seen as f64 >= all as f64 * part
    });
    histogram.get(place?).map(|(millis, _)| millis * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.100 |*********************************        80
       0.200 |****                                     19
      12.300 |                                         1

SQL statistics:
    queries performed:
        read:                            100
        total:                           100
    transactions:                        100    (49.9 per sec.)
    queries:                             100    (49.9 per sec.)
    ignored errors:                      2      (0.00 per sec.)
    reconnects:                          0      (0.00 per sec.)

General statistics:
    total time:                          2.0010s
    total number of events:              100
";

    #[test]
    fn what_sysbench_says_is_read() {
        let seen = Seen { queries: 100, seconds: 2.001, p50: 100.0, p99: 200.0, errors: 2 };
        assert_eq!(read(SAID), Some(seen));
    }

    #[test]
    fn what_it_does_not_say_is_missed() {
        for label in ["queries:", "total time:", "ignored errors:", "|"] {
            assert_eq!(read(&SAID.replace(label, "")), None, "{label}");
        }
    }
}
