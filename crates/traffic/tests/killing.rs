//! `KILL` by the ids that clients know, wherever the session is; and clients that leave, or are ended, while
//! their statement waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, PASSWORD, Session, Splitter, USER, code, wait_until};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stoa_model::control::Report;
use stoa_traffic::sql::role::{Account, Password, Settings};

/// A user who may end nobody else's sessions, and one who may.
const OTHERS: [&str; 2] = ["guest", "boss"];

fn accounts() -> Vec<Account> {
    let users = [USER, OTHERS[0], OTHERS[1]];
    users.map(|user| Account { user: user.into(), password: Password::new(PASSWORD), schema: None }).into()
}

fn pair(cluster: &Cluster) -> [Splitter; 2] {
    for user in OTHERS {
        cluster.primary().sql(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON shop.* TO {user}@'%'"
        ));
    }
    cluster.primary().sql("GRANT CONNECTION ADMIN ON *.* TO boss@'%'");
    cluster.caught_up();
    [1, 2].map(|place| {
        let mut splitter = Splitter::at(place, Settings::default(), 2, accounts());
        splitter.routes(1, Some(cluster.primary()), &[cluster.replica()]);
        splitter
    })
}

fn log_in(splitter: &Splitter, user: &'static str) -> Session {
    Session::open(splitter.options().user(Some(user))).unwrap()
}

/// Runs a statement that another splitter has a part in; the number of its error, 0 for none.
fn run(pair: &mut [Splitter; 2], client: &mut Session, sql: &str) -> u16 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let result = client.try_exec(sql);
            done.store(true, Ordering::Release);
            result.map_or_else(|error| code(&error), |()| 0)
        });
        Splitter::pass_between(pair, || done.load(Ordering::Acquire));
        running.join().unwrap()
    })
}

#[test]
fn sessions_of_both_splitters_are_killed_by_their_owner_and_by_who_may() {
    let cluster = Cluster::start();
    let mut pair = pair(&cluster);
    let (mut guest, mut boss) = (log_in(&pair[0], "guest"), log_in(&pair[0], "boss"));
    let mut owner = log_in(&pair[0], USER);
    for place in [0, 1] {
        let mut victim = log_in(&pair[place], USER);
        let id = victim.conn.id();
        assert_eq!(run(&mut pair, &mut guest, &format!("KILL {id}")), 1095);
        assert_eq!(run(&mut pair, &mut guest, &format!("KILL QUERY {id}")), 1095);
        assert_eq!(victim.one::<i32>("SELECT 1"), 1, "it lives");
        std::thread::scope(|scope| {
            let slept = scope.spawn(|| victim.try_exec("SELECT SLEEP(500)").unwrap_err());
            wait_until("it sleeps", || cluster.running("SLEEP(500)") == 1);
            assert_eq!(run(&mut pair, &mut owner, &format!("KILL QUERY {id}")), 0);
            assert_eq!(code(&slept.join().unwrap()), 1317);
        });
        wait_until("the server sleeps no more", || cluster.running("SLEEP(500)") == 0);
        assert_eq!(victim.one::<i32>("SELECT 1"), 1, "it lives");
        assert_eq!(run(&mut pair, &mut boss, &format!("KILL {id}")), 0);
        victim.try_exec("SELECT 1").unwrap_err();
        wait_until("the id is nobody's", || run(&mut pair, &mut owner, &format!("KILL {id}")) == 1094);
    }
}

#[test]
fn where_no_daemon_is_a_session_of_the_other_splitter_cannot_be_killed_and_lives() {
    let cluster = Cluster::start();
    let [first, second] = pair(&cluster);
    let (mut killer, mut victim) = (log_in(&first, USER), log_in(&second, USER));
    let id = victim.conn.id();
    assert_eq!(code(&killer.try_exec(&format!("KILL {id}")).unwrap_err()), 1105);
    assert_eq!(victim.one::<i32>("SELECT 1"), 1);
}

#[test]
fn a_session_kills_itself_and_a_servers_own_ids_are_the_servers() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect();
    assert_eq!(code(&client.try_exec("KILL QUERY CONNECTION_ID()").unwrap_err()), 1317);
    // No client's id is a server's too: what SHOW PROCESSLIST tells is what KILL takes.
    let own: Vec<u64> = client
        .rows::<(u64, String, String)>("SELECT ID, USER, HOST FROM information_schema.PROCESSLIST")
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert!(!own.is_empty() && own.iter().all(|id| *id < 1 << 28), "{own:?}");
    assert!(client.conn.id() >= 1 << 28, "{}", client.conn.id());
    assert_eq!(code(&client.try_exec("KILL QUERY 99999999").unwrap_err()), 1094);
    assert_eq!(code(&client.try_exec("KILL CONNECTION_ID()").unwrap_err()), 1927);
    client.try_exec("SELECT 1").unwrap_err();
    // The command instead of the statement.
    let (mut victim, mut killer) = (splitter.connect(), Classic::log_in(&splitter));
    let command = [&[0x0C][..], &victim.conn.id().to_le_bytes()].concat();
    assert_eq!(killer.run(&command, 1)[0][0], 0);
    victim.try_exec("SELECT 1").unwrap_err();
}

fn waiting(report: &Report) -> (u32, u32, u32) {
    let sql = report.sql.as_ref().unwrap();
    (sql.sessions, sql.held, sql.waiting)
}

