//! Framing: three bytes of length, one of sequence, and the payload. A payload of 16 MB - 1 is continued by
//! the next frame, so that a packet may be longer than a frame. Works on bytes that somebody else reads and
//! never allocates by a length that is only claimed.

use super::field::Fields;
use thiserror::Error;

/// How long a frame's header is.
pub const HEADER: usize = 4;

/// How much one frame holds; one that is full is continued by the next.
pub const FULL: usize = 0xFF_FFFF;

/// The longest packet of a client that has not proven who it is.
pub const LIMIT_BEFORE_LOGIN: usize = 64 << 10;

/// Why bytes are no packet that may pass.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Longer than is allowed here.
    #[error("a packet of {length} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// How long it is at least.
        length: u64,
        /// How long it may be.
        limit: u64,
    },
    /// Lost, doubled or made up.
    #[error("a packet bears sequence number {found} where {expected} follows")]
    OutOfOrder {
        /// What follows the packet before it.
        expected: u8,
        /// What it bears.
        found: u8,
    },
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many bytes of payload follow.
    pub length: usize,
    /// Counts the frames of one exchange, both ways, and wraps.
    pub sequence: u8,
}

impl Header {
    /// Reads the header at the front of `bytes`.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let [a, b, c, sequence, ..] = *bytes else { return None };
        Some(Header { length: u32::from_le_bytes([a, b, c, 0]) as usize, sequence })
    }

    /// The header as bytes; `length` is at most [`FULL`].
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER] {
        debug_assert!(self.length <= FULL);
        let [a, b, c, ..] = self.length.to_le_bytes();
        [a, b, c, self.sequence]
    }

    /// Whether the next frame belongs to the same packet.
    #[inline]
    #[must_use]
    pub fn is_continued(self) -> bool {
        self.length == FULL
    }
}

/// What stands at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front<'a> {
    /// Not even a header.
    Nothing,
    /// The beginning of a packet. If it is longer than one wants to hold, let it pass by [`Passage`].
    Begun {
        /// Of its first frame.
        header: Header,
        /// What there is of its first frame's payload.
        payload: &'a [u8],
    },
    /// A whole packet in one frame, which takes `HEADER + payload.len()` bytes of the buffer.
    Whole {
        /// Its sequence number.
        sequence: u8,
        /// What it holds.
        payload: &'a [u8],
    },
}

/// Looks at the front of `bytes`. A packet that is longer than `limit` is refused as soon as its header shows.
pub fn front(bytes: &[u8], limit: usize) -> Result<Front<'_>, PacketError> {
    let Some(header) = Header::read(bytes) else { return Ok(Front::Nothing) };
    if header.length > limit {
        return Err(PacketError::TooLong { length: header.length as u64, limit: limit as u64 });
    }
    let rest = bytes.get(HEADER..).unwrap_or_default();
    Ok(match rest.get(..header.length) {
        Some(payload) if !header.is_continued() => Front::Whole { sequence: header.sequence, payload },
        Some(payload) => Front::Begun { header, payload },
        None => Front::Begun { header, payload: rest },
    })
}

/// One packet of any number of frames that passes through, its sequence numbers checked and, where the other
/// side counts otherwise, shifted.
#[derive(Debug, Clone)]
pub struct Passage {
    /// Payload of the present frame that has not passed.
    left: usize,
    /// Another frame follows.
    continued: bool,
    sequence: u8,
    shift: u8,
    length: u64,
    limit: u64,
    /// Its frames bear what they should; others are numbered on their way.
    numbered: bool,
}

/// How far a [`Passage`] or an [`Upload`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// So many bytes may be sent on.
    pub bytes: usize,
    /// They end it; what follows is something else. Otherwise more is to be read.
    pub done: bool,
}

impl Passage {
    /// A packet whose first frame bears `sequence`; what is sent on bears `shift` more.
    #[must_use]
    pub fn new(sequence: u8, shift: u8, limit: u64) -> Self {
        Passage { left: 0, continued: true, sequence, shift, length: 0, limit, numbered: true }
    }

    /// A packet whose first frame bears `header`, and `passed` bytes of whose payload have passed already.
    pub(crate) fn begun(header: Header, passed: usize, limit: u64) -> Self {
        Passage {
            left: header.length.saturating_sub(passed),
            continued: header.is_continued(),
            sequence: header.sequence.wrapping_add(1),
            shift: 0,
            length: header.length as u64,
            limit,
            numbered: true,
        }
    }

