//! Reads that see every write acknowledged before them (`consistency = "global"`), and what they wait for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, DEADLINE, Session, Splitter, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stoa_traffic::sql::role::Settings;

const GLOBAL: &str = "SELECT /* stoa: consistency=global */ v FROM t WHERE id = 1";

/// A splitter that knows how far its servers are, and a table with one row.
fn begun(cluster: &Cluster, settings: Settings) -> Splitter {
    let mut splitter = Splitter::start(cluster, settings);
    splitter.report_until(|report| {
        let sql = report.sql.as_ref().unwrap();
        sql.instances.len() == 2 && sql.instances.values().all(|one| one.lag_ms.is_some())
    });
    let mut client = splitter.connect();
    client.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    client.exec("INSERT INTO t VALUES (1, 0)");
    cluster.caught_up();
    splitter
}

/// How many rows of the table have been read at the replica.
fn rows_read(cluster: &Cluster) -> u64 {
    cluster.replica().sql("SET GLOBAL userstat = 1");
    let told = cluster.replica().sql(
        "SELECT COALESCE(SUM(ROWS_READ), 0) FROM information_schema.TABLE_STATISTICS WHERE TABLE_NAME = 't'",
    );
    told.parse().unwrap()
}

/// Nobody acknowledges: a write waits in the primary's log, and the replica shows it.
fn write_that_waits(cluster: &Cluster, splitter: &Splitter) -> std::thread::JoinHandle<()> {
    cluster.primary().sql(
        "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC', \
         GLOBAL rpl_semi_sync_master_timeout = 600000, GLOBAL rpl_semi_sync_master_wait_no_slave = 1, \
         GLOBAL rpl_semi_sync_master_enabled = 1",
    );
    let options = splitter.options();
    let writer = std::thread::spawn(move || {
        Session::open(options).unwrap().exec("UPDATE t SET v = 1 WHERE id = 1");
    });
    wait_until("the replica shows the write", || cluster.replica().sql("SELECT v FROM shop.t") == "1");
    assert_eq!(cluster.primary().sql("SELECT v FROM shop.t"), "0");
    writer
}

/// It is as if it were acknowledged.
fn acknowledge(cluster: &Cluster, writer: std::thread::JoinHandle<()>) {
    cluster.primary().sql("SET GLOBAL rpl_semi_sync_master_enabled = 0");
    writer.join().unwrap();
}

#[test]
fn what_every_write_sees_is_shown_by_the_primary_too() {
    let cluster = Cluster::start();
    let splitter = begun(&cluster, Settings { lag: DEADLINE, ..Settings::default() });
    let mut client = splitter.connect();
    let reads = cluster.replica().count("select");
    assert_eq!(client.one::<i32>(GLOBAL), 0);
    assert!(cluster.replica().count("select") > reads, "the read ran on the primary");
    let writer = write_that_waits(&cluster, &splitter);
    for _ in 0..3 {
        assert_eq!(client.one::<i32>(GLOBAL), 0, "what the primary does not show may yet be lost");
    }
    assert_eq!(client.one::<i32>("SELECT /* stoa: replica */ v FROM t WHERE id = 1"), 1);
    // A write from elsewhere, that no splitter was told of, is acknowledged: it is asked for.
    acknowledge(&cluster, writer);
    cluster.primary().sql("UPDATE shop.t SET v = 2");
    let reads = cluster.replica().count("select");
    assert_eq!(client.one::<i32>(GLOBAL), 2);
    assert!(cluster.replica().count("select") > reads, "the read ran on the primary");
    // Longer than what is held back as a whole.
    client.exec("CREATE TABLE long_rows (id INT PRIMARY KEY, v LONGTEXT)");
    client.exec("INSERT INTO long_rows VALUES (1, REPEAT('x', 300000)), (2, REPEAT('y', 5))");
    let rows: Vec<String> = client.rows("SELECT /* stoa: consistency=global */ v FROM long_rows ORDER BY id");
    assert_eq!(rows.iter().map(String::len).collect::<Vec<_>>(), [300_000, 5]);
}

