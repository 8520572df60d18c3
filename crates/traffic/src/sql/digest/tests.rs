//! Which statements are one.

use super::{TEXT, digest, digest_text};
use crate::sql::lexer::{Dialect, Engine};

const MARIADB: Dialect = Dialect::new(Engine::MariaDb);

/// A digest's text, and statements that have it.
const SAME: &[(&str, &[&str])] = &[
    (
        "SELECT c FROM sbtest1 WHERE id = ?",
        &[
            "SELECT c FROM sbtest1 WHERE id=123",
            "select c from sbtest1 where id = ?",
            "  SELECT/* x */c FROM sbtest1 -- y\n WHERE id='abc'; ",
            "SELECT c FROM sbtest1 WHERE id=-5 # z",
            "SELECT c FROM sbtest1 WHERE id=x'1F'",
            "SELECT c FROM sbtest1 WHERE id=_utf8mb4'a' 'b'",
            "SELECT c FROM sbtest1 WHERE id=_utf8mb4 /* x */ 'a'",
            "/* stoa: replica */ SELECT c FROM sbtest1 WHERE id= - 1.5e3",
        ],
    ),
    (
        "SELECT * FROM t WHERE a IN (...) AND b = ?",
        &[
            "SELECT * FROM t WHERE a IN (1) AND b = 2",
            "SELECT * FROM t WHERE a IN (1, 2, -3) AND b = 'x'",
            "SELECT * FROM t WHERE a IN (?,?,NULL) AND b = ?",
        ],
    ),
    (
        "SELECT * FROM t WHERE (a, b) IN ((...))",
        &["SELECT * FROM t WHERE (a,b) IN ((1,2))", "SELECT * FROM t WHERE (a,b) IN ((1,2),(3,4), (5,6))"],
    ),
    (
        "INSERT INTO t (a, b) VALUES (...)",
        &[
            "INSERT INTO t (a,b) VALUES (1,'x')",
            "insert into t (a,b) values (1,'x'),(2,'y'),(3,NULL)",
            "INSERT INTO t (a,b) VALUES (?,?),(?,?)",
        ],
    ),
    (
        "INSERT INTO t VALUES (?, NOW(), f (...)) ON DUPLICATE KEY UPDATE a = VALUES (a), b = ?",
        &[
            "INSERT INTO t VALUES (1,now(),f(2)) ON DUPLICATE KEY UPDATE a=VALUES(a), b=1",
            "INSERT INTO t VALUES (1,now(),f(2)),(2,now(),f(3)) ON DUPLICATE KEY UPDATE a=VALUES(a), b=2",
        ],
    ),
    ("VALUES ROW (...)", &["VALUES ROW(1,2)", "VALUES ROW(1,2), ROW(3,4)"]),
    ("COMMIT", &["commit", "COMMIT;", "Commit /* */ ;"]),
    ("SELECT a - ?, b + ? FROM t", &["SELECT a-1, b+2 FROM t"]),
    ("SELECT ?; SELECT x", &["SELECT 1; SELECT x", "select 'a';select x;"]),
    ("SELECT COUNT(*), MAX(a) FROM `T` t", &["select count(*),max(a) from `T` t"]),
    ("SELECT @@session.sql_mode, @x", &["select @@session.sql_mode, @x"]),
    ("SELECT a FROM t WHERE b >= ? AND c IS NULL", &["select a from t where b>=5 and c is null"]),
    ("", &["", " -- nothing", ";"]),
];

/// Statements that are not one.
const DIFFERENT: &[(&str, &str)] = &[
    ("SELECT a FROM t", "SELECT a FROM T"),
    ("SELECT a FROM t", "SELECT b FROM t"),
    ("SELECT a b", "SELECT ab"),
    ("SELECT a.b", "SELECT a b"),
    ("SELECT 1", "SELECT (1)"),
    ("SELECT 1", "SELECT 1, 2"),
    ("SELECT a IS NULL", "SELECT a IS TRUE"),
    ("SELECT (1), (a)", "SELECT (1)"),
    ("INSERT INTO t VALUES (1)", "REPLACE INTO t VALUES (1)"),
    ("SELECT 1 /*! + 1 */", "SELECT 1 + 1"),
    ("SELECT `a`", "SELECT a"),
];

#[test]
fn statements_that_differ_in_literals_are_one() {
    for (text, statements) in SAME {
        let first = digest(statements[0].as_bytes(), &MARIADB);
        for statement in *statements {
            assert_eq!(digest_text(statement.as_bytes(), &MARIADB), *text, "{statement}");
            assert_eq!(digest(statement.as_bytes(), &MARIADB), first, "{statement}");
        }
    }
}

#[test]
fn other_statements_are_not() {
    for (one, other) in DIFFERENT {
        assert_ne!(digest(one.as_bytes(), &MARIADB), digest(other.as_bytes(), &MARIADB), "{one} / {other}");
    }
}

#[test]
fn a_number_is_for_ever() {
    let number = digest(b"SELECT c FROM sbtest1 WHERE id=123", &MARIADB);
    assert_eq!(number.to_string(), "618cfe06ee3b2e64");
}

#[test]
fn the_text_is_bounded() {
    let many = format!("SELECT {} FROM t", vec!["column_of_some_length"; 1000].join(","));
    assert_eq!(digest_text(many.as_bytes(), &MARIADB).len(), TEXT);
    let long = "é".repeat(TEXT);
    assert!(digest_text(format!("SELECT `{long}`").as_bytes(), &MARIADB).len() <= TEXT);
    let rows = format!("INSERT INTO t VALUES {}", vec!["(1, 'some text')"; 10_000].join(","));
    assert_eq!(digest_text(rows.as_bytes(), &MARIADB), "INSERT INTO t VALUES (...)");
}

#[test]
fn what_is_not_read_is_not_shown() {
    assert_eq!(digest_text(b"SELECT a FROM t WHERE b = 'secret", &MARIADB), "SELECT a FROM t WHERE b = ...");
}

#[test]
fn eight_bytes_are_put_in_upper_case_as_each_alone_is() {
    for byte in 0..=u8::MAX {
        for place in 0..8 {
            let mut bytes = *b"zA{`@\x7f\xe1a";
            bytes[place] = byte;
            let word = super::upper_case(u64::from_le_bytes(bytes));
            assert_eq!(word.to_le_bytes(), bytes.to_ascii_uppercase()[..], "{byte} at {place}");
        }
    }
}
