//! The sessions of one thread: their ids, and how they are woken, killed and counted.
//!
//! An id is 32 bits wide, as the protocol has it: which splitter, which thread, and a number that is given
//! again only after a long time.

use super::settings::Settings;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, hash_map};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};
use stoa_model::control::{KillOutcome, PLACE_SHIFT};
use tokio::sync::Notify;

/// A session without a statement for so long is at rest.
const REST: Duration = Duration::from_secs(1);
/// Bits of the number within a thread.
const NUMBER_BITS: u32 = 22;
const NUMBERS: u32 = (1 << NUMBER_BITS) - 1;
/// Bits of the thread's number.
const THREAD_BITS: u32 = PLACE_SHIFT - NUMBER_BITS;

/// The thread, of a splitter's, that gave a session this id.
pub(crate) fn thread_of(id: u32) -> usize {
    (id >> NUMBER_BITS & ((1 << THREAD_BITS) - 1)) as usize
}

/// The splitter that gave a session this id; 0 for an id that only a server can have given.
pub(crate) fn place_of(id: u32) -> u8 {
    (id >> PLACE_SHIFT) as u8
}

/// The sessions of one thread.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Told when the last session has ended.
    pub(crate) emptied: Notify,
    prefix: u32,
    /// The number before the first that was given. Another one in each process, so that no id is given again that
    /// a session has which was another process' before.
    first: u32,
    next: Cell<u32>,
    open: RefCell<HashMap<u32, Rc<Entry>>>,
}

/// A session, as others reach it.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// What it is told to do.
    order: Cell<Option<End>>,
    /// As whom it has logged in.
    account: Cell<Option<usize>>,
    /// Since when it has had no statement; none while it has one.
    idle_since: Cell<Option<Instant>>,
    /// Since when it has had the one it has.
    busy_since: Cell<Option<Instant>>,
    /// It has had none for a while.
    rests: Cell<bool>,
    /// Since when its client has taken nothing of an answer.
    stuck_since: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

/// What a session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Give up the statement.
    Statement,
    /// End.
    Session,
}

/// A session's place on the roll, as long as it lives.
#[derive(Debug)]
pub(crate) struct Member {
    /// The id its client is given.
    pub(crate) id: u32,
    entry: Rc<Entry>,
}

impl Roll {
    /// For a thread of a splitter; its numbers begin behind `first`.
    pub(crate) fn new(place: u8, thread: usize, first: u32) -> Self {
        let thread = thread as u32 & ((1 << THREAD_BITS) - 1);
        let prefix = (u32::from(place) & 0xF) << PLACE_SHIFT | thread << NUMBER_BITS;
        let first = first & NUMBERS;
        Roll { emptied: Notify::new(), prefix, first, next: Cell::new(first), open: RefCell::default() }
    }

    /// A session begins.
    pub(crate) fn join(&self) -> Member {
        let mut open = self.open.borrow_mut();
        let id = loop {
            let next = self.next.get().wrapping_add(1) & NUMBERS;
            self.next.set(next);
            let id = self.prefix | next;
            if next != 0 && !open.contains_key(&id) {
                break id;
            }
        };
        let entry = Rc::new(Entry::default());
        open.insert(id, entry.clone());
        Member { id, entry }
    }

    /// A session of another splitter goes on here; none where its id is one of this thread's already.
    pub(crate) fn join_as(&self, id: u32) -> Option<Member> {
        let mut open = self.open.borrow_mut();
        let hash_map::Entry::Vacant(place) = open.entry(id) else { return None };
        let entry = place.insert(Rc::default()).clone();
        Some(Member { id, entry })
    }

