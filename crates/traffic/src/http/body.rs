//! Where a body ends and what of the bytes read is its payload.
//!
//! Decides the framing of a body as it is read, strictly by RFC 9112, and makes the framing of a body as
//! it is written anew: chunk sizes, extensions and line ends of one side never reach the other.

use super::limits::BODY_BUFFER;
use std::ops::Range;

/// The most bytes of the line that holds a chunk's size.
const SIZE_LINE_MAX: usize = 256;
/// The most hexadecimal digits of a chunk's size: what fits a `u64` with room.
const SIZE_DIGITS_MAX: usize = 15;
/// The most bytes of a trailer section. It must fit the buffer together with nothing else.
const TRAILER_MAX: usize = BODY_BUFFER / 2;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// By its length.
    Length(u64),
    /// By a chunk of size zero.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body(State);

#[derive(Debug, Clone, Copy)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// A chunk's size comes next.
    Size,
    /// So much of a chunk is left.
    Chunk(u64),
    /// The CR LF behind a chunk comes next.
    ChunkEnd,
    /// The trailer section comes next.
    Trailer,
}

/// What the bytes read mean. The ranges are within the bytes given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Run {
    /// Payload, moved together where it was in several chunks.
    pub(crate) payload: Range<usize>,
    /// The trailer fields, without the empty line that ends them.
    pub(crate) trailer: Range<usize>,
    /// How many bytes are dealt with once the payload and the trailer are.
    pub(crate) raw: usize,
    /// The body is complete.
    pub(crate) end: bool,
}

/// Bytes that are no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    /// The size is no number, too large, or its line is not ended as it must be.
    #[error("a chunk's size is not valid")]
    Size,
    /// A chunk is not followed by CR LF.
    #[error("a chunk is longer than its size says")]
    End,
    /// The trailer section is too long or no header fields.
    #[error("the trailer is not valid")]
    Trailer,
}

impl Body {
    /// A body that nothing has been read of.
    pub(crate) fn new(framing: Framing) -> Self {
        Body(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Whether all of it has been read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Whether the end of the connection is its proper end.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.0, State::UntilClose)
    }

    /// How much payload is still to come, where that is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self.0 {
            State::Done => Some(0),
            State::Length(n) => Some(n),
            _ => None,
        }
    }

    /// Goes on with `data`, the bytes behind what earlier runs have dealt with.
    pub(crate) fn decode(&mut self, data: &mut [u8]) -> Result<Run, ChunkError> {
        match self.0 {
            State::Done => Ok(Run { end: true, ..Run::default() }),
            State::UntilClose => Ok(Run { payload: 0..data.len(), raw: data.len(), ..Run::default() }),
            State::Length(left) => {
                let n = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
                let left = left - n as u64;
                self.0 = if left == 0 { State::Done } else { State::Length(left) };
                Ok(Run { payload: 0..n, raw: n, end: left == 0, ..Run::default() })
            }
            _ => self.chunks(data),
        }
    }

    fn chunks(&mut self, data: &mut [u8]) -> Result<Run, ChunkError> {
        let mut run = Run::default();
        loop {
            let rest = &data[run.raw..];
            match self.0 {
                State::Size => {
                    let Some((size, line)) = size_line(rest)? else { return Ok(run) };
                    run.raw += line;
                    self.0 = if size == 0 { State::Trailer } else { State::Chunk(size) };
                }
                State::Chunk(left) => {
                    let n = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    if n == 0 {
                        return Ok(run);
                    }
                    run.take(n, data);
                    let left = left - n as u64;
                    self.0 = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                }
                State::ChunkEnd => match rest {
                    [] | [b'\r'] => return Ok(run),
                    [b'\r', b'\n', ..] => {
                        run.raw += 2;
                        self.0 = State::Size;
                    }
                    _ => return Err(ChunkError::End),
                },
                State::Trailer => {
                    let Some(length) = trailer(rest)? else { return Ok(run) };
                    run.trailer = run.raw..run.raw + length - 2;
                    run.raw += length;
                    run.end = true;
                    self.0 = State::Done;
                    return Ok(run);
                }
                State::Done | State::Length(_) | State::UntilClose => return Ok(run),
            }
        }
    }
}

