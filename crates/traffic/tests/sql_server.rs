//! The wire beside a real server: logins, every shape of response in every dialect, and each of them again
//! in other pieces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/mariadb.rs"]
mod mariadb;
#[path = "common/sql_peer.rs"]
mod sql_peer;

use mariadb::Mariadb;
use sql_peer::{Dialect, Peer, query, with_statement};
use stoa_traffic::sql::wire::auth::client::AuthError;
use stoa_traffic::sql::wire::capability::Capabilities as C;
use stoa_traffic::sql::wire::compress::Method;
use stoa_traffic::sql::wire::response::{Outcome, Reply, ResponseError};
use stoa_traffic::sql::wire::status::{Change, Status};

const ACCOUNTS: &str = "CREATE DATABASE shop;\n\
    CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('pa ss');\n\
    CREATE USER curve@'%' IDENTIFIED VIA ed25519 USING PASSWORD('pa ss');\n\
    CREATE USER empty@'%';\n\
    GRANT ALL ON *.* TO native@'%', curve@'%', empty@'%';\n";

const QUERIES: Reply = Reply::Results { local_infile: true };

#[track_caller]
fn ok(outcome: &Outcome) -> &Outcome {
    assert_eq!(outcome.error, None);
    outcome
}

/// What the session variable changes reported last.
fn variable(outcome: &Outcome, wanted: &[u8]) -> Option<String> {
    let values = outcome.changes().filter_map(|change| match change {
        Change::Variable { name, value } if name == wanted => {
            Some(String::from_utf8_lossy(value).into_owned())
        }
        _ => None,
    });
    values.last()
}

#[test]
fn everything_beside_a_real_server() {
    let server = Mariadb::start(ACCOUNTS);
    logins(&server);
    for dialect in Dialect::ALL {
        println!("as a client with {dialect:?}");
        results(&server, dialect);
        prepared(&server, dialect);
        files(&server, dialect);
        long_rows(&server, dialect);
    }
    translated_as_the_server_would(&server);
    tracking(&server);
    compression(&server);
}

fn logins(server: &Mariadb) {
    for user in ["native", "curve"] {
        let peer = Peer::login(server, user, "pa ss", Dialect::Modern).unwrap();
        assert!(peer.greeting.version.contains("MariaDB"), "{}", peer.greeting.version);
        assert!(!peer.greeting.capabilities.contains(C::LONG_PASSWORD));
        assert!(peer.greeting.capabilities.contains(C::BULK_OPERATIONS));
        for wrong in ["", "pa s", "pa ss "] {
            match Peer::login(server, user, wrong, Dialect::Modern) {
                Err(AuthError::Refused(error)) => assert_eq!((error.code, &error.sqlstate), (1045, b"28000")),
                other => panic!("{user} with {wrong:?}: {other:?}"),
            }
        }
    }
    let mut peer = Peer::login(server, "empty", "", Dialect::Modern).unwrap();
    ok(peer.run(&query("USE shop"), QUERIES));
    peer.change_user("curve", "pa ss").unwrap();
    peer.change_user("native", "pa ss").unwrap();
    assert!(matches!(peer.change_user("native", "no"), Err(AuthError::Refused(_))));
}

