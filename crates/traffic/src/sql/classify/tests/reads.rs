//! What is proven to be a read, and what looks like one and is not.

use super::{BOTH, MARIADB, MYSQL, all_primary, all_read, verdict};
use crate::sql::classify::{Kind, Reason, Route};

/// Reads in both engines.
pub(super) const READS: &[&str] = &[
    "SELECT 1",
    "select 1;",
    "SELECT c FROM sbtest1 WHERE id=123",
    "SELECT c FROM sbtest1 WHERE id BETWEEN ? AND ?",
    "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 1 AND 100",
    "SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN 1 AND 100 ORDER BY c",
    "SELECT * FROM `users` WHERE `users`.`id` = 1 LIMIT 1",
    "SELECT `t`.*, t.`from` FROM shop.t AS t",
    "SELECT t.update, t.into FROM t",
    "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
    "((SELECT a FROM t LIMIT 1))",
    "SELECT a FROM t UNION SELECT b FROM u EXCEPT SELECT c FROM v INTERSECT SELECT d FROM w",
    "WITH c AS (SELECT 1 AS a) SELECT a FROM c",
    "WITH RECURSIVE c (n, m) AS (SELECT 1, 2 UNION ALL SELECT n+1, m FROM c WHERE n < 5) SELECT n FROM c",
    "WITH a AS (SELECT 1), b (x) AS (SELECT 2) (SELECT * FROM a, b)",
    "SELECT (SELECT MAX(id) FROM t) + 1",
    "SELECT COUNT(*), AVG(a), GROUP_CONCAT(b ORDER BY c SEPARATOR ';') FROM t GROUP BY d HAVING COUNT(*) > 1",
    "SELECT IF(a, b, c), COALESCE(a, 1), IFNULL(b, 2), NULLIF(a, b), GREATEST(1, 2) FROM t",
    "SELECT CASE WHEN (a = 1) THEN (2) ELSE (3) END FROM t",
    "SELECT CAST(a AS DECIMAL(10, 2)), CONVERT(b, CHAR(10)), CONVERT(c USING utf8mb4) FROM t",
    "SELECT NOW(), CURDATE(), CURRENT_TIMESTAMP, UTC_TIMESTAMP(), DATE_ADD(a, INTERVAL 1 DAY) FROM t",
    "SELECT a FROM t WHERE b IN (1, 2) AND (c, d) NOT IN ((1, 2)) AND EXISTS (SELECT 1 FROM u)",
    "SELECT a FROM t WHERE b LIKE ('x%') AND c REGEXP ('y') OR NOT (d) XOR (e)",
    "SELECT a FROM t WHERE b = ANY (SELECT c FROM u) AND d > ALL (SELECT e FROM v)",
    "SELECT a FROM t USE INDEX (i) IGNORE INDEX FOR ORDER BY (j) LEFT JOIN u USING (id) JOIN v ON (v.a = u.a)",
    "SELECT a FROM t PARTITION (p0, p1)",
    "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b), LAG(c, 1) OVER w FROM t WINDOW w AS (ORDER BY a)",
    "SELECT SUBSTRING(a FROM 2 FOR 3), TRIM(LEADING 'x' FROM b), EXTRACT(YEAR FROM c), POSITION('x' IN d) FROM t",
    "SELECT MATCH (a, b) AGAINST ('x' IN BOOLEAN MODE) FROM t",
    "SELECT JSON_EXTRACT(a, '$.x'), a->'$.y', a->>'$.z' FROM t",
    "SELECT j.x FROM t JOIN JSON_TABLE(t.a, '$[*]' COLUMNS (x INT PATH '$.x', NESTED PATH '$.y[*]' COLUMNS (z VARCHAR(10) PATH '$'))) AS j",
    "SELECT x.a FROM (SELECT 1, 2) AS x (a, b)",
    "SELECT HEX(x'1f'), b'01', 0x1f, N'a', _latin1'b' COLLATE latin1_bin, 1.5e3, -1",
    "SELECT ST_AsText(g), ST_Distance(g, h) FROM t",
    "SELECT {fn NOW()}, {d '2024-01-01'}",
    "SELECT DATABASE(), USER(), CURRENT_USER, UUID(), RAND()",
    "SELECT SLEEP(0)",
    "SELECT 'INTO', \"FOR UPDATE\", `INTO` FROM t -- INTO\n",
    "SELECT 'it''s', 'a\\'b; DROP TABLE t' FROM t",
    "/* app:web,route:/users */ SELECT 1",
    "SELECT /*+ MAX_EXECUTION_TIME(1000) */ a FROM t",
    "SELECT SQL_NO_CACHE HIGH_PRIORITY STRAIGHT_JOIN a FROM t",
    "SELECT a FROM t LIMIT 10 OFFSET 20",
    "SELECT a FROM t WHERE b = 1 ; ",
    "VALUES ROW(1, 2), ROW(3, 4)",
    "DESCRIBE t",
    "DESC shop.t a",
    "EXPLAIN SELECT a FROM t",
    "EXPLAIN FORMAT=JSON SELECT a FROM t",
    "SHOW TABLES",
    "SHOW FULL TABLES FROM shop LIKE 'a%'",
    "SHOW COLUMNS FROM t",
    "SHOW FULL COLUMNS FROM `t` FROM `shop`",
    "SHOW FIELDS IN t",
    "SHOW CREATE TABLE t",
];

