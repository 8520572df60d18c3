//! What one kind of statement may use, what is written of slow ones, and commands longer than any memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, Splitter, code, wait_until};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stoa_traffic::sql::role::{DigestLimits, Settings};

fn limited(limits: DigestLimits) -> Settings {
    Settings { limits, ..Settings::default() }
}

#[test]
fn an_answer_has_no_more_rows_than_its_limit() {
    let cluster = Cluster::start();
    let splitter =
        Splitter::start(&cluster, limited(DigestLimits { rows: Some(100), ..DigestLimits::default() }));
    let mut client = splitter.connect();
    assert_eq!(client.rows::<u32>("SELECT seq FROM seq_1_to_100").len(), 100);
    assert_eq!(code(&client.try_exec("SELECT seq FROM seq_1_to_101").unwrap_err()), 1226);
    assert_eq!(client.one::<i32>("SELECT 1"), 1, "the session goes on where nothing had been passed on");
    // More than fits into what is held before the first of it is passed on: the answer is cut, and the session
    // with it, so that nobody takes a part for the whole.
    client.try_exec("SELECT REPEAT('x', 10000) FROM seq_1_to_1000").unwrap_err();
    let mut next = splitter.connect();
    assert_eq!(next.one::<i32>("SELECT 1"), 1);
}

#[test]
fn a_statement_takes_no_longer_than_its_limit() {
    let cluster = Cluster::start();
    let time = Some(Duration::from_secs(1));
    let splitter = Splitter::start(&cluster, limited(DigestLimits { time, ..DigestLimits::default() }));
    let mut client = splitter.connect();
    assert_eq!(code(&client.try_exec("SELECT SLEEP(3000)").unwrap_err()), 1317);
    wait_until("the server works on it no more", || cluster.running("SLEEP(3000)") == 0);
    assert_eq!(client.one::<i32>("SELECT 1"), 1);
}

#[test]
fn no_more_of_a_kind_run_at_once_than_may() {
    let cluster = Cluster::start();
    let concurrency = Some(2);
    let splitter =
        Splitter::start(&cluster, limited(DigestLimits { concurrency, ..DigestLimits::default() }));
    let mut clients: Vec<_> = (0..2).map(|_| splitter.connect()).collect();
    let (mut third, mut killer) = (splitter.connect(), splitter.connect());
    let ids: Vec<u32> = clients.iter().map(|client| client.conn.id()).collect();
    std::thread::scope(|scope| {
        for (at, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || client.try_exec(&format!("SELECT SLEEP({})", 3000 + at)).unwrap_err());
        }
        wait_until("both sleep", || cluster.running("SLEEP(300") == 2);
        assert_eq!(code(&third.try_exec("SELECT SLEEP(9)").unwrap_err()), 1226);
        assert_eq!(third.one::<i32>("SELECT 7"), 7, "another kind");
        for id in ids {
            killer.exec(&format!("KILL QUERY {id}"));
        }
    });
    assert_eq!(third.one::<i32>("SELECT SLEEP(0)"), 0);
}

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_statement_is_logged_with_its_digest_and_its_server_and_without_its_values() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let cluster = Cluster::start();
    let mut splitter =
        Splitter::start(&cluster, Settings { slow: Duration::from_millis(300), ..Settings::default() });
    let mut client = splitter.connect();
    client.exec("SELECT 'quick', SLEEP(0)");
    client.exec("SELECT 'secret', SLEEP(0.5)");
    let report = splitter.report_until(|report| {
        report.sql.as_ref().unwrap().digests.iter().any(|row| row.longest_us >= 500_000)
    });
    let digest = report.sql.unwrap().digests.into_iter().find(|row| row.longest_us >= 500_000).unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let slow: Vec<&str> = text.lines().filter(|line| line.contains("slow statement")).collect();
    assert_eq!(slow.len(), 1, "{text}");
    assert!(slow[0].contains(&digest.digest) && slow[0].contains("instance=database-"), "{slow:?}");
    assert!(slow[0].contains("SLEEP") && !slow[0].contains("secret"), "{slow:?}");
}

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_command_of_a_gigabyte_takes_no_memory_and_nobody_elses_time() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = splitter.connect();
    let mut sender = Classic::log_in(&splitter);
    let frame = vec![b'x'; 0xFF_FF_FF];
    let before = peak();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for sequence in 0..64_u8 {
                let mut header = vec![0xFF, 0xFF, 0xFF, sequence];
                if sequence == 0 {
                    header.extend_from_slice(b"\x03INSERT INTO t VALUES ('");
                }
                let rest = frame.len() + 4 - header.len();
                // The server has enough at some point, and the splitter with it.
                if sender
                    .stream
                    .write_all(&header)
                    .and_then(|()| sender.stream.write_all(&frame[..rest]))
                    .is_err()
                {
                    return;
                }
            }
        });
        let mut answered = 0_u32;
        while !sending.is_finished() {
            assert_eq!(client.one::<u32>(&format!("SELECT {answered}")), answered);
            answered += 1;
        }
        assert!(answered > 0);
    });
    let more = peak() - before;
    assert!(more < 32 << 10, "{more} KiB more");
    assert_eq!(client.one::<i32>("SELECT 7"), 7);
}
