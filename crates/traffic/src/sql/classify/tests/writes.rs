//! What changes rows, schema or server, and what it leaves behind.

use super::{BOTH, MARIADB, MYSQL, all_effects, all_primary, verdict};
use crate::sql::classify::{Kind, Reason, Route, statements};

#[test]
fn rows() {
    all_effects(
        &BOTH,
        &[
            ("WRITE", "INSERT INTO t (a, b) VALUES (1, NOW()), (2, UPPER('x'))"),
            ("WRITE", "INSERT t (a) VALUES (1)"),
            ("WRITE", "INSERT INTO shop.t (a) SELECT COUNT(*) FROM u"),
            ("WRITE", "INSERT INTO t SET a = LOWER('X') ON DUPLICATE KEY UPDATE a = VALUES(a) + 1"),
            ("WRITE", "INSERT IGNORE INTO `t` (`a`) VALUES (?) RETURNING a"),
            ("WRITE", "REPLACE INTO t (a) VALUES (1)"),
            ("WRITE", "REPLACE t SELECT * FROM u"),
            ("WRITE", "UPDATE t SET a = 1 WHERE b IN (SELECT c FROM u)"),
            ("WRITE", "DELETE FROM t WHERE a = 1"),
            ("WRITE", "DELETE t FROM t JOIN u USING (a)"),
            ("WRITE", "WITH c AS (SELECT 1) UPDATE t SET a = 1"),
            ("WRITE", "WITH c (a) AS (SELECT 1) DELETE FROM t"),
            ("WRITE", "EXPLAIN DELETE FROM t"),
            ("WRITE", "LOAD DATA INFILE '/x' INTO TABLE t (a, b)"),
            ("WRITE LOCAL_INFILE", "LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ','"),
            ("WRITE USER_VARIABLE", "LOAD DATA INFILE '/x' INTO TABLE t (a, @b) SET c = @b"),
            ("WRITE STORED_CODE", "INSERT INTO t VALUES (f(1))"),
            ("WRITE STORED_CODE", "INSERT INTO t SELECT f(1)"),
            ("WRITE STORED_CODE", "UPDATE t SET a = shop.f(b)"),
            ("WRITE NAMED_LOCK", "INSERT INTO t SELECT GET_LOCK('x', 1)"),
            ("WRITE LAST_INSERT_ID", "UPDATE t SET a = LAST_INSERT_ID(a + 1)"),
            ("WRITE USER_VARIABLE", "UPDATE t SET a = (@x := a + 1)"),
            ("WRITE UNKNOWN", "INSERT INTO t VALUES (1) /*! , (2) */"),
        ],
    );
    all_effects(&[MARIADB], &[("WRITE", "ANALYZE UPDATE t SET a = 1"), ("WRITE", "SELECT NEXT VALUE FOR s")]);
    all_effects(&[MYSQL], &[("WRITE", "EXPLAIN ANALYZE DELETE FROM t")]);
    assert_eq!(verdict("INSERT INTO t (a) VALUES (1)", &MYSQL).kind, Kind::Insert);
    assert_eq!(verdict("WITH c AS (SELECT 1) UPDATE t SET a = 1", &MYSQL).kind, Kind::Update);
    assert_eq!(verdict("LOAD XML INFILE 'x' INTO TABLE t", &MYSQL).kind, Kind::Load);
}

#[test]
fn schema() {
    all_effects(
        &BOTH,
        &[
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE TABLE t (a VARCHAR(10) DEFAULT (UUID()), KEY k (a))"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE TABLE t AS SELECT UPPER(a) FROM u"),
            ("WRITE SCHEMA IMPLICIT_COMMIT STORED_CODE", "CREATE TABLE t SELECT f(a) FROM u"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "ALTER TABLE t ADD KEY k (a)"),
            ("WRITE SCHEMA IMPLICIT_COMMIT DROPS_TEMPORARY", "DROP TABLE IF EXISTS t"),
            ("WRITE SCHEMA DROPS_TEMPORARY", "DROP TEMPORARY TABLE t"),
            ("WRITE SCHEMA TEMPORARY_TABLE", "CREATE TEMPORARY TABLE t (a INT)"),
            ("WRITE SCHEMA TEMPORARY_TABLE", "create  temporary table if not exists t select 1"),
            ("WRITE SCHEMA TEMPORARY_TABLE", "CREATE TEMPORARY TABLE event (a INT)"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "TRUNCATE t"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "RENAME TABLE t TO u"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE INDEX i ON t (a)"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE VIEW v AS SELECT 1"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE DATABASE d"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE PROCEDURE p() SELECT 1"),
            ("WRITE SCHEMA IMPLICIT_COMMIT UNKNOWN", "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"),
            (
                "WRITE SCHEMA IMPLICIT_COMMIT UNKNOWN",
                "CREATE DEFINER=`a`@`b` TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END",
            ),
        ],
    );
    all_effects(
        &[MARIADB],
        &[
            ("WRITE SCHEMA TEMPORARY_TABLE", "CREATE OR REPLACE TEMPORARY TABLE t (a INT)"),
            ("WRITE SCHEMA IMPLICIT_COMMIT", "CREATE SEQUENCE s START WITH 1"),
        ],
    );
    let routine = "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END";
    assert_eq!(verdict(routine, &MYSQL).count, 1);
}

