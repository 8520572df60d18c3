//! What an open transaction has done so far, so that it can be done again on another primary: its commands,
//! and a sum of each answer. Bounded; a transaction that is longer is not done again.

use crate::sql::state::State;
use crate::sql::wire::response::Reply;
use std::rc::Rc;

/// A sum over bytes that says whether two answers are the same. Not made to withstand malice: both answers
/// are our own servers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Checksum {
    /// One for each word of a block: a processor works on all of them at once.
    lanes: [u64; LANES],
    /// Bytes of a block that is not complete yet.
    rest: [u8; BLOCK],
    length: u64,
}

const LANES: usize = 4;
const BLOCK: usize = 8 * LANES;

/// A command of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Its payload.
    pub(super) payload: Box<[u8]>,
    /// The prepared statement it is about.
    pub(super) statement: Option<u32>,
    /// How it is answered.
    pub(super) reply: Reply,
    /// The sum of its answer.
    pub(super) sum: Checksum,
}

/// What an open transaction has done so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The sum of the answer to the command at hand.
    pub(super) sum: Checksum,
    inner: Option<Box<Record>>,
}

#[derive(Debug)]
struct Record {
    /// The state the session began it in.
    state: Rc<State>,
    steps: Vec<Step>,
    bytes: usize,
    /// It cannot be done again.
    broken: bool,
}

impl Checksum {
    /// Adds bytes. The sum is the same however they are cut.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        let begun = self.length as usize % BLOCK;
        self.length += bytes.len() as u64;
        if begun > 0 {
            let (first, rest) = left.split_at(left.len().min(BLOCK - begun));
            self.keep(begun, first);
            left = rest;
            if begun + first.len() < BLOCK {
                return;
            }
            self.lanes = mixed(self.lanes, &self.rest);
        }
        let (blocks, rest) = left.as_chunks::<BLOCK>();
        self.lanes = blocks.iter().fold(self.lanes, mixed);
        // The same bytes end with the same rest, whatever stood there before them.
        self.rest = [0; BLOCK];
        self.keep(0, rest);
    }

    fn keep(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.rest.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

fn mixed(lanes: [u64; LANES], block: &[u8; BLOCK]) -> [u64; LANES] {
    let (words, _) = block.as_chunks::<8>();
    let mut mixed = lanes;
    for (lane, word) in mixed.iter_mut().zip(words) {
        *lane = (lane.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    mixed
}

impl Transcript {
    /// Whether a transaction is open.
    pub(super) fn is_recording(&self) -> bool {
        self.inner.is_some()
    }

    /// Whether answers are summed up: a transaction is open that may be done again.
    pub(super) fn sums_up(&self) -> bool {
        self.inner.as_ref().is_some_and(|record| !record.broken)
    }

    /// A transaction may begin with the next command, in `state`.
    pub(super) fn begin(&mut self, state: &Rc<State>) {
        if self.inner.is_none() {
            let record = Record { state: state.clone(), steps: Vec::new(), bytes: 0, broken: false };
            self.inner = Some(Box::new(record));
        }
    }

    /// The transaction is over.
    pub(super) fn end(&mut self) {
        self.inner = None;
    }

    /// It cannot be done again.
    pub(super) fn spoil(&mut self) {
        if let Some(record) = &mut self.inner {
            record.broken = true;
            record.steps = Vec::new();
        }
    }

    /// A command of it has been answered.
    pub(super) fn push(&mut self, step: Step, bytes_max: usize, steps_max: usize) {
        let Some(record) = &mut self.inner else { return };
        if record.broken {
            return;
        }
        record.bytes += step.payload.len() + size_of::<Step>();
        if record.bytes > bytes_max || record.steps.len() >= steps_max {
            self.spoil();
            return;
        }
        record.steps.push(step);
    }

    /// What is to be done again, and the state to begin in; none where it cannot be.
    pub(super) fn again(&self) -> Option<(Rc<State>, Vec<Step>)> {
        let record = self.inner.as_ref()?;
        (!record.broken).then(|| (record.state.clone(), record.steps.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(parts: &[&[u8]]) -> Checksum {
        let mut sum = Checksum::default();
        parts.iter().for_each(|part| sum.add(part));
        sum
    }

    #[test]
    fn a_sum_is_the_same_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..=255).collect();
        let whole = sum(&[&bytes]);
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(sum(&[first, &[], second]), whole, "{cut}");
        }
        let each: Vec<&[u8]> = bytes.chunks(7).collect();
        assert_eq!(sum(&each), whole);
        for (at, cut) in (0..bytes.len()).zip(1..) {
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert_ne!(sum(&[&other]), whole, "byte {at}");
            assert_eq!(sum(&[&bytes[..cut]]), sum(&[&bytes[..at], &bytes[at..cut]]), "{cut}");
            assert_ne!(sum(&[&bytes[..at]]), sum(&[&bytes[..at], &[0]]), "{at}");
        }
        let swapped = [&bytes[32..64], &bytes[..32], &bytes[64..]].concat();
        assert_ne!(sum(&[&swapped]), whole);
        assert_ne!(sum(&[&bytes[1..]]), whole);
        assert_ne!(sum(&[b"a"]), sum(&[b"a\0"]));
        assert_ne!(sum(&[b"ab"]), sum(&[b"ba"]));
    }

    #[test]
    fn a_transaction_that_is_too_long_is_not_done_again() {
        let mut transcript = Transcript::default();
        let step = Step {
            payload: Box::new([3; 100]),
            statement: None,
            reply: Reply::One,
            sum: Checksum::default(),
        };
        transcript.push(step.clone(), 1000, 10);
        assert!(transcript.again().is_none(), "none has begun");
        transcript.begin(&Rc::default());
        transcript.push(step.clone(), 10_000, 2);
        transcript.push(step.clone(), 10_000, 2);
        assert_eq!((transcript.again().unwrap().1.len(), transcript.sums_up()), (2, true));
        transcript.push(step, 10_000, 2);
        assert!(transcript.again().is_none() && transcript.is_recording() && !transcript.sums_up());
        transcript.end();
        assert!(!transcript.is_recording());
    }
}