impl Run {
    /// The next `n` bytes are payload: moved down to follow the payload before them.
    fn take(&mut self, n: usize, data: &mut [u8]) {
        if self.payload.is_empty() {
            self.payload = self.raw..self.raw + n;
        } else {
            data.copy_within(self.raw..self.raw + n, self.payload.end);
            self.payload.end += n;
        }
        self.raw += n;
    }
}

/// The size of a chunk and the length of the line that says it; `None` where the line is not complete.
fn size_line(data: &[u8]) -> Result<Option<(u64, usize)>, ChunkError> {
    let window = &data[..data.len().min(SIZE_LINE_MAX)];
    let Some(lf) = window.iter().position(|b| *b == b'\n') else {
        return if data.len() >= SIZE_LINE_MAX { Err(ChunkError::Size) } else { Ok(None) };
    };
    let Some(line) = window[..lf].strip_suffix(b"\r") else { return Err(ChunkError::Size) };
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || digits > SIZE_DIGITS_MAX {
        return Err(ChunkError::Size);
    }
    let (number, extension) = line.split_at(digits);
    // An extension is dropped, but it must be one: what is no chunk here must be none elsewhere.
    let plain = extension.iter().all(|b| matches!(b, b'\t' | b' '..=0x7e | 0x80..));
    if !plain || !(extension.is_empty() || extension.starts_with(b";")) {
        return Err(ChunkError::Size);
    }
    let size = number.iter().fold(0_u64, |size, digit| {
        size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    });
    Ok(Some((size, lf + 1)))
}

/// The length of a complete trailer section with the empty line that ends it.
fn trailer(data: &[u8]) -> Result<Option<usize>, ChunkError> {
    let mut line = 0;
    while let Some(at) = data[line..].iter().position(|b| *b == b'\n') {
        let end = line + at + 1;
        if end > TRAILER_MAX || end < line + 2 || data[end - 2] != b'\r' {
            return Err(ChunkError::Trailer);
        }
        if end == line + 2 {
            let mut fields = [httparse::EMPTY_HEADER; 16];
            let parsed = httparse::parse_headers(&data[..end], &mut fields);
            let whole = matches!(parsed, Ok(httparse::Status::Complete((n, _))) if n == end);
            return if whole { Ok(Some(end)) } else { Err(ChunkError::Trailer) };
        }
        line = end;
    }
    if data.len() > TRAILER_MAX { Err(ChunkError::Trailer) } else { Ok(None) }
}

