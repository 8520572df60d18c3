//! Cuts a text into tokens.

use memchr::{memchr, memchr2};

use super::dialect::{Charset, Dialect, Engine};
use super::vocabulary::{self, SEED, mix};
use super::{Token, TokenKind};

/// Reads one text from its start to its end. A copy looks ahead.
#[derive(Clone)]
pub struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    dialect: Dialect,
    /// The last token was a dot with a name directly behind it, which then is no keyword and no number.
    name_follows: bool,
    /// Where a dot stands directly behind a name without quotes: `t.1e5` is a name in `t`.
    dot: Option<usize>,
    /// Inside a versioned comment, whose end is not an operator.
    versioned: bool,
}

/// What a byte may begin outside quotes and comments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Digit,
    /// A token of one byte.
    One(TokenKind),
    /// Decided by what follows.
    More,
    High,
    Bad,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Bad; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
};

const fn class(byte: u8) -> Class {
    match byte {
        b'\t'..=b'\r' | b' ' => Class::Space,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b'(' => Class::One(TokenKind::Open),
        b')' => Class::One(TokenKind::Close),
        b',' => Class::One(TokenKind::Comma),
        b';' => Class::One(TokenKind::Semicolon),
        b'=' => Class::One(TokenKind::Equal),
        b'+' => Class::One(TokenKind::Sign),
        b'?' => Class::One(TokenKind::Placeholder),
        b'!' | b'%' | b'&' | b'<' | b'>' | b'[' | b']' | b'^' | b'{' | b'|' | b'}' | b'~' => {
            Class::One(TokenKind::Operator)
        }
        b'\'' | b'"' | b'`' | b'@' | b'#' | b'-' | b'/' | b'*' | b'.' | b':' | b'\\' => Class::More,
        0x80.. => Class::High,
        _ => Class::Bad,
    }
}

impl<'t> Lexer<'t> {
    /// Begins at the start of `text`.
    pub fn new(text: &'t [u8], dialect: &Dialect) -> Self {
        Self { text, at: 0, dialect: *dialect, name_follows: false, dot: None, versioned: false }
    }

    /// The next token; `End` or `Broken` for ever once it was given.
    pub fn token(&mut self) -> Token {
        if std::mem::take(&mut self.name_follows) {
            return self.name(self.at);
        }
        loop {
            let start = self.at;
            let Some(&byte) = self.text.get(start) else {
                // A versioned comment that does not end is an error of the server's.
                return if self.versioned { self.broken(start) } else { self.upto(TokenKind::End, 0) };
            };
            match CLASSES[byte as usize] {
                Class::Space => self.at += 1,
                Class::Letter => return self.word(start, byte),
                Class::Digit => return self.number(start),
                Class::One(kind) => return self.upto(kind, 1),
                Class::High => return self.name(start),
                Class::Bad => return self.broken(start),
                Class::More => {
                    if let Some(token) = self.more(start, byte) {
                        return token;
                    }
                }
            }
        }
    }

    /// The next token of which `is` holds, or the one that ends the text.
    pub(crate) fn find(&mut self, is: impl Fn(&Token) -> bool) -> Token {
        loop {
            let token = self.token();
            if is(&token) || matches!(token.kind, TokenKind::End | TokenKind::Broken) {
                return token;
            }
        }
    }

