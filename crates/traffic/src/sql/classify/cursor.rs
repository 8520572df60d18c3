//! Walks over the tokens of a text, statement by statement, and keeps the verdict that is being made.

use super::statement::{Kind, Reason, Route, Span, Statement, Target};
use super::{Effects, hint, lone};
use crate::sql::digest::Fingerprint;
use crate::sql::lexer::{Dialect, Lexer, Token, TokenKind, Word};

pub(super) struct Cursor<'t> {
    pub(super) text: &'t [u8],
    pub(super) dialect: Dialect,
    lexer: Lexer<'t>,
    /// Is told every token, where the text's fingerprint is wanted too.
    print: Option<Fingerprint<'t>>,
    /// The token that is looked at.
    pub(super) token: Token,
    /// Where the statement that is judged begins.
    start: usize,
    /// The text is broken, and that has been told.
    broken: bool,
    /// The verdict on it so far.
    pub(super) verdict: Statement,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t [u8], dialect: &Dialect, print: Option<Fingerprint<'t>>) -> Self {
        let mut cursor = Self {
            text,
            dialect: *dialect,
            lexer: Lexer::new(text, dialect),
            print,
            token: Token::NONE,
            start: 0,
            broken: false,
            verdict: Statement::BEGUN,
        };
        cursor.bump();
        cursor
    }

    /// The fingerprint of the text, all of whose statements have been given.
    pub(super) fn into_print(self) -> Option<Fingerprint<'t>> {
        self.print
    }

    /// The verdict on the next statement; `None` where there is none any more.
    pub(super) fn statement(&mut self) -> Option<Statement> {
        while self.token.kind == TokenKind::Semicolon {
            self.bump();
        }
        // What is broken is a statement too, the last one: it may be any.
        if self.token.kind == TokenKind::End || (self.is_broken() && self.broken) {
            return None;
        }
        self.start = self.token.start;
        self.verb(0);
        self.skip();
        self.broken = self.is_broken();
        let mut verdict = std::mem::replace(&mut self.verdict, Statement::BEGUN);
        if self.dialect.oracle {
            verdict.primary(Reason::OracleMode);
        }
        if matches!(verdict.kind, Kind::Select) && !verdict.reads.is_empty() {
            verdict.lone = lone::read(self.text, self.start, &self.dialect);
        }
        obey(&mut verdict);
        Some(verdict)
    }

    fn is_broken(&self) -> bool {
        self.token.kind == TokenKind::Broken
    }

    /// What stands in a text without a statement: hints at most.
    pub(super) fn leftover(&self) -> Statement {
        Statement { effects: self.verdict.effects, hint: self.verdict.hint, ..Statement::NONE }
    }

    /// Where the statement stands that was judged last.
    pub(super) fn span(&self) -> Span {
        Span { start: self.start as u32, end: self.token.start as u32 }
    }

    /// Goes to the next token.
    pub(super) fn bump(&mut self) {
        self.advance();
        self.settle();
    }

    fn advance(&mut self) {
        // What is broken ends the text, and is told once.
        let ended = self.is_broken();
        self.token = self.lexer.token();
        if let Some(print) = self.print.as_mut().filter(|_| !ended) {
            print.take(self.token);
        }
    }

    /// Takes what is no part of a statement from the way to the next token.
    fn settle(&mut self) {
        loop {
            match self.token.kind {
                TokenKind::Hint => {
                    if !hint::read(self.token.of(self.text), &mut self.verdict.hint) {
                        self.verdict.adds(Effects::BAD_HINT);
                    }
                }
                TokenKind::Versioned => {
                    self.verdict.primary(Reason::VersionedComment);
                    self.verdict.adds(Effects::UNKNOWN);
                }
                TokenKind::Broken => {
                    (self.verdict.route, self.verdict.reason) = (Route::Primary, Reason::Malformed);
                    self.verdict.adds(Effects::UNKNOWN);
                    return;
                }
                _ => return,
            }
            self.advance();
        }
    }

    /// The keyword that is looked at.
    pub(super) fn word(&self) -> Word {
        self.token.word
    }

    /// Goes on if it is this keyword that is looked at.
    pub(super) fn eat(&mut self, word: Word) -> bool {
        let here = self.token.word == word;
        if here {
            self.bump();
        }
        here
    }

    /// Goes on if it is one of these keywords that is looked at.
    pub(super) fn eat_any(&mut self, words: &[Word]) -> Option<Word> {
        let word = self.token.word;
        words.contains(&word).then(|| {
            self.bump();
            word
        })
    }

    /// What follows the token that is looked at.
    pub(super) fn peek(&self) -> Token {
        self.lexer.clone().find(|token| token.kind != TokenKind::Hint)
    }

    /// Whether the statement is over.
    pub(super) fn over(&self) -> bool {
        matches!(self.token.kind, TokenKind::End | TokenKind::Semicolon | TokenKind::Broken)
    }

    /// Goes to the end of the statement.
    pub(super) fn skip(&mut self) {
        while !self.over() {
            self.bump();
        }
    }
}

/// Lets a hint overrule the route. `replica` answers for functions and sources that are not known here, not
/// for what is known to write, to lock or to need its session.
fn obey(verdict: &mut Statement) {
    match verdict.hint.target {
        Some(Target::Primary) if verdict.route == Route::Replica => {
            (verdict.route, verdict.reason) = (Route::Primary, Reason::Hint);
        }
        Some(Target::Replica) => {
            let effects = verdict.effects.without(Effects::STORED_CODE);
            if verdict.reason.is_doubt()
                && effects.without(Effects::BAD_HINT).is_empty()
                && verdict.reads.is_empty()
            {
                (verdict.route, verdict.reason, verdict.effects) = (Route::Replica, Reason::Hint, effects);
            }
        }
        _ => {}
    }
}

/// The name that a token stands for, without its quotes; `None` where it is none, or has a quote in it.
pub(super) fn plain_name(token: Token, text: &[u8]) -> Option<&[u8]> {
    let bytes = token.of(text);
    match token.kind {
        TokenKind::Word => Some(bytes),
        TokenKind::Quoted => {
            let quote = bytes.first()?;
            let inside = bytes.get(1..bytes.len().checked_sub(1)?)?;
            (!inside.contains(quote)).then_some(inside)
        }
        _ => None,
    }
}
