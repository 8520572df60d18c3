//! Gives statements that differ only in their literals, comments and spaces one number and one text.
//!
//! A literal becomes `?`, a parenthesis of nothing but literals `(...)`, several of those one, and of the
//! rows behind `VALUES` only the first is left. Reserved words, the first word and called functions become
//! upper case; names stay as they are written, since a table's case may matter. The same pass feeds either
//! the number (no allocation) or the text, which is made when a number is seen for the first time.

use std::fmt;

use super::lexer::{Call, Dialect, Lexer, Token, TokenKind, Word};

/// The fingerprint of a statement: the same in every process, for the same dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    /// As sixteen hexadecimal digits.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// The most bytes of a digest's text.
pub const TEXT: usize = 1024;

/// The fingerprint of `text`.
pub fn digest(text: &[u8], dialect: &Dialect) -> Digest {
    let mut print = Fingerprint::new(text);
    print.0.run(dialect);
    print.finish()
}

/// Makes the fingerprint from the tokens of whoever cuts the text anyway: to cut it twice would cost more
/// than all the rest.
pub(super) struct Fingerprint<'t>(Fold<'t, Number>);

impl<'t> Fingerprint<'t> {
    /// Of `text`, of which no token was taken.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self(Fold::new(text, Number(0)))
    }

    /// The next token, whichever it is. None follows one that ends the text.
    pub(super) fn take(&mut self, token: Token) {
        self.0.token(token);
    }

    /// All have been taken.
    pub(super) fn finish(self) -> Digest {
        Digest(self.0.out.finish())
    }
}

/// What the fingerprint of `text` stands for: at most [`TEXT`] bytes, of which bytes that are not UTF-8 are
/// shown as `\u{fffd}`.
pub fn digest_text(text: &[u8], dialect: &Dialect) -> String {
    let mut fold = Fold::new(text, Text(Vec::new()));
    fold.run(dialect);
    fold.out.into_string()
}

/// Takes the pieces of a folded statement, some of which are taken back.
trait Out {
    /// A state to come back to.
    type Mark: Copy;
    fn mark(&self) -> Self::Mark;
    fn back(&mut self, mark: Self::Mark);
    fn add(&mut self, piece: &[u8], style: Style);
}

/// How a piece is written.
#[derive(Clone, Copy, Default)]
struct Style {
    /// In upper case: it is a keyword.
    upper: bool,
    /// Directly behind what is before it.
    tight: bool,
}

/// The number. Statements can be made to collide on purpose; that spoils a statistic, nothing else.
struct Number(u64);

impl Number {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(Self::SPREAD);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64).rotate_left(32);
    }

    fn finish(mut self) -> u64 {
        self.mix(Self::SPREAD);
        self.0
    }
}

impl Out for Number {
    type Mark = u64;

    fn mark(&self) -> u64 {
        self.0
    }

    fn back(&mut self, mark: u64) {
        self.0 = mark;
    }

    fn add(&mut self, piece: &[u8], style: Style) {
        let (chunks, rest) = piece.as_chunks::<8>();
        for chunk in chunks {
            self.mix(number(*chunk, style.upper));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        // The length tells `a b` from `ab`.
        self.mix(number(last, style.upper) ^ ((piece.len() as u64) << 56));
    }
}

/// Eight bytes as a number, their letters in upper case where that is wanted.
#[inline]
fn number(bytes: [u8; 8], upper: bool) -> u64 {
    let word = u64::from_le_bytes(bytes);
    if upper { upper_case(word) } else { word }
}

/// Eight bytes at once: a handful of instructions instead of a loop over each word of each statement.
const fn upper_case(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The top bit of a byte tells whether what was added reached it; that of the byte itself is left out.
    let low = word & (0x7F * EACH);
    let from_a = low + (0x80 - b'a' as u64) * EACH;
    let beyond_z = low + (0x7F - b'z' as u64) * EACH;
    let lower = from_a & !beyond_z & !word & (0x80 * EACH);
    // A small letter differs from its capital by 0x20.
    word ^ (lower >> 2)
}

/// The text, of which no more is kept than is shown, and one byte to know that there is more.
struct Text(Vec<u8>);

impl Text {
    fn into_string(self) -> String {
        let shown = self.0.get(..TEXT).unwrap_or(&self.0);
        let mut text = String::from_utf8_lossy(shown).into_owned();
        while text.len() > TEXT {
            text.pop();
        }
        text
    }
}

impl Out for Text {
    type Mark = usize;

    fn mark(&self) -> usize {
        self.0.len()
    }

