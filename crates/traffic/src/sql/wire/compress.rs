//! Compressed framing: after login, bytes go in frames of their own, each of at most 16 MB - 1 before and
//! after. A frame tells how long it will be; that is believed up to a limit and checked.

use super::packet::FULL;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How long a compressed frame's header is: its length, its sequence number, its length before.
const HEADER: usize = 7;
/// Shorter ones are longer when compressed.
const WORTH_IT: usize = 50;
/// How much room is made at a time for what comes out.
const ROOM: usize = 32 << 10;
/// A proxy's processor is dearer than its network.
const ZLIB_LEVEL: u32 = 1;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Both engines.
    Zlib,
    /// MySQL.
    Zstd {
        /// 1 to 22.
        level: u8,
    },
}

/// Why bytes are no compressed frame.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum CompressError {
    /// It claims more than is allowed.
    #[error("a compressed frame claims {claimed} bytes, more than the {limit} that are allowed")]
    TooLong {
        /// What it claims.
        claimed: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It is not what it claims, or no compressed data at all.
    #[error("a compressed frame does not hold the {claimed} bytes that it claims")]
    Corrupt {
        /// What it claims.
        claimed: usize,
    },
    /// The library could not be set up.
    #[error("no memory to compress with")]
    NoMemory,
}

/// Both directions of one compressed connection. Both count their frames together.
pub struct Compressed {
    engine: Engine,
    sequence: u8,
    limit: usize,
}

enum Engine {
    Zlib {
        out: Box<Compress>,
        into: Box<Decompress>,
    },
    Zstd {
        out: Box<zstd::bulk::Compressor<'static>>,
        into: Box<zstd::bulk::Decompressor<'static>>,
        scratch: Vec<u8>,
    },
}

impl std::fmt::Debug for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressed").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Compressed {
    /// For a connection that has just logged in. No frame may hold more than `limit`.
    pub fn new(method: Method, limit: usize) -> Result<Self, CompressError> {
        let engine = match method {
            Method::Zlib => Engine::Zlib {
                out: Box::new(Compress::new(Compression::new(ZLIB_LEVEL), true)),
                into: Box::new(Decompress::new(true)),
            },
            Method::Zstd { level } => Engine::Zstd {
                out: Box::new(
                    zstd::bulk::Compressor::new(i32::from(level.clamp(1, 22)))
                        .map_err(|_| CompressError::NoMemory)?,
                ),
                into: Box::new(zstd::bulk::Decompressor::new().map_err(|_| CompressError::NoMemory)?),
                scratch: Vec::new(),
            },
        };
        Ok(Compressed { engine, sequence: 0, limit: limit.min(FULL) })
    }

    /// A command begins: a client calls it before it sends one. A server follows its client by itself.
    pub fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Appends `bytes`, any number of packets or parts of them, as compressed frames.
    pub fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        for piece in bytes.chunks(FULL) {
            let start = out.len();
            out.extend_from_slice(&[0; HEADER]);
            let smaller = piece.len() >= WORTH_IT && self.engine.compress(piece, out)?;
            if !smaller {
                out.truncate(start + HEADER);
                out.extend_from_slice(piece);
            }
            let claimed = if smaller { piece.len() } else { 0 };
            let [a, b, c, ..] = (out.len() - start - HEADER).to_le_bytes();
            let [d, e, f, ..] = claimed.to_le_bytes();
            if let Some(place) = out.get_mut(start..start + HEADER) {
                place.copy_from_slice(&[a, b, c, self.sequence, d, e, f]);
            }
            self.sequence = self.sequence.wrapping_add(1);
        }
        Ok(())
    }

    /// Appends what the frame at the front of `bytes` holds, and answers how long that frame is; 0 while it
    /// has not come whole.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, CompressError> {
        let [a, b, c, sequence, d, e, f, rest @ ..] = bytes else { return Ok(0) };
        let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let claimed = u32::from_le_bytes([*d, *e, *f, 0]) as usize;
        if claimed.max(length) > self.limit {
            return Err(CompressError::TooLong { claimed: claimed.max(length), limit: self.limit });
        }
        let Some(frame) = rest.get(..length) else { return Ok(0) };
        if claimed == 0 {
            out.extend_from_slice(frame);
        } else {
            self.engine.decompress(frame, claimed, out)?;
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(HEADER + length)
    }
}

