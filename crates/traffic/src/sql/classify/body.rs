//! Goes over the rest of a statement and looks for what makes it more than a read.

use super::cursor::{Cursor, plain_name};
use super::lone::context_variable;
use super::statement::{Kind, Reason};
use super::{Effects, Reads, is_system_schema};
use crate::sql::lexer::{Call, Token, TokenKind, Word};

/// From where on a name before a parenthesis calls a function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// From the start.
    All,
    /// After the names of a table and its columns: `INSERT INTO t (a) VALUES (f())`.
    AfterNames,
    /// After a `SELECT`: `CREATE TABLE t (a CHAR(1)) SELECT f()`.
    AfterSelect,
    /// Inside parentheses, until the statement behind a `WITH` begins: `WITH c (a) AS (SELECT f()) …`.
    AfterWith,
    /// Nowhere.
    None,
}

/// What was just gone over: the last token and the one before it.
struct Behind {
    last: Token,
    second: Token,
}

impl Cursor<'_> {
    /// Goes to the end of the statement.
    pub(super) fn body(&mut self, mut calls: Calls) {
        let mut behind = Behind { last: Token::NONE, second: Token::NONE };
        let mut depth = 0_u32;
        // Every variable named by these is set, and so is one behind an INTO of a SELECT.
        let mut sets = matches!(self.verdict.kind, Kind::Load | Kind::Call | Kind::Diagnostics);
        while !self.over() {
            let token = self.token;
            match token.kind {
                TokenKind::Word if token.word != Word::None => {
                    calls = self.keyword(token.word, behind.last.word, calls, depth);
                    sets |= token.word == Word::Into && matches!(self.verdict.kind, Kind::Select);
                }
                TokenKind::Dot => self.qualifies(behind.last),
                TokenKind::Open => {
                    if calls == Calls::AfterWith && depth == 0 && behind.last.kind == TokenKind::Close {
                        calls = Calls::All;
                    }
                    if calls == Calls::All || (calls == Calls::AfterWith && depth > 0) {
                        self.opens(&behind);
                    }
                    depth += 1;
                }
                TokenKind::Close => depth = depth.saturating_sub(1),
                TokenKind::UserVariable => self.user_variable(sets),
                TokenKind::Assign if behind.last.kind == TokenKind::UserVariable => self.user_variable(true),
                TokenKind::SystemVariable => self.system_variable(token),
                _ => {}
            }
            if matches!(self.verdict.kind, Kind::Show) {
                // `SHOW TABLES FROM mysql`: without a dot.
                self.qualifies(token);
            }
            self.argument(token, &behind);
            behind = Behind { last: token, second: behind.last };
            self.bump();
        }
        if calls == Calls::AfterWith {
            self.verdict.primary(Reason::Unknown);
            self.verdict.adds(Effects::UNKNOWN);
        }
        if self.dialect.in_system_schema && self.verdict.tables {
            self.verdict.primary(Reason::SystemSchema);
        }
    }

    /// What a token means by the two before it.
    fn argument(&mut self, token: Token, behind: &Behind) {
        match behind.last.kind {
            TokenKind::Open if behind.second.call == Call::LastInsertId && token.kind != TokenKind::Close => {
                self.verdict.adds(Effects::LAST_INSERT_ID);
            }
            TokenKind::Dot if behind.second.kind == TokenKind::SystemVariable => self.system_variable(token),
            _ => {}
        }
    }

    fn user_variable(&mut self, set: bool) {
        self.verdict.primary(Reason::UserVariable);
        if set {
            self.verdict.adds(Effects::USER_VARIABLE);
        } else {
            self.verdict.asks(Reads::USER_VARIABLE);
        }
    }

    /// `@@x`, or the `x` of `@@session.x`.
    fn system_variable(&mut self, token: Token) {
        self.verdict.primary(Reason::SystemVariable);
        self.verdict.asks(Reads::SYSTEM_VARIABLE);
        if let Some(value) = context_variable(token, self.text) {
            self.verdict.asks(value.reads());
        }
    }

    /// A keyword behind another.
    fn keyword(&mut self, word: Word, last: Word, calls: Calls, depth: u32) -> Calls {
        let begins = calls == Calls::AfterWith && depth == 0;
        match word {
            Word::Update if begins => self.writes(Kind::Update),
            Word::Delete if begins => self.writes(Kind::Delete),
            Word::Insert if begins => self.writes(Kind::Insert),
            Word::Replace if begins => self.writes(Kind::Replace),
            Word::From | Word::Join | Word::Table => self.verdict.tables = true,
            Word::Into => self.verdict.primary(Reason::Into),
            Word::Share if matches!(last, Word::For | Word::In) => self.verdict.primary(Reason::Locking),
            Word::Update if last == Word::For => self.verdict.primary(Reason::Locking),
            Word::Update | Word::Delete if !self.verdict.effects.contains(Effects::WRITE) => {
                self.verdict.primary(Reason::Write);
                self.verdict.adds(Effects::WRITE);
            }
            Word::Procedure => self.verdict.primary(Reason::Procedure),
            // No read has these words: whatever it is, it is not understood.
            Word::Call
            | Word::Create
            | Word::Alter
            | Word::Drop
            | Word::Grant
            | Word::Revoke
            | Word::Load => {
                self.verdict.primary(Reason::Unknown);
            }
            Word::SqlCalcFoundRows => {
                self.verdict.primary(Reason::FoundRows);
                self.verdict.adds(Effects::FOUND_ROWS);
            }
            Word::Local if self.verdict.kind == Kind::Load => self.verdict.adds(Effects::LOCAL_INFILE),
            _ => {}
        }
        if matches!(word, Word::Value) && matches!(last, Word::Next | Word::Previous) {
            self.verdict.primary(Reason::Sequence);
            if last == Word::Next {
                self.verdict.adds(Effects::WRITE);
            }
        }
        match (calls, word) {
            (Calls::AfterWith, Word::Update | Word::Delete | Word::Insert | Word::Replace) if begins => {
                Calls::All
            }
            (Calls::AfterWith, Word::Select | Word::Values | Word::Table) if begins => Calls::All,
            (Calls::AfterNames, Word::Values | Word::Value | Word::Set) => Calls::All,
            (Calls::AfterNames | Calls::AfterSelect, Word::Select | Word::With) => Calls::All,
            _ => calls,
        }
    }

    fn writes(&mut self, kind: Kind) {
        self.verdict.kind = kind;
        self.verdict.primary(Reason::Write);
        self.verdict.adds(Effects::WRITE);
        self.verdict.tables = true;
    }

    /// `WITH c AS (…) …`: a read, unless another verb follows.
    pub(super) fn common_table(&mut self) {
        self.verdict.kind = Kind::Select;
        self.bump();
        self.body(Calls::AfterWith);
    }

    /// What stands before a dot: a system schema, or a name that may be one.
    fn qualifies(&mut self, name: Token) {
        if matches!(name.kind, TokenKind::Word | TokenKind::Quoted)
            && plain_name(name, self.text).is_none_or(is_system_schema)
        {
            self.verdict.primary(Reason::SystemSchema);
        }
    }

    /// A parenthesis behind what may be a function.
    fn opens(&mut self, behind: &Behind) {
        let name = behind.last;
        let aliased = behind.second.word == Word::As;
        match name.kind {
            TokenKind::Word if aliased && name.call != Call::Syntax => {}
            TokenKind::Quoted if aliased => {}
            TokenKind::Quoted => self.unknown_function(),
            TokenKind::Word if behind.second.kind == TokenKind::Dot => self.unknown_function(),
            TokenKind::Word => self.calls(name, behind.second),
            _ => {}
        }
    }

    fn calls(&mut self, name: Token, before: Token) {
        let adjoining = name.end == self.token.start || self.dialect.ignore_space;
        match name.call {
            Call::Syntax | Call::BuiltIn => {}
            Call::Adjoining if adjoining => {}
            Call::JsonTable if matches!(before.word, Word::From | Word::Join) => {}
            Call::Columns if before.kind == TokenKind::String => {}
            Call::Against if before.kind == TokenKind::Close => {}
            Call::Adjoining | Call::JsonTable | Call::Columns | Call::Against | Call::Unknown => {
                self.unknown_function();
            }
            Call::Server => self.verdict.primary(Reason::ServerFunction),
            Call::Sequence => {
                self.verdict.primary(Reason::Sequence);
                self.verdict.adds(Effects::WRITE);
            }
            Call::GetLock => {
                self.verdict.primary(Reason::NamedLock);
                self.verdict.adds(Effects::NAMED_LOCK);
            }
            Call::ReleaseLock => {
                self.verdict.primary(Reason::NamedLock);
                self.verdict.adds(Effects::RELEASES_NAMED_LOCK);
            }
            Call::LastInsertId => self.context(Reads::LAST_INSERT_ID),
            Call::FoundRows => self.context(Reads::FOUND_ROWS),
            Call::RowCount => self.context(Reads::ROW_COUNT),
            Call::ConnectionId => self.context(Reads::CONNECTION_ID),
        }
    }

    fn context(&mut self, reads: Reads) {
        self.verdict.primary(Reason::SessionContext);
        self.verdict.asks(reads);
    }

    fn unknown_function(&mut self) {
        self.verdict.primary(Reason::UnknownFunction);
        self.verdict.adds(Effects::STORED_CODE);
    }
}
