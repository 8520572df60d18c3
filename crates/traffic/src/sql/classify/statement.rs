//! What is found out about a statement: small values that can be copied, none of which holds its text.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{Effects, Reads};

/// Where a statement may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// It is proven to do nothing but read what a replica has too.
    Replica,
    /// Everything else, known or not.
    Primary,
}

/// Why a statement has its route: the first reason found, where one that a hint may answer for yields to one
/// it may not, and all yield to `Malformed` and `Several`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It only reads tables, and calls only built-in functions that give the same on a replica.
    Read,
    /// A hint in a comment said so.
    Hint,
    /// It changes rows.
    Write,
    /// `FOR UPDATE`, `FOR SHARE`, `LOCK IN SHARE MODE`.
    Locking,
    /// `INTO` a file or a variable.
    Into,
    /// It draws from or asks a sequence.
    Sequence,
    /// `GET_LOCK()` and its kin.
    NamedLock,
    /// It calls a function that is not built in, or not known to be: it may write.
    UnknownFunction,
    /// A built-in function whose value is the server's own: `VERSION()`, `LOAD_FILE()`, GTID waits.
    ServerFunction,
    /// It reads or sets a user variable, `@x`.
    UserVariable,
    /// It reads a system variable, `@@x`.
    SystemVariable,
    /// It reads one of the server's own schemas.
    SystemSchema,
    /// `SHOW` and the like of what differs between servers.
    ServerState,
    /// It reads what the session's last statement left: `LAST_INSERT_ID()`, `SHOW WARNINGS`, …
    SessionContext,
    /// `SQL_CALC_FOUND_ROWS`: the next statement asks the same connection.
    FoundRows,
    /// `PROCEDURE ANALYSE` and the like.
    Procedure,
    /// Begins, ends or marks a transaction.
    Transaction,
    /// `SET`, `USE`: it changes the session.
    Session,
    /// `SET STATEMENT … FOR …`.
    SetStatement,
    /// It changes the schema.
    Schema,
    /// Accounts, replication, maintenance, the server itself.
    Administration,
    /// `CALL`, `EXECUTE`, a compound statement: text that is not seen here runs.
    StoredCode,
    /// `LOCK TABLES`, `HANDLER`, `FLUSH … WITH READ LOCK`, `BACKUP`.
    TableLock,
    /// A versioned comment, `/*! … */`, which may or may not run.
    VersionedComment,
    /// The session reads Oracle's grammar.
    OracleMode,
    /// It begins with a word that is not known, or goes on in a way that is not.
    Unknown,
    /// The lexer could not read it as the server surely would.
    Malformed,
    /// Several statements in one text.
    Several,
}

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing, or nothing but comments.
    Empty,
    /// `SELECT`, `WITH … SELECT`, `TABLE`, `VALUES`, also in parentheses.
    Select,
    /// `SHOW` of anything but the two below.
    Show,
    /// `SHOW PROCESSLIST`.
    ShowProcesslist,
    /// `SHOW WARNINGS`, `SHOW ERRORS`, `SHOW COUNT(*) WARNINGS`.
    ShowWarnings,
    /// `EXPLAIN`, `DESCRIBE`, `ANALYZE` of a statement or a table.
    Explain,
    /// `INSERT`.
    Insert,
    /// `REPLACE`.
    Replace,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `LOAD DATA`, `LOAD XML`; see [`Effects::LOCAL_INFILE`].
    Load,
    /// `CALL`.
    Call,
    /// `DO`.
    Do,
    /// `HANDLER … OPEN`, `READ`, `CLOSE`.
    Handler,
    /// `CREATE`, `ALTER`, `DROP`, `RENAME`, `TRUNCATE`.
    Schema,
    /// `GRANT`, `OPTIMIZE`, `FLUSH`, `CHANGE MASTER`, …
    Administration,
    /// `SET`; the single settings are told by [`assignments`](super::assignments).
    Set,
    /// `USE`; the name is told by [`used_database`](super::used_database).
    Use,
    /// Begins, ends or marks a transaction.
    Transaction(Transaction),
    /// `LOCK TABLES`, `LOCK INSTANCE`, `BACKUP`.
    Lock,
    /// `UNLOCK TABLES`, `UNLOCK INSTANCE`.
    Unlock,
    /// `PREPARE name FROM …`.
    Prepare,
    /// `EXECUTE name`, `EXECUTE IMMEDIATE`.
    Execute,
    /// `DEALLOCATE PREPARE`, `DROP PREPARE`.
    Deallocate,
    /// `KILL`.
    Kill(Kill),
    /// `GET DIAGNOSTICS`, `SIGNAL`, `RESIGNAL`.
    Diagnostics,
    /// MariaDB's `BEGIN NOT ATOMIC`, `IF`, `LOOP`, … outside a stored routine.
    Compound,
    /// More than one statement; see [`statements`](super::statements).
    Several,
    /// Not known.
    Other,
}

