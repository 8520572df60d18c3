//! Says of a statement where it may run and what it leaves behind.
//!
//! Only what is *proven* to do nothing but read what a replica has too gets [`Route::Replica`]; all else,
//! and all that is not understood, gets [`Route::Primary`] and a [`Reason`]. The proof is a matter of
//! tokens: it begins with a word that reads, no token is one that writes, locks, stores or asks for what is
//! the session's or the server's own, and every name before a parenthesis is a built-in function. One pass,
//! no allocation, and no state: what a session is in (a transaction, a pinned connection) is the engine's
//! business, which applies this verdict only outside of both.
//!
//! What the engine is told beside the route: [`Effects`], of which [`Effects::PINS`] bind the session to its
//! connection; [`Reads`], of which [`Reads::LAST_STATEMENT`] only the last connection can answer; the
//! transaction ([`Kind::Transaction`], [`Statement::autocommit`]); plain settings to make again
//! ([`assignments`]); what is asked of the splitter itself ([`Hint`]).
//!
//! **Known limits**: neither a view nor a trigger is looked into. A view over a stored function that writes
//! looks like any table; a replica is read-only for an application's users, so such a read fails there and
//! `/* stoa: primary */` is the way out. A trigger or a view may set user variables that nothing tells of.

mod body;
mod cursor;
mod effects;
mod hint;
mod lone;
mod made;
mod set;
mod settings;
mod shapes;
mod statement;
mod tell;
mod verbs;

pub use effects::{Effects, Reads};
pub use lone::lone_values;
pub use made::{Made, TableName, made};
pub use set::{Assignment, Assignments, Scope, Value, assignments};
pub(crate) use shapes::Shapes;
pub use statement::{
    Access, Aim, Completion, Consistency, ContextValue, Hint, Kill, Kind, Lone, Reason, Route, Span,
    Statement, Switch, Target, Transaction,
};
pub use tell::tell;

use super::digest::{Digest, Fingerprint};
use super::lexer::{Dialect, Lexer, TokenKind};
use cursor::Cursor;

/// The verdict on the text of one command, which may hold several statements: then the route is the
/// primary, and the effects are those of all.
pub fn classify(text: &[u8], dialect: &Dialect) -> Statement {
    all(&mut Cursor::new(text, dialect, None))
}

/// The verdict on a text and its fingerprint, as [`digest`](super::digest()) gives it, in one pass.
pub fn examine(text: &[u8], dialect: &Dialect) -> (Statement, Digest) {
    let mut cursor = Cursor::new(text, dialect, Some(Fingerprint::new(text)));
    let verdict = all(&mut cursor);
    (verdict, cursor.into_print().map_or(Digest(0), Fingerprint::finish))
}

fn all(cursor: &mut Cursor<'_>) -> Statement {
    let mut verdict = Statement::NONE;
    while let Some(statement) = cursor.statement() {
        verdict = if verdict.count == 0 { statement } else { verdict.and(&statement) };
    }
    // A comment alone may carry a hint.
    if verdict.count == 0 { cursor.leftover() } else { verdict }
}

/// Each statement of a text with its verdict, in order, as the server would run them.
pub fn statements<'t>(text: &'t [u8], dialect: &Dialect) -> Statements<'t> {
    Statements { text, cursor: Cursor::new(text, dialect, None) }
}

/// See [`statements`].
pub struct Statements<'t> {
    text: &'t [u8],
    cursor: Cursor<'t>,
}

impl<'t> Iterator for Statements<'t> {
    type Item = (&'t [u8], Statement);

    fn next(&mut self) -> Option<Self::Item> {
        let statement = self.cursor.statement()?;
        Some((self.cursor.span().of(self.text), statement))
    }
}

/// Whether a database is one of the server's own, whose tables tell of one server.
pub fn is_system_schema(name: &[u8]) -> bool {
    [&b"mysql"[..], b"information_schema", b"performance_schema", b"sys"]
        .iter()
        .any(|schema| name.eq_ignore_ascii_case(schema))
}

/// The database that a `USE` names, without quotes; `None` for any other text, and for a name with a quote
/// in it. The server's own report of the change is what counts; this is for what wants to know before.
pub fn used_database<'t>(text: &'t [u8], dialect: &Dialect) -> Option<&'t [u8]> {
    let mut lexer = Lexer::new(text, dialect);
    let first = lexer.token();
    if first.kind != TokenKind::Word || !first.of(text).eq_ignore_ascii_case(b"use") {
        return None;
    }
    let name = lexer.token();
    let over = matches!(lexer.token().kind, TokenKind::End | TokenKind::Semicolon);
    if over { cursor::plain_name(name, text) } else { None }
}

#[cfg(test)]
mod tests;
