//! Command lines: split into words as a shell would, run without one. What only a shell could do is
//! refused with the way to do it without.

use super::{Refusal, refuse};
use crate::site::CommandLine;
use std::iter::Peekable;
use std::str::Chars;

/// The longest command line; the kernel takes 128 KiB an argument.
const LENGTH_MAX: usize = 16 << 10;

impl CommandLine {
    /// Splits `text` into words. Quotes and backslashes work as in a shell; a `$` is always the
    /// beginning of `$NAME` or `${NAME}`, whatever quotes are around it.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > LENGTH_MAX {
            return Err(refuse("it is longer than 16 KB", "put it in a script of the release and run that"));
        }
        if text.contains('\0') {
            return Err(refuse("it contains a NUL", "take it out"));
        }
        let words = Splitter { rest: text.chars().peekable(), words: Vec::new() }.split()?;
        let Some(program) = words.first().filter(|word| !word.is_empty()) else {
            return Err(refuse("it names no program", "write the program and its arguments"));
        };
        if is_assignment(program) {
            let fix = format!("write it below [app.env] and begin with the program: {program} goes there");
            return Err(refuse(
                "no shell reads it, so a variable cannot be set in front of the program",
                fix,
            ));
        }
        Ok(CommandLine(words))
    }

    /// The program and its arguments, given as a list: each is one word as it is written, but for the
    /// variables in it.
    pub fn from_words(words: Vec<String>) -> Result<Self, Refusal> {
        if words.iter().map(String::len).sum::<usize>() > LENGTH_MAX {
            return Err(refuse("it is longer than 16 KB", "put it in a script and run that"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(refuse("it contains a NUL", "take it out"));
        }
        if words.first().is_none_or(String::is_empty) {
            return Err(refuse("it names no program", "write the program and its arguments"));
        }
        let words = words.iter().map(|word| {
            let mut splitter = Splitter { rest: word.chars().peekable(), words: Vec::new() };
            let mut checked = String::new();
            while let Some(c) = splitter.rest.next() {
                match c {
                    '$' => splitter.variable(&mut checked)?,
                    _ => checked.push(c),
                }
            }
            Ok(checked)
        });
        words.collect::<Result<_, _>>().map(CommandLine)
    }

    /// The names of the variables that are filled in when it is run.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|word| word.split('$').skip(1)).map(|after| {
            let inner = after.strip_prefix('{').unwrap_or(after);
            let end = inner.find(|c: char| !is_name_character(c)).unwrap_or(inner.len());
            inner.get(..end).unwrap_or_default()
        })
    }
}

/// Whether `name` can name an environment variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.chars().all(is_name_character) && name.starts_with(|c: char| !c.is_ascii_digit())
}

struct Splitter<'t> {
    rest: Peekable<Chars<'t>>,
    words: Vec<String>,
}

impl Splitter<'_> {
    fn split(mut self) -> Result<Vec<String>, Refusal> {
        let mut word: Option<String> = None;
        while let Some(c) = self.rest.next() {
            match c {
                ' ' | '\t' => self.words.extend(word.take()),
                '\n' | '\r' => return Err(shell_only("a second line")),
                '\'' => self.quoted('\'', word.get_or_insert_default())?,
                '"' => self.quoted('"', word.get_or_insert_default())?,
                '\\' => match self.rest.next() {
                    Some('$') => return Err(literal_dollar()),
                    Some(escaped) => word.get_or_insert_default().push(escaped),
                    None => return Err(refuse("it ends with a backslash", "take it out or write it twice")),
                },
                '$' => self.variable(word.get_or_insert_default())?,
                '~' if word.is_none() => return Err(shell_only("`~`")),
                '#' if word.is_none() => return Err(shell_only("a `#` comment")),
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' => return Err(shell_only(&format!("`{c}`"))),
                _ => word.get_or_insert_default().push(c),
            }
        }
        self.words.extend(word);
        Ok(self.words)
    }

    /// Reads up to the closing `quote`.
    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), Refusal> {
        while let Some(c) = self.rest.next() {
            match c {
                _ if c == quote => return Ok(()),
                '$' if quote == '\'' => return Err(literal_dollar()),
                '$' => self.variable(word)?,
                '`' if quote == '"' => return Err(shell_only("`` ` ``")),
                '\\' if quote == '"' => match self.rest.next() {
                    Some('$') => return Err(literal_dollar()),
                    Some(escaped @ ('"' | '\\' | '`')) => word.push(escaped),
                    Some(other) => word.extend(['\\', other]),
                    None => break,
                },
                _ => word.push(c),
            }
        }
        Err(refuse(format!("a {quote} is not closed"), format!("add the closing {quote}")))
    }

    /// Copies `$NAME` or `${NAME}`, whose `$` has been read.
    fn variable(&mut self, word: &mut String) -> Result<(), Refusal> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| is_name_character(*c)) {
            name.push(c);
        }
        let closed = !braced || self.rest.next_if_eq(&'}').is_some();
        if !closed || name.is_empty() || !is_variable_name(&name) {
            return Err(match self.rest.peek() {
                Some('(') if !braced && name.is_empty() => shell_only("`$(…)`"),
                _ => refuse(
                    "a `$` stands for a variable of the environment and nothing else",
                    "write $NAME or ${NAME}; put any other text with a `$` into [app.env] and name it here",
                ),
            });
        }
        word.push('$');
        word.push_str(&if braced { format!("{{{name}}}") } else { name });
        Ok(())
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && is_variable_name(name))
}

fn shell_only(what: &str) -> Refusal {
    refuse(
        format!("no shell reads it, so {what} has no meaning here"),
        "quote it if it is part of an argument; write several build commands as several entries; \
         put anything longer into a script of the release and run that",
    )
}

fn literal_dollar() -> Refusal {
    refuse(
        "a `$` is filled in whatever quotes are around it",
        "put the text with the `$` into [app.env] and write its $NAME here",
    )
}
