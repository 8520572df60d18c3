//! Takes a `SET` apart: which settings, and whether they can be set again elsewhere.

use super::body::Calls;
use super::cursor::Cursor;
use super::statement::{Kind, Reason, Switch, Transaction};
use super::{Effects, hint};
use crate::sql::lexer::{Dialect, Lexer, Token, TokenKind, Word};

/// What a variable that is set belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `SESSION`, `LOCAL`, or not said.
    Session,
    /// `GLOBAL`, `PERSIST`, `PERSIST_ONLY`.
    Global,
}

/// What is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'t> {
    /// A number, a word (`ON`, `utf8mb4`) or a signed number, as written; it may be written again.
    Word(&'t [u8]),
    /// What stands in a string of plain ASCII without escapes: `'` before and behind it makes it again,
    /// whatever the mode and the character set.
    Text(&'t [u8]),
    /// `DEFAULT`.
    Default,
    /// Anything else: what it stands for, only the server knows.
    Expression(&'t [u8]),
}

/// One setting of a `SET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment<'t> {
    /// A system variable.
    Variable {
        /// Whose it is.
        scope: Scope,
        /// Its name without quotes; with the dot in it where it has two parts (a key cache's).
        name: &'t [u8],
        /// What it is set to.
        value: Value<'t>,
    },
    /// `SET NAMES`.
    Names {
        /// The character set.
        charset: Value<'t>,
        /// `COLLATE …`.
        collation: Option<Value<'t>>,
    },
    /// `SET CHARACTER SET`.
    CharacterSet {
        /// The character set.
        charset: Value<'t>,
    },
    /// `SET @x = …`.
    UserVariable {
        /// Its name without `@` and quotes.
        name: &'t [u8],
        /// What it is set to.
        value: Value<'t>,
    },
    /// `SET ROLE`, or a setting that is not understood.
    Other,
}

/// The settings of a `SET`, in order. None for any other text, for `SET TRANSACTION`, `SET PASSWORD`, `SET
/// DEFAULT ROLE`, `SET STATEMENT`.
pub fn assignments<'t>(text: &'t [u8], dialect: &Dialect) -> Assignments<'t> {
    Assignments::new(text, dialect)
}

/// See [`assignments`].
pub struct Assignments<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    token: Token,
    /// `GLOBAL` or `SESSION` holds for what follows it too.
    scope: Scope,
    over: bool,
}

impl<'t> Assignments<'t> {
    fn new(text: &'t [u8], dialect: &Dialect) -> Self {
        let mut lexer = Lexer::new(text, dialect);
        let token = lexer.token();
        let mut all = Self { text, lexer, token, scope: Scope::Session, over: true };
        while matches!(all.token.kind, TokenKind::Hint | TokenKind::Versioned) {
            all.bump();
        }
        if all.token.word == Word::Set {
            all.bump();
            all.over = matches!(
                all.token.word,
                Word::Password | Word::Default | Word::Statement | Word::Transaction
            );
        }
        all
    }

    /// Goes to the next token that is no comment.
    fn bump(&mut self) {
        loop {
            self.token = self.lexer.token();
            if !matches!(self.token.kind, TokenKind::Hint | TokenKind::Versioned) {
                return;
            }
        }
    }

    /// Whether an assignment sign follows the word that is looked at, which then is a variable's name.
    fn is_assigned(&self) -> bool {
        let rest = self.text.get(self.token.end..).unwrap_or_default().trim_ascii_start();
        rest.first() == Some(&b'=') || rest.starts_with(b":=")
    }

    fn at_end(&self) -> bool {
        matches!(self.token.kind, TokenKind::End | TokenKind::Semicolon | TokenKind::Broken)
    }

