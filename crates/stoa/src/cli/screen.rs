//! Where a command's answer goes. The only place in the command line that writes to the terminal.

use super::style::Style;
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};

/// The width that text is laid out for where nobody can tell the terminal's.
const WIDTH: usize = 80;
/// As [`WIDTH`], for rows.
const HEIGHT: usize = 24;

/// Standard output and standard error, and what they can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Answers are JSON.
    pub(crate) json: bool,
    /// How text may look.
    pub(crate) style: Style,
    /// Lines may be redrawn.
    pub(crate) live: bool,
    /// Somebody sits there who can be asked.
    pub(crate) asks: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
}

impl Screen {
    /// What this process has.
    pub(crate) fn new(json: bool, no_color: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let size = terminal_size::terminal_size();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Screen {
            json,
            style: Style::of(terminal, no_color, |name| std::env::var_os(name)),
            live: terminal && !json && !dumb,
            asks: terminal && !json && std::io::stdin().is_terminal(),
            width: size.map_or(WIDTH, |(width, _)| usize::from(width.0).max(40)),
            height: size.map_or(HEIGHT, |(_, height)| usize::from(height.0).max(5)),
        }
    }

    /// A line for people; nothing where answers are JSON.
    pub(crate) fn say(&self, text: &str) {
        if !self.json {
            self.put(&format!("{text}\n"));
        }
    }

    /// Text that is the answer, as it is.
    pub(crate) fn put(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            // Whoever reads has seen enough (`stoa logs | head`): nothing failed.
            std::process::exit(0);
        }
    }

    /// One JSON value on one line, where answers are JSON.
    pub(crate) fn answer(&self, value: &impl Serialize) {
        if self.json {
            self.put(&format!("{}\n", serde_json::to_string(value).unwrap_or_default()));
        }
    }

    /// Something to know that is no part of the answer.
    pub(crate) fn warn(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(out, "{text}");
    }

    /// What stands before what somebody types and nobody is to see: no part of the answer.
    pub(crate) fn prompt(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Nobody is left to be asked when standard error is gone.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Asks; the answer without its line end, empty at the end of input.
    pub(crate) fn ask(&self, question: &str) -> String {
        self.put(question);
        let mut answer = String::new();
        let _ = std::io::stdin().read_line(&mut answer);
        answer.trim().to_owned()
    }
}

/// Lines at the end of the terminal that are drawn again and again.
#[derive(Debug)]
pub(crate) struct Block {
    screen: Screen,
    drawn: usize,
}

impl Block {
    /// An empty one.
    pub(crate) fn new(screen: Screen) -> Self {
        Block { screen, drawn: 0 }
    }

    /// `lines` in place of those drawn before. Each has to fit the width: a wrapped one would be counted
    /// as one line.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        // What has scrolled away cannot be drawn over: the last lines are kept.
        let lines = lines.get(lines.len().saturating_sub(self.screen.height - 1)..).unwrap_or_default();
        let mut text = self.rewind();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.screen.put(&text);
        self.drawn = lines.len();
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&mut self) {
        let text = self.rewind();
        self.screen.put(&text);
        self.drawn = 0;
    }

    fn rewind(&self) -> String {
        // Up to the first line's first column, then clear to the end of the screen.
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}F\x1b[J", self.drawn) }
    }
}
