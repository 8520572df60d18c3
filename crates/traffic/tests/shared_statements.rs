//! Sessions that have prepared the same text in the same state share one statement of the server's, and none of
//! them can tell: neither by types, long data, cursors and failures, nor by what the others do to theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::classic::Classic;
use database::{Cluster, Splitter};
use stoa_traffic::sql::role::Settings;

const LONG: &[u8] = &[3, 0];
const STRING: &[u8] = &[0xFD, 0];
const BLOB: &[u8] = &[0xFC, 0];

/// A session, on a splitter that has so many connections to one server for all of them.
struct Client(Classic);

/// What an execution was answered with.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// Rows in binary, without what stands before their values.
    Rows(Vec<Vec<u8>>),
    Failed(u16),
}

fn text(value: &str) -> Vec<u8> {
    [&[value.len() as u8], value.as_bytes()].concat()
}

fn rows(values: &[&str]) -> Answer {
    Answer::Rows(values.iter().map(|value| text(value)).collect())
}

impl Client {
    fn query(&mut self, sql: &str) {
        let answer = self.0.run(&[b"\x03", sql.as_bytes()].concat(), 1);
        assert_eq!(answer[0][0], 0, "{sql}: {:?}", String::from_utf8_lossy(&answer[0]));
    }

    fn prepare(&mut self, sql: &str) -> [u8; 4] {
        self.0.send(0, &[b"\x16", sql.as_bytes()].concat());
        let (_, prepared) = self.0.packet();
        assert_eq!(prepared[0], 0, "{sql}: {:?}", String::from_utf8_lossy(&prepared));
        for many in [&prepared[7..9], &prepared[5..7]] {
            let many = u16::from_le_bytes(many.try_into().unwrap());
            (0..many + u16::from(many > 0)).for_each(|_| drop(self.0.packet()));
        }
        prepared[1..5].try_into().unwrap()
    }

    fn about(&mut self, command: u8, statement: [u8; 4], rest: &[u8]) {
        self.0.send(0, &[&[command][..], &statement, rest].concat());
    }

    /// Executes a statement with one or two parameters, whose types are told or not.
    fn execute(&mut self, statement: [u8; 4], types: Option<&[&[u8]]>, values: &[u8]) -> Answer {
        let told = [&[0, u8::from(types.is_some())][..], &types.unwrap_or_default().concat()].concat();
        self.about(0x17, statement, &[&[0, 1, 0, 0, 0][..], &told, values].concat());
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let (_, first) = self.0.packet();
        match first[0] {
            0 => return Answer::Done,
            0xFF => return Answer::Failed(u16::from_le_bytes([first[1], first[2]])),
            columns => (0..=columns).for_each(|_| drop(self.0.packet())),
        }
        self.rest()
    }

    fn rest(&mut self) -> Answer {
        let mut rows = Vec::new();
        loop {
            match self.0.packet().1 {
                end if end[0] == 0xFE => return Answer::Rows(rows),
                row => rows.push(row[2..].to_vec()),
            }
        }
    }

    fn fetch(&mut self, statement: [u8; 4], many: u32) -> Answer {
        self.about(0x1C, statement, &many.to_le_bytes());
        self.rest()
    }

    fn close(&mut self, statement: [u8; 4]) {
        self.about(0x19, statement, &[]);
    }
}

struct World {
    cluster: Cluster,
    splitter: Splitter,
}

impl World {
    fn with(connections: u32) -> World {
        let cluster = Cluster::start();
        let settings = Settings { connections, unused: connections, ..Settings::default() };
        let mut splitter = Splitter::without_routes(settings, 1);
        splitter.routes(1, Some(cluster.primary()), &[]);
        World { cluster, splitter }
    }

    fn client(&self) -> Client {
        Client(Classic::log_in(&self.splitter))
    }

    /// How many statements are prepared at the server.
    fn prepared(&self) -> u64 {
        let row = self.cluster.primary().sql("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'");
        row.split_whitespace().last().unwrap().parse().unwrap()
    }
}