impl Engine {
    /// Appends `piece` compressed; answers whether that is shorter.
    fn compress(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<bool, CompressError> {
        let start = out.len();
        match self {
            Engine::Zlib { out: engine, .. } => {
                engine.reset();
                loop {
                    let used = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
                    out.reserve(ROOM);
                    let rest = piece.get(used..).unwrap_or_default();
                    match engine.compress_vec(rest, out, FlushCompress::Finish) {
                        Ok(Status::StreamEnd) => break,
                        Ok(_) if out.len() - start < piece.len() => {}
                        _ => return Ok(false),
                    }
                }
            }
            Engine::Zstd { out: engine, scratch, .. } => {
                scratch.clear();
                scratch.reserve(piece.len());
                // No room means no gain.
                if engine.compress_to_buffer(piece, scratch).is_err() {
                    return Ok(false);
                }
                out.extend_from_slice(scratch);
            }
        }
        Ok(out.len() - start < piece.len())
    }

    fn decompress(&mut self, frame: &[u8], claimed: usize, out: &mut Vec<u8>) -> Result<(), CompressError> {
        let corrupt = CompressError::Corrupt { claimed };
        let start = out.len();
        match self {
            Engine::Zlib { into: engine, .. } => {
                engine.reset(true);
                loop {
                    let used = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
                    let before = (used, out.len());
                    // Only as much as is still claimed, and memory only for what does come.
                    out.reserve(ROOM.min(claimed + 1));
                    let rest = frame.get(used..).unwrap_or_default();
                    let status =
                        engine.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| corrupt)?;
                    let used = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
                    if out.len() - start > claimed {
                        return Err(corrupt);
                    }
                    match status {
                        Status::StreamEnd if used == frame.len() => break,
                        _ if (used, out.len()) == before || status == Status::StreamEnd => {
                            return Err(corrupt);
                        }
                        _ => {}
                    }
                }
            }
            Engine::Zstd { into: engine, scratch, .. } => {
                scratch.clear();
                // At most the limit; the memory is the kernel's until it is written.
                scratch.reserve(claimed);
                engine.decompress_to_buffer(frame, scratch).map_err(|_| corrupt)?;
                out.extend_from_slice(scratch);
            }
        }
        if out.len() - start == claimed { Ok(()) } else { Err(corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [Method; 2] = [Method::Zlib, Method::Zstd { level: 3 }];

    #[test]
    fn what_was_put_is_taken_in_any_pieces() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let long = b"row ".repeat(5 << 20);
        for method in METHODS {
            for bytes in [b"short".as_slice(), &[7; 1000], &noise, &long] {
                let mut from = Compressed::new(method, FULL).unwrap();
                let mut to = Compressed::new(method, FULL).unwrap();
                let (mut wire, mut out) = (Vec::new(), Vec::new());
                from.put(bytes, &mut wire).unwrap();
                assert_eq!(to.take(&wire[..wire.len().min(6)], &mut out), Ok(0));
                let mut at = 0;
                while at < wire.len() {
                    let length = u32::from_le_bytes([wire[at], wire[at + 1], wire[at + 2], 0]) as usize + 7;
                    assert_eq!(to.take(&wire[at..at + length - 1], &mut out), Ok(0), "cut short");
                    at += to.take(&wire[at..], &mut out).unwrap();
                }
                assert!(out == bytes, "{method:?} of {}", bytes.len());
                assert_eq!(to.sequence, from.sequence);
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        for method in METHODS {
            let mut from = Compressed::new(method, FULL).unwrap();
            let mut wire = Vec::new();
            from.put(&vec![0; 4 << 20], &mut wire).unwrap();
            assert!(wire.len() < 20_000, "{}", wire.len());
            let mut out = Vec::new();
            let honest = Compressed::new(method, 1 << 20).unwrap().take(&wire, &mut out);
            assert_eq!(honest, Err(CompressError::TooLong { claimed: 4 << 20, limit: 1 << 20 }));
            for claimed in [1_u32, 1000, (4 << 20) - 1, (4 << 20) + 1] {
                wire[4..7].copy_from_slice(&claimed.to_le_bytes()[..3]);
                let mut out = Vec::new();
                let lying = Compressed::new(method, FULL).unwrap().take(&wire, &mut out);
                assert_eq!(lying, Err(CompressError::Corrupt { claimed: claimed as usize }));
                assert!(out.len() <= claimed as usize + ROOM, "{} of {claimed}", out.len());
            }
        }
    }
}