    /// A session has ended.
    pub(crate) fn leave(&self, id: u32) {
        let mut open = self.open.borrow_mut();
        open.remove(&id);
        if open.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether it has given this id, and not so long ago that it may have come around.
    fn has_given(&self, id: u32) -> bool {
        let behind = |number: u32| number.wrapping_sub(self.first) & NUMBERS;
        id & !NUMBERS == self.prefix && (1..=behind(self.next.get())).contains(&behind(id))
    }

    /// Ends a session or its statement, where it is one of these, and this owner's if one is named. None where it
    /// is not and never was.
    pub(crate) fn kill(&self, id: u32, query_only: bool, owner: Option<usize>) -> Option<KillOutcome> {
        let open = self.open.borrow();
        let Some(entry) = open.get(&id) else {
            return self.has_given(id).then_some(KillOutcome::Unknown);
        };
        if owner.is_some() && entry.account.get() != owner {
            return Some(KillOutcome::Denied);
        }
        let end = if query_only { End::Statement } else { End::Session };
        // A statement is killed only where there is one.
        if end == End::Session || entry.idle_since.get().is_none() {
            entry.order.set(Some(end));
            entry.wake();
        }
        Some(KillOutcome::Done)
    }

    /// Has every session look around.
    pub(crate) fn wake_all(&self) {
        self.open.borrow().values().for_each(|entry| entry.wake());
    }

    /// Ends sessions that have had no statement, or whose client has taken nothing of an answer, for longer
    /// than the settings say, and statements that run for longer than they may.
    pub(crate) fn expire(&self, now: Instant, settings: &Settings) {
        let over = |since: &Cell<Option<Instant>>, most: Duration| {
            since.get().is_some_and(|since| now.saturating_duration_since(since) > most)
        };
        for entry in self.open.borrow().values() {
            if !entry.rests.get() && over(&entry.idle_since, REST) {
                entry.rests.set(true);
                entry.wake();
            }
            let session =
                over(&entry.idle_since, settings.idle) || over(&entry.stuck_since, settings.progress);
            let statement = settings.limits.time.is_some_and(|most| over(&entry.busy_since, most));
            if session || statement {
                entry.order.set(Some(if session { End::Session } else { End::Statement }));
                entry.wake();
            }
        }
    }
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Member {
    /// The task to wake from now on.
    pub(crate) fn listen(&self, waker: &Waker) {
        let mut own = self.entry.waker.borrow_mut();
        if !own.as_ref().is_some_and(|own| own.will_wake(waker)) {
            *own = Some(waker.clone());
        }
    }

    /// It has logged in.
    pub(crate) fn is(&self, account: usize) {
        self.entry.account.set(Some(account));
    }

    /// What it has been told.
    pub(crate) fn order(&self) -> Option<End> {
        self.entry.order.get()
    }

    /// It has obeyed.
    pub(crate) fn obeyed(&self) {
        self.entry.order.set(None);
    }

    /// A statement has ended.
    pub(crate) fn idle(&self, now: Instant) {
        self.entry.idle_since.set(Some(now));
        self.entry.busy_since.set(None);
    }

    /// Whether it has had no statement for a while.
    pub(crate) fn rests(&self) -> bool {
        self.entry.rests.get()
    }

    /// A statement begins.
    pub(crate) fn busy(&self, now: Instant) {
        self.entry.rests.set(false);
        self.entry.idle_since.set(None);
        self.entry.busy_since.set(Some(now));
    }

    /// Whether the client takes nothing of its answer. The clock is read only when that begins.
    pub(crate) fn stuck(&self, stuck: bool) {
        let since = &self.entry.stuck_since;
        match (stuck, since.get()) {
            (true, None) => since.set(Some(Instant::now())),
            (false, Some(_)) => since.set(None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_splitters_and_threads_differ() {
        let rolls = [Roll::new(1, 0, 7), Roll::new(1, 1, u32::MAX), Roll::new(2, 0, 0)];
        let ids: Vec<u32> = rolls.iter().flat_map(|roll| [roll.join().id, roll.join().id]).collect();
        let mut unlike = ids.clone();
        unlike.sort_unstable();
        unlike.dedup();
        assert_eq!(unlike.len(), 6, "{ids:?}");
        assert_eq!(ids.iter().map(|id| place_of(*id)).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2]);
        assert_eq!(ids.iter().map(|id| thread_of(*id)).collect::<Vec<_>>(), [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn only_a_session_with_a_statement_has_one_to_kill() {
        let roll = Roll::new(1, 0, 0);
        let member = roll.join();
        member.idle(Instant::now());
        assert_eq!(roll.kill(member.id, true, None), Some(KillOutcome::Done));
        assert_eq!(member.order(), None);
        member.busy(Instant::now());
        assert_eq!(roll.kill(member.id, true, Some(3)), Some(KillOutcome::Denied), "it has not logged in");
        member.is(3);
        assert_eq!(roll.kill(member.id, true, Some(4)), Some(KillOutcome::Denied));
        assert_eq!(member.order(), None);
        assert_eq!(roll.kill(member.id, true, Some(3)), Some(KillOutcome::Done));
        assert_eq!(member.order(), Some(End::Statement));
        member.obeyed();
        assert_eq!(roll.kill(member.id + 1, false, None), None, "it never gave that");
        assert_eq!(member.order(), None);
        let at_once = Settings { idle: Duration::ZERO, ..Settings::default() };
        roll.expire(Instant::now() + Duration::from_secs(1), &at_once);
        assert_eq!(member.order(), None, "it is at work");
        member.idle(Instant::now());
        roll.expire(Instant::now() + Duration::from_secs(1), &at_once);
        assert_eq!(member.order(), Some(End::Session));
        roll.leave(member.id);
        assert_eq!(roll.open(), 0);
    }

    #[test]
    fn a_session_of_another_splitter_keeps_its_id() {
        let (from, to) = (Roll::new(1, 0, NUMBERS - 1), Roll::new(2, 0, 5));
        let gone = from.join().id;
        let moved = from.join();
        assert_eq!(from.kill(gone, false, None), Some(KillOutcome::Done));
        from.leave(gone);
        assert_eq!(from.kill(gone, false, None), Some(KillOutcome::Unknown));
        let joined = to.join_as(moved.id).unwrap();
        assert!(to.join_as(moved.id).is_none(), "one id, one session");
        joined.is(3);
        assert_eq!(to.kill(moved.id, false, Some(3)), Some(KillOutcome::Done));
        assert_eq!(to.kill(gone, false, None), None);
    }
}
