//! What is said to the splitter itself, and what it may answer alone.

use std::time::Duration;

use super::{BOTH, MYSQL, verdict};
use crate::sql::classify::{Consistency, ContextValue, Effects, Hint, Reason, Route, Target};

const NONE: Hint = Hint { target: None, consistency: None, lag: None };

#[test]
fn hints_in_comments() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (text, hint) in [
        ("/* stoa: primary */ SELECT 1", Hint { target: Some(Target::Primary), ..NONE }),
        ("/*stoa:REPLICA*/ SELECT 1", Hint { target: Some(Target::Replica), ..NONE }),
        (
            "/* stoa: consistency=global, lag=5s */ SELECT 1",
            Hint { consistency: Some(Consistency::Global), lag: seconds(5), ..NONE },
        ),
        (
            "SELECT /* stoa: consistency=eventual */ 1",
            Hint { consistency: Some(Consistency::Eventual), ..NONE },
        ),
        ("SELECT 1 /* stoa: lag=2 */", Hint { lag: seconds(2), ..NONE }),
        (
            "SELECT 1 /* stoa: lag=2m replica */",
            Hint { lag: seconds(120), target: Some(Target::Replica), ..NONE },
        ),
        ("SELECT 1 /* stoa: lag=250ms */", Hint { lag: Some(Duration::from_millis(250)), ..NONE }),
        ("/* stoa: consistency=session */", Hint { consistency: Some(Consistency::Session), ..NONE }),
        ("/* stoat: primary */ SELECT 1", NONE),
        ("SELECT '/* stoa: primary */'", NONE),
    ] {
        let verdict = verdict(text, &MYSQL);
        assert_eq!(verdict.hint, hint, "{text}");
        assert!(!verdict.effects.contains(Effects::BAD_HINT), "{text}");
    }
    for text in [
        "/* stoa: primry */ SELECT 1",
        "/* stoa: consistency=strong */ SELECT 1",
        "/* stoa: lag=5h */ SELECT 1",
        "/* stoa: lag=99999999999 */ SELECT 1",
        "/* stoa: lag= */ SELECT 1 /* stoa: colour=red */",
    ] {
        assert!(verdict(text, &MYSQL).effects.contains(Effects::BAD_HINT), "{text}");
    }
}

#[test]
fn a_hint_overrules_what_is_not_known_and_nothing_else() {
    let route = |text: &str| {
        let verdict = verdict(text, &MYSQL);
        (verdict.route, verdict.reason)
    };
    assert_eq!(route("/* stoa: primary */ SELECT a FROM t"), (Route::Primary, Reason::Hint));
    assert_eq!(route("/* stoa: replica */ SELECT a FROM t"), (Route::Replica, Reason::Read));
    assert_eq!(route("/* stoa: replica */ SELECT f(a) FROM t"), (Route::Replica, Reason::Hint));
    assert_eq!(route("/* stoa: replica */ SHOW STATUS"), (Route::Replica, Reason::Hint));
    assert!(verdict("/* stoa: replica */ SELECT f(a)", &MYSQL).effects.is_empty());
    for (text, reason) in [
        ("/* stoa: replica */ UPDATE t SET a = 1", Reason::Write),
        ("/* stoa: replica */ INSERT INTO t VALUES (f(1))", Reason::Write),
        ("/* stoa: replica */ SELECT f(a) FROM t FOR UPDATE", Reason::Locking),
        ("/* stoa: replica */ SELECT f(a), @x FROM t", Reason::UserVariable),
        ("/* stoa: replica */ SELECT f(a) INTO OUTFILE '/x' FROM t", Reason::Into),
        ("/* stoa: replica */ SELECT LAST_INSERT_ID()", Reason::SessionContext),
        ("/* stoa: replica */ SELECT 'a", Reason::Malformed),
        ("/* stoa: replica */ SELECT 1; DELETE FROM t", Reason::Several),
        ("/* stoa: replica */ SELECT 1 /*! INTO @x */", Reason::VersionedComment),
    ] {
        assert_eq!(route(text), (Route::Primary, reason), "{text}");
    }
}

#[test]
fn settings_of_the_session() {
    for (text, settings) in [
        ("SET @stoa_consistency = 'eventual'", Hint { consistency: Some(Consistency::Eventual), ..NONE }),
        ("SET @STOA_ROUTE := \"primary\"", Hint { target: Some(Target::Primary), ..NONE }),
        ("SET @stoa_lag = 5", Hint { lag: Some(Duration::from_secs(5)), ..NONE }),
        (
            "SET @`stoa_lag` = '5s', @stoa_consistency = 'global'",
            Hint { lag: Some(Duration::from_secs(5)), consistency: Some(Consistency::Global), ..NONE },
        ),
        ("SET @stoa_route = NULL", NONE),
        ("SET @stoa_route = ''", NONE),
    ] {
        for dialect in &BOTH {
            let verdict = verdict(text, dialect);
            assert_eq!(verdict.settings, settings, "{text}");
            assert_eq!(verdict.effects, Effects::STOA_SETTING, "{text}");
            assert_eq!(verdict.hint, NONE, "{text}");
        }
    }
    for text in ["SET @stoa_consistency = 'strong'", "SET @stoa_colour = 'red'", "SET @stoa_lag = 1 + 1"] {
        assert!(verdict(text, &MYSQL).effects.contains(Effects::BAD_HINT), "{text}");
    }
    let mixed = verdict("SET @stoa_lag = 5, @x = 1", &MYSQL).effects;
    assert!(mixed.contains(Effects::STOA_SETTING.union(Effects::USER_VARIABLE)));
}

#[test]
fn one_value_of_the_session_alone() {
    for (text, value, label) in [
        ("SELECT LAST_INSERT_ID()", ContextValue::LastInsertId, "LAST_INSERT_ID()"),
        ("select last_insert_id() as id;", ContextValue::LastInsertId, "id"),
        ("SELECT LAST_INSERT_ID() `my id`", ContextValue::LastInsertId, "my id"),
        ("SELECT FOUND_ROWS( ) AS 'n'", ContextValue::FoundRows, "n"),
        ("/* x */ SELECT ROW_COUNT()", ContextValue::RowCount, "ROW_COUNT()"),
        ("SELECT CONNECTION_ID()", ContextValue::ConnectionId, "CONNECTION_ID()"),
        ("SELECT @@identity", ContextValue::LastInsertId, "@@identity"),
        ("SELECT @@warning_count w", ContextValue::WarningCount, "w"),
        ("SELECT @@error_count", ContextValue::ErrorCount, "@@error_count"),
    ] {
        for dialect in &BOTH {
            let lone = verdict(text, dialect).lone;
            assert_eq!(lone.map(|lone| lone.value), Some(value), "{text}");
            assert_eq!(lone.map(|lone| lone.label.of(text.as_bytes())), Some(label.as_bytes()), "{text}");
        }
    }
    for text in [
        "SELECT LAST_INSERT_ID(5)",
        "SELECT LAST_INSERT_ID(), 1",
        "SELECT LAST_INSERT_ID() FROM t",
        "SELECT LAST_INSERT_ID() LIMIT 1",
        "SELECT LAST_INSERT_ID() + 1",
        "SELECT LAST_INSERT_ID() AS 'a''b'",
        "SELECT @@session.identity",
        "SELECT LAST_INSERT_ID(); SELECT 1",
        "SELECT 1",
        "SELECT FOUND_ROWS() FOR UPDATE",
    ] {
        assert_eq!(verdict(text, &MYSQL).lone, None, "{text}");
    }
}
