//! A line that is typed and not shown, and a text that is read whole: the ways in for a secret.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read};

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Ctrl-C, or the end of input.
    GivenUp,
    /// It is not UTF-8.
    NotText,
    /// More than was allowed.
    TooLong,
    /// The terminal or the pipe failed.
    Failed(io::Error),
}

/// Whether somebody types at standard input.
pub(crate) fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// All of standard input, at most `most` bytes, without one line end at its end.
pub(crate) fn piped(most: usize) -> Result<String, Unread> {
    whole(io::stdin().lock(), most)
}

fn whole(from: impl Read, most: usize) -> Result<String, Unread> {
    // One more than allowed tells too much from just enough; two for the line end that is cut.
    let mut bytes = Vec::new();
    from.take(most as u64 + 2).read_to_end(&mut bytes).map_err(Unread::Failed)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > most {
        return Err(Unread::TooLong);
    }
    String::from_utf8(bytes).map_err(|_| Unread::NotText)
}

/// A line typed at the terminal, of at most `most` bytes, without showing it.
pub(crate) fn typed(most: usize) -> Result<String, Unread> {
    let quiet = Quiet::new().map_err(Unread::Failed)?;
    let line = line(io::stdin().lock(), most);
    drop(quiet);
    line
}

/// Understands what a terminal sends for one line, letter by letter.
fn line(from: impl BufRead, most: usize) -> Result<String, Unread> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACK: u8 = 8;
    const CLEAR: u8 = 21;
    const DELETE: u8 = 127;
    let mut typed = Vec::new();
    for byte in from.bytes() {
        match byte.map_err(Unread::Failed)? {
            b'\n' | b'\r' => return String::from_utf8(typed).map_err(|_| Unread::NotText),
            INTERRUPT => return Err(Unread::GivenUp),
            END if typed.is_empty() => return Err(Unread::GivenUp),
            BACK | DELETE => {
                // A letter of several bytes goes as one.
                while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            CLEAR => typed.clear(),
            byte if byte < 32 => {}
            byte => typed.push(byte),
        }
        if typed.len() > most {
            return Err(Unread::TooLong);
        }
    }
    Err(Unread::GivenUp)
}

/// The terminal shows nothing of what is typed, and ctrl-C is a letter like others, so that it cannot end
/// the program before the terminal is as it was.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &now)?;
        Ok(Quiet { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_at_a_prompt() {
        let read = |bytes: &[u8]| line(bytes, 20);
        for (bytes, text) in [
            (&b"hunter2\r"[..], "hunter2"),
            (b"hunter3\x7f2\n", "hunter2"),
            ("gr\u{fc}\u{fc}\u{7f}n\n".as_bytes(), "gr\u{fc}n"),
            (b"wrong\x15right\n", "right"),
            (b"a\x1ab\n", "ab"),
            (b"\x7f\x08x\n", "x"),
            (b"a\x04b\n", "ab"),
        ] {
            assert_eq!(read(bytes).unwrap(), text, "{bytes:?}");
        }
        for bytes in [&b"half\x03"[..], b"\x04", b"", b"no line end"] {
            assert!(matches!(read(bytes), Err(Unread::GivenUp)), "{bytes:?}");
        }
        assert!(matches!(read(b"\xff\n"), Err(Unread::NotText)));
        assert!(matches!(read(&[b'x'; 21]), Err(Unread::TooLong)));
    }

    #[test]
    fn one_line_end_of_a_piped_value_is_cut() {
        let read = |bytes: &[u8]| whole(bytes, 8);
        for (bytes, text) in [
            (&b"value\n"[..], "value"),
            (b"value", "value"),
            (b"a\nb\n\n", "a\nb\n"),
            (b"", ""),
            (b"12345678\n", "12345678"),
        ] {
            assert_eq!(read(bytes).unwrap(), text, "{bytes:?}");
        }
        for bytes in [&b"123456789"[..], b"123456789\n", b"1234567\n\nmuch more"] {
            assert!(matches!(read(bytes), Err(Unread::TooLong)), "{bytes:?}");
        }
        assert!(matches!(read(b"\xff\n"), Err(Unread::NotText)));
    }
}