fn results(server: &Mariadb, dialect: Dialect) {
    let mut peer = Peer::login(server, "native", "pa ss", dialect).unwrap();
    ok(peer.run(b"\x02shop", Reply::One));
    ok(peer.run(&query("SET session_track_system_variables='autocommit,last_gtid'"), QUERIES));
    ok(peer.run(
        &query("CREATE OR REPLACE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, x VARCHAR(20))"),
        QUERIES,
    ));
    let insert = ok(peer.run(&query("INSERT INTO shop.t (x) VALUES ('a'), (NULL), ('')"), QUERIES));
    assert_eq!((insert.affected_rows, insert.last_insert_id, insert.results), (3, 1, 1));
    let rows = ok(peer.run(&query("SELECT id, x FROM shop.t"), QUERIES));
    assert_eq!((rows.rows, rows.results), (3, 1));
    assert_eq!(rows.status, Status::AUTOCOMMIT | Status::NO_INDEX_USED);
    assert_eq!(ok(peer.run(&query("SELECT * FROM shop.t WHERE 0"), QUERIES)).rows, 0);
    assert_eq!(ok(peer.run(&query("SELECT seq FROM shop.seq_1_to_5000"), QUERIES)).rows, 5000);
    let several = "SELECT 1; DO 1; SELECT 2 UNION SELECT 3; UPDATE shop.t SET x='b' WHERE id=1; SELECT 4/0";
    let several = ok(peer.run(&query(several), QUERIES));
    assert_eq!((several.results, several.rows, several.warnings), (5, 4, 1));
    let broken = peer.run(&query("SELECT 1; SELECT nothing; SELECT 2"), QUERIES);
    assert_eq!(broken.error.as_ref().map(|error| (error.code, error.sqlstate)), Some((1054, *b"42S22")));
    assert_eq!(broken.results, 2);
    let late = peer
        .run(&query("SELECT IF(seq < 3000, 1, (SELECT 1 UNION SELECT 2)) FROM shop.seq_1_to_4000"), QUERIES);
    assert_eq!(late.error.as_ref().map(|error| error.code), Some(1242));
    ok(peer.run(&query("START TRANSACTION"), QUERIES));
    assert!(ok(peer.run(&query("SELECT 1"), QUERIES)).status.contains(Status::IN_TRANS));
    assert!(!ok(peer.run(&query("ROLLBACK"), QUERIES)).status.contains(Status::IN_TRANS));
    let read_only = peer.run(&query("START TRANSACTION READ ONLY"), QUERIES);
    assert!(ok(read_only).status.contains(Status::IN_TRANS_READONLY));
    ok(peer.run(&query("COMMIT"), QUERIES));
    let returning = ok(peer.run(&query("INSERT INTO shop.t (x) VALUES ('r') RETURNING id"), QUERIES));
    assert_eq!(returning.rows, 1);
    if dialect != Dialect::Classic {
        assert!(variable(returning, b"last_gtid").is_some(), "a result set reports its transaction too");
    }
    ok(peer.run(&[0x0E], Reply::One));
    ok(peer.run(&[0x09], Reply::Text));
    ok(peer.run(&[0x1B, 1, 0], Reply::One));
    assert!(peer.run(&query("SELECT 1; SELECT 2"), QUERIES).error.is_some(), "several statements are off");
    ok(peer.run(&[0x1B, 0, 0], Reply::One));
    ok(peer.run(b"\x02shop", Reply::One));
    ok(peer.run(b"\x04t\0", Reply::Fields));
    ok(peer.run(&[0x0A], Reply::Results { local_infile: false }));
    ok(peer.run(&[0x0D], Reply::One));
    ok(peer.run(&[0x1F], Reply::One));
}

fn prepared(server: &Mariadb, dialect: Dialect) {
    let mut peer = Peer::login(server, "native", "pa ss", dialect).unwrap();
    ok(peer.run(b"\x02shop", Reply::One));
    let renamed = Reply::Prepared { rename: Some(4_000_000) };
    let cases = [
        ("SELECT id, x FROM t WHERE id > ? OR x = ?", 2, 2),
        ("DO 1", 0, 0),
        ("SELECT 1", 0, 1),
        ("DO ?", 1, 0),
    ];
    for (sql, parameters, columns) in cases {
        let made = ok(peer.run(&[b"\x16", sql.as_bytes()].concat(), renamed)).prepared.unwrap();
        assert_eq!((made.parameters, made.columns), (parameters, columns), "{sql}");
        peer.run(&with_statement(0x19, made.id, &[]), Reply::Nothing);
    }
    assert!(peer.run(b"\x16SELECT FROM", renamed).error.is_some());
    let select = ok(peer.run(b"\x16SELECT seq FROM shop.seq_1_to_100", renamed)).prepared.unwrap().id;
    let all = ok(peer.run(&with_statement(0x17, select, &[0, 1, 0, 0, 0]), Reply::Executed));
    assert_eq!(all.rows, 100);
    let cursor = ok(peer.run(&with_statement(0x17, select, &[1, 1, 0, 0, 0]), Reply::Executed));
    assert_eq!(cursor.rows, 0);
    assert!(cursor.status.contains(Status::CURSOR_EXISTS));
    for (wanted, got, last) in [(60_u32, 60, false), (60, 40, true)] {
        let fetched = ok(peer.run(&with_statement(0x1C, select, &wanted.to_le_bytes()), Reply::Rows));
        assert_eq!((fetched.rows, fetched.status.contains(Status::LAST_ROW_SENT)), (got, last));
    }
    ok(peer.run(&with_statement(0x1A, select, &[]), Reply::One));
    let gone = peer.run(&with_statement(0x1C, select, &[9, 0, 0, 0]), Reply::Rows);
    assert!(gone.error.is_some());
    out_parameters(&mut peer, dialect);
    let long = ok(peer.run(b"\x16SELECT LENGTH(?)", renamed)).prepared.unwrap().id;
    peer.run(&with_statement(0x18, long, b"\0\0piece"), Reply::Nothing);
    peer.run(&with_statement(0x18, long, b"\0\0of it"), Reply::Nothing);
    let value = ok(peer.run(&with_statement(0x17, long, &[0, 1, 0, 0, 0, 0, 1, 0xFC, 0]), Reply::Executed));
    assert_eq!(value.rows, 1);
}

