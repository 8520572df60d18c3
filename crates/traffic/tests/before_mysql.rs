//! The same address before MySQL, where there is one: logins, reads that see their own writes, session state,
//! another primary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, Engine, PASSWORD, Session, Splitter, USER, mysql_is_here};
use mysql_async::{OptsBuilder, Value};
use stoa_traffic::sql::role::Settings;
use stoa_traffic::sql::wire::capability::Capabilities;

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

/// MySQL's shell, its newer connectors and mysql2 for Node: each query carries named values, be they none.
#[test]
fn clients_whose_queries_carry_named_values_are_served_as_others_are() {
    if !mysql_is_here() {
        return;
    }
    let cluster = Cluster::start_of(Engine::Mysql);
    let splitter = Splitter::start(&cluster, Settings::default());
    splitter.connect().exec("CREATE TABLE t (id INT PRIMARY KEY)");
    cluster.caught_up();
    let query = |values: &[u8], sql: &str| [&[0x03], values, sql.as_bytes()].concat();
    let mut client = Classic::log_in_with(&splitter, Capabilities::QUERY_ATTRIBUTES);
    let reads = cluster.replica().count("select");
    for id in 0..10 {
        // What the session sets, and the wait for what it wrote, are sent by the splitter on connections like its own.
        let set = client.run(&query(&[0, 1], &format!("SET time_zone = '+0{id}:00'")), 1);
        let wrote = client.run(&query(&[0, 1], &format!("INSERT INTO t VALUES ({id})")), 1);
        assert_eq!((set[0][0], wrote[0][0]), (0, 0), "{set:?} {wrote:?}");
        let read = client.run(&query(&[0, 1], "SELECT CONCAT(COUNT(*), ' at ', @@time_zone) FROM t"), 2);
        let told = format!("{} at +0{id}:00", id + 1);
        assert!(read[3].ends_with(told.as_bytes()), "{told} in {read:?}");
    }
    assert!(cluster.replica().count("select") > reads, "no read was moved off the primary");
    // One value: a text, named "why".
    let one = [&[1, 1, 0, 1, 0xFE, 0, 3][..], b"why", &[4], b"test"].concat();
    let read = client.run(&query(&one, "SELECT COUNT(*) FROM t"), 2);
    assert!(read[3].ends_with(b"10"), "{read:?}");
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
