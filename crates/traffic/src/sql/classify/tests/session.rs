//! Transactions, settings, and what pins a session.

use super::{BOTH, MARIADB, MYSQL, all_effects, all_primary, verdict};
use crate::sql::classify::{
    Access, Aim, Assignment, Completion, Effects, Kill, Kind, Reads, Reason, Scope, Switch, Transaction,
    Value, assignments, used_database,
};

fn begin(access: Option<Access>, snapshot: bool) -> Transaction {
    Transaction::Begin { access, snapshot }
}

fn completion(chain: Option<bool>, release: Option<bool>) -> Completion {
    Completion { chain, release }
}

#[test]
fn transactions() {
    let (only, write) = (Some(Access::ReadOnly), Some(Access::ReadWrite));
    let plain = completion(None, None);
    for (text, expected) in [
        ("BEGIN", begin(None, false)),
        ("begin work;", begin(None, false)),
        ("START TRANSACTION", begin(None, false)),
        ("START TRANSACTION READ ONLY", begin(only, false)),
        ("START TRANSACTION READ WRITE, WITH CONSISTENT SNAPSHOT", begin(write, true)),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", begin(only, true)),
        ("COMMIT", Transaction::Commit(plain)),
        ("COMMIT WORK AND CHAIN", Transaction::Commit(completion(Some(true), None))),
        ("COMMIT AND NO CHAIN NO RELEASE", Transaction::Commit(completion(Some(false), Some(false)))),
        ("COMMIT RELEASE", Transaction::Commit(completion(None, Some(true)))),
        ("ROLLBACK", Transaction::Rollback(plain)),
        ("ROLLBACK WORK AND CHAIN", Transaction::Rollback(completion(Some(true), None))),
        ("ROLLBACK TO SAVEPOINT a", Transaction::RollbackToSavepoint),
        ("ROLLBACK WORK TO a", Transaction::RollbackToSavepoint),
        ("SAVEPOINT a", Transaction::Savepoint),
        ("RELEASE SAVEPOINT a", Transaction::ReleaseSavepoint),
        ("SET TRANSACTION READ ONLY", Transaction::Next { access: only }),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", Transaction::Next { access: None }),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ WRITE",
            Transaction::Following { access: write },
        ),
        ("SET LOCAL TRANSACTION READ ONLY", Transaction::Following { access: only }),
        ("XA START 'x'", Transaction::Xa),
    ] {
        for dialect in &BOTH {
            let verdict = verdict(text, dialect);
            assert_eq!(verdict.kind, Kind::Transaction(expected), "{text}");
            assert_eq!(verdict.reason, Reason::Transaction, "{text}");
            assert!(verdict.effects.contains(Effects::TRANSACTION), "{text}");
            assert!(!verdict.effects.contains(Effects::UNKNOWN), "{text}");
        }
    }
    assert!(verdict("COMMIT RELEASE", &MYSQL).effects.contains(Effects::RELEASES_CONNECTION));
    assert!(verdict("XA START 'x'", &MYSQL).effects.intersects(Effects::PINS));
    assert_eq!(verdict("BEGIN NOT ATOMIC SELECT 1; SET @a = 1; END", &MARIADB).kind, Kind::Compound);
    assert!(verdict("BEGIN FROB", &MYSQL).effects.contains(Effects::UNKNOWN));
    assert_eq!(verdict("SET GLOBAL TRANSACTION READ ONLY", &MYSQL).effects, Effects::GLOBAL_VARIABLE);
}

#[test]
fn autocommit() {
    for (text, expected) in [
        ("SET autocommit=0", Some(Switch::Off)),
        ("SET AUTOCOMMIT = OFF", Some(Switch::Off)),
        ("SET @@autocommit = 1", Some(Switch::On)),
        ("SET @@session.autocommit := 'on'", Some(Switch::On)),
        ("SET SESSION autocommit = TRUE", Some(Switch::On)),
        ("SET LOCAL `autocommit` = false", Some(Switch::Off)),
        ("SET NAMES utf8mb4, autocommit = 0", Some(Switch::Off)),
        ("SET autocommit = 1 - 1", Some(Switch::Unknown)),
        ("SET autocommit = DEFAULT", Some(Switch::Unknown)),
        ("SET GLOBAL autocommit = 0", None),
        ("SET sql_mode = ''", None),
    ] {
        for dialect in &BOTH {
            assert_eq!(verdict(text, dialect).autocommit, expected, "{text}");
        }
    }
}

