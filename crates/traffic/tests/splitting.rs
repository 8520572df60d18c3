//! One address before a primary and a replica: what runs where, and that sessions which share connections
//! see nothing of one another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, Session, Splitter, code};
use mysql_async::Value;
use std::io::Write;
use std::process::Stdio;
use stoa_traffic::sql::role::Settings;

#[test]
fn reads_go_to_the_replica_and_always_see_their_own_writes() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    splitter.report_until(|report| {
        let sql = report.sql.as_ref().unwrap();
        sql.instances.len() == 2 && sql.instances.values().all(|one| one.lag_ms.is_some())
    });
    let mut client = splitter.connect();
    client.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
    let reads = cluster.replica().count("select");
    for id in 0..100 {
        client.exec(&format!("INSERT INTO t VALUES ({id}, 'v{id}')"));
        assert_eq!(client.one::<String>(&format!("SELECT v FROM t WHERE id = {id}")), format!("v{id}"));
        let updated: Vec<Value> =
            client.prepared("UPDATE t SET v = ? WHERE id = ?", vec!["w".into(), id.into()]);
        assert!(updated.is_empty());
        let read: Vec<String> = client.prepared("SELECT v FROM t WHERE id = ?", vec![id.into()]);
        assert_eq!(read, ["w"]);
    }
    assert!(cluster.replica().count("select") >= reads + 200, "reads were not moved off the primary");
    let report = splitter.report_until(|report| {
        report
            .sql
            .as_ref()
            .unwrap()
            .digests
            .iter()
            .any(|row| row.text.starts_with("INSERT") && row.primary >= 100)
    });
    let sql = report.sql.unwrap();
    let insert = sql.digests.iter().find(|row| row.text.starts_with("INSERT")).unwrap();
    assert_eq!((insert.primary, insert.replica, insert.errors), (100, 0, 0), "{insert:?}");
    assert!(!insert.text.contains("v7"), "a digest holds no literal: {insert:?}");
}

#[test]
fn a_schema_that_was_just_created_can_be_logged_in_to_though_no_replica_has_it() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    cluster.primary().sql("CREATE DATABASE late; GRANT ALL ON late.* TO app@'%'");
    cluster.caught_up();
    cluster
        .replica()
        .sql("STOP SLAVE SQL_THREAD; SET sql_log_bin=0; SET GLOBAL read_only=0; DROP DATABASE late");
    for _ in 0..4 {
        let mut client = splitter.connect_apart(splitter.options().db_name(Some("late")));
        assert_eq!(client.one::<String>("/* stoa: primary */ SELECT DATABASE()"), "late");
    }
    let nowhere = Session::open(splitter.options().db_name(Some("nowhere")));
    assert_eq!(code(&nowhere.unwrap_err()), 1044, "the primary says who may not");
}

