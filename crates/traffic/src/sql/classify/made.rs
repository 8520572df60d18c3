//! Reads the names of what a statement makes on its connection, or drops there: temporary tables and named
//! locks. For the few statements that do, and only where the name is beyond doubt: what is not read here is
//! taken to last.

use super::cursor::plain_name;
use crate::sql::lexer::{Call, Dialect, Lexer, Token, TokenKind, Word};

/// What a statement made or dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// `CREATE TEMPORARY TABLE`.
    Table(TableName),
    /// `DROP TABLE`, temporary or not: after it no temporary table has one of these names.
    Dropped(Vec<TableName>),
    /// `ALTER TABLE`, `RENAME TABLE`: names may have changed.
    Renamed,
    /// `SELECT GET_LOCK('name', …)`, which may have taken it.
    Took(Box<[u8]>),
    /// `SELECT RELEASE_LOCK('name')`: once less often than before.
    Released(Box<[u8]>),
    /// `SELECT RELEASE_ALL_LOCKS()`.
    ReleasedAll,
}

/// A table as it is written; its schema where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema.
    pub schema: Option<Box<[u8]>>,
    /// The name.
    pub name: Box<[u8]>,
}

/// What the one statement of `text` makes or drops; `None` where that is not clear, or nothing.
pub fn made(text: &[u8], dialect: &Dialect) -> Option<Made> {
    let mut reader = Reader { text, lexer: Lexer::new(text, dialect), token: Token::NONE };
    reader.bump();
    match reader.token.word {
        Word::Create => reader.create(),
        Word::Drop => reader.drop_table(),
        Word::Alter | Word::Rename => Some(Made::Renamed),
        Word::Select | Word::Do => reader.lock(),
        _ => None,
    }
}

struct Reader<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    token: Token,
}