#[test]
fn settings_that_can_be_made_again_and_those_that_cannot() {
    all_effects(
        &BOTH,
        &[
            ("SESSION_VARIABLE", "SET time_zone = '+00:00'"),
            ("SESSION_VARIABLE", "SET @@session.wait_timeout = 100, SESSION net_read_timeout = 5"),
            ("SESSION_VARIABLE", "SET sort_buffer_size = DEFAULT"),
            ("SESSION_VARIABLE", "SET global = 1"),
            ("SESSION_VARIABLE", "SET global /* no scope */ = 1"),
            ("SESSION_VARIABLE", "SET wait_timeout = -1"),
            // What follows is another statement.
            ("UNKNOWN SESSION_UNMOVABLE DIALECT", "SET NAMES ; COLLATE x"),
            // It would be written again with what stands in between.
            ("SESSION_UNMOVABLE", "SET wait_timeout = -/* x */1"),
            ("SESSION_VARIABLE DIALECT", "SET sql_mode = 'ANSI_QUOTES'"),
            ("SESSION_VARIABLE DIALECT", "SET NAMES utf8mb4 COLLATE utf8mb4_bin"),
            ("SESSION_VARIABLE DIALECT", "SET NAMES DEFAULT"),
            ("SESSION_VARIABLE DIALECT", "SET CHARACTER SET 'utf8mb4'"),
            ("SESSION_VARIABLE DIALECT", "SET CHARSET latin1"),
            ("SESSION_VARIABLE TRANSACTION", "SET autocommit = 0"),
            ("SESSION_UNMOVABLE", "SET time_zone = CONCAT('+', '00:00')"),
            ("SESSION_UNMOVABLE", "SET sort_buffer_size = @@global.sort_buffer_size"),
            ("SESSION_UNMOVABLE DIALECT", "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')"),
            ("SESSION_UNMOVABLE", "SET insert_id = 5"),
            ("SESSION_UNMOVABLE", "SET sql_log_bin = 0"),
            ("SESSION_UNMOVABLE", "SET ROLE admin"),
            ("SESSION_UNMOVABLE", "SET time_zone = 'caf\u{e9}'"),
            ("SESSION_UNMOVABLE", r"SET time_zone = 'a\'b'"),
            ("GLOBAL_VARIABLE", "SET GLOBAL max_connections = 5"),
            ("GLOBAL_VARIABLE", "SET @@global.max_connections = 5"),
            ("GLOBAL_VARIABLE", "SET PERSIST max_connections = 5"),
            ("SESSION_VARIABLE GLOBAL_VARIABLE", "SET GLOBAL a = 1, SESSION b = 2"),
            ("USER_VARIABLE", "SET @x = 1"),
            ("USER_VARIABLE", "SET @x := 1, @`y` = 2"),
            ("USER_VARIABLE SESSION_VARIABLE", "SET @x = 1, time_zone = '+00:00'"),
            ("USER_VARIABLE SESSION_UNMOVABLE", "SET @x = @@sql_mode, sql_select_limit = @y"),
            ("STORED_CODE USER_VARIABLE", "SET @x = f(1)"),
            ("USER_VARIABLE NAMED_LOCK", "SET @x = GET_LOCK('a', 1)"),
            ("SESSION_UNMOVABLE", "SET frob frob"),
            ("DATABASE", "USE shop"),
        ],
    );
    assert_eq!(verdict("SET @x = @y", &MYSQL).kind, Kind::Set);
    assert_eq!(used_database(b"USE `my shop`;", &MYSQL), Some(&b"my shop"[..]));
    assert_eq!(used_database(b"/* x */ use shop", &MYSQL), Some(&b"shop"[..]));
    assert_eq!(used_database(b"USE shop; USE other", &MYSQL), Some(&b"shop"[..]));
    assert_eq!(used_database(b"SELECT 1", &MYSQL), None);
}

#[test]
fn a_set_taken_apart() {
    let text = "SET GLOBAL a = 1, b = 'x', @@session.c := -5, @@d = ON, SESSION e = DEFAULT, `f` = 1 + (2, 3), \
                NAMES latin1 COLLATE 'latin1_bin', CHARACTER SET utf8mb4, @u = 'y', @'v w' = NULL, hot.key_buffer_size = 9";
    let session = Scope::Session;
    let variable = |scope, name, value| Assignment::Variable { scope, name, value };
    let all: Vec<_> = assignments(text.as_bytes(), &MARIADB).collect();
    assert_eq!(
        all,
        [
            variable(Scope::Global, b"a".as_slice(), Value::Word(b"1")),
            variable(Scope::Global, b"b", Value::Text(b"x")),
            variable(session, b"c", Value::Word(b"-5")),
            variable(session, b"d", Value::Word(b"ON")),
            variable(session, b"e", Value::Default),
            variable(session, b"f", Value::Expression(b"1 + (2, 3)")),
            Assignment::Names {
                charset: Value::Word(b"latin1"),
                collation: Some(Value::Text(b"latin1_bin"))
            },
            Assignment::CharacterSet { charset: Value::Word(b"utf8mb4") },
            Assignment::UserVariable { name: b"u", value: Value::Text(b"y") },
            Assignment::UserVariable { name: b"v w", value: Value::Word(b"NULL") },
            variable(session, b"hot.key_buffer_size", Value::Word(b"9")),
        ]
    );
    for text in
        ["SELECT 1", "SET TRANSACTION READ ONLY", "SET PASSWORD = 'x'", "SET STATEMENT a=1 FOR SELECT 1", ""]
    {
        assert_eq!(assignments(text.as_bytes(), &MARIADB).next(), None, "{text}");
    }
    assert_eq!(assignments(b"SET names = 1", &MYSQL).count(), 1);
}

