//! What a statement is, by the words it begins with.

use super::body::Calls;
use super::cursor::Cursor;
use super::statement::{Access, Aim, Completion, Kill, Kind, Reason, Transaction};
use super::{Effects, Reads};
use crate::sql::lexer::{Call, TokenKind, Word};

/// How many statements may stand in one another: `EXPLAIN SET STATEMENT … FOR EXPLAIN …`.
const NESTED: u8 = 4;

/// The kinds whose words alone say what they are, what follows being of no interest here.
const PLAIN: &[(Word, Kind, Reason, Effects)] = &[
    (Word::Grant, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Revoke, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Optimize, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Repair, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Check, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Checksum, Kind::Administration, Reason::Administration, Effects::NONE),
    (Word::Reset, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Purge, Kind::Administration, Reason::Administration, Effects::NONE),
    (Word::Change, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (Word::Stop, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (
        Word::Install,
        Kind::Administration,
        Reason::Administration,
        Effects::SCHEMA.union(Effects::IMPLICIT_COMMIT),
    ),
    (
        Word::Uninstall,
        Kind::Administration,
        Reason::Administration,
        Effects::SCHEMA.union(Effects::IMPLICIT_COMMIT),
    ),
    (Word::Shutdown, Kind::Administration, Reason::Administration, Effects::NONE),
    (Word::Restart, Kind::Administration, Reason::Administration, Effects::NONE),
    (Word::Clone, Kind::Administration, Reason::Administration, Effects::UNKNOWN),
    (Word::Binlog, Kind::Administration, Reason::Administration, Effects::UNKNOWN),
    (Word::Cache, Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT),
    (
        Word::Import,
        Kind::Administration,
        Reason::Administration,
        Effects::SCHEMA.union(Effects::IMPLICIT_COMMIT),
    ),
    (Word::Help, Kind::Show, Reason::ServerState, Effects::NONE),
    (Word::Savepoint, Kind::Transaction(Transaction::Savepoint), Reason::Transaction, Effects::TRANSACTION),
    (
        Word::Xa,
        Kind::Transaction(Transaction::Xa),
        Reason::Transaction,
        Effects::XA.union(Effects::TRANSACTION),
    ),
    (Word::Prepare, Kind::Prepare, Reason::StoredCode, Effects::PREPARED),
    (Word::Execute, Kind::Execute, Reason::StoredCode, Effects::UNKNOWN),
    (Word::Deallocate, Kind::Deallocate, Reason::StoredCode, Effects::DEALLOCATES),
    (Word::Use, Kind::Use, Reason::Session, Effects::DATABASE),
    (Word::Call, Kind::Call, Reason::StoredCode, Effects::UNKNOWN),
    (Word::If, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
    (Word::Case, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
    (Word::Loop, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
    (Word::While, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
    (Word::Repeat, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
    (Word::For, Kind::Compound, Reason::StoredCode, Effects::UNKNOWN),
];

impl Cursor<'_> {
    /// Judges the statement that begins here.
    pub(super) fn verb(&mut self, nested: u8) {
        let word = self.word();
        match word {
            Word::Select => self.read(Kind::Select),
            Word::With => self.common_table(),
            Word::Insert => self.write(Kind::Insert, Calls::AfterNames),
            Word::Replace => self.write(Kind::Replace, Calls::AfterNames),
            Word::Update => self.write(Kind::Update, Calls::All),
            Word::Delete => self.write(Kind::Delete, Calls::All),
            Word::Begin => self.begin(),
            Word::Start => self.start(),
            Word::Commit | Word::Rollback => self.end_transaction(),
            Word::Set => self.set(nested),
            Word::Show => self.show(),
            Word::Explain | Word::Describe | Word::Desc => self.explain(nested),
            Word::Analyze => self.analyze(nested),
            Word::Table | Word::Values => self.read(Kind::Select),
            Word::Do => self.do_expression(),
            Word::Load => self.load(),
            Word::Create | Word::Alter | Word::Drop | Word::Rename | Word::Truncate => self.schema(),
            Word::Lock | Word::Unlock | Word::Backup => self.lock(),
            Word::Flush => self.flush(),
            Word::Handler => self.handler(),
            Word::Release => self.release(),
            Word::Kill => self.kill(),
            Word::Get | Word::Signal | Word::Resignal => self.diagnostics(),
            _ if self.token.kind == TokenKind::Open => self.parenthesis(),
            _ => match PLAIN.iter().find(|plain| plain.0 == word && word != Word::None) {
                Some(&(_, kind, reason, effects)) => self.plain(kind, reason, effects),
                None => self.other(),
            },
        }
    }

    /// A statement of this kind, which goes to the primary.
    fn is(&mut self, kind: Kind, reason: Reason, effects: Effects) {
        self.verdict.kind = kind;
        self.verdict.primary(reason);
        self.verdict.adds(effects);
    }

    fn plain(&mut self, kind: Kind, reason: Reason, effects: Effects) {
        self.is(kind, reason, effects);
        self.bump();
        match kind {
            Kind::Compound => self.swallow(),
            // What is handed over may be a user variable.
            Kind::Transaction(Transaction::Xa) | Kind::Call | Kind::Execute => self.body(Calls::None),
            _ => self.skip(),
        }
    }

    fn other(&mut self) {
        self.is(Kind::Other, Reason::Unknown, Effects::UNKNOWN);
        self.skip();
    }

    fn read(&mut self, kind: Kind) {
        self.verdict.kind = kind;
        self.body(Calls::All);
    }

    fn write(&mut self, kind: Kind, calls: Calls) {
        self.is(kind, Reason::Write, Effects::WRITE);
        self.verdict.tables = true;
        self.bump();
        self.body(calls);
    }

    /// `(SELECT …) UNION …`.
    fn parenthesis(&mut self) {
        while self.token.kind == TokenKind::Open {
            self.bump();
        }
        match self.word() {
            Word::Select | Word::Table | Word::Values => self.read(Kind::Select),
            Word::With => self.common_table(),
            _ => self.other(),
        }
    }

    /// `BEGIN`, `BEGIN WORK`, MariaDB's `BEGIN NOT ATOMIC`.
    fn begin(&mut self) {
        self.bump();
        if self.word() == Word::Not {
            self.is(Kind::Compound, Reason::StoredCode, Effects::UNKNOWN);
            return self.swallow();
        }
        self.eat(Word::Work);
        let begin = Transaction::Begin { access: None, snapshot: false };
        self.is(Kind::Transaction(begin), Reason::Transaction, Effects::TRANSACTION);
        self.expect_end();
    }

    /// `START TRANSACTION …`; also `START REPLICA` and the like.
    fn start(&mut self) {
        self.bump();
        if !self.eat(Word::Transaction) {
            self.is(Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT);
            return self.skip();
        }
        let (mut access, mut snapshot) = (None, false);
        loop {
            if self.eat(Word::With) {
                snapshot = self.eat(Word::Consistent) && self.eat(Word::Snapshot);
            } else if self.word() == Word::Read {
                access = self.access();
            }
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.bump();
        }
        let begin = Transaction::Begin { access, snapshot };
        self.is(Kind::Transaction(begin), Reason::Transaction, Effects::TRANSACTION);
        self.expect_end();
    }

    /// `READ ONLY`, `READ WRITE`.
    pub(super) fn access(&mut self) -> Option<Access> {
        self.bump();
        match self.eat_any(&[Word::Only, Word::Write])? {
            Word::Only => Some(Access::ReadOnly),
            _ => Some(Access::ReadWrite),
        }
    }

    /// `COMMIT`, `ROLLBACK`, `ROLLBACK TO`.
    fn end_transaction(&mut self) {
        let commit = self.word() == Word::Commit;
        self.bump();
        self.eat(Word::Work);
        if !commit && self.eat(Word::To) {
            self.is(
                Kind::Transaction(Transaction::RollbackToSavepoint),
                Reason::Transaction,
                Effects::TRANSACTION,
            );
            return self.skip();
        }
        let mut completion = Completion::default();
        if self.eat(Word::And) {
            completion.chain = Some(!self.eat(Word::No));
            self.eat(Word::Chain);
        }
        if matches!(self.word(), Word::No | Word::Release) {
            completion.release = Some(!self.eat(Word::No));
            self.eat(Word::Release);
        }
        let kind = if commit { Transaction::Commit(completion) } else { Transaction::Rollback(completion) };
        self.is(Kind::Transaction(kind), Reason::Transaction, Effects::TRANSACTION);
        if completion.release == Some(true) {
            self.verdict.adds(Effects::RELEASES_CONNECTION);
        }
        self.expect_end();
    }

    /// What follows a statement that is complete is not understood.
    fn expect_end(&mut self) {
        if !self.over() {
            self.verdict.adds(Effects::UNKNOWN);
            self.skip();
        }
    }

    fn release(&mut self) {
        self.is(Kind::Transaction(Transaction::ReleaseSavepoint), Reason::Transaction, Effects::TRANSACTION);
        self.skip();
    }

    fn show(&mut self) {
        self.bump();
        let full = self.eat(Word::Full);
        self.verdict.kind = Kind::Show;
        match self.word() {
            Word::Warnings | Word::Errors | Word::Count => {
                self.is(Kind::ShowWarnings, Reason::SessionContext, Effects::NONE);
                self.verdict.asks(Reads::DIAGNOSTICS);
            }
            Word::Processlist => self.is(Kind::ShowProcesslist, Reason::ServerState, Effects::NONE),
            Word::Tables | Word::Columns | Word::Fields => self.verdict.tables = true,
            Word::Create if !full => {
                self.bump();
                self.verdict.tables = true;
                if !matches!(self.word(), Word::Table | Word::View | Word::Database) {
                    self.verdict.primary(Reason::ServerState);
                }
            }
            _ => self.verdict.primary(Reason::ServerState),
        }
        self.body(Calls::All);
    }

    fn explain(&mut self, nested: u8) {
        self.bump();
        self.explain_options();
        let word = self.word();
        if word == Word::For {
            // … CONNECTION: a plan that another session follows.
            self.is(Kind::Explain, Reason::ServerState, Effects::NONE);
            return self.skip();
        }
        if is_explained(word) || self.token.kind == TokenKind::Open {
            self.within(nested);
        } else {
            self.verdict.tables = true;
            self.body(Calls::All);
        }
        self.verdict.kind = Kind::Explain;
    }

    fn explain_options(&mut self) {
        loop {
            if self.eat_any(&[Word::Extended, Word::Partitions, Word::Analyze]).is_some() {
                continue;
            }
            if self.word() == Word::Format {
                self.bump();
                if self.token.kind == TokenKind::Equal {
                    self.bump();
                    self.bump();
                }
                continue;
            }
            if self.word() == Word::Into {
                // MySQL: … INTO @plan FOR SCHEMA …
                self.verdict.primary(Reason::Into);
                self.verdict.adds(Effects::USER_VARIABLE);
                self.bump();
                self.bump();
                continue;
            }
            return;
        }
    }

    /// MariaDB's `ANALYZE statement`, which runs it; `ANALYZE TABLE`, which is maintenance.
    fn analyze(&mut self, nested: u8) {
        self.bump();
        self.explain_options();
        if is_explained(self.word()) && self.word() != Word::Table {
            self.within(nested);
            self.verdict.kind = Kind::Explain;
        } else {
            self.is(Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT);
            self.skip();
        }
    }

    /// A statement in another one.
    pub(super) fn within(&mut self, nested: u8) {
        if nested < NESTED { self.verb(nested + 1) } else { self.other() }
    }

    fn do_expression(&mut self) {
        self.is(Kind::Do, Reason::StoredCode, Effects::NONE);
        self.bump();
        self.body(Calls::All);
    }

    fn load(&mut self) {
        self.bump();
        if self.word() == Word::Index {
            self.is(Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT);
            return self.skip();
        }
        self.is(Kind::Load, Reason::Write, Effects::WRITE);
        self.verdict.tables = true;
        self.body(Calls::AfterNames);
    }

    fn lock(&mut self) {
        let word = self.word();
        self.bump();
        let tables = matches!(self.word(), Word::Table | Word::Tables);
        let ends = word == Word::Unlock
            || (word == Word::Backup && matches!(self.word(), Word::Unlock))
            || (word == Word::Backup && self.eat(Word::Stage) && self.word() == Word::End);
        // What ends one kind of lock leaves those of the others: only that of tables is told apart.
        let (kind, effect) = match (ends, tables) {
            (true, true) => (Kind::Unlock, Effects::UNLOCKS_TABLES),
            (true, false) => (Kind::Unlock, Effects::NONE),
            (false, true) => (Kind::Lock, Effects::TABLE_LOCK),
            (false, false) => (Kind::Lock, Effects::TABLE_LOCK.union(Effects::UNKNOWN)),
        };
        self.is(kind, Reason::TableLock, effect.union(Effects::IMPLICIT_COMMIT));
        self.skip();
    }

    /// `FLUSH …`; with a read lock, or for an export, it locks until `UNLOCK TABLES`.
    fn flush(&mut self) {
        self.is(Kind::Administration, Reason::Administration, Effects::IMPLICIT_COMMIT);
        while !self.over() {
            if matches!(self.word(), Word::Lock | Word::Export) {
                self.verdict.adds(Effects::TABLE_LOCK);
            }
            self.bump();
        }
    }

    fn handler(&mut self) {
        self.is(Kind::Handler, Reason::TableLock, Effects::NONE);
        self.verdict.tables = true;
        while !self.over() {
            match self.word() {
                Word::Open => self.verdict.adds(Effects::HANDLER_OPEN),
                Word::Close => self.verdict.adds(Effects::HANDLER_CLOSE),
                _ => {}
            }
            self.bump();
        }
    }

    fn kill(&mut self) {
        self.bump();
        self.eat_any(&[Word::Hard, Word::Soft]);
        let query_only = self.eat_any(&[Word::Connection, Word::Query]) == Some(Word::Query);
        let first = self.token;
        self.bump();
        let aim = if first.kind == TokenKind::Number && self.over() {
            let id = std::str::from_utf8(first.of(self.text)).ok().and_then(|id| id.parse().ok());
            id.map_or(Aim::Other, Aim::Connection)
        } else if first.call == Call::ConnectionId && self.empty_call() {
            Aim::Own
        } else {
            Aim::Other
        };
        self.is(Kind::Kill(Kill { query_only, aim }), Reason::Administration, Effects::NONE);
        self.skip();
    }

    /// `()` and the end of the statement.
    fn empty_call(&mut self) -> bool {
        for kind in [TokenKind::Open, TokenKind::Close] {
            if self.token.kind != kind {
                return false;
            }
            self.bump();
        }
        self.over()
    }

    fn diagnostics(&mut self) {
        self.is(Kind::Diagnostics, Reason::SessionContext, Effects::NONE);
        self.verdict.asks(Reads::DIAGNOSTICS);
        self.body(Calls::None);
    }

    fn schema(&mut self) {
        let drops = self.word() == Word::Drop;
        self.bump();
        if self.word() == Word::Prepare {
            self.is(Kind::Deallocate, Reason::StoredCode, Effects::DEALLOCATES);
            return self.skip();
        }
        self.is(Kind::Schema, Reason::Schema, Effects::SCHEMA.union(Effects::WRITE));
        self.verdict.tables = true;
        let (mut temporary, mut table) = (false, false);
        while !self.over() && self.token.kind != TokenKind::Open {
            match self.word() {
                Word::Temporary => temporary = true,
                // What follows is a name, even if it is `event`.
                Word::Table => table = true,
                Word::Procedure | Word::Function | Word::Trigger | Word::Event | Word::Package
                    if !drops && !table =>
                {
                    self.verdict.adds(Effects::IMPLICIT_COMMIT);
                    return self.swallow();
                }
                Word::Select | Word::As => break,
                _ => {}
            }
            self.bump();
        }
        let effect = match (drops, temporary) {
            (true, true) => Effects::DROPS_TEMPORARY,
            (true, false) => Effects::DROPS_TEMPORARY.union(Effects::IMPLICIT_COMMIT),
            (false, true) => Effects::TEMPORARY_TABLE,
            (false, false) => Effects::IMPLICIT_COMMIT,
        };
        self.verdict.adds(effect);
        self.body(Calls::AfterSelect);
    }

    /// Goes over the body of a routine, whose semicolons are its own. Where it ends is not known, so
    /// another statement may follow.
    fn swallow(&mut self) {
        let mut inside = false;
        while !matches!(self.token.kind, TokenKind::End | TokenKind::Broken) {
            if self.token.kind == TokenKind::Semicolon {
                inside = true;
            } else if inside {
                self.verdict.adds(Effects::UNKNOWN);
            }
            self.bump();
        }
    }
}

/// Whether a statement that may be explained begins with this word.
fn is_explained(word: Word) -> bool {
    matches!(
        word,
        Word::Select
            | Word::With
            | Word::Insert
            | Word::Replace
            | Word::Update
            | Word::Delete
            | Word::Table
            | Word::Values
            | Word::Set
    )
}
