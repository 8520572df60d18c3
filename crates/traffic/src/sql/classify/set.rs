//! Takes a `SET` apart into its settings. What they do to a session is not said here.

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
    pub(super) fn new(text: &'t [u8], dialect: &Dialect) -> Self {
        let mut lexer = Lexer::new(text, dialect);
        let token = lexer.token();
        let mut all = Self { text, lexer, token, scope: Scope::Session, over: true };
        if is_comment(&all.token) {
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

    /// Goes to the next token that is no comment, up to the end of the statement.
    fn bump(&mut self) {
        if !self.at_end() {
            self.token = self.lexer.find(|token| !is_comment(token));
        }
    }

    /// Whether an assignment sign follows the word that is looked at, which then is a variable's name.
    fn is_assigned(&self) -> bool {
        let next = self.lexer.clone().find(|token| !is_comment(token));
        matches!(next.kind, TokenKind::Equal | TokenKind::Assign)
    }

    /// Whether this text is a list of settings at all.
    pub(super) fn is_list(&self) -> bool {
        !self.over
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
            let signed = tokens == 2
                && first.kind == TokenKind::Sign
                && self.token.kind == TokenKind::Number
                && first.end == self.token.start;
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

fn is_comment(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Hint | TokenKind::Versioned)
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
