//! Writes what a session's last statement left into a statement that asks for it in an expression:
//! `SELECT ROW_COUNT() > 0`. For the few that no connection can answer any more.

use super::statement::Kind;
use crate::sql::lexer::{Call, Dialect, Lexer, Token, TokenKind, Word};

/// The longest name that a column is given; a server cuts what it makes itself.
const LONGEST: usize = 255;

/// Words behind the columns of a `SELECT`.
const BEHIND: &[&str] = &[
    "FROM",
    "INTO",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "FOR",
    "LOCK",
    "PROCEDURE",
    "WINDOW",
];
/// Words between `SELECT` and its columns.
const BEFORE: &[&str] = &[
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "HIGH_PRIORITY",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_CACHE",
    "SQL_NO_CACHE",
];
/// Words with which a column may end in one that looks like its name, or be ended by what is no word above.
const UNCLEAR: &[&str] = &["CASE", "INTERVAL", "VALUE", "FETCH", "OFFSET"];

/// `text`, a statement of this kind, with what `ROW_COUNT()` and `FOUND_ROWS()` give: each call becomes
/// `IFNULL(5,ROW_COUNT())`, which is of the call's own type, and a column without a name keeps the one it would
/// have had. `None` where there is no such call, or where that is not clear.
pub fn tell(text: &[u8], dialect: &Dialect, kind: Kind, rows: (i64, u64)) -> Option<Vec<u8>> {
    let named = match kind {
        Kind::Select => true,
        Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete | Kind::Set | Kind::Do => false,
        _ => return None,
    };
    let tokens = tokens(text, dialect)?;
    let selects = tokens.iter().filter(|token| token.word == Word::Select).count();
    let mut writer =
        Writer { text, tokens, selects, named, edits: Vec::new(), levels: vec![Level::default()] };
    for at in 0..writer.tokens.len() {
        writer.token(at, rows)?;
    }
    writer.finish()
}

/// All of a text that is one statement, and read as the server surely would.
fn tokens(text: &[u8], dialect: &Dialect) -> Option<Vec<Token>> {
    let mut lexer = Lexer::new(text, dialect);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.find(|token| token.kind != TokenKind::Hint);
        match token.kind {
            TokenKind::Broken | TokenKind::Versioned => return None,
            TokenKind::Semicolon if lexer.token().kind != TokenKind::End => return None,
            TokenKind::Semicolon | TokenKind::End => {
                tokens.push(token);
                return Some(tokens);
            }
            _ => tokens.push(token),
        }
    }
}

/// What is between two parentheses, or around all of them.
#[derive(Default)]
struct Level {
    /// Where the column begins that is gone over.
    column: Option<usize>,
    /// A call stands in it.
    calls: bool,
}

struct Writer<'t> {
    text: &'t [u8],
    tokens: Vec<Token>,
    /// How often it selects.
    selects: usize,
    /// Its columns have names that somebody sees.
    named: bool,
    /// What is put in, and where.
    edits: Vec<(usize, Vec<u8>)>,
    levels: Vec<Level>,
}