#[test]
fn the_server() {
    all_primary(
        &BOTH,
        &[
            (Reason::Administration, "GRANT ALL ON *.* TO x@localhost"),
            (Reason::Administration, "REVOKE ALL ON d.* FROM 'x'@'%'"),
            (Reason::Administration, "FLUSH PRIVILEGES"),
            (Reason::Administration, "ANALYZE TABLE t"),
            (Reason::Administration, "OPTIMIZE TABLE t"),
            (Reason::Administration, "CHECK TABLE t"),
            (Reason::Administration, "START SLAVE"),
            (Reason::Administration, "STOP REPLICA"),
            (Reason::Administration, "CHANGE MASTER TO MASTER_HOST='x'"),
            (Reason::Administration, "RESET MASTER"),
            (Reason::Administration, "PURGE BINARY LOGS TO 'x'"),
            (Reason::Administration, "SHUTDOWN"),
            (Reason::Administration, "INSTALL PLUGIN x SONAME 'y'"),
            (Reason::Administration, "SET PASSWORD = 'x'"),
            (Reason::Administration, "SET DEFAULT ROLE x TO y"),
            (Reason::Administration, "LOAD INDEX INTO CACHE t"),
            (Reason::Schema, "CREATE USER x IDENTIFIED BY 'y'"),
        ],
    );
}

#[test]
fn locks_of_tables() {
    all_effects(
        &BOTH,
        &[
            ("IMPLICIT_COMMIT TABLE_LOCK", "LOCK TABLES t WRITE, u READ"),
            ("IMPLICIT_COMMIT TABLE_LOCK", "FLUSH TABLES WITH READ LOCK"),
            ("IMPLICIT_COMMIT TABLE_LOCK", "FLUSH TABLES t FOR EXPORT"),
            ("IMPLICIT_COMMIT UNLOCKS_TABLES", "UNLOCK TABLES"),
            ("HANDLER_OPEN", "HANDLER t OPEN AS h"),
            ("", "HANDLER h READ FIRST"),
            ("HANDLER_CLOSE", "HANDLER h CLOSE"),
        ],
    );
    all_effects(
        &[MARIADB],
        &[
            ("IMPLICIT_COMMIT UNKNOWN TABLE_LOCK", "BACKUP STAGE START"),
            ("IMPLICIT_COMMIT", "BACKUP STAGE END"),
            ("IMPLICIT_COMMIT UNKNOWN TABLE_LOCK", "BACKUP LOCK t"),
            ("IMPLICIT_COMMIT", "BACKUP UNLOCK"),
        ],
    );
    all_effects(&[MYSQL], &[("IMPLICIT_COMMIT UNKNOWN TABLE_LOCK", "LOCK INSTANCE FOR BACKUP")]);
}

#[test]
fn several_statements_in_one_text() {
    let text = "SELECT 1; INSERT INTO t VALUES (GET_LOCK('x', 1)) ;; SET autocommit = 0; /* end */";
    let all = verdict(text, &MARIADB);
    assert_eq!((all.kind, all.route, all.count), (Kind::Several, Route::Primary, 3));
    assert_eq!(format!("{:?}", all.effects), "WRITE NAMED_LOCK SESSION_VARIABLE TRANSACTION");
    let each: Vec<_> = statements(text.as_bytes(), &MARIADB)
        .map(|(text, verdict)| (String::from_utf8_lossy(text).into_owned(), verdict.kind))
        .collect();
    assert_eq!(
        each,
        [
            ("SELECT 1".into(), Kind::Select),
            ("INSERT INTO t VALUES (GET_LOCK('x', 1)) ".into(), Kind::Insert),
            ("SET autocommit = 0".into(), Kind::Set),
        ]
    );
    // A semicolon in a string, a comment or a name ends nothing.
    assert_eq!(verdict("SELECT ';', `;` /* ; */ -- ;", &MARIADB).count, 1);
}