    fn back(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn add(&mut self, piece: &[u8], style: Style) {
        if self.0.len() > TEXT {
            return;
        }
        let open = matches!(self.0.last(), None | Some(b'(' | b'.'));
        if !open && !style.tight {
            self.0.push(b' ');
        }
        let (from, room) = (self.0.len(), (TEXT + 1).saturating_sub(self.0.len()));
        self.0.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if style.upper
            && let Some(added) = self.0.get_mut(from..)
        {
            added.make_ascii_uppercase();
        }
    }
}

/// A parenthesis that holds nothing but literals so far.
#[derive(Clone, Copy)]
struct List<M> {
    before: M,
    tight: bool,
    literals: bool,
}

/// Lists one after another: `(...), (...)`.
#[derive(Clone, Copy)]
enum Chain<M> {
    None,
    /// Behind a list, which ended here.
    Behind(M),
    /// And behind its comma.
    Comma(M),
}

/// The rows behind `VALUES`.
#[derive(Clone, Copy)]
enum Rows<M> {
    None,
    /// In the first row, or before it, at this depth.
    First(u32),
    /// Behind a row; the first one ended here.
    Behind(M),
    /// And behind its comma.
    Comma(M),
    /// In another row, at this depth.
    Other(M, u32),
}

/// Goes over a statement.
struct Fold<'t, O: Out> {
    text: &'t [u8],
    out: O,
    last: Token,
    depth: u32,
    /// The first word is one whose `VALUES` has rows.
    inserts: bool,
    semicolon: bool,
    list: Option<List<O::Mark>>,
    chain: Chain<O::Mark>,
    rows: Rows<O::Mark>,
    /// Before a sign that may belong to a number.
    sign: Option<O::Mark>,
    /// As it was before a word that the string behind it makes a part of itself: `_utf8mb4'…'`.
    introducer: Option<Before<O::Mark>>,
}

/// What a word may have changed.
#[derive(Clone, Copy)]
struct Before<M> {
    out: M,
    list: Option<List<M>>,
    chain: Chain<M>,
    sign: Option<M>,
}

impl<'t, O: Out> Fold<'t, O> {
    fn new(text: &'t [u8], out: O) -> Self {
        Self {
            text,
            out,
            last: Token::NONE,
            depth: 0,
            inserts: false,
            semicolon: false,
            list: None,
            chain: Chain::None,
            rows: Rows::None,
            sign: None,
            introducer: None,
        }
    }

    fn run(&mut self, dialect: &Dialect) {
        let mut lexer = Lexer::new(self.text, dialect);
        while self.token(lexer.token()) {}
    }

    /// Takes the next token; whether another may follow.
    fn token(&mut self, token: Token) -> bool {
        match token.kind {
            TokenKind::End => return false,
            TokenKind::Broken => {
                self.out.add(b"...", Style::default());
                return false;
            }
            TokenKind::Hint => return true,
            // What ends the text does not count.
            TokenKind::Semicolon => {
                self.semicolon = self.last.kind != TokenKind::End;
                return true;
            }
            _ => {}
        }
        if std::mem::take(&mut self.semicolon) {
            self.out.add(b";", Style { tight: true, ..Style::default() });
            self.begin();
        }
        self.depth(token.kind);
        if !self.is_in_other_row(token) {
            self.take(token);
        }
        self.row_ends(token.kind);
        self.last = token;
        true
    }

    /// Another statement begins.
    fn begin(&mut self) {
        (self.last, self.depth, self.inserts) = (Token::NONE, 0, false);
        (self.list, self.chain, self.rows, self.sign) = (None, Chain::None, Rows::None, None);
        self.introducer = None;
    }

    fn depth(&mut self, kind: TokenKind) {
        if kind == TokenKind::Open {
            self.depth = self.depth.saturating_add(1);
        }
    }

    /// Rows behind the first are left out.
    fn is_in_other_row(&mut self, token: Token) -> bool {
        self.rows = match (self.rows, token.kind) {
            (Rows::Behind(end), TokenKind::Comma) => Rows::Comma(end),
            (Rows::Comma(end), TokenKind::Open) => Rows::Other(end, self.depth),
            // MySQL's `VALUES ROW(1), ROW(2)`.
            (Rows::Comma(end), _) if token.word == Word::Row => Rows::Comma(end),
            (Rows::Behind(_) | Rows::Comma(_), _) => Rows::None,
            (rows, _) => rows,
        };
        matches!(self.rows, Rows::Other(..))
    }

    /// Ends a parenthesis, and maybe a row with it.
    fn row_ends(&mut self, kind: TokenKind) {
        if kind != TokenKind::Close {
            return;
        }
        self.rows = match self.rows {
            Rows::First(depth) if depth + 1 == self.depth => Rows::Behind(self.out.mark()),
            Rows::Other(end, depth) if depth == self.depth => {
                self.out.back(end);
                Rows::Behind(end)
            }
            rows => rows,
        };
        self.depth = self.depth.saturating_sub(1);
    }