impl Writer<'_> {
    fn token(&mut self, at: usize, (row_count, found_rows): (i64, u64)) -> Option<()> {
        let token = *self.tokens.get(at)?;
        let is_name = at > 0 && self.tokens.get(at - 1)?.kind == TokenKind::Dot;
        match token.kind {
            TokenKind::Open => self.levels.push(Level::default()),
            TokenKind::Close => {
                self.column_ends(at)?;
                let inner = self.levels.pop()?;
                self.levels.last_mut()?.calls |= inner.calls;
            }
            TokenKind::Comma => {
                let next = self.column_ends(at)?.then_some(at + 1);
                let level = self.levels.last_mut()?;
                *level = Level { column: next, calls: level.calls && next.is_none() };
            }
            TokenKind::End | TokenKind::Semicolon => {
                self.column_ends(at)?;
            }
            TokenKind::Word if is_name => {}
            TokenKind::Word if token.word == Word::Select => {
                *self.levels.last_mut()? = Level { column: Some(at + 1), calls: false };
            }
            TokenKind::Word if self.is_one_of(at, BEFORE) => {
                let level = self.levels.last_mut()?;
                level.column = level.column.map(|from| if from == at { at + 1 } else { from });
            }
            TokenKind::Word if self.is_one_of(at, BEHIND) => {
                self.column_ends(at)?;
                self.levels.last_mut()?.column = None;
            }
            TokenKind::Word if token.call == Call::RowCount => self.call(at, &row_count.to_string())?,
            // What is selected within a statement is counted too, at some moment of its run.
            TokenKind::Word if token.call == Call::FoundRows && self.selects > 1 => return None,
            TokenKind::Word if token.call == Call::FoundRows => self.call(at, &found_rows.to_string())?,
            _ => {}
        }
        Some(())
    }

    fn is_one_of(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at).is_some_and(|token| {
            let word = token.of(self.text);
            token.kind == TokenKind::Word && words.iter().any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
        })
    }

    fn call(&mut self, at: usize, value: &str) -> Option<()> {
        let [name, open, close] = self.tokens.get(at..at + 3)? else { return None };
        if open.kind == TokenKind::Open && close.kind == TokenKind::Close {
            self.edits.push((name.start, format!("IFNULL({value},").into_bytes()));
            self.edits.push((close.end, b")".to_vec()));
            self.levels.last_mut()?.calls = true;
        }
        Some(())
    }

    /// A column, if it is one, ends before `at`; whether it is. It is given the name that its text would be.
    fn column_ends(&mut self, at: usize) -> Option<bool> {
        let Level { column, calls } = self.levels.last()?;
        let Some(from) = *column else { return Some(false) };
        if *calls && self.named && !self.has_name(from, at)? {
            let (first, last) = (self.tokens.get(from)?, self.tokens.get(at - 1)?);
            let name = self.text.get(first.start..last.end)?;
            // A zero byte may stand in a string, but in no name.
            if !name.is_ascii() || name.contains(&0) || name.len() > LONGEST {
                return None;
            }
            let quoted = name.iter().flat_map(|byte| vec![*byte; if *byte == b'`' { 2 } else { 1 }]);
            self.edits.push((last.end, b" AS `".iter().copied().chain(quoted).chain(*b"`").collect()));
        }
        Some(true)
    }

    /// Whether the column of these tokens has a name of its own; `None` where that is not clear.
    fn has_name(&self, from: usize, to: usize) -> Option<bool> {
        if (from..to).any(|at| self.is_one_of(at, UNCLEAR)) {
            return None;
        }
        let [.., before, last] = self.tokens.get(from..to)? else { return Some(false) };
        if before.word == Word::As {
            return Some(true);
        }
        let may = match last.kind {
            TokenKind::Word => !last.reserved,
            TokenKind::Quoted => true,
            TokenKind::String => before.kind != TokenKind::String,
            _ => false,
        };
        let operand = match before.kind {
            // It may belong to the string behind it.
            TokenKind::Word if last.kind == TokenKind::String => return None,
            TokenKind::Word => !before.reserved,
            TokenKind::Close
            | TokenKind::Number
            | TokenKind::String
            | TokenKind::Quoted
            | TokenKind::UserVariable
            | TokenKind::SystemVariable => true,
            _ => false,
        };
        Some(may && operand)
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        // In the order they were found where they are put in at one place.
        self.edits.sort_by_key(|(at, _)| *at);
        let (mut out, mut from) = (Vec::new(), 0);
        for (at, put) in self.edits {
            out.extend_from_slice(self.text.get(from..at)?);
            out.extend_from_slice(&put);
            from = at;
        }
        out.extend_from_slice(self.text.get(from..)?);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify::classify;
    use crate::sql::lexer::Engine;

    #[test]
    fn what_is_asked_for_in_an_expression_is_written_beside_the_call() {
        for (text, told) in [
            ("SELECT ROW_COUNT()+0", "SELECT IFNULL(5,ROW_COUNT())+0 AS `ROW_COUNT()+0`"),
            ("SELECT 1, found_rows ( ) * 2 n;", "SELECT 1, IFNULL(7,found_rows ( )) * 2 n;"),
            ("SELECT x, FOUND_ROWS() FROM t", "SELECT x, IFNULL(7,FOUND_ROWS()) AS `FOUND_ROWS()` FROM t"),
            (
                "SELECT DISTINCT (SELECT ROW_COUNT()) AS a FROM t ORDER BY ROW_COUNT()",
                "SELECT DISTINCT (SELECT IFNULL(5,ROW_COUNT()) AS `ROW_COUNT()`) AS a FROM t ORDER BY \
                 IFNULL(5,ROW_COUNT())",
            ),
            (
                "SELECT `a``` + ROW_COUNT()",
                "SELECT `a``` + IFNULL(5,ROW_COUNT()) AS ```a`````` + ROW_COUNT()`",
            ),
            (
                "SELECT IF(ROW_COUNT() > 0, 'a', 'b') 'q'",
                "SELECT IF(IFNULL(5,ROW_COUNT()) > 0, 'a', 'b') 'q'",
            ),
            ("SELECT ROW_COUNT() IS NULL", "SELECT IFNULL(5,ROW_COUNT()) IS NULL AS `ROW_COUNT() IS NULL`"),
            ("SET @n = ROW_COUNT()", "SET @n = IFNULL(5,ROW_COUNT())"),
            (
                "INSERT INTO t SELECT ROW_COUNT() ON DUPLICATE KEY UPDATE a = 1",
                "INSERT INTO t SELECT IFNULL(5,ROW_COUNT()) ON DUPLICATE KEY UPDATE a = 1",
            ),
            ("SELECT FOUND_ROWS() + 1 FROM (SELECT 1) AS t", ""),
            ("SELECT 1", ""),
            ("SELECT 'ROW_COUNT()', shop.ROW_COUNT()", ""),
            ("SELECT ROW_COUNT() + 1; SELECT 2", ""),
            ("SELECT /*! ROW_COUNT() */ + 1", ""),
            ("SELECT CASE ROW_COUNT() WHEN 1 THEN 2 END", ""),
            ("SELECT NOW() + INTERVAL ROW_COUNT() DAY", ""),
            ("SELECT ROW_COUNT() + 1 FETCH FIRST ROW ONLY", ""),
            ("CREATE TABLE t AS SELECT ROW_COUNT() + 1", ""),
            ("SELECT ROW_COUNT() + 'é'", ""),
            ("SELECT ROW_COUNT() + 'a\0'", ""),
        ] {
            for engine in [Engine::MariaDb, Engine::MySql] {
                let dialect = Dialect::new(engine);
                let kind = classify(text.as_bytes(), &dialect).kind;
                let written = tell(text.as_bytes(), &dialect, kind, (5, 7)).unwrap_or_default();
                assert_eq!(String::from_utf8(written).unwrap(), told, "{text}");
            }
        }
    }
}
