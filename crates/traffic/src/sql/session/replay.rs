//! What an open transaction has done so far, so that it can be done again on another primary: its commands,
//! and a sum of each answer. Bounded; a transaction that is longer is not done again.

use crate::sql::state::State;
use crate::sql::wire::response::Reply;
use std::rc::Rc;

/// A sum over bytes that says whether two answers are the same. Not made to withstand malice: both answers
/// are our own servers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Checksum {
    hash: u64,
    length: u64,
    /// Bytes of a word that is not complete yet.
    rest: u64,
}

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
        // To the next whole word, word by word, and what is left.
        while !self.length.is_multiple_of(8)
            && let Some((byte, rest)) = left.split_first()
        {
            self.byte(*byte);
            left = rest;
        }
        let mut words = left.chunks_exact(8);
        for word in &mut words {
            let mut array = [0; 8];
            array.copy_from_slice(word);
            self.word(u64::from_le_bytes(array));
            self.length += 8;
        }
        words.remainder().iter().for_each(|byte| self.byte(*byte));
    }

    fn byte(&mut self, byte: u8) {
        self.rest |= u64::from(byte) << (8 * (self.length % 8));
        self.length += 1;
        if self.length.is_multiple_of(8) {
            let word = std::mem::take(&mut self.rest);
            self.word(word);
        }
    }

    fn word(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Transcript {
    /// Whether answers are summed up: a transaction is open.
    pub(super) fn is_recording(&self) -> bool {
        self.inner.is_some()
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
        for cut in [1, 7, 8, 9, 100, 255] {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(sum(&[first, &[], second]), whole, "{cut}");
        }
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
        assert_eq!(transcript.again().unwrap().1.len(), 2);
        transcript.push(step, 10_000, 2);
        assert!(transcript.again().is_none() && transcript.is_recording());
        transcript.end();
        assert!(!transcript.is_recording());
    }
}
