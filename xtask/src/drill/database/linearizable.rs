//! Whether a register behaved as if every operation on it had been done at one moment between its beginning
//! and its end. Pure.
//!
//! The search of Wing and Gong with the memory of Lowe: take an operation that may be next, go on from there,
//! go back where nothing more fits; and never go on twice from the same operations taken and the same value
//! held. An operation of which nobody knows how it ended may be taken at any later moment, or never.

use super::history::Operation;
use std::collections::HashSet;
use std::time::Duration;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    Broken,
    /// The search was given up: too many operations overlap.
    Unknown,
}

/// The most steps of one search.
const STEPS: u64 = 20_000_000;
/// The most positions it remembers.
const REMEMBERED: usize = 2_000_000;

/// Judges the operations on one register, which held `first` in the beginning.
pub(crate) fn judge(operations: &[Operation], first: u64) -> Verdict {
    // A write of which nobody knows how it ended, and whose value nobody found, was most likely never done.
    // Without these the search is short, and an order that it finds is one with them too.
    let found: HashSet<u64> = operations.iter().filter_map(|one| one.act.found()).collect();
    let was_done = |one: &&Operation| {
        one.answered.is_some() || one.act.written().is_some_and(|value| found.contains(&value))
    };
    let likely: Vec<Operation> = operations.iter().filter(was_done).copied().collect();
    match Search::of(&likely, first).run() {
        Verdict::Linearizable => Verdict::Linearizable,
        other if likely.len() == operations.len() => other,
        _ => Search::of(operations, first).run(),
    }
}

/// One event: an operation begins or ends.
#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    ends: bool,
}

struct Search<'a> {
    operations: &'a [Operation],
    events: Vec<Event>,
    /// The place of the end of each operation among the events.
    ends: Vec<Option<usize>>,
    /// The next and the last event that is not taken out; the place 0 is the list's head.
    next: Vec<usize>,
    last: Vec<usize>,
    taken: Vec<u64>,
    held: u64,
}

impl<'a> Search<'a> {
    fn of(operations: &'a [Operation], first: u64) -> Self {
        let mut events: Vec<(Duration, Event)> = Vec::new();
        for (operation, one) in operations.iter().enumerate() {
            events.push((one.asked, Event { operation, ends: false }));
            if let Some(at) = one.answered {
                events.push((at, Event { operation, ends: true }));
            }
        }
        // At the same moment beginnings stand before ends: they are taken to overlap.
        events.sort_by_key(|(at, event)| (*at, event.ends));
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        let mut ends = vec![None; operations.len()];
        for (at, event) in events.iter().enumerate().filter(|(_, event)| event.ends) {
            ends[event.operation] = Some(at + 1);
        }
        let places = events.len() + 1;
        Search {
            operations,
            ends,
            next: (1..=places).map(|at| at % places).collect(),
            last: (0..places).map(|at| (at + places - 1) % places).collect(),
            taken: vec![0; operations.len().div_ceil(64)],
            held: first,
            events,
        }
    }

    fn run(mut self) -> Verdict {
        let mut been: HashSet<(Vec<u64>, u64)> = HashSet::new();
        // The beginnings that were taken, with what was held before.
        let mut path: Vec<(usize, u64)> = Vec::new();
        let mut open = self.ends.iter().flatten().count();
        let mut at = self.next[0];
        for _ in 0..STEPS {
            if open == 0 {
                return Verdict::Linearizable;
            }
            let here = at.checked_sub(1).and_then(|place| self.events.get(place)).copied();
            if let Some(Event { operation, ends: false }) = here {
                if let Some(held) = self.operations[operation].act.done(self.held) {
                    self.mark(operation);
                    if been.insert((self.taken.clone(), held)) {
                        path.push((at, self.held));
                        self.held = held;
                        self.take_out(at);
                        if let Some(end) = self.ends[operation] {
                            self.take_out(end);
                            open -= 1;
                        }
                        at = self.next[0];
                        if been.len() > REMEMBERED {
                            return Verdict::Unknown;
                        }
                        continue;
                    }
                    self.mark(operation);
                }
                at = self.next[at];
                continue;
            }
            // An end that comes before anything that could be next, or the end of all: the last step was wrong.
            let Some((begin, held)) = path.pop() else { return Verdict::Broken };
            let operation = self.events[begin - 1].operation;
            self.held = held;
            self.mark(operation);
            if let Some(end) = self.ends[operation] {
                self.put_back(end);
                open += 1;
            }
            self.put_back(begin);
            at = self.next[begin];
        }
        Verdict::Unknown
    }

    /// Turns whether it is taken.
    fn mark(&mut self, operation: usize) {
        self.taken[operation / 64] ^= 1 << (operation % 64);
    }

    fn take_out(&mut self, at: usize) {
        let (last, next) = (self.last[at], self.next[at]);
        self.next[last] = next;
        self.last[next] = last;
    }

    fn put_back(&mut self, at: usize) {
        let (last, next) = (self.last[at], self.next[at]);
        self.next[last] = at;
        self.last[next] = at;
    }
}

/// A short history that is broken for the same reason: the shortest beginning that is, less what does not
/// matter. A write is only left out where it would not matter if nobody knew how it ended.
pub(crate) fn shortest(operations: &[Operation], first: u64) -> Vec<Operation> {
    let broken = |operations: &[Operation]| judge(operations, first) == Verdict::Broken;
    let mut ends: Vec<Duration> = operations.iter().filter_map(|one| one.answered).collect();
    ends.sort();
    let enough = ends.partition_point(|end| !broken(&until(operations, *end)));
    let mut short = ends.get(enough).map_or_else(|| operations.to_vec(), |end| until(operations, *end));
    for asked in operations.iter().rev() {
        let same = |one: &Operation| one.client == asked.client && one.asked == asked.asked;
        let Some(at) = short.iter().position(same) else { continue };
        let mut less = short.clone();
        match asked.act.written() {
            None => {
                less.remove(at);
            }
            Some(value) => {
                less[at].answered = None;
                if !less.iter().any(|one| one.act.found() == Some(value)) {
                    less.remove(at);
                }
            }
        }
        if broken(&less) {
            short = less;
        }
    }
    short
}

/// What was known at a moment.
fn until(operations: &[Operation], end: Duration) -> Vec<Operation> {
    let begun = operations.iter().filter(|one| one.asked <= end);
    let known = begun.map(|one| Operation { answered: one.answered.filter(|at| *at <= end), ..*one });
    // A read without an answer says nothing.
    known.filter(|one| one.answered.is_some() || one.act.written().is_some()).collect()
}

#[cfg(test)]
#[path = "linearizable_tests.rs"]
mod tests;