    fn take(&mut self, token: Token) {
        if let Some(before) = self.introducer.take()
            && token.kind == TokenKind::String
        {
            self.out.back(before.out);
            (self.list, self.chain, self.sign) = (before.list, before.chain, before.sign);
        }
        match token.kind {
            TokenKind::String | TokenKind::Number | TokenKind::Placeholder => self.literal(token),
            TokenKind::Open => self.open(token),
            TokenKind::Close => self.close(),
            TokenKind::Comma => {
                self.chain = match self.chain {
                    Chain::Behind(end) => Chain::Comma(end),
                    Chain::Comma(end) if self.list.is_some() => Chain::Comma(end),
                    _ => Chain::None,
                };
                self.plain(b",", Style { tight: true, upper: false });
            }
            TokenKind::Sign => {
                let before = self.sign.unwrap_or_else(|| self.out.mark());
                self.sign = (!self.is_behind_operand()).then_some(before);
                self.breaks_chain();
                self.out.add(token.of(self.text), Style::default());
            }
            TokenKind::Word => self.word(token),
            TokenKind::Versioned => self.other(b"/*!", false),
            TokenKind::Dot => self.other(b".", true),
            TokenKind::Operator | TokenKind::Equal => {
                let joins =
                    matches!(self.last.kind, TokenKind::Operator | TokenKind::Equal | TokenKind::Sign);
                self.other(token.of(self.text), joins);
            }
            _ => self.other(token.of(self.text), false),
        }
    }

    fn literal(&mut self, token: Token) {
        if let Some(before) = self.sign.take() {
            self.out.back(before);
        }
        if let Some(list) = &mut self.list {
            list.literals = true;
        }
        self.breaks_chain();
        // Strings side by side are one.
        if token.kind != TokenKind::String || self.last.kind != TokenKind::String {
            self.out.add(b"?", Style::default());
        }
    }

    /// What stands between two lists that is not one of them.
    fn breaks_chain(&mut self) {
        if self.list.is_none() {
            self.chain = Chain::None;
        }
    }

    fn open(&mut self, token: Token) {
        let calls = self.last.kind == TokenKind::Word
            && !matches!(self.last.call, Call::Unknown | Call::Syntax)
            && self.last.word != Word::Values;
        if self.list.is_some() || !matches!(self.chain, Chain::Comma(_)) {
            self.chain = Chain::None;
        }
        self.list = Some(List { before: self.out.mark(), tight: calls, literals: false });
        self.plain(token.of(self.text), Style { tight: calls, upper: false });
    }

    fn close(&mut self) {
        let style = Style { tight: true, upper: false };
        let Some(list) = self.list.take().filter(|list| list.literals) else {
            self.chain = Chain::None;
            return self.plain(b")", style);
        };
        self.out.back(list.before);
        if let Chain::Comma(end) = self.chain {
            self.out.back(end);
        } else {
            self.plain(b"(...)", Style { tight: list.tight, upper: false });
        }
        self.chain = Chain::Behind(self.out.mark());
    }

    fn word(&mut self, token: Token) {
        let first = self.last.kind == TokenKind::End;
        let calls = token.call != Call::Unknown && self.text.get(token.end) == Some(&b'(');
        let piece = token.of(self.text);
        if piece.first() == Some(&b'_') && self.last.kind != TokenKind::Dot {
            let (list, chain, sign) = (self.list, self.chain, self.sign);
            self.introducer = Some(Before { out: self.out.mark(), list, chain, sign });
        }
        self.inserts |= first && matches!(token.word, Word::Insert | Word::Replace | Word::Values);
        let of_values = matches!(token.word, Word::Values | Word::Value);
        if self.inserts && of_values && matches!(self.rows, Rows::None) {
            self.rows = Rows::First(self.depth);
        }
        let style = Style { upper: token.reserved || first || calls, tight: false };
        if matches!(token.word, Word::Null | Word::True | Word::False | Word::Default)
            && let Some(list) = &mut self.list
        {
            // As good as a literal, but only in a list.
            list.literals = true;
            return self.plain(piece, style);
        }
        (self.list, self.chain) = (None, Chain::None);
        self.plain(piece, style);
    }

    /// What is neither a literal nor stands between literals.
    fn other(&mut self, piece: &[u8], tight: bool) {
        (self.list, self.chain) = (None, Chain::None);
        self.plain(piece, Style { upper: false, tight });
    }

    fn plain(&mut self, piece: &[u8], style: Style) {
        self.sign = None;
        self.out.add(piece, style);
    }

    /// Whether a sign here stands between two operands.
    fn is_behind_operand(&self) -> bool {
        match self.last.kind {
            TokenKind::Word => !self.last.reserved,
            TokenKind::Quoted
            | TokenKind::String
            | TokenKind::Number
            | TokenKind::Placeholder
            | TokenKind::UserVariable
            | TokenKind::SystemVariable
            | TokenKind::Close => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
