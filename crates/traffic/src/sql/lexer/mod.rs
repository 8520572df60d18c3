//! Statements as tokens, cut where the server cuts them.
//!
//! One pass over the bytes, forward only, without allocation: the cost is linear in the text, whatever it
//! holds. What surely is not read as the server reads it (a string that does not end, a byte that may be a
//! space in some character sets) is [`TokenKind::Broken`], after which nothing is read any more: a guess
//! here would be a write on a replica. Nothing of what tokens mean together is decided here.

mod charset;
mod cut;
mod dialect;
mod functions;
mod vocabulary;
mod words;

pub use cut::Lexer;
pub use dialect::{Charset, Dialect, Engine};
pub(crate) use functions::Call;
pub(crate) use words::Word;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The text is over.
    End,
    /// A keyword or a name without quotes.
    Word,
    /// A name in backticks, or in double quotes under `ANSI_QUOTES`; the token includes them.
    Quoted,
    /// A string with its quotes and what stands directly before them (`N'…'`).
    String,
    /// A number, a hexadecimal or bit literal, `\N`.
    Number,
    /// `?`.
    Placeholder,
    /// `@x`, `@'x'`.
    UserVariable,
    /// `@@x`, up to the first dot.
    SystemVariable,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// `.` between names.
    Dot,
    /// `=`.
    Equal,
    /// `:=`.
    Assign,
    /// `+` or `-`.
    Sign,
    /// Any other single character of an operator.
    Operator,
    /// A comment that begins with `stoa:`; the token is what follows that word.
    Hint,
    /// `/*!` or `/*M!` with its version. What is in it follows as tokens, its end is left out.
    Versioned,
    /// From here on the text is not read as the server surely would. Nothing but this follows.
    Broken,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// The keyword it is, where it is one that a verdict may hang on.
    pub(crate) word: Word,
    /// What it means before an opening parenthesis.
    pub(crate) call: Call,
    /// A word that cannot be a name without quotes.
    pub(crate) reserved: bool,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Token {
    /// A token of no text.
    pub(crate) const NONE: Self = Self::new(TokenKind::End, 0, 0);

    const fn new(kind: TokenKind, start: usize, end: usize) -> Self {
        Self { kind, word: Word::None, call: Call::Unknown, reserved: false, start, end }
    }

    /// Its bytes.
    pub fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
