//! Many sessions with state of every kind through few connections are told, statement by statement, what
//! their twins on direct connections to another server are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, Session, Splitter};
use mysql_async::{Row, Value};
use std::time::Duration;
use stoa_traffic::sql::role::Settings;

const SESSIONS: usize = 8;
/// Connections there may be to one server: fewer than sessions, and one more than may be bound.
const CONNECTIONS: u32 = 4;
const STEPS: usize = 400;

/// Numbers from a seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// A session and its twin, and what it is bound by.
#[derive(Debug)]
struct Pair {
    through: Session,
    direct: Session,
    transaction: bool,
    temporary: bool,
}

impl Pair {
    fn is_bound(&self) -> bool {
        self.transaction || self.temporary
    }
}

fn described(answer: mysql_async::Result<Vec<Row>>) -> String {
    match answer {
        Ok(rows) => format!(
            "{:?}",
            rows.iter()
                .map(|row| (0..row.len()).map(|at| row.as_ref(at).cloned().unwrap_or(Value::NULL)).collect())
                .collect::<Vec<Vec<Value>>>()
        ),
        Err(error) => error.to_string(),
    }
}

/// What the session does next; `may_bind` where it may take a connection for itself.
fn statement(random: &mut Random, who: usize, pair: &mut Pair, may_bind: bool) -> String {
    let number = random.below(1000);
    match random.below(22) {
        0 => format!("SET time_zone = '{}'", random.of(&["+01:00", "-05:30", "SYSTEM", "+09:00"])),
        1 => format!(
            "SET SESSION sql_mode = '{}'",
            random.of(&["", "ANSI_QUOTES", "STRICT_ALL_TABLES", "PIPES_AS_CONCAT"])
        ),
        2 => format!(
            "SET NAMES {}",
            random.of(&["utf8mb4", "latin1", "utf8mb3 COLLATE utf8mb3_bin", "utf8mb4 COLLATE utf8mb4_bin"])
        ),
        3 => format!("USE {}", random.of(&["shop", "other"])),
        4 => format!("SET SESSION group_concat_max_len = {}", 1000 + number),
        5 => "SELECT @@time_zone, @@sql_mode, @@collation_connection, DATABASE(), @@group_concat_max_len"
            .into(),
        6 | 7 => format!("INSERT INTO shop.t{who} (v) VALUES ('a{number}'), ('b')"),
        8 => format!("UPDATE shop.t{who} SET v = CONCAT(v, '.') WHERE id % 3 = {}", number % 3),
        9 => format!("SELECT COUNT(*), MAX(id), GROUP_CONCAT(v ORDER BY id SEPARATOR ',') FROM shop.t{who}"),
        10 => "SELECT LAST_INSERT_ID()".into(),
        11 => "SELECT ROW_COUNT()".into(),
        12 => "SHOW WARNINGS".into(),
        13 => random
            .of(&["SELECT 1/0", "SELECT CAST('x' AS SIGNED)", "SELEC", "SELECT nothing", "SELECT \"v\""])
            .into(),
        14 if may_bind && !pair.transaction => {
            pair.transaction = true;
            random.of(&["BEGIN", "START TRANSACTION READ ONLY", "START TRANSACTION"]).into()
        }
        14 | 15 if pair.transaction => {
            pair.transaction = false;
            random.of(&["COMMIT", "ROLLBACK"]).into()
        }
        16 if may_bind && !pair.temporary && !pair.transaction => {
            pair.temporary = true;
            format!("CREATE TEMPORARY TABLE shop.mine{who} (x INT)")
        }
        17 if pair.temporary && !pair.transaction => {
            pair.temporary = false;
            format!("DROP TEMPORARY TABLE shop.mine{who}")
        }
        18 => format!("SELECT COUNT(*) FROM shop.mine{}", random.below(SESSIONS as u64)),
        19 => format!("DELETE FROM shop.t{who} WHERE id = {number}"),
        20 => "SELECT @mine, @@autocommit, @@in_transaction".into(),
        _ => format!("SELECT 'ü', {number} + ?",),
    }
}

#[test]
fn every_session_is_told_what_its_twin_is_told() {
    twins(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into());
}

/// Another session's error was told: a statement was prepared on a server whose connection had it. A text was read
/// in another character set than that it was prepared in.
#[test]
fn stories_that_once_went_wrong() {
    [646_929_669, 845_706_769].into_iter().for_each(twins);
}

#[allow(clippy::print_stdout, reason = "a story that fails is told by its seed")]
fn twins(seed: u64) {
    let (cluster, alone) = (Cluster::start(), Cluster::start());
    let settings = Settings {
        connections: CONNECTIONS,
        unused: 2,
        wait: Duration::from_secs(60),
        lag: Duration::from_secs(3600),
        ..Settings::default()
    };
    let splitter = Splitter::start(&cluster, settings);
    for server in [cluster.primary(), alone.primary()] {
        for who in 0..SESSIONS {
            server.sql(&format!(
                "CREATE TABLE shop.t{who} (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(200))"
            ));
        }
    }
    cluster.caught_up();
    let direct = || splitter.options().tcp_port(alone.primary().address.port());
    let mut pairs: Vec<Pair> = (0..SESSIONS)
        .map(|_| {
            let (through, direct) = (splitter.connect(), Session::open(direct()).unwrap());
            Pair { through, direct, transaction: false, temporary: false }
        })
        .collect();
    println!("seed {seed}");
    let mut random = Random(seed);
    for step in 0..STEPS {
        let who = random.below(SESSIONS as u64) as usize;
        let bound = pairs.iter().filter(|pair| pair.is_bound()).count();
        let may_bind = pairs[who].is_bound() || bound + 1 < CONNECTIONS as usize;
        let pair = &mut pairs[who];
        let sql = statement(&mut random, who, pair, may_bind);
        let (through, direct) = if sql.contains('?') {
            let values = vec![Value::from(step)];
            (
                described(pair.through.try_prepared(&sql, values.clone())),
                described(pair.direct.try_prepared(&sql, values)),
            )
        } else {
            (described(pair.through.try_rows(&sql)), described(pair.direct.try_rows(&sql)))
        };
        assert_eq!(through, direct, "{sql}: session {who} at step {step} of seed {seed}");
    }
}
