//! Judges a `SET`: whether what it sets can be set again elsewhere, and what it does to transactions.

use super::body::Calls;
use super::cursor::Cursor;
use super::set::{Assignment, Assignments, Scope, Value};
use super::statement::{Kind, Reason, Switch, Transaction};
use super::{Effects, hint};
use crate::sql::lexer::{TokenKind, Word};

/// Session variables that belong to one connection: set elsewhere, they would mean something else.
const UNMOVABLE: &[&str] = &[
    "binlog_annotate_row_events",
    "debug",
    "debug_dbug",
    "debug_sync",
    "default_master_connection",
    "gtid_domain_id",
    "gtid_next",
    "gtid_seq_no",
    "identity",
    "insert_id",
    "last_insert_id",
    "original_commit_timestamp",
    "proxy_user",
    "pseudo_replica_mode",
    "pseudo_slave_mode",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "server_id",
    "session_track_gtids",
    "session_track_schema",
    "session_track_state_change",
    "session_track_system_variables",
    "session_track_transaction_info",
    "skip_replication",
    "sql_log_bin",
    "sql_log_off",
    "wsrep_on",
];

/// What the `Dialect` is made from.
const OF_THE_DIALECT: &[&str] = &["sql_mode", "character_set_client"];

impl Cursor<'_> {
    /// `SET …`.
    pub(super) fn set(&mut self, nested: u8) {
        let start = self.token.start;
        let settings = Assignments::new(self.text.get(start..).unwrap_or_default(), &self.dialect);
        let is_list = settings.is_list();
        self.verdict.kind = Kind::Set;
        self.bump();
        if is_list {
            if self.transaction_of_scope() {
                return;
            }
            return self.settings(settings);
        }
        match self.word() {
            Word::Statement => self.statement_with_settings(nested),
            Word::Transaction => self.transaction(false),
            _ => {
                self.verdict.kind = Kind::Administration;
                self.verdict.primary(Reason::Administration);
                self.verdict.adds(Effects::IMPLICIT_COMMIT);
                self.skip();
            }
        }
    }

    fn settings(&mut self, settings: Assignments<'_>) {
        let mut all_ours = true;
        for setting in settings {
            all_ours &= self.setting(&setting);
        }
        // The values may call functions; the names of user variables are told already.
        let (reads, effects) = (self.verdict.reads, self.verdict.effects);
        self.verdict.primary(Reason::Session);
        self.body(Calls::All);
        if all_ours {
            (self.verdict.reads, self.verdict.effects) = (reads, effects);
        }
    }

    /// One setting's effects; whether it is a setting of the splitter's own.
    fn setting(&mut self, setting: &Assignment<'_>) -> bool {
        match *setting {
            Assignment::Variable { scope: Scope::Global, .. } => self.verdict.adds(Effects::GLOBAL_VARIABLE),
            Assignment::Variable { name, value, .. } => self.session_variable(name, value),
            Assignment::Names { charset, collation } => {
                self.verdict.adds(Effects::DIALECT);
                self.movable(charset);
                if let Some(collation) = collation {
                    self.movable(collation);
                }
            }
            Assignment::CharacterSet { charset } => {
                self.verdict.adds(Effects::DIALECT);
                self.movable(charset);
            }
            Assignment::UserVariable { name, value } => {
                if self.own(name, value) {
                    return true;
                }
                self.verdict.adds(Effects::USER_VARIABLE);
            }
            Assignment::Other => self.verdict.adds(Effects::SESSION_UNMOVABLE),
        }
        false
    }

    fn movable(&mut self, value: Value<'_>) {
        self.verdict.adds(match value {
            Value::Expression(_) => Effects::SESSION_UNMOVABLE,
            _ => Effects::SESSION_VARIABLE,
        });
    }

    fn session_variable(&mut self, name: &[u8], value: Value<'_>) {
        let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        if is(&"autocommit") {
            self.verdict.autocommit = Some(switch(value));
            self.verdict.adds(Effects::TRANSACTION);
        }
        if OF_THE_DIALECT.iter().any(is) {
            self.verdict.adds(Effects::DIALECT);
        }
        if UNMOVABLE.iter().any(is) {
            self.verdict.adds(Effects::SESSION_UNMOVABLE);
        } else {
            self.movable(value);
        }
    }

    /// Whether a user variable is a setting of the splitter's own, which then is taken.
    fn own(&mut self, name: &[u8], value: Value<'_>) -> bool {
        let key = match name.split_at_checked(5) {
            Some((head, key)) if head.eq_ignore_ascii_case(b"stoa_") => key,
            _ => return false,
        };
        let known = match value {
            Value::Word(word) if word.eq_ignore_ascii_case(b"null") => {
                hint::set(key, b"", &mut self.verdict.settings)
            }
            Value::Word(text) | Value::Text(text) => hint::set(key, text, &mut self.verdict.settings),
            Value::Default | Value::Expression(_) => false,
        };
        self.verdict.adds(if known { Effects::STOA_SETTING } else { Effects::BAD_HINT });
        known
    }

    /// `SET SESSION TRANSACTION …`; false, and nothing gone over, where it is something else.
    fn transaction_of_scope(&mut self) -> bool {
        let scope = self.word();
        let scoped = matches!(scope, Word::Session | Word::Local | Word::Global);
        if !scoped || self.peek().word != Word::Transaction {
            return false;
        }
        self.bump();
        if scope == Word::Global {
            self.verdict.primary(Reason::Session);
            self.verdict.adds(Effects::GLOBAL_VARIABLE);
            self.skip();
        } else {
            self.transaction(true);
        }
        true
    }

    /// `TRANSACTION ISOLATION LEVEL …, READ ONLY`.
    fn transaction(&mut self, following: bool) {
        let mut access = None;
        self.verdict.primary(Reason::Transaction);
        self.verdict.adds(Effects::TRANSACTION);
        while !self.over() {
            if self.word() == Word::Read {
                // Not the `READ` of `READ COMMITTED`.
                access = self.access().or(access);
            } else {
                self.bump();
            }
        }
        let kind = if following { Transaction::Following { access } } else { Transaction::Next { access } };
        self.verdict.kind = Kind::Transaction(kind);
    }

    /// MariaDB's `SET STATEMENT a=1 FOR SELECT …`.
    fn statement_with_settings(&mut self, nested: u8) {
        self.verdict.primary(Reason::SetStatement);
        let mut depth = 0_u32;
        while !self.over() && (depth > 0 || self.word() != Word::For) {
            match self.token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.bump();
        }
        self.bump();
        self.within(nested);
    }
}

/// What a value makes of autocommit.
fn switch(value: Value<'_>) -> Switch {
    let (Value::Word(text) | Value::Text(text)) = value else { return Switch::Unknown };
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    match () {
        () if is(&["1", "on", "true"]) => Switch::On,
        () if is(&["0", "off", "false"]) => Switch::Off,
        () => Switch::Unknown,
    }
}