fn out_parameters(peer: &mut Peer, dialect: Dialect) {
    let procedure = "CREATE OR REPLACE PROCEDURE p(IN a INT, OUT b INT) BEGIN SELECT 1 UNION SELECT 2; SET b = a + 1; END";
    ok(peer.run(&query(procedure), QUERIES));
    let call = ok(peer.run(b"\x16CALL p(?, ?)", Reply::Prepared { rename: None })).prepared.unwrap().id;
    let values =
        [&[0, 1, 0, 0, 0, 0, 1, 3, 0, 3, 0][..], &7_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    let called = ok(peer.run(&with_statement(0x17, call, &values), Reply::Executed));
    assert_eq!((called.rows, called.results), (3, 3), "rows, OUT parameters, and how it went");
    // One EOF a result set, or two; clients look at the first.
    let place = if dialect.lacks().contains(C::DEPRECATE_EOF) { 2 } else { 1 };
    let statuses = peer.statuses();
    assert!(statuses[place].contains(Status::PS_OUT_PARAMS), "{statuses:?}");
    assert!(!statuses[0].contains(Status::PS_OUT_PARAMS), "{statuses:?}");
}

/// What a client without `DEPRECATE_EOF` gets is what the server would have sent it, to the byte; but for how the
/// query was run and whether more follows, which is known only at its end.
fn translated_as_the_server_would(server: &Mariadb) {
    let peer = |dialect| Peer::login(server, "native", "pa ss", dialect).unwrap();
    let (mut translated, mut classic) = (peer(Dialect::Plain), peer(Dialect::Classic));
    let mut same = |payload: &[u8], reply: Reply| {
        translated.run(payload, reply);
        classic.run(payload, reply);
        let [ours, theirs] = [&translated, &classic].map(Peer::sent_without_what_is_known_late);
        assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(payload));
    };
    let queries = [
        "USE shop",
        "SELECT 1",
        "SELECT 1 WHERE 0",
        "SELECT 1/0",
        "SELECT * FROM t",
        "SELECT nothing",
        "SELECT IF(seq < 3000, 1, (SELECT 1 UNION SELECT 2)) FROM shop.seq_1_to_4000",
        "START TRANSACTION",
        "SELECT 2",
        "UPDATE t SET x = 'q' WHERE 0",
        "COMMIT",
        "SET autocommit = 0",
        "SELECT 3",
        "SET autocommit = 1, sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        "SELECT 4; SELECT 5; DO 1; SHOW WARNINGS; SELECT 6",
        "START TRANSACTION READ ONLY",
        "SELECT 7",
        "CALL p(1, @b)",
    ];
    for sql in queries {
        same(&query(sql), QUERIES);
    }
    // The server numbers statements for all connections together; -1 is the last one of this connection.
    let commands: [(&[u8], Reply); 10] = [
        (b"\x16SELECT id, x FROM t WHERE id > ?", Reply::Prepared { rename: Some(1) }),
        (b"\x17\xFF\xFF\xFF\xFF\0\x01\0\0\0\0\x01\x03\0\0\0\0\0", Reply::Executed),
        (b"\x17\xFF\xFF\xFF\xFF\0\x01\0\0\0\0\x01\x03\0\xFF\0\0\0", Reply::Executed),
        (b"\x16SELECT 1", Reply::Prepared { rename: Some(2) }),
        (b"\x17\xFF\xFF\xFF\xFF\0\x01\0\0\0", Reply::Executed),
        (b"\x17\xFF\xFF\xFF\xFF\x01\x01\0\0\0", Reply::Executed),
        (b"\x04t\0", Reply::Fields),
        (b"\x1B\0\0", Reply::One),
        (b"\x0D", Reply::One),
        (b"\x1F", Reply::One),
    ];
    for (payload, reply) in commands {
        same(payload, reply);
    }
}