#[test]
fn reads_go_to_a_replica() {
    all_read(&BOTH, READS);
    all_read(
        &[MARIADB],
        &[
            "SELECT a FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01 00:00:00'",
            "SELECT MEDIAN(a) OVER (PARTITION BY b), NVL(c, 1), COLUMN_GET(d, 'x' AS INT) FROM t",
            "VALUES (1, 2), (3, 4)",
            "ANALYZE FORMAT=JSON SELECT a FROM t",
            "SELECT * FROM seq_1_to_10",
            "SELECT PASSWORD('x')",
        ],
    );
    all_read(
        &[MYSQL],
        &[
            "TABLE t ORDER BY a LIMIT 5",
            "EXPLAIN ANALYZE SELECT a FROM t",
            "SELECT ANY_VALUE(a), BIN_TO_UUID(b) FROM t, LATERAL (SELECT 1) AS x",
            "SELECT 1 MEMBER OF('[1]')",
            "SELECT POINT(1, 2)",
            "SELECT /*M! a comment here */ 1",
        ],
    );
}

#[test]
fn locking_reads() {
    all_primary(
        &BOTH,
        &[
            (Reason::Locking, "SELECT a FROM t FOR UPDATE"),
            (Reason::Locking, "SELECT a FROM t FOR UPDATE SKIP LOCKED"),
            (Reason::Locking, "SELECT a FROM t FOR UPDATE NOWAIT"),
            (Reason::Locking, "SELECT a FROM t FOR/**/UPDATE"),
            (Reason::Locking, "SELECT a FROM t FOR SHARE"),
            (Reason::Locking, "SELECT a FROM t LOCK IN SHARE MODE"),
            (Reason::Locking, "SELECT a FROM t WHERE b IN (SELECT c FROM u FOR UPDATE)"),
            (Reason::Locking, "(SELECT a FROM t FOR UPDATE) UNION (SELECT 1)"),
            (Reason::Locking, "WITH c AS (SELECT 1) SELECT * FROM t FOR SHARE OF t"),
        ],
    );
}

#[test]
fn reads_that_store_something() {
    all_primary(
        &BOTH,
        &[
            (Reason::Into, "SELECT a INTO OUTFILE '/x' FROM t"),
            (Reason::Into, "SELECT a FROM t INTO DUMPFILE '/x'"),
            (Reason::Into, "SELECT a INTO @x FROM t"),
            (Reason::Into, "SELECT 1.5INTO @x"),
            (Reason::Into, "(SELECT 1 INTO @x)"),
            (Reason::UserVariable, "SELECT @x := a FROM t"),
            (Reason::UserVariable, "SELECT @x"),
            (Reason::UserVariable, "SELECT a FROM t WHERE b = @`x`"),
            (Reason::FoundRows, "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1"),
            (Reason::Procedure, "SELECT a FROM t PROCEDURE ANALYSE()"),
        ],
    );
}

