//! What the clients of a drill have seen so far, shared between them and who breaks things meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What they have seen.
pub(crate) struct Progress {
    origin: Instant,
    answers: Mutex<Vec<Duration>>,
    failed: Mutex<Vec<(Duration, String)>>,
    stale: Mutex<Vec<String>>,
    reads: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

impl Progress {
    /// None yet; times are told since `origin`.
    pub(crate) fn since(origin: Instant) -> Self {
        Progress {
            origin,
            answers: Mutex::default(),
            failed: Mutex::default(),
            stale: Mutex::default(),
            reads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// A write was acknowledged just now.
    pub(crate) fn acknowledged(&self) -> Duration {
        let mut answers = lock(&self.answers);
        let now = self.now();
        answers.push(now);
        now
    }

    /// A statement failed.
    pub(crate) fn failed(&self, what: &str, why: &str) {
        lock(&self.failed).push((self.now(), format!("{what}: {why}")));
    }

    /// No connection was to be had.
    pub(crate) fn refused(&self, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        lock(&self.failed).push((self.now(), format!("connect: {why}")));
    }

    /// A session did not see what it had written itself.
    pub(crate) fn stale(&self, what: String) {
        lock(&self.stale).push(what);
    }

    /// A session saw what it had written itself.
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// The clients are to end.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether they are.
    pub(crate) fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for so many more acknowledged writes; whether they came.
    pub(crate) fn wait_for_more(&self, count: usize, within: Duration) -> bool {
        let wanted = lock(&self.answers).len() + count;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if lock(&self.answers).len() >= wanted {
                return true;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        false
    }

    /// When writes were acknowledged.
    pub(crate) fn answers(&self) -> Vec<Duration> {
        lock(&self.answers).clone()
    }

    /// How many statements failed, and how many connections were refused.
    pub(crate) fn failures(&self) -> (usize, u64) {
        let refused = self.refused.load(Ordering::Relaxed);
        (lock(&self.failed).len() - usize::try_from(refused).unwrap_or_default(), refused)
    }

    /// Those by kind: the same but for its figures is the same kind.
    pub(crate) fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for (_, why) in lock(&self.failed).iter() {
            let plain: String =
                why.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).take(160).collect();
            *kinds.entry(plain).or_default() += 1;
        }
        kinds
    }

    /// Reads of a session's own writes, and those that did not see them.
    pub(crate) fn own_reads(&self) -> (u64, Vec<String>) {
        (self.reads.load(Ordering::Relaxed), lock(&self.stale).clone())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
