//! What few clients do: prepared statements with an open cursor or with what is too long to hold, answers to
//! a client that asks for nothing new, `KILL` of who is not there, and bytes that are no client's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, DEADLINE, Splitter, code};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use stoa_traffic::sql::role::Settings;

#[test]
fn a_cursor_keeps_its_connection_until_its_last_row() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = Classic::log_in(&splitter);
    // No parameters: the answer is OK, the column and EOF.
    let prepared = client.run(b"\x16SELECT seq FROM seq_1_to_5", 2);
    let number: [u8; 4] = prepared[0][1..5].try_into().unwrap();
    let about = |command: u8, rest: &[u8]| [&[command][..], &number, rest].concat();
    for _ in 0..2 {
        let opened = client.run(&about(0x17, &[1, 1, 0, 0, 0]), 1);
        assert_eq!(opened.last().unwrap()[3] & 0x40, 0x40, "no cursor: {opened:?}");
        for row in 1..=5_u8 {
            // A row in binary begins as an OK does, and is counted as one.
            let fetched = client.run(&about(0x1C, &[1, 0, 0, 0]), 2);
            assert_eq!(fetched[0][2], row, "{fetched:?}");
        }
        let last = client.run(&about(0x1C, &[1, 0, 0, 0]), 1);
        assert_eq!((last.len(), last[0][3] & 0x80), (1, 0x80), "{last:?}");
    }
}

#[test]
fn the_text_of_an_ok_bears_its_length_also_for_who_tracks_nothing() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = Classic::log_in(&splitter);
    client.run(b"\x03CREATE TABLE t (id INT PRIMARY KEY)", 1);
    let inserted = client.run(b"\x03INSERT INTO t VALUES (1), (2)", 1);
    let text = b"Records: 2  Duplicates: 0  Warnings: 0";
    let expected = [&[0, 2, 0, 2, 0, 0, 0, text.len() as u8], &text[..]].concat();
    assert_eq!(inserted, [expected], "{:?}", String::from_utf8_lossy(&inserted[0]));
}

#[test]
fn rows_reach_who_is_told_of_their_beginning_whole_and_in_order() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let mut client = Classic::log_in(&splitter);
    // So many columns that their front is longer than what is moved to put an EOF behind it.
    let wide = (0..200).map(|at| format!("seq AS column_{at}")).collect::<Vec<_>>().join(", ");
    for transaction in [false, true] {
        if transaction {
            client.run(b"\x03BEGIN", 1);
        }
        let text = b"\x03SELECT seq, REPEAT('x', seq % 250) FROM seq_1_to_3000";
        let packets = client.run(text, 2);
        let expected: Vec<Vec<u8>> = (1..=3000_usize)
            .map(|seq| {
                let number = seq.to_string();
                [&[number.len() as u8], number.as_bytes(), &[(seq % 250) as u8], &vec![b'x'; seq % 250]]
                    .concat()
            })
            .collect();
        assert_eq!((packets[0].as_slice(), packets[3].len(), packets[3004].len()), (&[2][..], 5, 5));
        assert!(packets[4..3004] == expected, "rows differ");
        let packets = client.run(format!("\x03SELECT {wide} FROM seq_1_to_300").as_bytes(), 2);
        assert_eq!((packets.len(), packets[201].len()), (503, 5));
        for (at, row) in packets[202..502].iter().enumerate() {
            let number = (at + 1).to_string();
            let value = [&[number.len() as u8], number.as_bytes()].concat();
            assert_eq!(*row, value.repeat(200), "row {at}");
        }
        let packets = client.run(b"\x03SELECT 1 FROM DUAL WHERE 1 = 2", 2);
        assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>()[2..], [5, 5]);
    }
}

#[test]
fn bytes_that_are_no_clients_hurt_nobody_else() {
    let cluster = Cluster::start();
    let settings = Settings { login: Duration::from_secs(1), ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut client = splitter.connect();
    let garbage: [&[u8]; 7] = [
        b"",
        b"\x05",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xFF\xFF\xFF\x01",
        b"\x20\0\0\x01half",
        b"\x20\0\0\x09of another number, and of 32 bytes",
        &[0; 100_000],
    ];
    let open: Vec<TcpStream> = garbage
        .iter()
        .map(|bytes| {
            let mut stream = TcpStream::connect(splitter.address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            // It may have been closed before all of it was taken.
            let _ = stream.write_all(bytes);
            stream
        })
        .collect();
    // One that has logged in, and then announces more than any packet may have.
    let mut inside = Classic::log_in(&splitter);
    inside.stream.write_all(b"\xFF\xFF\xFF\0\x07").unwrap();
    for id in 0..100 {
        assert_eq!(client.one::<i32>(&format!("SELECT {id}")), id);
    }
    for (mut stream, bytes) in open.into_iter().zip(garbage) {
        let mut told = Vec::new();
        match stream.read_to_end(&mut told) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:?} stays"),
        }
    }
    assert_eq!(client.one::<i32>("SELECT 7"), 7);
}