fn files(server: &Mariadb, dialect: Dialect) {
    let mut peer = Peer::login(server, "native", "pa ss", dialect).unwrap();
    ok(peer.run(b"\x02shop", Reply::One));
    ok(peer.run(&query("CREATE OR REPLACE TABLE shop.l (a INT, b TEXT)"), QUERIES));
    let load = "SELECT 1; LOAD DATA LOCAL INFILE 'a file' INTO TABLE shop.l; SELECT 2";
    peer.file = vec![b"1\tone\n2\ttwo\n".to_vec(), b"3\tthree\n".to_vec()];
    let loaded = ok(peer.run(&query(load), QUERIES));
    assert_eq!((loaded.results, loaded.rows), (3, 2));
    assert_eq!(ok(peer.run(&query("SELECT * FROM shop.l"), QUERIES)).rows, 3);
    peer.file = Vec::new();
    let refused = peer.try_run(
        &query("LOAD DATA LOCAL INFILE 'x' INTO TABLE shop.l"),
        Reply::Results { local_infile: false },
    );
    assert_eq!(refused, Err(ResponseError::FileNotAllowed));
}

fn long_rows(server: &Mariadb, dialect: Dialect) {
    const FULL: usize = 0xFF_FFFF;
    let mut peer = Peer::login(server, "native", "pa ss", dialect).unwrap();
    ok(peer.run(b"\x02shop", Reply::One));
    // Its length takes four bytes up to 16 MB - 1 and nine above.
    for length in [FULL - 4, FULL - 3, 20 << 20] {
        let sql = format!("SELECT REPEAT('x', {length}) UNION ALL SELECT REPEAT('y', {length})");
        let long = ok(peer.run(&query(&sql), QUERIES));
        assert_eq!(long.rows, 2, "{length}");
    }
    let sql = format!("SELECT '{}'", "z".repeat(20 << 20));
    assert_eq!(ok(peer.run(&query(&sql), QUERIES)).rows, 1);
}

fn tracking(server: &Mariadb) {
    let mut peer = Peer::login(server, "native", "pa ss", Dialect::Modern).unwrap();
    ok(peer.run(&query("SET SESSION session_track_schema=1, session_track_transaction_info='CHARACTERISTICS', session_track_system_variables='*'"), QUERIES));
    let used = ok(peer.run(&query("USE shop"), QUERIES));
    assert!(used.changes().any(|change| change == Change::Schema(b"shop")));
    let set = ok(peer.run(&query("SET sql_mode='ANSI', time_zone='+01:00'"), QUERIES));
    assert_eq!(variable(set, b"time_zone").as_deref(), Some("+01:00"));
    assert!(variable(set, b"sql_mode").unwrap().contains("ANSI_QUOTES"));
    let begun = ok(peer.run(&query("START TRANSACTION WITH CONSISTENT SNAPSHOT"), QUERIES));
    let told: Vec<String> = begun.changes().map(|change| format!("{change:?}")).collect();
    assert!(
        begun.changes().any(
            |change| matches!(change, Change::Transaction(state) if state.len() == 8 && state[0] == b'T')
        ),
        "{told:?}"
    );
    assert!(
        begun.changes().any(
            |change| matches!(change, Change::Characteristics(sql) if sql.starts_with(b"START TRANSACTION"))
        ),
        "{told:?}"
    );
    assert!(begun.status.contains(Status::ANSI_QUOTES));
}

fn compression(server: &Mariadb) {
    let mut peer = Peer::login_compressed(server, "native", "pa ss", Dialect::Plain, Method::Zlib).unwrap();
    ok(peer.run(b"\x02shop", Reply::One));
    assert_eq!(
        ok(peer.run(&query("SELECT seq, REPEAT('x', 200) FROM shop.seq_1_to_5000"), QUERIES)).rows,
        5000
    );
    assert_eq!(ok(peer.run(&query("SELECT REPEAT('x', 20 << 20); SELECT 1"), QUERIES)).rows, 2);
    let sql = format!("SELECT LENGTH('{}')", "z".repeat(20 << 20));
    assert_eq!(ok(peer.run(&query(&sql), QUERIES)).rows, 1);
}
