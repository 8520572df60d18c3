//! Colours, signs and widths: what a terminal is told beside words. Never the only bearer of a meaning.

use std::ffi::OsString;
use unicode_width::UnicodeWidthStr;

/// How text may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Colours may be used.
    pub(crate) color: bool,
    /// Signs beyond ASCII may be used.
    pub(crate) unicode: bool,
}

/// How something is, as far as its sign and colour tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should be.
    Good,
    /// On its way.
    Moving,
    /// Not as it should be.
    Bad,
    /// Not there, not known, or on purpose.
    Quiet,
}

impl Style {
    /// Neither colours nor signs.
    #[cfg(test)]
    pub(crate) const PLAIN: Style = Style { color: false, unicode: false };

    /// What the environment allows. `variable` reads it.
    pub(crate) fn of(terminal: bool, no_color: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(&variable).find(|v| !v.is_empty());
        let locale = locale.map(|value| value.to_string_lossy().to_lowercase().replace('-', ""));
        Style {
            color: terminal && !no_color && !dumb && !set("NO_COLOR"),
            unicode: locale.is_some_and(|locale| locale.contains("utf8")),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Bold.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// An address.
    pub(crate) fn link(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// In the colour of a mood.
    pub(crate) fn mood(self, mood: Mood, text: &str) -> String {
        match mood {
            Mood::Good => self.paint("32", text),
            Mood::Moving => self.paint("33", text),
            Mood::Bad => self.paint("1;31", text),
            Mood::Quiet => self.paint("2", text),
        }
    }

    /// The sign of a mood, one column wide.
    pub(crate) fn sign(self, mood: Mood) -> String {
        let sign = match (mood, self.unicode) {
            (Mood::Good, true) => "●",
            (Mood::Moving, true) => "◐",
            (Mood::Bad, true) => "✗",
            (Mood::Quiet, true) => "○",
            (Mood::Good, false) => "*",
            (Mood::Moving, false) => "~",
            (Mood::Bad, false) => "!",
            (Mood::Quiet, false) => ".",
        };
        self.mood(mood, sign)
    }

    /// What stands between two facts of one line.
    pub(crate) fn dot(self) -> &'static str {
        if self.unicode { " · " } else { ", " }
    }

    /// What stands before a line that something else printed.
    pub(crate) fn bar(self) -> &'static str {
        if self.unicode { "│" } else { "|" }
    }

    /// `text` in at most `width` columns.
    pub(crate) fn fit(self, text: &str, width: usize) -> String {
        if text.width() <= width {
            return text.to_owned();
        }
        let mark = if self.unicode { "…" } else { "..." };
        let mut kept = String::new();
        for letter in text.chars() {
            if kept.width() + letter.to_string().width() + mark.width() > width {
                break;
            }
            kept.push(letter);
        }
        kept + mark
    }
}

/// `text`, filled up to `width` columns. Colours are to be put on afterwards.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text` with every control character but a tab taken out, so that what a visitor made a server print
/// cannot steer the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' && letters.peek() == Some(&'[') {
            // A CSI sequence ends with a byte from @ to ~ (ECMA-48, 5.4).
            letters.next();
            while letters.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
        } else if letter == '\t' || !letter.is_control() {
            kept.push(letter);
        }
    }
    kept
}