    /// One from inside compression, where clients number their frames as they like.
    #[must_use]
    pub fn unnumbered(self) -> Self {
        Passage { numbered: false, ..self }
    }

    /// Lets the front of `bytes` pass. A header that has not arrived whole stays.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Passed, PacketError> {
        let mut at = 0;
        loop {
            let passing = self.left.min(bytes.len() - at);
            at += passing;
            self.left -= passing;
            if self.left > 0 {
                return Ok(Passed { bytes: at, done: false });
            }
            if !self.continued {
                return Ok(Passed { bytes: at, done: true });
            }
            let Some(head) = bytes.get_mut(at..at + HEADER) else {
                return Ok(Passed { bytes: at, done: false });
            };
            self.enter(head)?;
            at += HEADER;
        }
    }

    fn enter(&mut self, head: &mut [u8]) -> Result<(), PacketError> {
        let Some(header) = Header::read(head) else { return Ok(()) };
        if self.numbered && header.sequence != self.sequence {
            return Err(PacketError::OutOfOrder { expected: self.sequence, found: header.sequence });
        }
        self.length += header.length as u64;
        if self.length > self.limit {
            return Err(PacketError::TooLong { length: self.length, limit: self.limit });
        }
        if let Some(sequence) = head.last_mut() {
            *sequence = self.sequence.wrapping_add(self.shift);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.left = header.length;
        self.continued = header.is_continued();
        Ok(())
    }

    /// The sequence number, on the side it is read from, of the frame that follows.
    #[must_use]
    pub fn next_sequence(&self) -> u8 {
        self.sequence
    }

    /// How many bytes of payload its headers have announced so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// The packets a client sends for `LOAD DATA LOCAL`: any number, and an empty one that ends them.
#[derive(Debug, Clone)]
pub struct Upload {
    passage: Passage,
}

impl Upload {
    /// The first packet bears `sequence`; what is sent on bears `shift` more; none is longer than `limit`.
    #[must_use]
    pub fn new(sequence: u8, shift: u8, limit: u64) -> Self {
        Upload { passage: Passage::new(sequence, shift, limit) }
    }

    /// From inside compression, as [`Passage::unnumbered`].
    #[must_use]
    pub fn unnumbered(self) -> Self {
        Upload { passage: self.passage.unnumbered() }
    }

    /// Lets the front of `bytes` pass.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Passed, PacketError> {
        let mut at = 0;
        loop {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let passed = self.passage.advance(rest)?;
            at += passed.bytes;
            if !passed.done || self.passage.length == 0 {
                return Ok(Passed { bytes: at, done: passed.done });
            }
            let Passage { sequence, shift, limit, numbered, .. } = self.passage;
            self.passage = Passage { numbered, ..Passage::new(sequence, shift, limit) };
        }
    }

    /// The sequence number, on the side it is read from, of the frame that follows.
    #[must_use]
    pub fn next_sequence(&self) -> u8 {
        self.passage.next_sequence()
    }
}

/// Appends `payload` as a packet that bears `sequence`, in as many frames as it needs; answers the sequence
/// number that follows.
pub fn put(out: &mut Vec<u8>, sequence: u8, payload: &[u8]) -> u8 {
    let (mut sequence, mut fields) = (sequence, Fields::new(payload));
    loop {
        let length = fields.rest().len().min(FULL);
        let header = Header { length, sequence };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(fields.take(length).unwrap_or_default());
        sequence = sequence.wrapping_add(1);
        if !header.is_continued() {
            return sequence;
        }
    }
}

/// Appends the packet that `fill` writes, without writing it elsewhere first; answers the next sequence
/// number. For packets that are known to be short: what is longer than one frame holds is cut off.
pub(crate) fn put_with(out: &mut Vec<u8>, sequence: u8, fill: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    fill(out);
    out.truncate(start + HEADER + FULL - 1);
    let header = Header { length: out.len() - start - HEADER, sequence };
    if let Some(place) = out.get_mut(start..start + HEADER) {
        place.copy_from_slice(&header.to_bytes());
    }
    sequence.wrapping_add(1)
}
