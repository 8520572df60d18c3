//! Remembers the verdict on statements that differ in nothing but their numbers and strings, which is how
//! an application sends the same one again and again.
//!
//! A verdict hangs on nothing but the text and how it is read, so one that is remembered is never out of
//! date. The shape of a text is the text with `0` for each number and `''` for each string that the lexer
//! surely takes for one: texts of one shape are the same tokens but for what numbers and strings hold. What
//! may be read otherwise (comments, double quotes, backslashes, variables, bytes beyond ASCII) has no shape,
//! and a verdict that may hang on a number or a string is not remembered.

use super::{Effects, Hint, Kind, Statement, examine};
use crate::sql::digest::Digest;
use crate::sql::lexer::Dialect;
use memchr::{memchr, memchr2};

/// The longest shape that is remembered.
const LONGEST: usize = 512;
/// How many are remembered; a power of two.
const PLACES: usize = 256;

/// The verdicts on the statements seen last.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// Each at a place that its shape tells; another of the same place takes it.
    known: Box<[Option<Known>]>,
}

#[derive(Debug)]
struct Known {
    shape: Vec<u8>,
    dialect: Dialect,
    verdict: Statement,
    digest: Digest,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes { known: (0..PLACES).map(|_| None).collect() }
    }
}

impl Shapes {
    /// What [`examine`] says.
    pub(crate) fn examine(&mut self, text: &[u8], dialect: &Dialect) -> (Statement, Digest) {
        let mut space = [0; LONGEST];
        let Some(shape) = shape(text, &mut space) else { return examine(text, dialect) };
        let Some(place) = self.known.get_mut(place(shape)) else { return examine(text, dialect) };
        if let Some(known) = place
            && known.shape == shape
            && known.dialect == *dialect
        {
            return (known.verdict, known.digest);
        }
        let (verdict, digest) = examine(text, dialect);
        if hangs_on_words(&verdict) {
            let mut kept = place.take().map_or_else(Vec::new, |known| known.shape);
            kept.clear();
            kept.extend_from_slice(shape);
            *place = Some(Known { shape: kept, dialect: *dialect, verdict, digest });
        }
        (verdict, digest)
    }
}

/// Whether numbers and strings in other words' places would change nothing, and nothing in the verdict tells
/// of a place in the text.
fn hangs_on_words(verdict: &Statement) -> bool {
    let plain =
        matches!(verdict.kind, Kind::Select | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete);
    plain
        && verdict.count == 1
        && verdict.effects.without(Effects::WRITE).is_empty()
        && verdict.reads.is_empty()
        && (verdict.autocommit.is_none() && verdict.lone.is_none())
        && (verdict.hint == Hint::default() && verdict.settings == Hint::default())
}

fn place(shape: &[u8]) -> usize {
    let (words, rest) = shape.as_chunks::<8>();
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let sum = words.iter().fold(shape.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    let sum = rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)));
    (sum >> 32) as usize % PLACES
}

/// What a byte outside quotes means for the shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It stands for itself.
    Plain,
    /// Likewise, and a number may begin behind it and end before it.
    Border,
    Digit,
    Quote,
    Backtick,
    /// It stands for itself but before one that makes both a comment.
    Half,
    /// It may begin what is read otherwise.
    Odd,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Odd; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b' ' | b'\n' | b'\t' | b'\r' | b',' | b';' | b'(' | b')' | b'=' | b'<' | b'>' => Class::Border,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'`' => Class::Backtick,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' | b'*' | b'+' | b'?' | b'!' | b'%' => Class::Plain,
            b'-' | b'/' => Class::Half,
            _ => Class::Odd,
        };
        byte += 1;
    }
    classes
};

/// The shape of a text, in `space`; none where it has none, or a long one.
fn shape<'s>(text: &[u8], space: &'s mut [u8; LONGEST]) -> Option<&'s [u8]> {
    let (mut at, mut length) = (0, 0);
    let mut keep = |piece: &[u8]| {
        space.get_mut(length..length + piece.len())?.copy_from_slice(piece);
        length += piece.len();
        Some(())
    };
    loop {
        let rest = text.get(at..)?;
        let own = rest.iter().take_while(|byte| stands_for_itself(**byte)).count();
        keep(rest.get(..own)?)?;
        at += own;
        let Some(&byte) = text.get(at) else { break };
        let rest = text.get(at..)?;
        let begins = at == 0 || is_border(text.get(at - 1));
        let long = match CLASSES[usize::from(byte)] {
            Class::Digit => digits(rest),
            // `x'…'` is no string, nor are two of which the second follows directly.
            Class::Quote if begins => string(rest)?,
            Class::Backtick => name(rest)?,
            Class::Half if !matches!(rest.get(1), Some(b'-' | b'*')) => 1,
            _ => return None,
        };
        keep(match CLASSES[usize::from(byte)] {
            Class::Quote => b"''",
            Class::Digit if begins && is_border(rest.get(long)) => b"0",
            _ => rest.get(..long)?,
        })?;
        at += long;
    }
    space.get(..length)
}