impl Reader<'_> {
    fn bump(&mut self) {
        self.token = self.lexer.token();
    }

    /// Goes on behind these words, where they are next; behind some of them only where what follows is
    /// not understood in any case.
    fn eat(&mut self, words: &[&str]) -> bool {
        for word in words {
            let here = self.token.kind == TokenKind::Word
                && self.token.of(self.text).eq_ignore_ascii_case(word.as_bytes());
            if !here {
                return false;
            }
            self.bump();
        }
        true
    }

    fn over(&self) -> bool {
        matches!(self.token.kind, TokenKind::End | TokenKind::Semicolon)
    }

    fn create(&mut self) -> Option<Made> {
        self.bump();
        self.eat(&["OR", "REPLACE"]);
        if !self.eat(&["TEMPORARY", "TABLE"]) {
            return None;
        }
        self.eat(&["IF", "NOT", "EXISTS"]);
        self.table().map(Made::Table)
    }

    fn drop_table(&mut self) -> Option<Made> {
        self.bump();
        self.eat(&["TEMPORARY"]);
        if !self.eat(&["TABLE"]) {
            return None;
        }
        self.eat(&["IF", "EXISTS"]);
        let mut dropped = vec![self.table()?];
        while self.token.kind == TokenKind::Comma {
            self.bump();
            dropped.push(self.table()?);
        }
        self.over().then_some(Made::Dropped(dropped))
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.name()?;
        if self.token.kind != TokenKind::Dot {
            return Some(TableName { schema: None, name: first });
        }
        self.bump();
        Some(TableName { schema: Some(first), name: self.name()? })
    }

    /// A name in ASCII: how others read depends on the character set.
    fn name(&mut self) -> Option<Box<[u8]>> {
        let name = plain_name(self.token, self.text).filter(|name| name.is_ascii())?.into();
        self.bump();
        Some(name)
    }

    /// A call that is all there is.
    fn lock(&mut self) -> Option<Made> {
        self.bump();
        let (call, name) = (self.token.call, self.token);
        self.bump();
        if self.token.kind != TokenKind::Open {
            return None;
        }
        self.bump();
        let made = match call {
            Call::GetLock => {
                let name = self.literal()?;
                // How long it waits is a number, or anything that calls nothing.
                while self.token.kind != TokenKind::Close {
                    if self.over() || matches!(self.token.kind, TokenKind::Open | TokenKind::Broken) {
                        return None;
                    }
                    self.bump();
                }
                Made::Took(name)
            }
            Call::ReleaseLock if name.of(self.text).eq_ignore_ascii_case(b"RELEASE_ALL_LOCKS") => {
                Made::ReleasedAll
            }
            Call::ReleaseLock => Made::Released(self.literal()?),
            _ => return None,
        };
        if self.token.kind != TokenKind::Close {
            return None;
        }
        self.bump();
        self.eat(&["AS"]);
        if matches!(self.token.kind, TokenKind::Word | TokenKind::Quoted) && !self.token.reserved {
            self.bump();
        }
        self.over().then_some(made)
    }

    /// A string in plain ASCII.
    fn literal(&mut self) -> Option<Box<[u8]>> {
        if self.token.kind != TokenKind::String {
            return None;
        }
        let bytes = self.token.of(self.text);
        let inside = bytes.get(1..bytes.len().checked_sub(1)?)?;
        let plain = inside.iter().all(|byte| byte.is_ascii_graphic() && !b"'\"\\".contains(byte));
        self.bump();
        let ends = matches!(self.token.kind, TokenKind::Comma | TokenKind::Close);
        (plain && ends).then(|| inside.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Engine;

    fn read(text: &str) -> Option<Made> {
        made(text.as_bytes(), &Dialect::new(Engine::MariaDb))
    }

    fn table(schema: Option<&str>, name: &str) -> TableName {
        TableName { schema: schema.map(|schema| schema.as_bytes().into()), name: name.as_bytes().into() }
    }

    #[test]
    fn names_beyond_doubt() {
        let lock = |name: &str| Box::from(name.as_bytes());
        for (text, made) in [
            ("CREATE TEMPORARY TABLE t (a INT)", Made::Table(table(None, "t"))),
            (
                "create or replace temporary table if not exists `s`.`t` select 1",
                Made::Table(table(Some("s"), "t")),
            ),
            ("DROP TEMPORARY TABLE IF EXISTS t", Made::Dropped(vec![table(None, "t")])),
            ("DROP TABLE t, s.u;", Made::Dropped(vec![table(None, "t"), table(Some("s"), "u")])),
            ("ALTER TABLE t RENAME TO u", Made::Renamed),
            ("RENAME TABLE t TO u", Made::Renamed),
            ("SELECT GET_LOCK('ab', 10)", Made::Took(lock("ab"))),
            ("DO GET_LOCK('ab', -1)", Made::Took(lock("ab"))),
            ("SELECT release_lock('ab') AS done", Made::Released(lock("ab"))),
            ("SELECT RELEASE_ALL_LOCKS() n", Made::ReleasedAll),
        ] {
            assert_eq!(read(text), Some(made), "{text}");
        }
    }

    #[test]
    fn what_is_in_doubt_is_not_read() {
        for text in [
            "CREATE TABLE t (a INT)",
            "CREATE TEMPORARY SEQUENCE s",
            "CREATE TEMPORARY TABLE `a``b` (a INT)",
            "CREATE TEMPORARY TABLE tä (a INT)",
            "DROP TABLE t WAIT 5",
            "DROP VIEW t",
            "DROP DATABASE t",
            "SELECT GET_LOCK(@a, 1)",
            "SELECT GET_LOCK('a' 'b', 1)",
            "SELECT GET_LOCK('it''s', 1)",
            "SELECT GET_LOCK('a\\b', 1)",
            "SELECT GET_LOCK('ä', 1)",
            "SELECT GET_LOCK('a', 1), GET_LOCK('b', 1)",
            "SELECT GET_LOCK('a', GET_LOCK('b', 1))",
            "SELECT RELEASE_ALL_LOCKS() FROM t",
            "SELECT RELEASE_LOCK('a') FROM t WHERE 0",
            "SELECT 1 + RELEASE_ALL_LOCKS()",
            "SELECT IF(0, RELEASE_ALL_LOCKS(), 1)",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