/// Writes the line in front of a chunk of `size` bytes.
pub(crate) fn write_size_line(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        let digit = (size >> (4 * i)) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of `step` bytes, as a buffer would.
    pub(crate) fn feed(
        framing: Framing,
        wire: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, bool, usize), ChunkError> {
        let (mut body, mut payload, mut held, mut used) = (Body::new(framing), Vec::new(), Vec::new(), 0);
        for piece in wire.chunks(step) {
            held.extend_from_slice(piece);
            let run = body.decode(&mut held)?;
            payload.extend_from_slice(&held[run.payload.clone()]);
            held.drain(..run.raw);
            used += run.raw;
            if body.is_done() {
                break;
            }
        }
        Ok((payload, body.is_done(), used))
    }

    #[test]
    fn chunked_bodies() {
        let good: &[(&[u8], &[u8])] = &[
            (b"0\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
            (b"00005;a=b;c=\"d\"\r\nhello\r\n000\r\n\r\n", b"hello"),
            (b"A\r\n0123456789\r\n0\r\nX-Sum: 7\r\nY: z\r\n\r\n", b"0123456789"),
        ];
        for (wire, payload) in good {
            for step in 1..=wire.len() {
                let fed = feed(Framing::Chunked, wire, step);
                assert_eq!(fed, Ok((payload.to_vec(), true, wire.len())), "{step}");
            }
        }
    }

    #[test]
    fn what_is_no_chunked_body() {
        let bad: &[(&[u8], ChunkError)] = &[
            (b"\r\n", ChunkError::Size),
            (b"g\r\n", ChunkError::Size),
            (b"0x5\r\nhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"+5\r\nhello\r\n", ChunkError::Size),
            (b"-5\r\nhello\r\n", ChunkError::Size),
            (b" 5\r\nhello\r\n", ChunkError::Size),
            (b"5 \r\nhello\r\n", ChunkError::Size),
            (b"5_0\r\nhello\r\n", ChunkError::Size),
            (b"5\nhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"5\rhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"5;a\rb\r\nhello\r\n", ChunkError::Size),
            (b"5;a\nb\r\nhello\r\n", ChunkError::Size),
            (b"5;\0\r\nhello\r\n", ChunkError::Size),
            (b"fffffffffffffffff\r\n", ChunkError::Size),
            (b"10000000000000005\r\nhello\r\n0\r\n\r\n", ChunkError::Size),
            (b"5\r\nhelloX\r\n0\r\n\r\n", ChunkError::End),
            (b"5\r\nhello\n0\r\n\r\n", ChunkError::End),
            (b"4\r\nhello\r\n0\r\n\r\n", ChunkError::End),
            (b"0\r\nbad\r\n\r\n", ChunkError::Trailer),
            (b"0\r\nA : b\r\n\r\n", ChunkError::Trailer),
            (b"0\r\nA: b\n\r\n", ChunkError::Trailer),
            (b"0\r\n\n", ChunkError::Trailer),
            (b"0\r\n A: b\r\n\r\n", ChunkError::Trailer),
        ];
        for (wire, error) in bad {
            for step in 1..=wire.len() {
                let fed = feed(Framing::Chunked, wire, step);
                assert_eq!(fed, Err(*error), "{:?} by {step}", String::from_utf8_lossy(wire));
            }
        }
        let long = [b"5;".as_slice(), &[b'a'; 300], b"\r\nhello\r\n0\r\n\r\n"].concat();
        assert_eq!(feed(Framing::Chunked, &long, long.len()), Err(ChunkError::Size));
        let trailer = [b"0\r\nA: ".as_slice(), &[b'a'; TRAILER_MAX], b"\r\n\r\n"].concat();
        assert_eq!(feed(Framing::Chunked, &trailer, 1000), Err(ChunkError::Trailer));
    }

    #[test]
    fn other_framings() {
        assert_eq!(feed(Framing::Length(5), b"hello, next", 3), Ok((b"hello".to_vec(), true, 5)));
        assert_eq!(feed(Framing::Length(9), b"hello", 2), Ok((b"hello".to_vec(), false, 5)));
        assert_eq!(feed(Framing::UntilClose, b"hello", 2), Ok((b"hello".to_vec(), false, 5)));
        assert!(Body::new(Framing::None).is_done());
        assert!(Body::new(Framing::Length(0)).is_done());
    }

    #[test]
    fn the_trailer_is_told_apart() {
        let mut wire = *b"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\nGET";
        let run = Body::new(Framing::Chunked).decode(&mut wire).unwrap();
        assert_eq!(&wire[run.payload], b"a");
        assert_eq!(&wire[run.trailer], b"X-Sum: 7\r\n");
        assert_eq!(&wire[run.raw..], b"GET");
    }

    #[test]
    fn size_lines() {
        for size in [0, 1, 9, 10, 15, 16, 255, 256, 16_384, usize::MAX] {
            let mut out = Vec::new();
            write_size_line(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }
}