fn stands_for_itself(byte: u8) -> bool {
    matches!(CLASSES[usize::from(byte)], Class::Plain | Class::Border)
}

fn is_border(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| CLASSES[usize::from(*byte)] == Class::Border)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// How long the string is that `text` begins with; none where its end may be read in two ways.
fn string(text: &[u8]) -> Option<usize> {
    let inside = text.get(1..)?;
    let end = memchr2(b'\'', b'\\', inside)?;
    let plain = inside.get(end) == Some(&b'\'') && inside.get(end + 1) != Some(&b'\'');
    (plain && inside.get(..end)?.is_ascii()).then_some(end + 2)
}

/// How long the name in backticks is that `text` begins with.
fn name(text: &[u8]) -> Option<usize> {
    let inside = text.get(1..)?;
    let end = memchr(b'`', inside)?;
    inside.get(..end)?.is_ascii().then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Engine;

    fn shown(text: &str) -> Option<String> {
        shape(text.as_bytes(), &mut [0; LONGEST]).map(|shape| String::from_utf8(shape.to_vec()).unwrap())
    }

    #[test]
    fn numbers_and_strings_leave_the_shape_and_all_else_stays() {
        for (text, expected) in [
            ("SELECT c FROM sbtest1 WHERE id=5012", "SELECT c FROM sbtest1 WHERE id=0"),
            ("SELECT 1,22 ,(3)", "SELECT 0,0 ,(0)"),
            ("UPDATE t SET a='b 1', c = 7 WHERE d<'e'", "UPDATE t SET a='', c = 0 WHERE d<''"),
            ("SELECT `a 5` FROM t5 WHERE x = 5", "SELECT `a 5` FROM t5 WHERE x = 0"),
            ("SELECT 1.5, 2e3, 0x1F, 5a, t.5, a+5", "SELECT 1.5, 2e3, 0x1F, 5a, t.5, a+5"),
            ("SELECT a-1, b/2 FROM t WHERE\n1 = -1;", "SELECT a-1, b/2 FROM t WHERE\n0 = -1;"),
            ("SELECT ''", "SELECT ''"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "SELECT 1 /* 5 */",
            "SELECT 1 -- 5",
            "SELECT 1 # 5",
            "SELECT \"a\"",
            "SELECT 'a\\'b'",
            "SELECT 'a''b'",
            "SELECT 'a",
            "SELECT `a",
            "SELECT x'AF'",
            "SELECT N'a'",
            "SELECT @a",
            "SELECT 'é'",
            "SELECT é",
            "SELECT '\0'\0",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(shown(&format!("SELECT '{}'", "x".repeat(9000))).as_deref(), Some("SELECT ''"));
        assert_eq!(shown(&format!("SELECT {}", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn a_verdict_that_hangs_on_a_literal_or_tells_of_a_place_is_made_anew() {
        let mut shapes = Shapes::default();
        for engine in [Engine::MariaDb, Engine::MySql] {
            let dialect = Dialect::new(engine);
            for text in [
                "SET autocommit = 1",
                "SET autocommit = 0",
                "KILL 5",
                "KILL 6",
                "SELECT 'a', LAST_INSERT_ID()",
                "SELECT 'abc', LAST_INSERT_ID()",
                "SET sql_mode = 'ANSI'",
                "SET sql_mode = ''",
                "SELECT * FROM t WHERE id = 5 FOR UPDATE",
                "SELECT * FROM t WHERE id = 5",
                "SELECT * FROM t5 WHERE id = 5",
            ] {
                for _ in 0..2 {
                    let seen = shapes.examine(text.as_bytes(), &dialect);
                    assert_eq!(seen, examine(text.as_bytes(), &dialect), "{text}");
                }
            }
        }
    }
}