    fn one(&mut self) -> Assignment<'t> {
        if !self.is_assigned() {
            match self.token.word {
                Word::Names => return self.names(),
                Word::Character | Word::Char | Word::Charset => return self.character_set(),
                Word::Global | Word::Persist | Word::PersistOnly => {
                    self.scope = Scope::Global;
                    self.bump();
                }
                Word::Session | Word::Local => {
                    self.scope = Scope::Session;
                    self.bump();
                }
                _ => {}
            }
        }
        match self.token.kind {
            TokenKind::UserVariable => self.user_variable(),
            TokenKind::SystemVariable => self.system_variable(),
            _ => self.variable(self.scope),
        }
    }

    fn names(&mut self) -> Assignment<'t> {
        self.bump();
        let charset = self.single();
        let mut collation = None;
        if self.token.word == Word::Collate {
            self.bump();
            collation = Some(self.single());
        }
        Assignment::Names { charset, collation }
    }

    fn character_set(&mut self) -> Assignment<'t> {
        let short = self.token.word == Word::Charset;
        self.bump();
        if !short {
            self.bump();
        }
        Assignment::CharacterSet { charset: self.single() }
    }

    fn user_variable(&mut self) -> Assignment<'t> {
        let bytes = self.token.of(self.text).get(1..).unwrap_or_default();
        let quoted = bytes.first().is_some_and(|first| matches!(first, b'\'' | b'"' | b'`'));
        let name = if quoted { bytes.get(1..bytes.len() - 1).unwrap_or_default() } else { bytes };
        self.bump();
        match self.assigned() {
            Some(value) => Assignment::UserVariable { name, value },
            None => Assignment::Other,
        }
    }

    /// `@@x`, `@@session.x`.
    fn system_variable(&mut self) -> Assignment<'t> {
        let first = self.token.of(self.text).get(2..).unwrap_or_default();
        let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
        let scope = match () {
            () if is("global") || is("persist") || is("persist_only") => Some(Scope::Global),
            () if is("session") || is("local") => Some(Scope::Session),
            () => None,
        };
        let (from, to) = (self.token.start + 2, self.token.end);
        self.bump();
        if let Some(scope) = scope
            && self.token.kind == TokenKind::Dot
        {
            self.bump();
            return self.variable(scope);
        }
        self.named(Scope::Session, from, to)
    }

    fn variable(&mut self, scope: Scope) -> Assignment<'t> {
        let token = self.token;
        if !matches!(token.kind, TokenKind::Word | TokenKind::Quoted) {
            return Assignment::Other;
        }
        self.bump();
        self.named(scope, token.start, token.end)
    }

    /// A variable whose name begins with `text[from..to]`.
    fn named(&mut self, scope: Scope, from: usize, mut to: usize) -> Assignment<'t> {
        while self.token.kind == TokenKind::Dot {
            self.bump();
            to = self.token.end;
            self.bump();
        }
        let name = self.text.get(from..to).unwrap_or_default();
        let name = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name);
        match self.assigned() {
            Some(value) if !name.contains(&b'`') => Assignment::Variable { scope, name, value },
            _ => Assignment::Other,
        }
    }

    /// The value behind `=` or `:=`.
    fn assigned(&mut self) -> Option<Value<'t>> {
        if !matches!(self.token.kind, TokenKind::Equal | TokenKind::Assign) {
            return None;
        }
        self.bump();
        Some(self.value())
    }

    /// A value that is one token.
    fn single(&mut self) -> Value<'t> {
        let value = plain_value(self.token, self.text);
        self.bump();
        value
    }

    /// A value that may be an expression, up to its comma.
    fn value(&mut self) -> Value<'t> {
        let first = self.token;
        let mut value = plain_value(first, self.text);
        let mut depth = 0_u32;
        let mut tokens = 0_u32;
        while !self.at_end() && (depth > 0 || self.token.kind != TokenKind::Comma) {
            match self.token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens += 1;
            let signed = tokens == 2 && first.kind == TokenKind::Sign && self.token.kind == TokenKind::Number;
            let written = self.text.get(first.start..self.token.end).unwrap_or_default();
            if signed {
                value = Value::Word(written);
            } else if tokens > 1 {
                value = Value::Expression(written);
            }
            self.bump();
        }
        if tokens == 0 { Value::Expression(b"") } else { value }
    }
}

impl<'t> Iterator for Assignments<'t> {
    type Item = Assignment<'t>;

    fn next(&mut self) -> Option<Assignment<'t>> {
        if self.over || self.at_end() {
            return None;
        }
        let one = self.one();
        // What is not understood ends the list: nothing behind it is sure.
        self.over = self.token.kind != TokenKind::Comma;
        if self.over && !self.at_end() {
            return Some(Assignment::Other);
        }
        self.bump();
        Some(one)
    }
}

fn plain_value(token: Token, text: &[u8]) -> Value<'_> {
    let bytes = token.of(text);
    match token.kind {
        TokenKind::Word if token.word == Word::Default => Value::Default,
        TokenKind::Word | TokenKind::Number => Value::Word(bytes),
        TokenKind::String => {
            let quote = bytes.first().copied().unwrap_or(0);
            let inside = bytes.get(1..bytes.len() - 1).unwrap_or_default();
            let plain = inside
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'"' | b'\\'));
            if plain && matches!(quote, b'\'' | b'"') {
                Value::Text(inside)
            } else {
                Value::Expression(bytes)
            }
        }
        _ => Value::Expression(bytes),
    }
}

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

/// What the [`Dialect`] is made from.
const OF_THE_DIALECT: &[&str] = &["sql_mode", "character_set_client"];

impl Cursor<'_> {
    /// `SET …`.
    pub(super) fn set(&mut self, nested: u8) {
        let start = self.token.start;
        let settings = Assignments::new(self.text.get(start..).unwrap_or_default(), &self.dialect);
        let is_list = !settings.over;
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
        let mut lexer = Lexer::new(self.text.get(self.token.start..).unwrap_or_default(), &self.dialect);
        let (scope, next) = (lexer.token().word, lexer.token());
        let scoped = matches!(scope, Word::Session | Word::Local | Word::Global);
        if !scoped || next.word != Word::Transaction || self.is_named() {
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

    /// Whether the word that is looked at is a variable's name.
    fn is_named(&self) -> bool {
        let rest = self.text.get(self.token.end..).unwrap_or_default().trim_ascii_start();
        rest.first() == Some(&b'=')
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