#[test]
fn types_are_a_sessions_own_also_after_failures_and_where_none_were_told() {
    let world = World::with(1);
    let [mut a, mut b, mut c] = [world.client(), world.client(), world.client()];
    let sql = "SELECT CONCAT(?)";
    let [one, other, third] = [a.prepare(sql), b.prepare(sql), c.prepare(sql)];
    let untold = c.execute(third, None, &65_i32.to_le_bytes());
    assert!(matches!(untold, Answer::Failed(_)), "{untold:?}");
    assert_eq!(a.execute(one, Some(&[LONG]), &65_i32.to_le_bytes()), rows(&["65"]));
    assert_eq!(b.execute(other, Some(&[STRING]), &text("xyz")), rows(&["xyz"]));
    for round in 0..3 {
        assert_eq!(a.execute(one, None, &66_i32.to_le_bytes()), rows(&["66"]), "{round}");
        assert_eq!(a.execute(one, None, &67_i32.to_le_bytes()), rows(&["67"]), "{round}");
        assert_eq!(b.execute(other, None, &text("q")), rows(&["q"]), "{round}");
        // Cut off, and answered with an error.
        assert!(matches!(a.execute(one, Some(&[LONG]), &[1]), Answer::Failed(_)));
        assert_eq!(b.execute(other, None, &text("r")), rows(&["r"]), "{round}");
        assert_eq!(world.prepared(), 1, "all have one");
        // Told by the others, and never by this one.
        assert_eq!(c.execute(third, None, &65_i32.to_le_bytes()), untold, "{round}");
    }
}

#[test]
fn who_closes_or_begins_anew_leaves_the_others_theirs() {
    let world = World::with(1);
    let [mut a, mut b, mut c] = [world.client(), world.client(), world.client()];
    let sql = "SELECT CONCAT(?)";
    let [one, other, third] = [a.prepare(sql), b.prepare(sql), c.prepare(sql)];
    assert_eq!(b.execute(other, Some(&[STRING]), &text("b")), rows(&["b"]));
    a.close(one);
    assert_eq!(a.execute(one, Some(&[STRING]), &text("a")), Answer::Failed(1243));
    assert_eq!(c.0.run(b"\x1F", 1)[0][0], 0);
    assert_eq!(c.execute(third, Some(&[STRING]), &text("c")), Answer::Failed(1243));
    assert_eq!(b.execute(other, None, &text("b2")), rows(&["b2"]));
    let again = a.prepare(sql);
    assert_eq!(b.execute(other, None, &text("b3")), rows(&["b3"]));
    assert_eq!(a.execute(again, Some(&[STRING]), &text("a")), rows(&["a"]));
    b.close(other);
    a.close(again);
    // What nobody has goes when the next is prepared.
    let last = a.prepare("SELECT CONCAT('z', ?)");
    assert_eq!(a.execute(last, Some(&[STRING]), &text("y")), rows(&["zy"]));
    assert_eq!(world.prepared(), 1);
}

#[test]
fn long_data_go_with_their_own_execution_only() {
    let world = World::with(1);
    let [mut a, mut b] = [world.client(), world.client()];
    a.query("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)");
    let sql = "INSERT INTO t VALUES (?, ?)";
    let [one, other] = [a.prepare(sql), b.prepare(sql)];
    let types: Option<&[&[u8]]> = Some(&[LONG, BLOB]);
    let id = |id: i32| id.to_le_bytes();
    a.about(0x18, one, b"\x01\0long ");
    let with = |number: i32, value: &str| [&id(number)[..], &text(value)].concat();
    assert_eq!(b.execute(other, types, &with(1, "b")), Answer::Done);
    a.about(0x18, one, b"\x01\0data");
    assert_eq!(a.execute(one, types, &id(2)), Answer::Done);
    assert_eq!(b.execute(other, None, &with(3, "b")), Answer::Done);
    a.about(0x18, one, b"\x01\0lost");
    assert_eq!(a.execute(one, None, &id(2)), Answer::Failed(1062), "its id is there");
    assert_eq!(b.execute(other, None, &with(4, "b")), Answer::Done);
    assert_eq!(a.execute(one, None, &with(5, "a")), Answer::Done);
    let stored = world.cluster.primary().sql("SELECT GROUP_CONCAT(id, v ORDER BY id) FROM shop.t");
    assert_eq!(stored, "1b,2long data,3b,4b,5a");
}