    /// A token or a comment that its first byte alone does not tell; `None` for a comment.
    fn more(&mut self, start: usize, byte: u8) -> Option<Token> {
        let next = self.byte(start + 1);
        match byte {
            b'\'' => Some(self.string(start, start, byte)),
            b'"' if !self.dialect.ansi_quotes => Some(self.string(start, start, byte)),
            b'"' | b'`' => Some(self.quoted(TokenKind::Quoted, start, start)),
            b'@' => Some(self.variable(start, next)),
            b'#' => self.line_comment(start),
            b'-' if next == Some(b'-') => self.dashes(start),
            b'-' => Some(self.upto(TokenKind::Sign, 1)),
            b'/' if next == Some(b'*') => self.comment(start),
            b'*' if self.versioned && next == Some(b'/') => {
                self.versioned = false;
                self.at = start + 2;
                None
            }
            b'.' if self.dot != Some(start) && next.is_some_and(|next| next.is_ascii_digit()) => {
                Some(self.fraction(start, start + 1))
            }
            b'.' => {
                self.name_follows = next.is_some_and(in_name);
                Some(self.upto(TokenKind::Dot, 1))
            }
            b':' if next == Some(b'=') => Some(self.upto(TokenKind::Assign, 2)),
            b'\\' if next == Some(b'N') => Some(self.upto(TokenKind::Number, 2)),
            b'\\' => Some(self.broken(start)),
            _ => Some(self.upto(TokenKind::Operator, 1)),
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// The token of the next `length` bytes.
    fn upto(&mut self, kind: TokenKind, length: usize) -> Token {
        let start = self.at;
        self.at += length;
        Token::new(kind, start, self.at)
    }

    fn broken(&mut self, start: usize) -> Token {
        // Everything that is left is bad for good: `End` never follows.
        self.at = start.min(self.text.len());
        self.text = self.text.get(..self.at).unwrap_or_default();
        self.versioned = true;
        self.name_follows = false;
        Token::new(TokenKind::Broken, start, start)
    }

    /// A word that begins with a letter, which may turn out to be the head of a literal.
    fn word(&mut self, start: usize, first: u8) -> Token {
        if self.byte(start + 1) == Some(b'\'') {
            match first | 0x20 {
                b'n' => return self.string(start, start + 1, b'\''),
                b'x' => return self.digits_in_quotes(start, |byte| byte.is_ascii_hexdigit()),
                b'b' => return self.digits_in_quotes(start, |byte| matches!(byte, b'0' | b'1')),
                _ => {}
            }
        }
        let mut hash = SEED;
        let mut end = start;
        let after = loop {
            match self.byte(end) {
                Some(byte) if in_ascii_name(byte) => hash = mix(hash, byte),
                after => break after,
            }
            end += 1;
        };
        if after.is_some_and(|byte| byte >= 0x80) {
            return self.name(start);
        }
        self.at = end;
        let mut token = Token::new(TokenKind::Word, start, end);
        // Directly before a dot and a name, even a reserved word is a name.
        if !self.qualifies(end) {
            let entry = vocabulary::find(token.of(self.text), hash);
            token.word = entry.word;
            token.call = entry.call(self.dialect.engine);
            token.reserved = entry.reserved;
        }
        token
    }

    /// Whether a dot and a name stand directly behind a name that ends at `end`.
    fn qualifies(&mut self, end: usize) -> bool {
        let qualifies = self.byte(end) == Some(b'.') && self.byte(end + 1).is_some_and(in_name);
        self.dot = qualifies.then_some(end);
        qualifies
    }

    /// A word that is a name and nothing else: behind a dot, or with long characters.
    fn name(&mut self, start: usize) -> Token {
        let mut end = start;
        while let Some(byte) = self.byte(end) {
            if in_ascii_name(byte) {
                end += 1;
            } else if byte < 0x80 {
                break;
            } else {
                let rest = self.text.get(end..).unwrap_or_default();
                match (self.dialect.charset, self.dialect.charset.length(rest)) {
                    (Charset::Utf8, Some(length)) => end += length,
                    _ => return self.broken(start),
                }
            }
        }
        self.at = end;
        self.qualifies(end);
        // MySQL 9 reads `$tag$ … $tag$` as a string, others as a name.
        if self.byte(start) == Some(b'$') {
            self.broken(start)
        } else {
            Token::new(TokenKind::Word, start, end)
        }
    }

    /// What begins with a digit: a number, or a name such as `2nd`.
    fn number(&mut self, start: usize) -> Token {
        let run = |from: usize, is: fn(&u8) -> bool| {
            from + self.text.get(from..).unwrap_or_default().iter().take_while(|byte| is(byte)).count()
        };
        let literal = |end: usize| end > start + 2 && !self.byte(end).is_some_and(in_name);
        if self.byte(start) == Some(b'0') {
            let end = match self.byte(start + 1) {
                Some(b'x') => run(start + 2, u8::is_ascii_hexdigit),
                Some(b'b') => run(start + 2, |byte| matches!(byte, b'0' | b'1')),
                _ => start,
            };
            if literal(end) {
                return self.upto(TokenKind::Number, end - start);
            }
        }
        let end = run(start, u8::is_ascii_digit);
        match self.byte(end) {
            Some(b'.') => self.fraction(start, end + 1),
            Some(b'e' | b'E') => {
                let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
                let exponent = end + 1 + sign;
                let over = run(exponent, u8::is_ascii_digit);
                if over > exponent { self.upto(TokenKind::Number, over - start) } else { self.name(start) }
            }
            Some(byte) if in_name(byte) => self.name(start),
            _ => self.upto(TokenKind::Number, end - start),
        }
    }

    /// The rest of a number behind its point.
    fn fraction(&mut self, start: usize, from: usize) -> Token {
        let run = |from: usize| {
            let rest = self.text.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = run(from);
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            end = run(exponent);
            if end == exponent {
                return self.broken(start);
            }
        }
        self.upto(TokenKind::Number, end - start)
    }

    /// `x'…'`, `b'…'`.
    fn digits_in_quotes(&mut self, start: usize, is: fn(&u8) -> bool) -> Token {
        let digits = self.text.get(start + 2..).unwrap_or_default();
        let end = start + 2 + digits.iter().take_while(|byte| is(byte)).count();
        match self.byte(end) {
            Some(b'\'') => self.upto(TokenKind::Number, end + 1 - start),
            _ => self.broken(start),
        }
    }

    /// A string whose opening quote stands at `open`.
    fn string(&mut self, start: usize, open: usize, quote: u8) -> Token {
        match self.closing(open + 1, quote, !self.dialect.no_backslash_escapes) {
            Some(end) => self.upto(TokenKind::String, end - start),
            None => self.broken(start),
        }
    }

    /// A name whose opening quote stands at `open`.
    fn quoted(&mut self, kind: TokenKind, start: usize, open: usize) -> Token {
        let quote = self.byte(open).unwrap_or(b'`');
        match self.closing(open + 1, quote, false) {
            // The servers end a name, and the text, at a zero byte.
            Some(end) if memchr(0, self.text.get(open..end).unwrap_or_default()).is_none() => {
                self.upto(kind, end - start)
            }
            _ => self.broken(start),
        }
    }

    /// One past the closing quote of what begins at `from`.
    fn closing(&self, from: usize, quote: u8, escapes: bool) -> Option<usize> {
        if !self.dialect.charset.is_ascii_safe() {
            return self.closing_among_long(from, quote, escapes);
        }
        let mut at = from;
        loop {
            let rest = self.text.get(at..)?;
            let found = if escapes { memchr2(quote, b'\\', rest)? } else { memchr(quote, rest)? };
            at += found;
            if self.byte(at) == Some(quote) && self.byte(at + 1) != Some(quote) {
                return Some(at + 1);
            }
            // A doubled quote, or a backslash and what it escapes.
            at += 2;
        }
    }

    /// The same in a character set whose long characters may hold a backtick or a backslash.
    fn closing_among_long(&self, from: usize, quote: u8, escapes: bool) -> Option<usize> {
        let mut at = from;
        loop {
            let byte = self.byte(at)?;
            if byte >= 0x80 {
                at += self.dialect.charset.length(self.text.get(at..)?)?;
            } else if byte == quote {
                if self.byte(at + 1) != Some(quote) {
                    return Some(at + 1);
                }
                at += 2;
            } else if escapes && byte == b'\\' {
                // As the servers do it: one byte is escaped, also where a long character begins with it.
                at += 2;
            } else {
                at += 1;
            }
        }
    }

    /// `@x`, `@'x'`, `@@x`.
    fn variable(&mut self, start: usize, next: Option<u8>) -> Token {
        match next {
            Some(b'\'') => {
                let token = self.string(start, start + 1, b'\'');
                Token {
                    kind: if token.kind == TokenKind::String { TokenKind::UserVariable } else { token.kind },
                    ..token
                }
            }
            Some(b'"') if !self.dialect.ansi_quotes => {
                let token = self.string(start, start + 1, b'"');
                Token {
                    kind: if token.kind == TokenKind::String { TokenKind::UserVariable } else { token.kind },
                    ..token
                }
            }
            Some(b'"' | b'`') => self.quoted(TokenKind::UserVariable, start, start + 1),
            Some(b'@') => match self.byte(start + 2) {
                Some(b'`') => self.quoted(TokenKind::SystemVariable, start, start + 2),
                Some(b'"') if self.dialect.ansi_quotes => {
                    self.quoted(TokenKind::SystemVariable, start, start + 2)
                }
                Some(byte) if in_name(byte) => {
                    self.variable_name(TokenKind::SystemVariable, start, start + 2, false)
                }
                _ => self.broken(start),
            },
            Some(byte) if in_name(byte) || byte == b'.' => {
                self.variable_name(TokenKind::UserVariable, start, start + 1, true)
            }
            _ => self.broken(start),
        }
    }

    /// The name of a variable that stands without quotes.
    fn variable_name(&mut self, kind: TokenKind, start: usize, from: usize, dots: bool) -> Token {
        let rest = self.text.get(from..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| in_ascii_name(**byte) || (dots && **byte == b'.')).count();
        match self.byte(from + length) {
            Some(0x80..) => self.broken(start),
            _ => {
                if kind == TokenKind::SystemVariable {
                    self.qualifies(from + length);
                }
                self.upto(kind, from + length - start)
            }
        }
    }

    /// `--` begins a comment only before a space, a control character or the end.
    fn dashes(&mut self, start: usize) -> Option<Token> {
        match self.byte(start + 2) {
            None => {
                self.at = start + 2;
                None
            }
            Some(byte) if byte == b' ' || byte.is_ascii_control() => self.line_comment(start + 2),
            // May be a space in the session's character set.
            Some(0x80..) if self.dialect.charset != Charset::Utf8 => Some(self.broken(start)),
            Some(_) => Some(self.upto(TokenKind::Sign, 1)),
        }
    }

    /// Skips to the end of the line.
    fn line_comment(&mut self, from: usize) -> Option<Token> {
        let rest = self.text.get(from..).unwrap_or_default();
        match memchr2(b'\n', 0, rest) {
            // The servers end the comment, and the text, at a zero byte.
            Some(found) if rest.get(found) == Some(&0) => Some(self.broken(from)),
            Some(found) => {
                self.at = from + found + 1;
                None
            }
            None => {
                self.at = self.text.len();
                None
            }
        }
    }

    /// `/* … */` is skipped, unless it is one of the kinds that say something.
    fn comment(&mut self, start: usize) -> Option<Token> {
        let body = start + 2;
        match (self.byte(body), self.byte(body + 1)) {
            (Some(b'!'), _) => return Some(self.version(start, body + 1)),
            (Some(b'M'), Some(b'!')) if self.dialect.engine == Engine::MariaDb => {
                return Some(self.version(start, body + 2));
            }
            _ => {}
        }
        let rest = self.text.get(body..).unwrap_or_default();
        let mut end = 0;
        loop {
            match memchr(b'*', rest.get(end..).unwrap_or_default()) {
                None => return Some(self.broken(start)),
                Some(found) => end += found + 1,
            }
            if rest.get(end) == Some(&b'/') {
                break;
            }
        }
        let inside = rest.get(..end - 1).unwrap_or_default();
        // A hint to the optimizer has a grammar of its own, in which a quoted name may hold `*/`.
        if inside.first() == Some(&b'+') && inside.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'`')) {
            return Some(self.broken(start));
        }
        self.at = body + end + 1;
        let words = inside.trim_ascii_start();
        let hint = words.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"stoa:"));
        let from = body + (inside.len() - words.len()) + 5;
        hint.then(|| Token::new(TokenKind::Hint, from, body + end - 1))
    }

    /// The head of a versioned comment, whose version ends before `from` plus some digits.
    fn version(&mut self, start: usize, from: usize) -> Token {
        let rest = self.text.get(from..).unwrap_or_default();
        let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        self.versioned = true;
        self.upto(TokenKind::Versioned, from + digits - start)
    }
}

/// Whether an unquoted name may go on with this byte.
const fn in_name(byte: u8) -> bool {
    in_ascii_name(byte) || byte >= 0x80
}

const fn in_ascii_name(byte: u8) -> bool {
    byte == b'$' || matches!(CLASSES[byte as usize], Class::Letter | Class::Digit)
}
