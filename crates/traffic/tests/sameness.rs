//! Sessions through the splitter are told what sessions on a direct connection are told, while others take
//! the few connections there are away from them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, PASSWORD, Server, Session, Splitter, USER, code};
use mysql_async::{OptsBuilder, Row, Value};
use std::time::Duration;
use stoa_traffic::sql::role::Settings;

/// Gives three rows.
const THREE: &str = "SELECT 1 UNION SELECT 2 UNION SELECT 3";
/// Writes two.
const TWO: &str = "INSERT INTO t (v) VALUES (1), (2)";

/// A direct connection to the primary.
fn direct(splitter: &Splitter, server: &Server) -> OptsBuilder {
    splitter.options().tcp_port(server.address.port())
}

/// What a client sees of an answer: rows with their columns' names, types and flags, or the error.
fn seen(session: &mut Session, sql: &str) -> String {
    match session.try_rows::<mysql_async::Row>(sql) {
        Ok(rows) => format!("{sql}: {:?}", rows.iter().map(described).collect::<Vec<_>>()),
        Err(error) => format!("{sql}: {error}"),
    }
}

fn seen_prepared(session: &mut Session, sql: &str) -> String {
    let rows: Vec<Row> = session.prepared(sql, Vec::new());
    format!("prepared {sql}: {:?}", rows.iter().map(described).collect::<Vec<_>>())
}

fn described(row: &Row) -> Vec<String> {
    let columns = row.columns_ref().iter().enumerate().map(|(at, column)| {
        let value = row.as_ref(at).unwrap_or(&Value::NULL);
        // How long a text may be depends on the connection's character set.
        let length = if column.column_type().is_numeric_type() { column.column_length() } else { 0 };
        let (kind, flags) = (column.column_type(), column.flags());
        format!("{} {kind:?} {length} {flags:?} = {value:?}", column.name_str())
    });
    columns.collect()
}