#[test]
fn functions_that_are_not_known() {
    all_primary(
        &BOTH,
        &[
            (Reason::UnknownFunction, "SELECT f(1)"),
            (Reason::UnknownFunction, "SELECT f (1)"),
            (Reason::UnknownFunction, "SELECT f/* */(1)"),
            (Reason::UnknownFunction, "SELECT `concat`(1)"),
            (Reason::UnknownFunction, "SELECT shop.f(1)"),
            (Reason::UnknownFunction, "SELECT `shop` . `f` (1)"),
            (Reason::UnknownFunction, "SELECT shop.concat(1)"),
            (Reason::UnknownFunction, "SELECT a FROM t ORDER BY f(a)"),
            (Reason::UnknownFunction, "WITH c AS (SELECT f(1)) SELECT * FROM c"),
            (Reason::UnknownFunction, "WITH c (a) AS (SELECT 1) SELECT f(a) FROM c"),
            // Without IGNORE_SPACE these are names of stored functions.
            (Reason::UnknownFunction, "SELECT COUNT (*) FROM t"),
            (Reason::UnknownFunction, "SELECT now ()"),
            (Reason::UnknownFunction, "SELECT columns(1)"),
            (Reason::UnknownFunction, "SELECT a, json_table(1)"),
            (Reason::UnknownFunction, "SHOW TABLES WHERE f(1)"),
            (Reason::UnknownFunction, "VALUES ROW(f(1))"),
        ],
    );
    all_primary(
        &[MARIADB],
        &[
            (Reason::UnknownFunction, "SELECT ANY_VALUE(a) FROM t"),
            (Reason::UnknownFunction, "SELECT point(1)"),
            (Reason::UnknownFunction, "SELECT * FROM t, LATERAL (SELECT 1)"),
        ],
    );
    all_primary(&[MYSQL], &[(Reason::UnknownFunction, "SELECT NVL(a, 1) FROM t")]);
    let spaced = MARIADB.with_sql_mode("IGNORE_SPACE");
    assert_eq!(verdict("SELECT COUNT (*) FROM t", &spaced).route, Route::Replica);
}

#[test]
fn what_only_the_primary_or_the_session_can_say() {
    all_primary(
        &BOTH,
        &[
            (Reason::ServerFunction, "SELECT VERSION()"),
            (Reason::ServerFunction, "SELECT LOAD_FILE('/x')"),
            (Reason::ServerFunction, "SELECT UUID_SHORT()"),
            (Reason::ServerFunction, "SELECT IS_USED_LOCK('x')"),
            (Reason::NamedLock, "SELECT GET_LOCK('x', 1)"),
            (Reason::NamedLock, "SELECT release_lock ('x')"),
            (Reason::SystemVariable, "SELECT @@version"),
            (Reason::SystemVariable, "SELECT @@global.read_only, @@hostname"),
            (Reason::SystemSchema, "SELECT * FROM mysql.user"),
            (Reason::SystemSchema, "SELECT * FROM `information_schema`.`TABLES`"),
            (Reason::SystemSchema, "SELECT * FROM INFORMATION_SCHEMA . PROCESSLIST"),
            (Reason::SystemSchema, "SELECT * FROM t JOIN performance_schema.threads"),
            (Reason::SystemSchema, "SELECT * FROM sys.version"),
            (Reason::SystemSchema, "DESCRIBE mysql.user"),
            (Reason::SystemSchema, "SHOW TABLES FROM `mysql`"),
            (Reason::SystemSchema, "SHOW COLUMNS FROM user FROM mysql"),
            (Reason::Unknown, "SELECT CALL"),
            (Reason::ServerState, "SHOW STATUS LIKE 'x'"),
            (Reason::ServerState, "SHOW VARIABLES"),
            (Reason::ServerState, "SHOW GLOBAL VARIABLES LIKE 'read_only'"),
            (Reason::ServerState, "SHOW PROCESSLIST"),
            (Reason::ServerState, "SHOW FULL PROCESSLIST"),
            (Reason::ServerState, "SHOW MASTER STATUS"),
            (Reason::ServerState, "SHOW REPLICA STATUS"),
            (Reason::ServerState, "SHOW TABLE STATUS"),
            (Reason::ServerState, "SHOW INDEX FROM t"),
            (Reason::ServerState, "SHOW GRANTS"),
            (Reason::ServerState, "SHOW CREATE USER x"),
            (Reason::ServerState, "EXPLAIN FOR CONNECTION 5"),
            (Reason::ServerState, "HELP 'select'"),
        ],
    );
    all_primary(
        &[MARIADB],
        &[
            (Reason::Sequence, "SELECT NEXTVAL(s)"),
            (Reason::Sequence, "SELECT NEXT VALUE FOR s"),
            (Reason::Sequence, "SELECT PREVIOUS VALUE FOR shop.s"),
            (Reason::Sequence, "SELECT LASTVAL(s), SETVAL(s, 1)"),
            (Reason::ServerFunction, "SELECT MASTER_GTID_WAIT('0-1-2')"),
        ],
    );
    all_primary(&[MYSQL], &[(Reason::ServerFunction, "SELECT WAIT_FOR_EXECUTED_GTID_SET('x')")]);
}

