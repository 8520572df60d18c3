//! Statements and their verdicts.

mod properties;
mod reads;
mod session;
mod splitter;
mod writes;

use super::{Reason, Route, Statement, classify};
use crate::sql::lexer::{Dialect, Engine};

const MARIADB: Dialect = Dialect::new(Engine::MariaDb);
const MYSQL: Dialect = Dialect::new(Engine::MySql);
const BOTH: [Dialect; 2] = [MARIADB, MYSQL];

fn verdict(text: &str, dialect: &Dialect) -> Statement {
    classify(text.as_bytes(), dialect)
}

/// Every statement is proven to be a read.
#[track_caller]
fn all_read(dialects: &[Dialect], statements: &[&str]) {
    for dialect in dialects {
        for text in statements {
            let verdict = verdict(text, dialect);
            assert_eq!(
                (verdict.route, verdict.reason),
                (Route::Replica, Reason::Read),
                "{text}\n{verdict:?}"
            );
            assert!(verdict.effects.is_empty() && verdict.reads.is_empty(), "{text}\n{verdict:?}");
            assert_eq!(verdict.count, 1, "{text}");
        }
    }
}

/// Every statement goes to the primary, for its reason.
#[track_caller]
fn all_primary(dialects: &[Dialect], statements: &[(Reason, &str)]) {
    for dialect in dialects {
        for (reason, text) in statements {
            let verdict = verdict(text, dialect);
            assert_eq!((verdict.route, verdict.reason), (Route::Primary, *reason), "{text}\n{verdict:?}");
        }
    }
}

/// Every statement has exactly these effects, written as they are shown.
#[track_caller]
fn all_effects(dialects: &[Dialect], statements: &[(&str, &str)]) {
    for dialect in dialects {
        for (effects, text) in statements {
            let verdict = verdict(text, dialect);
            assert_eq!(format!("{:?}", verdict.effects), *effects, "{text}\n{verdict:?}");
            assert_eq!(verdict.route, Route::Primary, "{text}");
        }
    }
}
