//! Tells code from strings and comments, as far as the rules need it. It is no parser of Rust.

/// One line of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The code; each string in it stands as `""`.
    pub(super) code: String,
    /// What stands in its strings, a string that spans lines by its pieces.
    pub(super) strings: Vec<String>,
}

/// Where the reader is.
enum State {
    Code,
    /// Nested this deep in `/* */`.
    Comment(usize),
    /// In a string that ends with a quote and so many `#`; escapes count only in one without.
    Text {
        hashes: usize,
        raw: bool,
    },
}

/// The lines of `text`.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut state = State::Code;
    text.lines().map(|line| read(line, &mut state)).collect()
}

fn read(line: &str, state: &mut State) -> Line {
    let mut read = Line::default();
    let mut rest = line;
    if matches!(state, State::Text { .. }) {
        read.strings.push(String::new());
    }
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match *state {
            State::Comment(depth) => {
                if rest.starts_with("*/") {
                    (*state, taken) = (if depth == 1 { State::Code } else { State::Comment(depth - 1) }, 2);
                } else if rest.starts_with("/*") {
                    (*state, taken) = (State::Comment(depth + 1), 2);
                }
            }
            State::Text { hashes, raw } => {
                let end = format!("\"{}", "#".repeat(hashes));
                if rest.starts_with(&end) {
                    (*state, taken) = (State::Code, end.len());
                    read.code.push('"');
                } else {
                    if c == '\\' && !raw {
                        taken += rest[taken..].chars().next().map_or(0, char::len_utf8);
                    }
                    read.strings.last_mut().into_iter().for_each(|text| text.push_str(&rest[..taken]));
                }
            }
            State::Code if rest.starts_with("//") => break,
            State::Code if rest.starts_with("/*") => (*state, taken) = (State::Comment(1), 2),
            State::Code => {
                if let Some((opening, hashes, raw)) = string_begin(rest, &read.code) {
                    (*state, taken) = (State::Text { hashes, raw }, opening);
                    read.code.push('"');
                    read.strings.push(String::new());
                } else if let Some(length) = character(rest) {
                    taken = length;
                    read.code.push_str("' '");
                } else {
                    read.code.push(c);
                }
            }
        }
        rest = &rest[taken..];
    }
    read
}

/// The length of a string's opening, its number of `#`, and whether escapes mean nothing in it.
fn string_begin(rest: &str, before: &str) -> Option<(usize, usize, bool)> {
    if rest.starts_with('"') {
        return Some((1, 0, false));
    }
    let hashes_at = rest.strip_prefix('r')?;
    let hashes = hashes_at.bytes().take_while(|b| *b == b'#').count();
    let in_a_word = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
    (hashes_at[hashes..].starts_with('"') && !in_a_word).then_some((2 + hashes, hashes, true))
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if let Some(escaped) = inner.strip_prefix('\\') {
        let after = escaped.chars().next()?.len_utf8();
        return Some(2 + after + escaped[after..].find('\'')? + 1);
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].starts_with('\'').then_some(2 + c.len_utf8())
}