/// What a statement does to the session's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`.
    Begin {
        /// `READ ONLY` or `READ WRITE` where it was said.
        access: Option<Access>,
        /// `WITH CONSISTENT SNAPSHOT`.
        snapshot: bool,
    },
    /// `COMMIT`.
    Commit(Completion),
    /// `ROLLBACK` of the whole transaction.
    Rollback(Completion),
    /// `SAVEPOINT name`.
    Savepoint,
    /// `RELEASE SAVEPOINT name`.
    ReleaseSavepoint,
    /// `ROLLBACK TO name`.
    RollbackToSavepoint,
    /// `SET TRANSACTION …` without a scope: it holds for the next transaction alone.
    Next {
        /// `READ ONLY` or `READ WRITE` where it was said.
        access: Option<Access>,
    },
    /// `SET SESSION TRANSACTION …`: it holds for all that follow.
    Following {
        /// `READ ONLY` or `READ WRITE` where it was said.
        access: Option<Access>,
    },
    /// Any `XA` statement.
    Xa,
}

/// What a transaction says it will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}

/// What follows a `COMMIT` or `ROLLBACK`; where it is not said, `completion_type` decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Completion {
    /// `AND CHAIN` (true) or `AND NO CHAIN`.
    pub chain: Option<bool>,
    /// `RELEASE` (true) or `NO RELEASE`: the server ends the connection.
    pub release: Option<bool>,
}

/// What a `KILL` is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kill {
    /// `KILL QUERY`: the connection lives on.
    pub query_only: bool,
    /// Whose.
    pub aim: Aim,
}

/// Whom a `KILL` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aim {
    /// The connection of this id, written as a plain number.
    Connection(u64),
    /// `CONNECTION_ID()`.
    Own,
    /// Anything else: a user, a query's id, an expression.
    Other,
}

/// Whether `SET` turned autocommit on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// `1`, `ON`, `TRUE`.
    On,
    /// `0`, `OFF`, `FALSE`.
    Off,
    /// An expression or `DEFAULT`: the server tells in its answer.
    Unknown,
}

/// A value of the session that an application may ask for alone: `SELECT LAST_INSERT_ID()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextValue {
    /// `LAST_INSERT_ID()` without an argument, `@@last_insert_id`, `@@identity`.
    LastInsertId,
    /// `FOUND_ROWS()`.
    FoundRows,
    /// `ROW_COUNT()`.
    RowCount,
    /// `CONNECTION_ID()`.
    ConnectionId,
    /// `@@warning_count`.
    WarningCount,
    /// `@@error_count`.
    ErrorCount,
}

/// A part of the statement's text: `text[start..end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes it stands for, none where the text is not the one it was made from.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// The statement is nothing but `SELECT value [[AS] alias]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lone {
    /// What is asked for.
    pub value: ContextValue,
    /// The name of the result's column as the server would give it.
    pub label: Span,
    /// It is asked for as a variable: `@@identity`.
    pub variable: bool,
}

/// Which server a hint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Always the primary.
    Primary,
    /// A replica, also where what is called is not known to this module. A statement that is known to
    /// write, lock or need its session goes to the primary all the same.
    Replica,
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Consistency {
    /// Whatever a replica has.
    Eventual,
    /// At least what this session wrote.
    Session,
    /// At least what anyone was told is written when the read began.
    Global,
}