#[test]
fn whoever_leaves_or_is_killed_while_its_statement_waits_waits_no_more() {
    let cluster = Cluster::start();
    // Longer than this test may take: what ends before was not waited for.
    let long = Duration::from_secs(3600);
    let settings =
        Settings { hold: long, wait: long, catch_up: long, lag: long, connections: 1, ..Settings::default() };
    let mut splitter = Splitter::start(&cluster, settings);
    let mut killer = splitter.connect();
    killer.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    // For a primary.
    splitter.routes(2, None, &[cluster.replica()]);
    let mut leaver = Classic::log_in(&splitter);
    leaver.send(0, b"\x03INSERT INTO t VALUES (1)");
    splitter.report_until(|report| waiting(report) == (2, 1, 0));
    drop(leaver);
    splitter.report_until(|report| waiting(report) == (1, 0, 0));
    let mut victim = Classic::log_in(&splitter);
    for (kill, end) in [("KILL QUERY", b"\xFF\x25\x05"), ("KILL QUERY", b"\xFF\x25\x05")] {
        victim.send(0, b"\x03INSERT INTO t VALUES (2)");
        splitter.report_until(|report| waiting(report) == (2, 1, 0));
        killer.exec(&format!("{kill} {}", victim.id));
        assert_eq!(victim.packet().1[..3], end[..]);
    }
    victim.send(0, b"\x03INSERT INTO t VALUES (3)");
    splitter.report_until(|report| waiting(report) == (2, 1, 0));
    killer.exec(&format!("KILL {}", victim.id));
    splitter.report_until(|report| waiting(report) == (1, 0, 0));
    // For one of the few connections there may be.
    splitter.routes(3, Some(cluster.primary()), &[]);
    // A login may need a connection too.
    let (mut holder, mut leaver) = (splitter.connect(), Classic::log_in(&splitter));
    holder.exec("BEGIN");
    holder.exec("INSERT INTO t VALUES (4)");
    leaver.send(0, b"\x03INSERT INTO t VALUES (5)");
    splitter.report_until(|report| waiting(report) == (3, 0, 1));
    drop(leaver);
    splitter.report_until(|report| waiting(report) == (2, 0, 0));
    holder.exec("COMMIT");
    assert_eq!(holder.rows::<i32>("SELECT id FROM t ORDER BY id"), [4], "nothing was done for who had gone");
}

#[test]
fn whoever_leaves_while_a_replica_catches_up_ends_that_wait_too() {
    let cluster = Cluster::start();
    let long = Duration::from_secs(3600);
    let settings = Settings { catch_up: long, lag: long, ..Settings::default() };
    let mut splitter = Splitter::start(&cluster, settings);
    let mut writer = splitter.connect();
    writer.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    assert_eq!(writer.one::<i64>("SELECT COUNT(*) FROM t"), 0);
    splitter.report_until(|report| {
        report.sql.as_ref().unwrap().instances.values().all(|one| one.lag_ms.is_some())
    });
    cluster.replica().sql("STOP SLAVE SQL_THREAD");
    let mut leaver = Classic::log_in(&splitter);
    leaver.run(b"\x03INSERT INTO t VALUES (1)", 1);
    leaver.send(0, b"\x03SELECT id FROM t");
    wait_until("it waits at the replica", || cluster.running("MASTER_GTID_WAIT") == 1);
    drop(leaver);
    splitter.report_until(|report| waiting(report) == (1, 0, 0));
    wait_until("the replica waits no more", || cluster.running("MASTER_GTID_WAIT") == 0);
    let mut victim = Classic::log_in(&splitter);
    victim.run(b"\x03INSERT INTO t VALUES (2)", 1);
    victim.send(0, b"\x03SELECT id FROM t");
    wait_until("it waits at the replica", || cluster.running("MASTER_GTID_WAIT") == 1);
    writer.exec(&format!("KILL QUERY {}", victim.id));
    assert_eq!(victim.packet().1[..3], b"\xFF\x25\x05"[..]);
    wait_until("the replica waits no more", || cluster.running("MASTER_GTID_WAIT") == 0);
    cluster.replica().sql("START SLAVE SQL_THREAD");
    cluster.caught_up();
    assert_eq!(writer.one::<i64>("SELECT COUNT(*) FROM t"), 2);
}

#[test]
fn whoever_stops_in_the_middle_of_a_long_command_can_be_killed() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings { command: 64 << 10, ..Settings::default() });
    let mut killer = splitter.connect();
    // Before its front is there, and behind that: the server has the rest of it.
    for sent in [100 << 10, 300 << 10] {
        let mut stuck = Classic::log_in(&splitter);
        let mut bytes = vec![0, 0, 0x50, 0];
        bytes.extend_from_slice(b"\x03INSERT INTO t VALUES ('");
        bytes.resize(sent, b'x');
        stuck.stream.write_all(&bytes).unwrap();
        splitter.report_until(|report| waiting(report).0 == 2);
        killer.exec(&format!("KILL {}", stuck.id));
        splitter.report_until(|report| waiting(report).0 == 1);
        let in_flight = |report: &Report| report.instances.values().map(|one| one.in_flight).sum::<u32>();
        splitter.report_until(|report| in_flight(report) == 0);
    }
    assert_eq!(killer.one::<i32>("SELECT 1"), 1);
}
