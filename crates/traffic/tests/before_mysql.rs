//! The same address before MySQL, where there is one: logins, reads that see their own writes, session state,
//! another primary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, Engine, PASSWORD, Session, Splitter, USER, mysql_is_here};
use mysql_async::{OptsBuilder, Value};
use stoa_traffic::sql::role::Settings;

#[test]
fn reads_go_to_the_replica_and_always_see_their_own_writes() {
    if !mysql_is_here() {
        return;
    }
    let cluster = Cluster::start_of(Engine::Mysql);
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect();
    let version = cluster.primary().sql("SELECT @@version");
    assert_eq!(client.one::<String>("SELECT VERSION()"), version);
    let (major, minor, patch) = client.conn.server_version();
    assert!(version.starts_with(&format!("{major}.{minor}.{patch}")), "greeted as {major}.{minor}.{patch}");
    client.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
    client.exec("INSERT INTO t VALUES (-1, 'first')");
    cluster.caught_up();
    splitter.report_until(|report| {
        let sql = report.sql.as_ref().unwrap();
        sql.instances.len() == 2 && sql.instances.values().all(|one| one.lag_ms == Some(0))
    });
    let reads = cluster.replica().count("select");
    for id in 0..100 {
        client.exec(&format!("INSERT INTO t VALUES ({id}, 'v{id}')"));
        assert_eq!(client.one::<String>(&format!("SELECT v FROM t WHERE id = {id}")), format!("v{id}"));
        let _: Vec<Value> = client.prepared("UPDATE t SET v = ? WHERE id = ?", vec!["w".into(), id.into()]);
        let read: Vec<String> = client.prepared("SELECT v FROM t WHERE id = ?", vec![id.into()]);
        assert_eq!(read, ["w"]);
    }
    assert!(cluster.replica().count("select") >= reads + 200, "reads were not moved off the primary");
}

#[test]
fn what_sessions_set_goes_with_them_and_reaches_nobody_else() {
    if !mysql_is_here() {
        return;
    }
    let cluster = Cluster::start_of(Engine::Mysql);
    let splitter = Splitter::start(&cluster, Settings::default());
    let (mut a, mut b) = (splitter.connect(), splitter.connect());
    a.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    a.exec("SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+05:00'");
    a.exec("SET NAMES latin1");
    // Each takes its turn at the connections that both share.
    for round in 1..20 {
        a.exec("INSERT INTO t (v) VALUES (1)");
        assert_eq!(a.one::<i64>("SELECT LAST_INSERT_ID()"), 2 * round - 1);
        b.exec("INSERT INTO t (v) VALUES (2)");
        assert_eq!(b.one::<i64>("SELECT LAST_INSERT_ID()"), 2 * round);
        let own = format!("SELECT \"v\" FROM \"t\" WHERE \"id\" = {}", 2 * round - 1);
        assert_eq!(a.one::<i64>(&own), 1);
        let state = "SELECT CONCAT(@@sql_mode, ' ', @@time_zone, ' ', @@character_set_client)";
        assert_eq!(a.one::<String>(state), "ANSI_QUOTES +05:00 latin1");
        assert!(b.one::<String>(state).ends_with(" SYSTEM utf8mb4"));
    }
    a.exec("CREATE TEMPORARY TABLE mine (x INT)");
    a.exec("INSERT INTO mine VALUES (7)");
    assert_eq!(database::code(&b.try_exec("SELECT x FROM mine").unwrap_err()), 1146);
    a.exec("SET @mine = 5");
    assert_eq!(b.one::<Option<i64>>("SELECT @mine"), None);
    assert_eq!((a.one::<i64>("SELECT @mine"), a.one::<i64>("SELECT x FROM mine")), (5, 7));
    // Whoever knows another password is not let in; who knows none neither.
    for password in ["wrong", ""] {
        let options = splitter.options().pass(Some(password));
        assert_eq!(database::code(&Session::open(options).unwrap_err()), 1045);
    }
    let unix = OptsBuilder::default().socket(Some(splitter.socket.to_string_lossy())).user(Some(USER));
    let mut unix = Session::open(unix.pass(Some(PASSWORD))).unwrap();
    assert_eq!(unix.one::<String>("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), USER);
}

#[test]
fn transactions_go_on_at_the_next_primary() {
    if !mysql_is_here() {
        return;
    }
    let cluster = Cluster::start_of(Engine::Mysql);
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let address = splitter.options();
    let mut open = splitter.connect_apart(address.clone());
    let mut waits = splitter.connect_apart(address);
    open.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    open.exec("INSERT INTO t VALUES (1, 1)");
    open.exec("SET time_zone = '+05:00'");
    open.exec("BEGIN");
    open.exec("INSERT INTO t VALUES (2, 2)");
    cluster.caught_up();
    splitter.routes(1, None, &[cluster.replica()]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| waits.exec("INSERT INTO t VALUES (3, 3)"));
        splitter.report_until(|report| report.sql.as_ref().unwrap().held == 1);
        cluster.promote();
        splitter.routes(2, Some(cluster.replica()), &[]);
        held.join().unwrap();
    });
    assert_eq!(open.one::<i32>("SELECT v FROM t WHERE id = 2"), 2, "it was run again");
    assert_eq!(open.one::<String>("SELECT @@time_zone"), "+05:00");
    open.exec("COMMIT");
    assert_eq!(open.one::<i64>("SELECT COUNT(*) FROM t"), 3);
    assert_eq!(cluster.replica().sql("SELECT COUNT(*) FROM shop.t"), "3");
    assert_eq!(cluster.primary().sql("SELECT COUNT(*) FROM shop.t"), "1");
}