#[test]
fn what_pins() {
    for text in [
        "PREPARE s FROM 'SELECT 1'",
        "EXECUTE s USING @a",
        "EXECUTE IMMEDIATE 'DROP TABLE t'",
        "CALL p(1)",
        "DO GET_LOCK('x', 1)",
        "SELECT GET_LOCK('x', 1)",
        "CREATE TEMPORARY TABLE t (a INT)",
        "LOCK TABLES t READ",
        "FLUSH TABLES WITH READ LOCK",
        "HANDLER t OPEN",
        "SET @a = 1",
        "SELECT 1 INTO @a",
        "SELECT a, b INTO c, @d FROM t",
        "SELECT @a := 1",
        "GET DIAGNOSTICS @n = NUMBER",
        "SELECT SQL_CALC_FOUND_ROWS a FROM t",
        "SELECT f(1)",
        "SET STATEMENT max_statement_time=1 FOR CALL p()",
        "IF 1 THEN SELECT 1; END IF",
        "FROB",
        "SELECT 'a",
    ] {
        let verdict = verdict(text, &MARIADB);
        assert!(verdict.effects.intersects(Effects::PINS), "{text}\n{verdict:?}");
    }
    for text in [
        "SELECT @a",
        "DO SLEEP(0)",
        "DEALLOCATE PREPARE s",
        "DROP PREPARE s",
        "UNLOCK TABLES",
        "SELECT RELEASE_ALL_LOCKS()",
        "HANDLER t CLOSE",
        "INSERT INTO t VALUES (@a)",
        "SET STATEMENT max_statement_time=1 FOR SELECT a FROM t",
        "SHOW WARNINGS",
        "KILL 5",
        "SIGNAL SQLSTATE '45000'",
    ] {
        let verdict = verdict(text, &MARIADB);
        assert!(!verdict.effects.intersects(Effects::PINS), "{text}\n{verdict:?}");
        assert_eq!(verdict.route, crate::sql::Route::Primary, "{text}");
    }
    all_primary(
        &[MARIADB],
        &[
            (Reason::SetStatement, "SET STATEMENT max_statement_time=1 FOR SELECT a FROM t"),
            (Reason::StoredCode, "CALL p()"),
            (Reason::StoredCode, "DO 1"),
            (Reason::StoredCode, "EXECUTE s"),
            (Reason::StoredCode, "LOOP SELECT 1; END LOOP"),
        ],
    );
}

#[test]
fn what_depends_on_the_past() {
    for (text, reads) in [
        ("SELECT LAST_INSERT_ID(), 1", Reads::LAST_INSERT_ID),
        ("INSERT INTO t VALUES (LAST_INSERT_ID())", Reads::LAST_INSERT_ID),
        ("SELECT FOUND_ROWS()", Reads::FOUND_ROWS),
        ("SELECT row_count ( )", Reads::ROW_COUNT),
        ("SELECT CONNECTION_ID()", Reads::CONNECTION_ID),
        ("SELECT @@identity", Reads::LAST_INSERT_ID.union(Reads::SYSTEM_VARIABLE)),
        ("SELECT @@session.last_insert_id", Reads::LAST_INSERT_ID.union(Reads::SYSTEM_VARIABLE)),
        ("SELECT @@warning_count", Reads::DIAGNOSTICS.union(Reads::SYSTEM_VARIABLE)),
        ("SELECT @@`error_count`", Reads::DIAGNOSTICS.union(Reads::SYSTEM_VARIABLE)),
        ("SHOW WARNINGS LIMIT 5", Reads::DIAGNOSTICS),
        ("SHOW COUNT(*) ERRORS", Reads::DIAGNOSTICS),
        ("GET DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT", Reads::DIAGNOSTICS),
        ("SELECT @a", Reads::USER_VARIABLE),
    ] {
        for dialect in &BOTH {
            assert_eq!(verdict(text, dialect).reads, reads, "{text}");
        }
    }
    assert_eq!(verdict("SHOW ERRORS", &MYSQL).kind, Kind::ShowWarnings);
    assert_eq!(verdict("SHOW FULL PROCESSLIST", &MYSQL).kind, Kind::ShowProcesslist);
}

#[test]
fn kills() {
    for (text, query_only, aim) in [
        ("KILL 5", false, Aim::Connection(5)),
        ("KILL CONNECTION 5;", false, Aim::Connection(5)),
        ("KILL QUERY 5", true, Aim::Connection(5)),
        ("KILL HARD QUERY 5", true, Aim::Connection(5)),
        ("KILL QUERY ID 5", true, Aim::Other),
        ("KILL USER 'x'", false, Aim::Other),
        ("KILL @a", false, Aim::Other),
        ("KILL 5 + 1", false, Aim::Other),
        ("KILL 99999999999999999999999", false, Aim::Other),
        ("KILL CONNECTION_ID()", false, Aim::Own),
        ("KILL QUERY connection_id ( ) ;", true, Aim::Own),
        ("KILL CONNECTION_ID() + 1", false, Aim::Other),
    ] {
        assert_eq!(verdict(text, &MARIADB).kind, Kind::Kill(Kill { query_only, aim }), "{text}");
    }
}