#[test]
fn whoever_leaves_or_is_killed_while_the_primary_does_not_show_it_yet_waits_no_more() {
    let cluster = Cluster::start();
    // Longer than this test may take: what ends before was not waited for.
    let long = Duration::from_secs(3600);
    let mut splitter = begun(&cluster, Settings { lag: long, catch_up: long, ..Settings::default() });
    let mut killer = splitter.connect();
    let writer = write_that_waits(&cluster, &splitter);
    let query = [b"\x03", GLOBAL.as_bytes()].concat();
    for leaves in [true, false] {
        let mut reader = Classic::log_in(&splitter);
        let read = rows_read(&cluster);
        reader.send(0, &query);
        wait_until("it has read at the replica", || rows_read(&cluster) > read);
        if leaves {
            drop(reader);
            // The writer, the killer.
            splitter.report_until(|report| report.sql.as_ref().unwrap().sessions == 2);
        } else {
            killer.exec(&format!("KILL QUERY {}", reader.id));
            assert_eq!(reader.packet().1[..3], b"\xFF\x25\x05"[..]);
        }
    }
    acknowledge(&cluster, writer);
    assert_eq!(killer.one::<i32>(GLOBAL), 1);
}

/// Passes on what goes to a server, but for a question with these words in it.
struct Hold {
    address: SocketAddr,
    /// How many connections such a question was asked on, and how many of them were given up.
    counts: Arc<[AtomicUsize; 2]>,
}

impl Hold {
    fn before(server: SocketAddr, words: &'static [u8]) -> Hold {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<[AtomicUsize; 2]>::default();
        let told = counts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(ends.1, ends.0, |_| true));
                let told = told.clone();
                std::thread::spawn(move || {
                    let mut held = 0;
                    pass(client, server, |bytes| {
                        held = bytes.windows(words.len()).filter(|part| *part == words).count();
                        told[0].fetch_add(held, Ordering::AcqRel);
                        held == 0
                    });
                    told[1].fetch_add(held, Ordering::AcqRel);
                });
            }
        });
        Hold { address, counts }
    }

    /// Which of them it is that waits now.
    fn waiting(&self) -> Option<usize> {
        let [asked, given_up] = [0, 1].map(|at| self.counts[at].load(Ordering::Acquire));
        (asked > given_up).then_some(asked)
    }
}

/// Passes bytes on until either end closes; those that may not pass are dropped.
fn pass(mut from: TcpStream, mut to: TcpStream, mut may: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read) = from.read(&mut bytes)
        && read > 0
    {
        if may(&bytes[..read]) && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn who_waits_for_the_primarys_log_makes_no_other_read_wait() {
    let mut cluster = Cluster::start();
    let hold = Hold::before(cluster.primary().address, b"SHOW MASTER STATUS");
    cluster.servers[0].address = hold.address;
    let settings = Settings { lag: DEADLINE, catch_up: DEADLINE, ..Settings::default() };
    let splitter = begun(&cluster, settings);
    // Nobody told the splitter of this write: it has to ask whether the primary shows it.
    cluster.primary().sql("UPDATE shop.t SET v = 1");
    cluster.caught_up();
    let mut waits = Classic::log_in(&splitter);
    waits.send(0, &[b"\x03", GLOBAL.as_bytes()].concat());
    let query = [b"\x03", GLOBAL.as_bytes()].concat();
    let mut others = Vec::new();
    // The question is given up after a second, and asked anew: the read has to be done before that.
    wait_until("another read is done while the question waits", || {
        wait_until("the end of the log is asked for", || hold.waiting().is_some());
        let (waits, read) = (hold.waiting(), rows_read(&cluster));
        let mut other = Classic::log_in(&splitter);
        other.send(0, &query);
        others.push(other);
        wait_until("it is done at the replica", || rows_read(&cluster) > read);
        waits.is_some() && hold.waiting() == waits
    });
}
