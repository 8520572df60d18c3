//! The primary changes, in an orderly way and by force: what was not sent is held, what may be done again is,
//! and nothing is done twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, Splitter, code, wait_until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stoa_traffic::sql::role::Settings;

#[test]
fn statements_wait_for_a_primary_and_transactions_go_on_at_the_next() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let address = splitter.options();
    let mut open = splitter.connect_apart(address.clone());
    let mut waits = splitter.connect_apart(address.clone());
    open.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    open.exec("INSERT INTO t VALUES (1, 1)");
    open.exec("SET time_zone = '+05:00'");
    open.exec("BEGIN");
    open.exec("INSERT INTO t VALUES (2, 2)");
    let _: Vec<i32> = open.prepared("SELECT v FROM t WHERE id = ?", vec![2.into()]);
    cluster.caught_up();
    splitter.routes(1, None, &[cluster.replica()]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| waits.exec("INSERT INTO t VALUES (3, 3)"));
        splitter.report_until(|report| report.sql.as_ref().unwrap().held == 1);
        assert_eq!(
            open.one::<i32>("SELECT v FROM t WHERE id = 2"),
            2,
            "the transaction is still where it was"
        );
        cluster.promote();
        splitter.routes(2, Some(cluster.replica()), &[]);
        held.join().unwrap();
    });
    assert_eq!(open.one::<i32>("SELECT v FROM t WHERE id = 2"), 2, "it was run again");
    assert_eq!(open.one::<String>("SELECT @@time_zone"), "+05:00");
    open.exec("COMMIT");
    let rows = cluster.replica().sql("SELECT COUNT(*) FROM shop.t");
    assert_eq!(rows, "3");
    assert_eq!(
        cluster.primary().sql("SELECT COUNT(*) FROM shop.t"),
        "1",
        "nothing was written to the former primary"
    );
}

#[test]
fn a_transaction_whose_results_differ_is_undone_and_said_to_be() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect_apart(splitter.options());
    client.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    client.exec("INSERT INTO t VALUES (1, 1)");
    cluster.caught_up();
    client.exec("BEGIN");
    assert_eq!(client.one::<i32>("SELECT v FROM t WHERE id = 1 FOR UPDATE"), 1);
    client.exec("UPDATE t SET v = 2 WHERE id = 1");
    cluster.promote();
    cluster.replica().sql("UPDATE shop.t SET v = 5 WHERE id = 1");
    splitter.routes(2, Some(cluster.replica()), &[]);
    let error = client.try_exec("COMMIT").unwrap_err();
    assert_eq!(code(&error), 1213, "{error}");
    assert_eq!(client.one::<i32>("SELECT v FROM t WHERE id = 1"), 5);
    client.exec("BEGIN");
    client.exec("UPDATE t SET v = 6 WHERE id = 1");
    client.exec("COMMIT");
    assert_eq!(cluster.replica().sql("SELECT v FROM shop.t"), "6");
    let mut bound = splitter.connect_apart(splitter.options());
    bound.exec("SET @x = 1");
    splitter.routes(3, Some(cluster.replica()), &[]);
    assert_eq!(bound.one::<i64>("SELECT @x"), 1, "the same server is still the primary");
}

#[test]
fn a_server_that_takes_no_writes_is_not_written_to_and_not_given_up() {
    let cluster = Cluster::start();
    let mut splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect_apart(splitter.options());
    client.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    client.exec("INSERT INTO t VALUES (1)");
    cluster.caught_up();
    // Fenced before anybody was told.
    cluster.primary().sql("SET GLOBAL read_only = 1");
    std::thread::scope(|scope| {
        let written = scope.spawn(|| client.exec("INSERT INTO t VALUES (2)"));
        splitter.report_until(|report| report.sql.as_ref().unwrap().held == 1);
        cluster.promote();
        splitter.routes(2, Some(cluster.replica()), &[]);
        written.join().unwrap();
    });
    assert_eq!(cluster.replica().sql("SELECT COUNT(*) FROM shop.t"), "2");
    // Somebody who has missed the change is not heard.
    splitter.send_routes(1, Some(cluster.primary()), &[]);
    splitter.routes(2, Some(cluster.replica()), &[]);
    client.exec("INSERT INTO t VALUES (3)");
    assert_eq!(cluster.replica().sql("SELECT COUNT(*) FROM shop.t"), "3");
}

#[test]
fn a_hold_has_an_end() {
    let cluster = Cluster::start();
    let settings = Settings { hold: Duration::from_millis(300), ..Settings::default() };
    let mut splitter = Splitter::start(&cluster, settings);
    let mut client = splitter.connect_apart(splitter.options());
    client.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    splitter.routes(1, None, &[cluster.replica()]);
    let error = client.try_exec("INSERT INTO t VALUES (1)").unwrap_err();
    assert_eq!(code(&error), 1205, "{error}");
    splitter.routes(1, Some(cluster.primary()), &[cluster.replica()]);
    client.exec("INSERT INTO t VALUES (1)");
}

#[test]
fn reads_outlive_their_replica_and_a_write_in_flight_is_never_done_twice() {
    let mut cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut setup = splitter.connect_apart(splitter.options());
    setup.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, who INT, n INT, UNIQUE (who, n))");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = |who: i32| {
            let mut client = splitter.connect_apart(splitter.options());
            let stop = &stop;
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    client.exec(&format!("INSERT INTO t (who, n) VALUES ({who}, {n})"));
                    let seen: i64 = client.one(&format!("SELECT COUNT(*) FROM t WHERE who = {who}"));
                    assert_eq!(seen, n, "a session sees what it wrote");
                }
                n
            })
        };
        let readers = [1, 2, 3].map(read);
        wait_until("the replica is read from", || cluster.replica().count("select") > 100);
        cluster.servers[1].kill();
        let before: i64 = cluster.primary().sql("SELECT COUNT(*) FROM shop.t").parse().unwrap();
        wait_until("they go on", || {
            cluster.primary().sql("SELECT COUNT(*) FROM shop.t").parse::<i64>().unwrap() > before + 100
        });
        stop.store(true, Ordering::Relaxed);
        let total: i64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(cluster.primary().sql("SELECT COUNT(*) FROM shop.t"), total.to_string());
    });
    // A write that is under way when its server dies.
    let mut writer = splitter.connect_apart(splitter.options());
    std::thread::scope(|scope| {
        let lost = scope.spawn(|| writer.try_exec("INSERT INTO t (who, n) SELECT 9, SLEEP(30)"));
        wait_until("it is under way", || {
            cluster
                .primary()
                .sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE Info LIKE 'INSERT%SLEEP%'")
                == "1"
        });
        cluster.servers[0].kill();
        let error = lost.join().unwrap().unwrap_err();
        assert_eq!(code(&error), 1180, "{error}");
        assert!(error.to_string().contains("outcome unknown"), "{error}");
    });
}