/// What the application asked of the splitter itself. Two ways, the same words:
///
/// - for one statement, in a comment anywhere in it: `/* stoa: replica */`, `/* stoa: primary */`,
///   `/* stoa: consistency=eventual, lag=5s */`;
/// - for the session, as user variables, which every driver can set and every server accepts:
///   `SET @stoa_consistency = 'eventual'`, `SET @stoa_lag = '5s'` (or a number of seconds),
///   `SET @stoa_route = 'primary'`. An empty string or NULL ends it.
///
/// These assignments do not pin a session. They are run by a server like any others, so that reading them
/// back works where they were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hint {
    /// `primary`, `replica`; `@stoa_route`.
    pub target: Option<Target>,
    /// `consistency=…`; `@stoa_consistency`.
    pub consistency: Option<Consistency>,
    /// `lag=…`: a number with `ms`, `s`, `m` or nothing (seconds); `@stoa_lag`.
    pub lag: Option<Duration>,
}

/// The verdict on the text of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: Kind,
    /// Where it may run outside a transaction, in a session that is not pinned.
    pub route: Route,
    /// Why there.
    pub reason: Reason,
    /// What it does beside giving rows.
    pub effects: Effects,
    /// What of the session's past its answer depends on.
    pub reads: Reads,
    /// It names a table. A statement that names none needs to wait for no write.
    pub tables: bool,
    /// What it does to autocommit.
    pub autocommit: Option<Switch>,
    /// It only asks for one value of the session.
    pub lone: Option<Lone>,
    /// What its comments ask of the splitter.
    pub hint: Hint,
    /// What it sets for the rest of the session, see [`Effects::STOA_SETTING`].
    pub settings: Hint,
    /// How many statements the text holds; 0 where it holds none.
    pub count: u16,
}

impl Statement {
    /// A text without a statement.
    pub(super) const NONE: Self = Self {
        kind: Kind::Empty,
        route: Route::Primary,
        reason: Reason::Unknown,
        effects: Effects::NONE,
        reads: Reads::NONE,
        tables: false,
        autocommit: None,
        lone: None,
        hint: Hint { target: None, consistency: None, lag: None },
        settings: Hint { target: None, consistency: None, lag: None },
        count: 0,
    };

    /// A statement that is not known to do anything yet.
    pub(super) const BEGUN: Self =
        Self { route: Route::Replica, reason: Reason::Read, count: 1, ..Self::NONE };

    /// This statement and one that follows it in the same text.
    pub(super) fn and(&self, next: &Self) -> Self {
        let malformed = self.reason == Reason::Malformed || next.reason == Reason::Malformed;
        Self {
            kind: Kind::Several,
            route: Route::Primary,
            reason: if malformed { Reason::Malformed } else { Reason::Several },
            effects: self.effects.union(next.effects),
            reads: self.reads.union(next.reads),
            tables: self.tables || next.tables,
            autocommit: next.autocommit.or(self.autocommit),
            lone: None,
            hint: self.hint.or(next.hint),
            settings: next.settings.or(self.settings),
            count: self.count.saturating_add(next.count),
        }
    }

    /// Nothing but the primary will do, for this reason unless one was found before that is as hard.
    pub(super) fn primary(&mut self, reason: Reason) {
        if self.route == Route::Replica || (self.reason.is_doubt() && !reason.is_doubt()) {
            (self.route, self.reason) = (Route::Primary, reason);
        }
    }

    /// It has this effect too.
    pub(super) fn adds(&mut self, effects: Effects) {
        self.effects = self.effects.union(effects);
    }

    /// Its answer depends on this too.
    pub(super) fn asks(&mut self, reads: Reads) {
        self.reads = self.reads.union(reads);
    }
}

impl Reason {
    /// Whether a hint may answer for it: it is not known to write, to lock or to need its session.
    pub(super) fn is_doubt(self) -> bool {
        matches!(self, Self::UnknownFunction | Self::ServerFunction | Self::SystemSchema | Self::ServerState)
    }
}

impl Hint {
    /// What this says, and where it says nothing, what the other says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            target: self.target.or(other.target),
            consistency: self.consistency.or(other.consistency),
            lag: self.lag.or(other.lag),
        }
    }
}