#[test]
fn transactions_locks_and_what_cannot_be_moved_stay_on_one_connection() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let (mut a, mut b) = (splitter.connect(), splitter.connect());
    a.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    a.exec("INSERT INTO t VALUES (1, 1), (2, 2)");
    // What another session wrote is seen once it is there.
    cluster.caught_up();
    a.exec("BEGIN");
    a.exec("UPDATE t SET v = 10 WHERE id = 1");
    assert_eq!(a.one::<i32>("SELECT v FROM t WHERE id = 1"), 10);
    assert_eq!(b.one::<i32>("SELECT v FROM t WHERE id = 2"), 2);
    a.exec("ROLLBACK");
    assert_eq!(a.one::<i32>("SELECT v FROM t WHERE id = 1"), 1);
    a.exec("SET autocommit = 0");
    a.exec("UPDATE t SET v = 11 WHERE id = 1");
    b.exec("SET SESSION innodb_lock_wait_timeout = 1");
    assert_eq!(code(&b.try_exec("UPDATE t SET v = 12 WHERE id = 1").unwrap_err()), 1205);
    a.exec("COMMIT");
    a.exec("SET autocommit = 1");
    b.exec("UPDATE t SET v = 12 WHERE id = 1");
    a.exec("CREATE TEMPORARY TABLE mine (x INT)");
    a.exec("INSERT INTO mine VALUES (7)");
    assert_eq!(code(&b.try_exec("SELECT x FROM mine").unwrap_err()), 1146);
    assert_eq!(a.one::<i32>("SELECT x FROM mine"), 7);
    a.exec("SET @mine = 5");
    assert_eq!(b.one::<Option<i64>>("SELECT @mine"), None);
    assert_eq!(a.one::<i64>("SELECT @mine"), 5);
    assert_eq!(b.one::<i32>("SELECT GET_LOCK('l', 0)"), 1);
    assert_eq!(a.one::<i32>("SELECT GET_LOCK('l', 0)"), 0);
    b.exec("PREPARE p FROM 'SELECT 3'");
    assert_eq!(b.one::<i32>("EXECUTE p"), 3);
    assert_eq!(code(&a.try_exec("EXECUTE p").unwrap_err()), 1243);
    let mut c = splitter.connect();
    c.exec("LOCK TABLES t READ");
    assert_eq!(code(&c.try_exec("UPDATE t SET v = 1").unwrap_err()), 1099);
    c.exec("UNLOCK TABLES");
    c.exec("START TRANSACTION READ ONLY");
    assert_eq!(code(&c.try_exec("UPDATE t SET v = 1").unwrap_err()), 1792);
    assert_eq!(c.one::<i32>("SELECT v FROM t WHERE id = 1"), 12, "the transaction goes on");
    c.exec("COMMIT");
}

#[test]
fn a_session_keeps_its_state_on_whichever_connection_it_runs() {
    let cluster = Cluster::start();
    // Two connections for all: nobody keeps its own.
    let settings = Settings { connections: 2, unused: 1, ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut setup = splitter.connect();
    setup.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    setup.exec("CREATE TABLE other.t (id INT PRIMARY KEY)");
    setup.exec("INSERT INTO other.t VALUES (99)");
    // Another's write, which a session need not see at once.
    cluster.caught_up();
    let zones = ["+01:00", "+02:00", "+03:00", "+04:00", "+05:00", "+06:00"];
    let mut sessions: Vec<_> = zones.iter().map(|_| splitter.connect()).collect();
    for (session, zone) in sessions.iter_mut().zip(zones) {
        session.exec(&format!(
            "SET time_zone = '{zone}', sql_mode = 'ANSI_QUOTES', group_concat_max_len = 1{}",
            &zone[1..3]
        ));
    }
    sessions[0].exec("USE other");
    sessions[1].exec("SET NAMES latin1 COLLATE latin1_bin");
    let mut plain = splitter.connect();
    for _ in 0..3 {
        for (session, zone) in sessions.iter_mut().zip(zones) {
            let seen: (String, String, u32) =
                session.one("SELECT @@time_zone, @@sql_mode, @@group_concat_max_len");
            let length = format!("1{}", &zone[1..3]).parse().unwrap();
            assert_eq!(seen, (zone.to_owned(), "ANSI_QUOTES".to_owned(), length));
        }
        assert_eq!(sessions[0].one::<i32>("SELECT id FROM t"), 99);
        assert_eq!(sessions[1].one::<String>("SELECT @@collation_connection"), "latin1_bin");
        let seen: (String, String, String) =
            plain.one("SELECT @@time_zone, DATABASE(), @@collation_connection");
        assert_eq!((seen.0.as_str(), seen.1.as_str()), ("SYSTEM", "shop"));
        assert!(seen.2.starts_with("utf8mb4"), "{}", seen.2);
    }
    for (n, session) in (1_u64..).zip(sessions.iter_mut().skip(1)) {
        session.exec("INSERT INTO t (v) VALUES (1)");
        assert_eq!(session.one::<u64>("SELECT LAST_INSERT_ID()"), n);
    }
    for (n, session) in (1_u64..).zip(sessions.iter_mut().skip(1)) {
        assert_eq!(session.one::<u64>("SELECT LAST_INSERT_ID()"), n, "after others were on the connection");
    }
}

#[test]
fn what_the_last_statement_left_is_told_as_on_a_direct_connection() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings { connections: 3, ..Settings::default() });
    let (mut a, mut b) = (splitter.connect(), splitter.connect());
    a.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    a.exec("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    assert_eq!(a.one::<i64>("SELECT ROW_COUNT()"), 3);
    a.exec("SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1");
    b.exec("SELECT id FROM t LIMIT 1");
    assert_eq!(a.one::<i64>("SELECT FOUND_ROWS()"), 3);
    a.exec("SELECT 1/0");
    b.exec("SELECT 1");
    let warnings: Vec<(String, u16, String)> = a.rows("SHOW WARNINGS");
    assert_eq!(warnings[0].1, 1365);
    assert!(b.rows::<(String, u16, String)>("SHOW WARNINGS").is_empty());
    a.try_exec("SELECT nothing").unwrap_err();
    assert_eq!(a.rows::<(String, u16, String)>("SHOW WARNINGS")[0].1, 1054);
    let id = a.one::<u32>("SELECT CONNECTION_ID()");
    assert_eq!(id, a.conn.id());
    assert_ne!(id, b.conn.id());
}

