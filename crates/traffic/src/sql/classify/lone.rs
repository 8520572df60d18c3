//! Finds statements that ask for nothing but one value of the session: `SELECT LAST_INSERT_ID() AS id`.

use super::Reads;
use super::cursor::plain_name;
use super::statement::{ContextValue, Lone, Span};
use crate::sql::lexer::{Call, Dialect, Lexer, Token, TokenKind, Word};

impl ContextValue {
    /// What of the session's past it is.
    pub(super) fn reads(self) -> Reads {
        match self {
            Self::LastInsertId => Reads::LAST_INSERT_ID,
            Self::FoundRows => Reads::FOUND_ROWS,
            Self::RowCount => Reads::ROW_COUNT,
            Self::ConnectionId => Reads::CONNECTION_ID,
            Self::WarningCount | Self::ErrorCount => Reads::DIAGNOSTICS,
        }
    }
}

/// The value of the session that a variable's name stands for, with or without `@@`.
pub(super) fn context_variable(token: Token, text: &[u8]) -> Option<ContextValue> {
    let name = token.of(text);
    let name = name.strip_prefix(b"@@").unwrap_or(name);
    let name = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name);
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match () {
        () if is("last_insert_id") || is("identity") => Some(ContextValue::LastInsertId),
        () if is("warning_count") => Some(ContextValue::WarningCount),
        () if is("error_count") => Some(ContextValue::ErrorCount),
        () if is("pseudo_thread_id") => Some(ContextValue::ConnectionId),
        () => None,
    }
}

/// The values of the session that a statement asks for, in order, where it asks for nothing else:
/// `SELECT ROW_COUNT(), LAST_INSERT_ID() AS id`. Allocates: for the few that are answered from memory.
pub fn lone_values(text: &[u8], dialect: &Dialect) -> Option<Vec<Lone>> {
    let mut lexer = Lexer::new(text, dialect);
    if lexer.token().word != Word::Select {
        return None;
    }
    let mut values = Vec::new();
    loop {
        let (lone, next) = item(text, 0, &mut lexer)?;
        values.push(lone);
        match next.kind {
            TokenKind::Comma => {}
            TokenKind::End | TokenKind::Semicolon => return Some(values),
            _ => return None,
        }
    }
}

/// Reads the statement that begins at `start`.
pub(super) fn read(text: &[u8], start: usize, dialect: &Dialect) -> Option<Lone> {
    let rest = text.get(start..)?;
    let mut lexer = Lexer::new(rest, dialect);
    let select = lexer.token();
    if select.word != Word::Select {
        return None;
    }
    let (lone, next) = item(rest, start, &mut lexer)?;
    matches!(next.kind, TokenKind::End | TokenKind::Semicolon).then_some(lone)
}

/// One value and its alias, and the token behind them.
fn item(rest: &[u8], start: usize, lexer: &mut Lexer<'_>) -> Option<(Lone, Token)> {
    let first = lexer.token();
    let (value, end) = match first.kind {
        TokenKind::Word => function(first, lexer)?,
        TokenKind::SystemVariable => (context_variable(first, rest)?, first.end),
        _ => return None,
    };
    let mut token = lexer.token();
    let mut label = (first.start, end);
    if token.word == Word::As {
        token = lexer.token();
    }
    if matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::String) {
        label = alias(token, rest)?;
        token = lexer.token();
    }
    let at = |index: usize| u32::try_from(start + index).ok();
    let label = Span { start: at(label.0)?, end: at(label.1)? };
    Some((Lone { value, label, variable: first.kind == TokenKind::SystemVariable }, token))
}

/// A call without an argument.
fn function(name: Token, lexer: &mut Lexer<'_>) -> Option<(ContextValue, usize)> {
    let value = match name.call {
        Call::LastInsertId => ContextValue::LastInsertId,
        Call::FoundRows => ContextValue::FoundRows,
        Call::RowCount => ContextValue::RowCount,
        Call::ConnectionId => ContextValue::ConnectionId,
        _ => return None,
    };
    let (open, close) = (lexer.token(), lexer.token());
    (open.kind == TokenKind::Open && close.kind == TokenKind::Close).then_some((value, close.end))
}

/// Where the name stands that an alias gives a column; `None` where it is escaped in some way.
fn alias(token: Token, text: &[u8]) -> Option<(usize, usize)> {
    if token.kind == TokenKind::Word {
        // A keyword that is no name ends the list of columns.
        return (!token.reserved && token.word != Word::Into).then_some((token.start, token.end));
    }
    let bytes = token.of(text);
    let quote = *bytes.first()?;
    let inside = bytes.get(1..bytes.len().checked_sub(1)?)?;
    let plain = matches!(quote, b'\'' | b'"' | b'`') && !inside.contains(&quote) && !inside.contains(&b'\\');
    // A quoted name whose inside is plain is what `plain_name` says, too.
    debug_assert!(token.kind != TokenKind::Quoted || !plain || plain_name(token, text) == Some(inside));
    plain.then_some((token.start + 1, token.end - 1))
}