#[test]
fn an_unqualified_table_of_a_system_schema() {
    let inside = crate::sql::Dialect { in_system_schema: true, ..MARIADB };
    assert_eq!(verdict("SELECT * FROM processlist", &inside).reason, Reason::SystemSchema);
    assert_eq!(verdict("SHOW TABLES", &inside).reason, Reason::SystemSchema);
    assert_eq!(verdict("SELECT 1", &inside).route, Route::Replica);
}

#[test]
fn what_may_or_may_not_run() {
    all_primary(
        &BOTH,
        &[
            (Reason::VersionedComment, "SELECT 1 /*! INTO @x */"),
            (Reason::VersionedComment, "/*!40101 SELECT 1 */"),
            (Reason::VersionedComment, "SELECT /*!99999 a, */ b FROM t"),
            (Reason::Malformed, "SELECT 'a"),
            (Reason::Malformed, "SELECT 1 /* a"),
            (Reason::Malformed, "SELECT `a"),
            (Reason::Malformed, "SELECT 1; SELECT 'a"),
            (Reason::Malformed, "'"),
            (Reason::Malformed, "SELECT \0"),
            (Reason::Several, "SELECT 1; SELECT 2"),
            (Reason::Unknown, "FROB 1"),
            (Reason::Unknown, "(UPDATE t SET a = 1)"),
            (Reason::Unknown, "WITH c AS (SELECT 1)"),
            (Reason::Unknown, "1"),
        ],
    );
    all_primary(&[MARIADB], &[(Reason::VersionedComment, "SELECT 1 /*M!100100 INTO @x */")]);
    let oracle = MARIADB.with_sql_mode("PIPES_AS_CONCAT,ANSI_QUOTES,ORACLE");
    assert_eq!(verdict("SELECT 1", &oracle).reason, Reason::OracleMode);
}

#[test]
fn modes_decide_what_is_a_string() {
    let text = r"SELECT 'a\' INTO @x -- '";
    assert_eq!(verdict(text, &MYSQL).route, Route::Replica);
    let plain = MYSQL.with_sql_mode("NO_BACKSLASH_ESCAPES");
    assert_eq!(verdict(text, &plain).reason, Reason::Into);
    let quoted = r#"SELECT "f"(1)"#;
    let ansi = MYSQL.with_sql_mode("ANSI_QUOTES");
    assert_eq!(verdict(quoted, &ansi).reason, Reason::UnknownFunction);
    // The quote behind a long character whose second byte is a backslash.
    let hidden = b"SELECT '\xa5\\' INTO @x -- '";
    let gbk = MYSQL.with_charset("gbk");
    assert_eq!(super::classify(hidden, &gbk).reason, Reason::Into);
    assert_eq!(super::classify(hidden, &MYSQL.with_charset("latin1")).route, Route::Replica);
}

#[test]
fn a_table_or_none() {
    for (tables, text) in [
        (false, "SELECT 1"),
        (true, "SELECT a FROM t"),
        (true, "TABLE t"),
        (true, "DESCRIBE t"),
        (true, "INSERT t VALUES (1)"),
        (false, "SELECT LAST_INSERT_ID()"),
    ] {
        assert_eq!(verdict(text, &MYSQL).tables, tables, "{text}");
    }
    assert_eq!(verdict("", &MYSQL).kind, Kind::Empty);
    assert_eq!(verdict(" -- x\n ; ;", &MYSQL).count, 0);
}