/// Runs each scenario directly and through the splitter, with a third session on the same connections
/// between every two statements; the answers have to be the same.
#[test]
fn what_the_last_statement_left_is_told_although_others_have_used_its_connection() {
    let cluster = Cluster::start();
    let settings =
        Settings { connections: 1, unused: 1, wait: Duration::from_secs(60), ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut other = splitter.connect();
    other.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    other.exec("CREATE TABLE u (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    cluster.caught_up();
    let scenarios: [&[&str]; 19] = [
        &[TWO, "SELECT ROW_COUNT()+0"],
        &[TWO, "SELECT ROW_COUNT( ) > 1 AS many, 'a' 'b'", "SELECT ROW_COUNT() * 2"],
        &[TWO, "SELECT IF(row_count() = 2, 'two', 'other')"],
        &[THREE, "SELECT v, FOUND_ROWS() FROM t ORDER BY id LIMIT 2", "SELECT FOUND_ROWS() + ROW_COUNT()"],
        &[TWO, "SELECT (SELECT ROW_COUNT() + 1) `n`, x.* FROM (SELECT ROW_COUNT()) AS x"],
        &[TWO, "INSERT INTO u (v) VALUES (ROW_COUNT() * 10)", "SELECT v FROM u ORDER BY id DESC LIMIT 1"],
        &[TWO, "SELECT DISTINCT -ROW_COUNT() FROM t ORDER BY ROW_COUNT() LIMIT 1"],
        &[TWO, "UPDATE u SET v = ROW_COUNT() + 5 ORDER BY id DESC LIMIT 1", "SELECT MAX(v) FROM u"],
        &["SELECT ROW_COUNT()", "SELECT ROW_COUNT()", "SELECT FOUND_ROWS()"],
        &["SHOW WARNINGS", "SHOW COUNT(*) WARNINGS", "SELECT @@warning_count", "SHOW ERRORS"],
        &["SHOW COUNT(*) ERRORS", "SELECT FOUND_ROWS()", "SELECT @@error_count", "SELECT LAST_INSERT_ID()"],
        &["SELECT @@identity, LAST_INSERT_ID()", "SELECT @@warning_count + 0"],
        &[TWO, "SELECT ROW_COUNT() AS n, ROW_COUNT()", "SELECT ROW_COUNT()"],
        &[TWO, "SELECT ROW_COUNT(), FOUND_ROWS() f", "SELECT ROW_COUNT()"],
        &[THREE, "SELECT FOUND_ROWS(), ROW_COUNT()", "SELECT FOUND_ROWS()"],
        &["SELECT 1/0", "SHOW WARNINGS", "SHOW WARNINGS LIMIT 0", "SHOW COUNT(*) WARNINGS", "SHOW WARNINGS"],
        &["SELEC", "SHOW ERRORS", "SHOW ERRORS LIMIT 5 OFFSET 1", "SHOW COUNT(*) ERRORS", "SHOW WARNINGS"],
        &["DO 1", "SELECT ROW_COUNT()", "USE shop", "SELECT ROW_COUNT()"],
        &[
            "DROP TABLE IF EXISTS nothing",
            "SHOW WARNINGS",
            "SELECT ROW_COUNT()",
            "DELETE FROM t WHERE id < 0",
            "SELECT ROW_COUNT()",
        ],
    ];
    for scenario in scenarios {
        let mut plain = Session::open(direct(&splitter, cluster.primary())).unwrap();
        let mut through = splitter.connect();
        // What a server leaves of others' statements in a connection that has just been made is chance.
        for session in [&mut plain, &mut through] {
            session.exec("DO 0");
            session.exec("SELECT 1 FROM DUAL");
        }
        for sql in scenario {
            println!("{sql}");
            take_all(&mut other);
            assert_eq!(seen(&mut through, sql), seen(&mut plain, sql), "in {scenario:?}");
        }
    }
    for sql in [
        "SELECT ROW_COUNT()",
        "SELECT FOUND_ROWS(), ROW_COUNT() AS n",
        "SHOW WARNINGS",
        "SELECT @@error_count",
    ] {
        let mut plain = Session::open(direct(&splitter, cluster.primary())).unwrap();
        let mut through = splitter.connect();
        for session in [&mut plain, &mut through] {
            session.exec("INSERT INTO u (v) VALUES (1), (2), (3)");
            let two: Vec<i32> = session.rows("SELECT 1 UNION SELECT 2");
            assert_eq!(two.len(), 2);
            session.exec("UPDATE u SET v = id + v WHERE 1");
            session.exec("DO 1");
        }
        take_all(&mut other);
        assert_eq!(seen_prepared(&mut through, sql), seen_prepared(&mut plain, sql));
    }
    let mut through = splitter.connect();
    let own: Vec<u32> = through.prepared("SELECT CONNECTION_ID()", Vec::new());
    assert_eq!(own, [through.conn.id()]);
}

/// Others run on every connection there is.
fn take_all(other: &mut Session) {
    // Waits until the session before has given up what it held for its last statement.
    other.exec("/* stoa: primary */ SELECT 1 FROM DUAL WHERE 0");
    let three: Vec<i32> = other.rows("SELECT id FROM t LIMIT 3");
    assert!(three.len() <= 3);
}

#[test]
fn a_write_that_asks_for_the_last_id_runs_on_the_primary_also_after_a_read() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect();
    client.exec("CREATE TABLE p (id INT AUTO_INCREMENT PRIMARY KEY); CREATE TABLE c (p INT)");
    for n in 1..=20_u64 {
        client.exec("INSERT INTO p VALUES ()");
        assert_eq!(client.one::<u64>("SELECT MAX(id) FROM p"), n);
        client.exec("INSERT INTO c VALUES (LAST_INSERT_ID())");
        assert_eq!(client.one::<u64>("SELECT MAX(p) FROM c"), n);
    }
}

#[test]
fn a_session_at_rest_holds_no_connection_for_its_warnings() {
    let cluster = Cluster::start();
    let settings = Settings { connections: 2, wait: Duration::from_secs(60), ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut sessions: Vec<Session> = (0..6).map(|_| splitter.connect()).collect();
    for (at, session) in sessions.iter_mut().enumerate() {
        session.exec(&format!("/* stoa: primary */ SELECT CAST('x{at}' AS SIGNED)"));
    }
    for (at, session) in sessions.iter_mut().enumerate() {
        let told: Vec<(String, u16, String)> = session.rows("SHOW WARNINGS");
        let expected = ("Warning".to_owned(), 1292, format!("Truncated incorrect INTEGER value: 'x{at}'"));
        assert_eq!(told, [expected]);
        session.try_exec("SELECT nothing").unwrap_err();
    }
    for session in &mut sessions {
        assert_eq!(session.rows::<(String, u16, String)>("SHOW ERRORS")[0].1, 1054);
    }
}

#[test]
fn who_is_not_let_in_is_told_in_the_servers_words() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let told = |options: OptsBuilder| {
        let error = Session::open(options).unwrap_err();
        assert_eq!(code(&error), 1045);
        error.to_string()
    };
    for (user, password) in [(USER, "wrong"), (USER, ""), ("nobody", PASSWORD), ("nobody", "")] {
        let password = (!password.is_empty()).then_some(password);
        let through = splitter.options().user(Some(user)).pass(password);
        let plain = direct(&splitter, cluster.primary()).user(Some(user)).pass(password);
        assert_eq!(told(through), told(plain));
        let unix = OptsBuilder::default().socket(splitter.socket.to_str()).user(Some(user)).pass(password);
        let word = if password.is_some() { "YES" } else { "NO" };
        let text = format!("Access denied for user '{user}'@'localhost' (using password: {word})");
        assert!(told(unix).contains(&text), "{text}");
    }
}

/// How many sessions without a statement are bound to a connection.
fn pinned(report: &stoa_model::control::Report) -> u32 {
    report.sql.as_ref().unwrap().instances.values().map(|one| one.pinned).sum()
}

#[test]
fn a_session_is_bound_as_long_as_what_it_made_is_there_and_no_longer() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect();
    client.exec("CREATE TABLE base (id INT)");
    let cases: [(&[&str], &[&str]); 9] = [
        (&["LOCK TABLES base READ"], &["UNLOCK TABLES"]),
        (&["CREATE TEMPORARY TABLE a (id INT)"], &["DROP TEMPORARY TABLE a"]),
        (
            &["CREATE TEMPORARY TABLE a (id INT)", "CREATE TEMPORARY TABLE other.a (id INT)", "DROP TABLE a"],
            &["DROP TABLE IF EXISTS nothing, `other`.`a`"],
        ),
        (
            &["CREATE TEMPORARY TABLE IF NOT EXISTS a SELECT 1", "USE other", "DROP TABLE IF EXISTS a"],
            &["USE shop", "DROP TABLE a"],
        ),
        (&["SELECT GET_LOCK('l', 0)"], &["SELECT RELEASE_LOCK('l')"]),
        (
            &[
                "SELECT GET_LOCK('l', 0)",
                "DO GET_LOCK('m', 0)",
                "SELECT GET_LOCK('m', 0)",
                "DO RELEASE_LOCK('m')",
                "DO RELEASE_LOCK('l')",
            ],
            &["SELECT RELEASE_LOCK('m')"],
        ),
        (&["SELECT 1 + GET_LOCK('l', 0)", "SELECT RELEASE_LOCK('l')"], &["SELECT RELEASE_ALL_LOCKS()"]),
        (&["PREPARE p FROM 'SELECT 1'"], &["DEALLOCATE PREPARE p"]),
        (&["SET TRANSACTION READ ONLY"], &["BEGIN", "COMMIT"]),
    ];
    for (make, drop) in cases {
        for sql in make {
            client.exec(sql);
        }
        splitter.report_until(|report| pinned(report) == 1);
        for sql in drop {
            client.exec(sql);
        }
        splitter.report_until(|report| pinned(report) == 0);
    }
    // What nobody understands did nothing.
    client.try_exec("SELEC 1").unwrap_err();
    splitter.report_until(|report| pinned(report) == 0);
    // What is not certainly gone stays.
    let lasting: [&[&str]; 4] = [
        &[
            "CREATE TEMPORARY TABLE a (id INT)",
            "ALTER TABLE a RENAME TO b",
            "CREATE TABLE IF NOT EXISTS a (id INT)",
            "DROP TABLE a",
        ],
        &["UNLOCK TABLES; LOCK TABLES base READ"],
        &["CREATE TEMPORARY TABLE c (id INT); SELECT nothing"],
        &["PREPARE p FROM 'SELECT 1'; PREPARE q FROM 'SELECT 2'", "DEALLOCATE PREPARE p"],
    ];
    for statements in lasting {
        let mut client = splitter.connect();
        for sql in statements {
            // One of them fails after what came before it was done.
            let _ = client.try_exec(sql);
        }
        splitter.report_until(|report| pinned(report) == 1);
        drop(client);
        splitter.report_until(|report| pinned(report) == 0);
    }
}
