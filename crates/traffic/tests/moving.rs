//! A splitter that is to end passes its sessions on to another: their clients notice nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, DEADLINE, Engine, PASSWORD, Session, Splitter, USER, mysql_is_here, wait_until};
use mysql_async::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stoa_traffic::sql::role::{Account, Password, Settings};

fn splitter(cluster: &Cluster, place: u8, threads: usize, drain: Duration) -> Splitter {
    let accounts = vec![Account { user: USER.into(), password: Password::new(PASSWORD), schema: None }];
    let mut splitter = Splitter::at(place, Settings { drain, ..Settings::default() }, threads, accounts);
    splitter.routes(1, Some(cluster.primary()), &[cluster.replica()]);
    splitter
}

fn engines() -> impl Iterator<Item = Engine> {
    [Engine::Mariadb].into_iter().chain(mysql_is_here().then_some(Engine::Mysql))
}

/// What a session knows of itself.
fn told(client: &mut Session) -> Vec<String> {
    let asked = [
        "SELECT CONNECTION_ID()",
        "SELECT CONCAT_WS(' ', DATABASE(), @@sql_mode, @@time_zone, @@character_set_client)",
        "SELECT CONCAT_WS(' ', @@autocommit, LAST_INSERT_ID(), COUNT(*)) FROM t",
        "SELECT CAST(\"v\" AS CHAR) FROM t ORDER BY id LIMIT 1",
    ];
    asked.iter().map(|sql| client.one::<String>(sql)).collect()
}

#[test]
fn clients_at_rest_go_on_with_all_they_have() {
    for engine in engines() {
        let cluster = Cluster::start_of(engine);
        let mut pair = [1, 2].map(|place| splitter(&cluster, place, 2, DEADLINE));
        let mut setting_up = pair[0].connect();
        setting_up.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))");
        cluster.caught_up();
        let mut tcp = pair[0].connect();
        let socket = pair[0].socket.to_string_lossy().into_owned();
        let options = mysql_async::OptsBuilder::from_opts(pair[0].options());
        let mut unix = pair[0].connect_apart(options.socket(Some(socket)).prefer_socket(true));
        let mut classic = Classic::log_in(&pair[0]);
        for client in [&mut tcp, &mut unix] {
            client.exec("SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+05:00'");
            client.exec("SET NAMES latin1");
            client.exec("INSERT INTO t (v) VALUES ('a')");
            let sum =
                client.prepared::<String>("SELECT CONCAT(?, \"v\") FROM t WHERE id = ?", values("x", 1));
            assert_eq!(sum, ["xa"]);
        }
        let before = [&mut tcp, &mut unix].map(told);
        let ids = [tcp.conn.id(), unix.conn.id(), classic.id];
        setting_up.exec("SET NAMES utf8mb4");
        setting_up.try_exec("SELECT nowhere").unwrap_err();
        Splitter::replace(&mut pair);
        assert_eq!([&mut tcp, &mut unix].map(told), before);
        for client in [&mut tcp, &mut unix] {
            let sum =
                client.prepared::<String>("SELECT CONCAT(?, \"v\") FROM t WHERE id = ?", values("y", 2));
            assert_eq!(sum, ["ya"], "with the number that the other splitter gave it");
            client.exec("INSERT INTO t (v) VALUES ('b')");
            assert_eq!(client.one::<String>("SELECT COUNT(*) > 2 FROM t"), "1", "it reads what it wrote");
        }
        let warnings = setting_up.rows::<(String, u16, String)>("SHOW WARNINGS");
        assert_eq!(warnings.first().map(|warning| warning.1), Some(1054), "{warnings:?}");
        let answer = classic.run(b"\x03SELECT 7", 2);
        assert!(answer.iter().any(|packet| packet == b"\x017"), "{answer:?}");
        // Those that keep their ids are killed by them, and no new client gets one of them.
        let mut new: Vec<_> = (0..20).map(|_| pair[1].connect()).collect();
        assert!(new.iter().all(|client| !ids.contains(&client.conn.id())));
        new[0].exec(&format!("KILL {}", ids[0]));
        tcp.try_exec("SELECT 1").unwrap_err();
        unix.exec("DO 1");
    }
}

#[test]
fn a_statement_means_what_it_meant_when_it_was_prepared() {
    for engine in engines() {
        let cluster = Cluster::start_of(engine);
        let mut pair = [1, 2].map(|place| splitter(&cluster, place, 1, DEADLINE));
        let mut client = pair[0].connect();
        for schema in ["shop", "other"] {
            client.exec(&format!("CREATE TABLE {schema}.t (v VARCHAR(20))"));
            client.exec(&format!("INSERT INTO {schema}.t VALUES ('{schema}')"));
        }
        cluster.caught_up();
        let read = "SELECT CONCAT(v, \"-\", ?, LENGTH('ü')) FROM t";
        let write = "INSERT INTO t VALUES (?)";
        let both = |client: &mut Session, value: &str| {
            let read = client.prepared::<String>(read, vec![Value::from("x")]);
            client.prepared::<u8>(write, vec![Value::from(value)]);
            read
        };
        assert_eq!(both(&mut client, "one"), ["shop-x2"]);
        client.exec("DELETE FROM t WHERE v = 'one'");
        client.exec("USE other");
        client.exec("SET sql_mode = 'ANSI_QUOTES'");
        client.exec("SET NAMES latin1");
        // On connections that know nothing of it.
        Splitter::replace(&mut pair);
        assert_eq!(both(&mut client, "two"), ["shop-x2"], "{engine:?}");
        let told =
            client.one::<String>("SELECT CONCAT_WS(' ', DATABASE(), @@sql_mode, @@character_set_client)");
        assert_eq!(told, "other ANSI_QUOTES latin1");
        assert_eq!(client.one::<String>("SELECT GROUP_CONCAT(v) FROM t"), "other");
        assert_eq!(client.one::<i64>("SELECT COUNT(*) FROM shop.t WHERE v = 'two'"), 1);
    }
}

