//! Those that wait for an instance of a face: first come, first served.
//!
//! Decides whose turn it is and who is woken, never whether an instance is free. A request that finds one
//! at once touches nothing here but this thread's counters and, where places are bounded, one number.

use crate::stats::bump;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use stoa_model::control;

/// Those that wait for an instance of one face.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: AtomicU32,
    line: Mutex<Line>,
    shards: Box<[QueueShard]>,
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    queue: &'a Queue,
    key: u64,
}

/// What one thread has counted. Only that thread writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct QueueShard {
    arrived: AtomicU64,
    waited_us: AtomicU64,
    shed: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    places: VecDeque<Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    waker: Option<Waker>,
}

impl Queue {
    /// An empty one, for so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let shards = (0..threads).map(|_| QueueShard::default()).collect();
        Queue { waiting: AtomicU32::new(0), line: Mutex::default(), shards }
    }

    /// The counters of a thread.
    pub(crate) fn shard(&self, thread: usize) -> &QueueShard {
        &self.shards[thread]
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Takes the last place, where fewer than `most` wait, or the `first`, in which nobody is refused:
    /// that is for requests which an instance has failed already.
    pub(crate) fn join(&self, first: bool, most: u32) -> Option<Place<'_>> {
        let mut line = self.line();
        if !first && line.places.len() >= most as usize {
            return None;
        }
        let key = line.next;
        line.next += 1;
        let entry = Entry { key, waker: None };
        if first {
            line.places.push_front(entry)
        } else {
            line.places.push_back(entry)
        }
        self.count(&line);
        Some(Place { queue: self, key })
    }

    /// Wakes the one that has waited longest: a place has become free.
    pub(crate) fn wake_first(&self) {
        if self.is_empty() {
            return;
        }
        // Woken with the lock given back: the woken thread takes it at once.
        let waker = self.line().places.front().and_then(|entry| entry.waker.clone());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all: what is usable has changed.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = self.line().places.iter().filter_map(|entry| entry.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What a report says of it.
    pub(crate) fn report(&self) -> control::Queue {
        let sum = |counter: fn(&QueueShard) -> &AtomicU64| {
            self.shards.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
        };
        control::Queue {
            arrived: sum(|shard| &shard.arrived),
            waiting: self.waiting.load(Ordering::Relaxed),
            waited_us: sum(|shard| &shard.waited_us),
            shed: sum(|shard| &shard.shed),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, line: &Line) {
        self.waiting.store(u32::try_from(line.places.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }
}

impl Place<'_> {
    /// Has the calling task woken from now on, and tells whether it is the first in the line. What is free
    /// is to be looked at after this: whatever becomes free later wakes the task.
    pub(crate) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut line = self.queue.line();
        let first = line.places.front().is_some_and(|entry| entry.key == self.key);
        let mut replaced = None;
        if let Some(entry) = line.places.iter_mut().find(|entry| entry.key == self.key)
            && !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            replaced = entry.waker.replace(cx.waker().clone());
        }
        drop(line);
        drop(replaced);
        // With the one in `InFlight`'s end: either this task sees the freed place or is seen waiting.
        fence(Ordering::SeqCst);
        first
    }

    /// Gives the place up with an instance in hand. The next in the line is not woken: whether there is
    /// something for it the caller sees, who looks after this.
    pub(crate) fn leave(self) {
        ManuallyDrop::new(self).remove();
        fence(Ordering::SeqCst);
    }

    fn remove(&self) {
        let mut line = self.queue.line();
        let place = line.places.iter().position(|entry| entry.key == self.key);
        let entry = place.and_then(|place| line.places.remove(place));
        self.queue.count(&line);
        drop(line);
        drop(entry);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // It may have been woken and have had no chance to act on that: the next one looks instead.
        self.remove();
        self.queue.wake_first();
    }
}

impl QueueShard {
    /// A request came, whatever becomes of it.
    pub(crate) fn arrived(&self) {
        bump(&self.arrived);
    }

    /// A request waited.
    pub(crate) fn waited(&self, span: Duration) {
        let us = span.as_micros().try_into().unwrap_or(u64::MAX);
        self.waited_us.store(self.waited_us.load(Ordering::Relaxed).wrapping_add(us), Ordering::Relaxed);
    }

    /// A request was refused because too many waited.
    pub(crate) fn shed(&self) {
        bump(&self.shed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// So many places whose tasks listen, and how often each was woken.
    fn line(queue: &Queue, n: usize) -> (Vec<Place<'_>>, Vec<Arc<Woken>>) {
        let places: Vec<_> = (0..n).map(|_| queue.join(false, 100).unwrap()).collect();
        let woken: Vec<_> = (0..n).map(|_| Arc::new(Woken(AtomicUsize::new(0)))).collect();
        for (n, (place, woken)) in places.iter().zip(&woken).enumerate() {
            let waker = Waker::from(woken.clone());
            assert_eq!(place.is_first(&Context::from_waker(&waker)), n == 0);
        }
        (places, woken)
    }

    fn counts(woken: &[Arc<Woken>]) -> Vec<usize> {
        woken.iter().map(|woken| woken.0.load(Ordering::SeqCst)).collect()
    }

    #[test]
    fn one_is_woken_and_it_is_the_first() {
        let queue = Queue::new(1);
        let (mut places, woken) = line(&queue, 3);
        queue.wake_first();
        queue.wake_first();
        assert_eq!(counts(&woken), [2, 0, 0], "as long as it is first");
        places.remove(0).leave();
        assert_eq!(counts(&woken), [2, 0, 0], "who leaves with an instance looks before it wakes");
        queue.wake_first();
        assert_eq!(counts(&woken), [2, 1, 0]);
        // Gone without an instance: its turn is the next one's.
        drop(places.remove(0));
        assert_eq!(counts(&woken), [2, 1, 1]);
        assert_eq!(queue.report().waiting, 1);
        drop(places);
        assert!(queue.is_empty());
        queue.wake_first();
        queue.wake_all();
    }

    #[test]
    fn all_are_woken_where_everything_changed() {
        let queue = Queue::new(1);
        let (_places, woken) = line(&queue, 3);
        queue.wake_all();
        assert_eq!(counts(&woken), [1, 1, 1]);
    }

    #[test]
    fn so_many_may_wait_and_the_failed_come_first() {
        let queue = Queue::new(1);
        let (places, woken) = line(&queue, 2);
        assert!(queue.join(false, 2).is_none());
        assert!(queue.join(false, 0).is_none());
        let failed = queue.join(true, 2).unwrap();
        let waker = Waker::from(woken[0].clone());
        assert!(failed.is_first(&Context::from_waker(&waker)));
        assert!(!places[0].is_first(&Context::from_waker(&waker)));
        assert_eq!(queue.report().waiting, 3);
    }

    #[test]
    fn counters_add_up() {
        let queue = Queue::new(2);
        queue.shard(0).arrived();
        queue.shard(1).arrived();
        queue.shard(1).waited(Duration::from_millis(3));
        queue.shard(0).shed();
        let report = control::Queue { arrived: 2, waiting: 0, waited_us: 3000, shed: 1 };
        assert_eq!(queue.report(), report);
    }
}
