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
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The prepared statement it is about.
    pub(super) statement: Option<u32>,
    /// How it is answered.
    pub(super) reply: Reply,
    /// The sum of its answer.
    pub(super) sum: Checksum,
}

/// What is to be done again.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    /// The state to begin in.
    pub(super) state: Rc<State>,
    /// Each command and its payload, in order.
    pub(super) steps: Vec<(Step, Box<[u8]>)>,
}

/// How long a transaction may be that is done again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of memory that its commands take.
    pub(super) bytes: usize,
    /// How many commands.
    pub(super) steps: usize,
}

/// What an open transaction has done so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The sum of the answer to the command at hand.
    pub(super) sum: Checksum,
    open: bool,
    /// The next transaction of a session at work uses the same space.
    record: Option<Box<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    /// The state the session began it in.
    state: Rc<State>,
    /// The payloads, one after another.
    payloads: Vec<u8>,
    /// Where in them each ends.
    steps: Vec<(Step, usize)>,
    /// It cannot be done again.
    broken: bool,
}

/// What a transaction leaves of its space for the next one: as much as most of them need.
const KEPT: usize = 8 << 10;

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

impl Record {
    fn space(&self) -> usize {
        self.payloads.capacity() + self.steps.capacity() * size_of::<(Step, usize)>()
    }
}

impl Transcript {
    /// Whether a transaction is open.
    pub(super) fn is_recording(&self) -> bool {
        self.open
    }

    /// Whether answers are summed up: a transaction is open that may be done again.
    pub(super) fn sums_up(&self) -> bool {
        self.of_open().is_some_and(|record| !record.broken)
    }

    /// A transaction may begin with the next command, in `state`.
    pub(super) fn begin(&mut self, state: &Rc<State>) {
        if self.open {
            return;
        }
        self.open = true;
        let record = self.record.get_or_insert_default();
        record.state.clone_from(state);
        record.payloads.clear();
        record.steps.clear();
        record.broken = false;
    }

    /// The transaction is over.
    pub(super) fn end(&mut self) {
        self.open = false;
        if self.record.as_ref().is_some_and(|record| record.space() > KEPT) {
            self.record = None;
        }
    }

    /// The session rests.
    pub(super) fn rest(&mut self) {
        if !self.open {
            self.record = None;
        }
    }

    /// It cannot be done again.
    pub(super) fn spoil(&mut self) {
        if let Some(record) = self.record.as_mut().filter(|_| self.open) {
            record.broken = true;
            record.payloads = Vec::new();
            record.steps = Vec::new();
        }
    }

    /// A command of it has been answered. `put` appends its payload.
    pub(super) fn push(&mut self, step: Step, put: impl FnOnce(&mut Vec<u8>), limits: Limits) {
        let Some(record) = self.record.as_mut().filter(|record| self.open && !record.broken) else { return };
        put(&mut record.payloads);
        record.steps.push((step, record.payloads.len()));
        let bytes = record.payloads.len() + record.steps.len() * size_of::<(Step, usize)>();
        if bytes > limits.bytes || record.steps.len() > limits.steps {
            self.spoil();
        }
    }

    /// What is to be done again; none where it cannot be.
    pub(super) fn again(&self) -> Option<Repeat> {
        let record = self.of_open().filter(|record| !record.broken)?;
        let mut start = 0;
        let payload = |(step, end): &(Step, usize)| {
            let from = std::mem::replace(&mut start, *end);
            (*step, record.payloads.get(from..*end).unwrap_or_default().into())
        };
        Some(Repeat { state: record.state.clone(), steps: record.steps.iter().map(payload).collect() })
    }

    fn of_open(&self) -> Option<&Record> {
        self.record.as_deref().filter(|_| self.open)
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
        let step = Step { statement: None, reply: Reply::One, sum: Checksum::default() };
        let two = Limits { bytes: 10_000, steps: 2 };
        let push = |transcript: &mut Transcript, byte: u8, limits| {
            transcript.push(step, |payloads| payloads.extend_from_slice(&[byte; 100]), limits);
        };
        push(&mut transcript, 1, two);
        assert!(transcript.again().is_none(), "none has begun");
        for limits in [two, Limits { bytes: 500, steps: 9 }] {
            transcript.begin(&Rc::default());
            push(&mut transcript, 2, limits);
            push(&mut transcript, 3, limits);
            let again = transcript.again().unwrap();
            let payloads: Vec<_> =
                again.steps.iter().map(|(_, payload)| (payload.len(), payload[0])).collect();
            assert_eq!((payloads, transcript.sums_up()), (vec![(100, 2), (100, 3)], true));
            push(&mut transcript, 4, limits);
            push(&mut transcript, 5, limits);
            assert!(transcript.again().is_none() && transcript.is_recording() && !transcript.sums_up());
            transcript.end();
            assert!(!transcript.is_recording() && transcript.again().is_none());
        }
    }

    #[test]
    fn a_session_at_work_keeps_little_space_and_one_at_rest_none() {
        let mut transcript = Transcript::default();
        let step = Step { statement: None, reply: Reply::One, sum: Checksum::default() };
        let limits = Limits { bytes: 1 << 20, steps: 1000 };
        for (bytes, kept) in [(100, true), (3 * KEPT, false)] {
            transcript.begin(&Rc::default());
            transcript.push(step, |payloads| payloads.resize(bytes, 7), limits);
            transcript.rest();
            assert!(transcript.again().is_some(), "it is open");
            transcript.end();
            assert_eq!(transcript.record.is_some(), kept);
            transcript.rest();
            assert!(transcript.record.is_none());
        }
    }
}