fn values(text: &str, number: i32) -> Vec<Value> {
    vec![Value::from(text), Value::from(number)]
}

#[test]
fn what_is_under_way_ends_first_and_what_is_bound_to_a_connection_ends_with_it() {
    let cluster = Cluster::start();
    let drain = Duration::from_secs(3);
    let mut pair = [1, 2].map(|place| splitter(&cluster, place, 1, drain));
    let mut writes = pair[0].connect();
    writes.exec("CREATE TABLE t (id INT PRIMARY KEY)");
    let (mut open, mut bound) = (pair[0].connect(), pair[0].connect());
    open.exec("BEGIN");
    open.exec("INSERT INTO t VALUES (1)");
    bound.exec("CREATE TEMPORARY TABLE own (id INT)");
    let began = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let goes_on = scope.spawn(|| {
            wait_until("it slept", || began.load(Ordering::Acquire) && cluster.running("SLEEP(1.25)") == 0);
            open.exec("INSERT INTO t VALUES (2)");
            open.exec("COMMIT");
            open.exec("INSERT INTO t VALUES (3)");
        });
        let slow = scope.spawn(|| writes.one::<i32>("SELECT SLEEP(1.25)"));
        wait_until("it sleeps", || cluster.running("SLEEP(1.25)") > 0);
        began.store(true, Ordering::Release);
        Splitter::replace(&mut pair);
        assert_eq!(slow.join().unwrap(), 0);
        goes_on.join().unwrap();
    });
    assert_eq!(open.one::<i64>("SELECT COUNT(*) FROM t"), 3);
    writes.exec("INSERT INTO t VALUES (4)");
    bound.try_exec("SELECT * FROM own").unwrap_err();
}

/// The `mariadb` shell, which gets its statements one after another.
struct Shell {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Shell {
    fn start(splitter: &Splitter, options: &[&str]) -> Shell {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-N", "-B", "-n", "-h127.0.0.1", "-uapp"]).args(options);
        command.arg(format!("-P{}", splitter.address.port())).arg(format!("-p{PASSWORD}")).arg("shop");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Shell { child, answers }
    }

    /// The first line of an answer; none where there is none any more.
    fn ask(&mut self, statement: &str) -> String {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{statement};").and_then(|()| stdin.flush()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn encrypted_and_compressed_clients_go_on() {
    let cluster = Cluster::start();
    let mut pair = [1, 2].map(|place| splitter(&cluster, place, 1, DEADLINE));
    let options = [&["--ssl"][..], &["--compress", "--skip-ssl"], &["--compress", "--ssl"]];
    let mut shells = options.map(|options| Shell::start(&pair[0], options));
    let ids = shells.each_mut().map(|shell| shell.ask("SELECT CONNECTION_ID()"));
    for shell in &mut shells {
        assert_eq!(shell.ask("SET time_zone = '+05:00'; SELECT @@time_zone"), "+05:00");
    }
    Splitter::replace(&mut pair);
    assert_eq!(shells.each_mut().map(|shell| shell.ask("SELECT CONNECTION_ID()")), ids);
    // And on to a third.
    let [_, second] = pair;
    let mut pair = [second, splitter(&cluster, 3, 1, DEADLINE)];
    Splitter::replace(&mut pair);
    assert_eq!(shells.each_mut().map(|shell| shell.ask("SELECT CONNECTION_ID()")), ids);
    for shell in &mut shells {
        assert_eq!(shell.ask("SELECT @@time_zone"), "+05:00");
        let long = "x".repeat(100_000);
        assert_eq!(shell.ask(&format!("SELECT REPEAT('x', LENGTH('{long}'))")), long);
    }
}

#[test]
fn a_session_that_comes_before_the_routes_waits_for_them() {
    let cluster = Cluster::start();
    let accounts = vec![Account { user: USER.into(), password: Password::new(PASSWORD), schema: None }];
    let waits = Splitter::at(2, Settings::default(), 1, accounts);
    let mut pair = [splitter(&cluster, 1, 1, DEADLINE), waits];
    let mut client = pair[0].connect();
    Splitter::replace(&mut pair);
    pair[1].routes(1, Some(cluster.primary()), &[]);
    assert_eq!(client.one::<i32>("SELECT 7"), 7);
}

#[test]
fn a_session_that_nobody_takes_ends_with_its_splitter() {
    let cluster = Cluster::start();
    let mut splitter = splitter(&cluster, 1, 1, DEADLINE);
    let mut client = splitter.connect();
    client.exec("DO 1");
    splitter.end(|_, connection| drop(connection));
    let error = client.try_exec("DO 1").unwrap_err();
    assert!(!matches!(error, mysql_async::Error::Server(_)), "{error}");
}