#[test]
fn an_open_cursor_is_not_closed_by_who_executes_the_same() {
    let world = World::with(2);
    let [mut a, mut b] = [world.client(), world.client()];
    let sql = "SELECT CAST(seq AS CHAR) FROM seq_1_to_4";
    let [one, twin, other] = [a.prepare(sql), a.prepare(sql), b.prepare(sql)];
    for _ in 0..2 {
        a.about(0x17, one, &[1, 1, 0, 0, 0]);
        // The column, and one EOF that says that rows are to be fetched.
        let opened: Vec<_> = (0..3).map(|_| a.0.packet().1).collect();
        assert_eq!(opened[2][3] & 0x40, 0x40, "{opened:?}");
        assert_eq!(a.fetch(one, 1), rows(&["1"]));
        for client in [(&mut a, twin), (&mut b, other)] {
            client.0.about(0x17, client.1, &[0, 1, 0, 0, 0]);
            assert_eq!(client.0.answer(), rows(&["1", "2", "3", "4"]));
        }
        assert_eq!(a.fetch(one, 1), rows(&["2"]));
        assert_eq!(a.fetch(one, 9), rows(&["3", "4"]));
    }
    a.about(0x17, one, &[1, 1, 0, 0, 0]);
    (0..3).for_each(|_| drop(a.0.packet()));
    a.close(one);
    a.about(0x17, twin, &[0, 1, 0, 0, 0]);
    assert_eq!(a.answer(), rows(&["1", "2", "3", "4"]));
}

#[test]
fn the_same_text_in_another_state_is_another_statement() {
    let world = World::with(1);
    let [mut a, mut b, mut c] = [world.client(), world.client(), world.client()];
    a.query("CREATE TABLE t (v VARCHAR(20)) AS SELECT 'shop' AS v");
    a.query("CREATE TABLE other.t (v VARCHAR(20)) AS SELECT 'other' AS v");
    assert_eq!(b.0.run(b"\x02other", 1)[0][0], 0);
    c.query("SET sql_mode = 'ANSI_QUOTES'");
    let sql = "SELECT CONCAT(\"v\", ?, v) FROM t";
    let [one, other, third] = [a.prepare(sql), b.prepare(sql), c.prepare(sql)];
    for _ in 0..2 {
        assert_eq!(a.execute(one, Some(&[STRING]), &text("-")), rows(&["v-shop"]));
        assert_eq!(b.execute(other, Some(&[STRING]), &text("-")), rows(&["v-other"]));
        assert_eq!(c.execute(third, Some(&[STRING]), &text("-")), rows(&["shop-shop"]));
    }
}

#[test]
fn a_table_that_changes_changes_for_all_who_share() {
    let world = World::with(1);
    let [mut a, mut b] = [world.client(), world.client()];
    a.query("CREATE TABLE t (v VARCHAR(20)) AS SELECT 'v' AS v");
    let sql = "SELECT * FROM t WHERE v = ?";
    let [one, other] = [a.prepare(sql), b.prepare(sql)];
    let execute = |client: &mut Client, statement| client.execute(statement, Some(&[STRING]), &text("v"));
    assert_eq!(execute(&mut a, one), rows(&["v"]));
    b.query("ALTER TABLE t ADD w VARCHAR(20) DEFAULT 'w'");
    let wider = Answer::Rows(vec![[text("v"), text("w")].concat()]);
    for _ in 0..2 {
        assert_eq!(execute(&mut b, other), wider);
        assert_eq!(execute(&mut a, one), wider);
    }
    a.query("DROP TABLE t");
    for (client, statement) in [(&mut a, one), (&mut b, other)] {
        assert_eq!(execute(client, statement), Answer::Failed(1146));
    }
    a.query("CREATE TABLE t (v VARCHAR(20)) AS SELECT 'v' AS v");
    let again = a.prepare(sql);
    for (client, statement) in [(&mut a, again), (&mut b, other)] {
        assert_eq!(execute(client, statement), rows(&["v"]));
    }
    assert_eq!(execute(&mut a, one), rows(&["v"]));
    assert_eq!(world.prepared(), 1);
}