#[test]
fn a_statement_and_a_session_are_killed_by_the_id_their_client_knows() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let (mut victim, mut killer) = (splitter.connect(), splitter.connect());
    let id = victim.conn.id();
    std::thread::scope(|scope| {
        let slept = scope.spawn(move || {
            let error = victim.try_exec("SELECT SLEEP(50)").unwrap_err();
            (victim, error)
        });
        database::wait_until("it sleeps", || cluster.running("SLEEP(50)") == 1);
        killer.exec(&format!("KILL QUERY {id}"));
        let (mut victim, error) = slept.join().unwrap();
        assert_eq!(code(&error), 1317);
        database::wait_until("the server sleeps no more", || cluster.running("SLEEP(50)") == 0);
        assert_eq!(victim.one::<i32>("SELECT 1"), 1);
        killer.exec(&format!("KILL {id}"));
        victim.try_exec("SELECT 1").unwrap_err();
        database::wait_until("the id is nobody's", || {
            killer.try_exec(&format!("KILL {id}")).is_err_and(|error| code(&error) == 1094)
        });
    });
}

/// The `mariadb` shell through the splitter.
fn shell(splitter: &Splitter, options: &[&str], sql: &str) -> String {
    let mut command = std::process::Command::new("mariadb");
    command.args(["--no-defaults", "--comments", "-N", "-B", "-h127.0.0.1", "-uapp"]).args(options);
    command.arg(format!("-P{}", splitter.address.port())).arg(format!("-p{}", database::PASSWORD));
    command.args(["--max-allowed-packet=64M", "shop"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that ends early tells why.
    let _ = child.stdin.take().unwrap().write_all(sql.as_bytes());
    let output = child.wait_with_output().unwrap();
    // It repeats what failed, however long.
    let said: String = String::from_utf8_lossy(&output.stderr).chars().take(500).collect();
    assert!(output.status.success(), "{options:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_shell_encrypts_compresses_sends_files_and_gets_large_rows() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings { command: 64 << 10, ..Settings::default() });
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("rows");
    let rows: String = (0..20_000).map(|n| format!("{n}\trow {n}\n")).collect();
    std::fs::write(&file, rows).unwrap();
    shell(&splitter, &[], "CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)");
    let load = format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE t", file.display());
    for options in [&["--skip-ssl"][..], &["--ssl"], &["--compress", "--skip-ssl"], &["--ssl", "--compress"]]
    {
        let told = shell(&splitter, options, "SHOW STATUS LIKE 'Ssl_cipher'; SELECT 1; SELECT 2");
        assert!(told.ends_with("1\n2"), "{told}");
        shell(&splitter, &[options, &["--local-infile=1"]].concat(), &format!("TRUNCATE t; {load}"));
        assert_eq!(
            shell(&splitter, options, "/* stoa: primary */ SELECT COUNT(*), MAX(id) FROM t"),
            "20000\t19999"
        );
        // Longer than what is held, and than a frame.
        let long = "x".repeat(100 << 10);
        shell(&splitter, options, &format!("REPLACE INTO t VALUES (-1, '{long}')"));
        assert_eq!(
            shell(
                &splitter,
                options,
                "SELECT LENGTH(v), MD5(v) = MD5(REPEAT('x', 102400)) FROM t WHERE id = -1 /* stoa: primary */"
            ),
            "102400\t1"
        );
        let large = shell(&splitter, options, "SELECT REPEAT('y', 15000000)");
        assert_eq!((large.len(), large.trim_matches('y').len()), (15_000_000, 0));
        let longest = "z".repeat(17 << 20);
        let told = shell(&splitter, options, &format!("SELECT LENGTH('{longest}'), 'whole'"));
        assert_eq!(told, "17825792\twhole");
    }
    let report = splitter.report_until(|report| report.sql.as_ref().unwrap().sessions == 0);
    assert_eq!(report.instances.values().map(|one| one.in_flight).sum::<u32>(), 0);
}

#[test]
fn many_idle_sessions_hold_few_connections_and_none_of_them_fails() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let mut setup = splitter.connect();
    setup.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut sessions: Vec<_> = (0..100).map(|_| splitter.connect()).collect();
    for (id, session) in sessions.iter_mut().enumerate() {
        session.exec(&format!("INSERT INTO t VALUES ({id})"));
        assert_eq!(session.rows::<u32>(&format!("SELECT id FROM t WHERE id = {id}")), [id as u32]);
    }
    let few = |report: &stoa_model::control::Report| {
        let sql = report.sql.as_ref().unwrap();
        sql.sessions == 101 && sql.instances.values().map(|one| one.connections).sum::<u32>() <= 8
    };
    splitter.report_until(few);
    for session in &mut sessions {
        assert_eq!(session.one::<i64>("SELECT COUNT(*) FROM t /* stoa: consistency=global */"), 100);
    }
    drop(sessions);
    splitter.report_until(|report| report.sql.as_ref().unwrap().sessions == 1);
    splitter.end(|_, connection| drop(connection));
    setup.try_exec("SELECT 1").unwrap_err();
}

/// What a session has set, as the test remembers it.
#[derive(Debug, Clone, PartialEq)]
struct Remembered {
    zone: String,
    length: u32,
    schema: String,
    inserted: u64,
}

#[test]
fn whatever_order_sessions_change_their_state_in_none_sees_anothers() {
    let cluster = Cluster::start();
    let settings = Settings { connections: 2, unused: 1, ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut setup = splitter.connect();
    setup.exec("CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, who INT)");
    cluster.caught_up();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let mut random: u64 = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let fresh = Remembered { zone: "SYSTEM".into(), length: 1 << 20, schema: "shop".into(), inserted: 0 };
    let mut sessions: Vec<_> = (0..6).map(|_| (splitter.connect(), fresh.clone())).collect();
    for step in 0..400 {
        let who = next(6) as usize;
        let (session, model) = &mut sessions[who];
        match next(6) {
            0 => {
                model.zone = format!("+0{}:00", 1 + next(9));
                session.exec(&format!("SET time_zone = '{}'", model.zone));
            }
            1 => {
                model.length = 1000 + next(1000) as u32;
                session.exec(&format!("SET SESSION group_concat_max_len = {}", model.length));
            }
            2 => {
                model.schema = ["shop", "other"][next(2) as usize].into();
                session.exec(&format!("USE {}", model.schema));
            }
            3 => {
                session.exec(&format!("INSERT INTO shop.t (who) VALUES ({who})"));
                model.inserted = session.conn.last_insert_id().unwrap();
            }
            4 => {
                session.exec("BEGIN");
                session.exec(&format!("INSERT INTO shop.t (who) VALUES (-{step})"));
                session.exec("ROLLBACK");
                model.inserted = session.one("SELECT LAST_INSERT_ID()");
            }
            _ => {}
        }
        let seen: (String, u32, String) =
            session.one("SELECT @@time_zone, @@group_concat_max_len, DATABASE()");
        let inserted = session.one("SELECT LAST_INSERT_ID()");
        let seen = Remembered { zone: seen.0, length: seen.1, schema: seen.2, inserted };
        assert_eq!(seen, *model, "session {who} at step {step} of seed {seed}");
    }
    assert_eq!(setup.one::<i64>("SELECT COUNT(*) FROM t WHERE who < 0 /* stoa: primary */"), 0);
}
