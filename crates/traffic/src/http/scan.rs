//! Where a head ends. One pass over the bytes as they come, however they are split.
//!
//! Decides the limits of a head and that every line ends with CR LF: a bare LF, which RFC 9112 lets a
//! recipient accept, is where two parsers begin to disagree. It never looks into a line.

use super::limits::{HEAD_MAX, HEADERS_MAX, LINE_MAX};

/// Empty lines before a request line that are forgiven (RFC 9112, 2.2 asks for one).
const BLANK_LINES: u32 = 2;

/// A head was refused before it was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// The first line is longer than [`LINE_MAX`].
    LineTooLong,
    /// More than [`HEAD_MAX`] bytes or [`HEADERS_MAX`] fields.
    TooLarge,
    /// A line ends with LF alone, or too many empty lines come first.
    BadLine,
}

/// A complete head within the bytes given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where it begins: behind forgiven empty lines.
    pub(crate) from: usize,
    /// Where it ends: behind its closing empty line.
    pub(crate) to: usize,
}

/// Looks for the end of a head in bytes that grow at their end.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    from: usize,
    line: usize,
    seen: usize,
    lines: usize,
    blanks: u32,
}

impl Scan {
    /// Goes on where the last call ended; `data` begins with the same bytes as it did then.
    pub(crate) fn advance(&mut self, data: &[u8]) -> Result<Option<Head>, ScanError> {
        while let Some(at) = find_lf(&data[self.seen..]) {
            let end = self.seen + at + 1;
            self.bounds(end)?;
            if end < self.line + 2 || data[end - 2] != b'\r' {
                return Err(ScanError::BadLine);
            }
            let empty = end == self.line + 2;
            self.line = end;
            self.seen = end;
            match (empty, self.lines) {
                (true, 0) => {
                    self.blanks += 1;
                    self.from = end;
                    if self.blanks > BLANK_LINES {
                        return Err(ScanError::BadLine);
                    }
                }
                (true, _) => return Ok(Some(Head { from: self.from, to: end })),
                (false, _) => {
                    self.lines += 1;
                    if self.lines > HEADERS_MAX + 1 {
                        return Err(ScanError::TooLarge);
                    }
                }
            }
        }
        self.seen = data.len();
        self.bounds(data.len())?;
        Ok(None)
    }

    fn bounds(&self, end: usize) -> Result<(), ScanError> {
        if self.lines == 0 && end - self.from > LINE_MAX {
            return Err(ScanError::LineTooLong);
        }
        if end - self.from > HEAD_MAX { Err(ScanError::TooLarge) } else { Ok(()) }
    }
}

/// The first LF. Eight bytes at a time: a head is read byte by byte only here.
fn find_lf(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // A byte of `x` is zero exactly where the word holds an LF; the lowest set bit marks the first.
        let x = u64::from_le_bytes(*word) ^ (LOW * b'\n' as u64);
        let zeros = x.wrapping_sub(LOW) & !x & HIGH;
        if zeros != 0 {
            return Some(i * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|b| *b == b'\n').map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[u8]) -> Result<Option<Head>, ScanError> {
        Scan::default().advance(data)
    }

    #[test]
    fn heads_and_what_is_none() {
        type Case = (&'static [u8], Result<Option<Head>, ScanError>);
        let cases: &[Case] = &[
            (b"", Ok(None)),
            (b"GET / HTTP/1.1\r\n", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r\nrest", Ok(Some(Head { from: 0, to: 18 }))),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(Head { from: 2, to: 20 }))),
            (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(ScanError::BadLine)),
            (b"GET / HTTP/1.1\n\r\n", Err(ScanError::BadLine)),
            (b"GET / HTTP/1.1\r\n\n", Err(ScanError::BadLine)),
            (b"\n", Err(ScanError::BadLine)),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", Err(ScanError::BadLine)),
        ];
        for (data, expected) in cases {
            assert_eq!(whole(data), *expected, "{:?}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn limits() {
        let line = [b"GET /".as_slice(), &vec![b'a'; LINE_MAX], b" HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(whole(&line), Err(ScanError::LineTooLong));
        assert_eq!(whole(&line[..LINE_MAX + 1]), Err(ScanError::LineTooLong));
        let field = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'a'; HEAD_MAX], b"\r\n\r\n"].concat();
        assert_eq!(whole(&field), Err(ScanError::TooLarge));
        let fields = |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(whole(fields(HEADERS_MAX).as_bytes()).is_ok_and(|head| head.is_some()));
        assert_eq!(whole(fields(HEADERS_MAX + 1).as_bytes()), Err(ScanError::TooLarge));
    }

    #[test]
    fn the_first_line_feed_is_found_wherever_it_is() {
        for length in 0..40 {
            for at in 0..length {
                let mut bytes = vec![0x8a_u8; length];
                bytes[at] = b'\n';
                bytes[length - 1] = b'\n';
                assert_eq!(find_lf(&bytes), Some(at));
            }
        }
        assert_eq!(find_lf(&[0x0b; 33]), None);
    }
}