#[test]
fn an_execution_longer_than_what_is_held_streams_to_the_primary() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings { command: 64 << 10, ..Settings::default() });
    let mut client = splitter.connect();
    client.exec("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)");
    // Shorter and longer than what is held, and than what is waited for of the front of a long one.
    for (id, length) in [(1, 10 << 10), (2, 70 << 10), (3, 200 << 10), (4, 3 << 20)] {
        let text = "x".repeat(length);
        let none: Vec<i32> = client.prepared("INSERT INTO t VALUES (?, ?)", vec![id.into(), text.into()]);
        assert!(none.is_empty());
        let read: Vec<(usize, i32)> = client.prepared(
            "SELECT LENGTH(v), MD5(v) = MD5(REPEAT('x', ?)) FROM t WHERE id = ?",
            vec![length.into(), id.into()],
        );
        assert_eq!(read, [(length, 1)]);
    }
    client.exec("BEGIN");
    let text = "y".repeat(1 << 20);
    let none: Vec<i32> = client.prepared("INSERT INTO t VALUES (?, ?)", vec![9.into(), text.into()]);
    assert!(none.is_empty());
    assert_eq!(client.one::<i32>("SELECT COUNT(*) FROM t WHERE id = 9"), 1);
    client.exec("ROLLBACK");
    assert_eq!(client.one::<i32>("/* stoa: primary */ SELECT COUNT(*) FROM t WHERE id = 9"), 0);
}

#[test]
fn who_is_not_there_cannot_be_killed() {
    let cluster = Cluster::start();
    let splitter = Splitter::start(&cluster, Settings::default());
    let (mut client, gone) = (splitter.connect(), splitter.connect());
    let id = gone.conn.id();
    client.exec(&format!("KILL QUERY {id}"));
    client.exec(&format!("KILL {id}"));
    drop(gone);
    database::wait_until("the id is nobody's", || {
        client.try_exec(&format!("KILL {id}")).is_err_and(|error| code(&error) == 1094)
    });
    for nobody in [0, 9_999_999] {
        assert_eq!(code(&client.try_exec(&format!("KILL {nobody}")).unwrap_err()), 1094);
    }
}

#[test]
fn a_long_execution_without_types_gets_those_that_its_new_connection_was_never_told() {
    let cluster = Cluster::start();
    let settings = Settings { command: 64 << 10, connections: 1, unused: 1, ..Settings::default() };
    let splitter = Splitter::start(&cluster, settings);
    let mut other = splitter.connect();
    other.exec("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)");
    let mut client = Classic::log_in(&splitter);
    let prepared = client.run(b"\x16INSERT INTO t VALUES (?, ?)", 2);
    let number: [u8; 4] = prepared[0][1..5].try_into().unwrap();
    let execute = |id: u32, length: usize, types: bool| {
        let mut payload = [&[0x17][..], &number, &[0, 1, 0, 0, 0], &[0]].concat();
        payload.push(types.into());
        if types {
            // A LONG and a BLOB.
            payload.extend_from_slice(&[3, 0, 0xFC, 0]);
        }
        payload.extend_from_slice(&id.to_le_bytes());
        payload.push(0xFE);
        payload.extend_from_slice(&(length as u64).to_le_bytes());
        payload.resize(payload.len() + length, b'x');
        payload
    };
    let answer = client.run(&execute(1, 10, true), 1);
    assert_eq!(answer[0][..2], [0, 1], "{answer:?}");
    for (id, length) in [(2, 10), (3, 70 << 10), (4, 300 << 10), (5, 3 << 20)] {
        // The only connection is begun anew for another session: what was prepared and told there is gone.
        other.exec("/* stoa: primary */ SET time_zone = '+01:00'");
        assert_eq!(other.one::<String>("SELECT @@time_zone"), "+01:00");
        other.exec("SET time_zone = 'SYSTEM'");
        let answer = client.run(&execute(id, length, false), 1);
        assert_eq!(answer[0][..2], [0, 1], "{:?}", String::from_utf8_lossy(&answer[0]));
        let stored: (usize, i32) = other.one(&format!(
            "/* stoa: primary */ SELECT LENGTH(v), v = REPEAT('x', {length}) FROM t WHERE id = {id}"
        ));
        assert_eq!(stored, (length, 1));
    }
}
