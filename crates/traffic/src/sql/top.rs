//! What statements cost, counted apart by digest: how often, where, how long, how many rows and errors.
//!
//! Each thread counts in a table of its own that only it writes; once a second, when a report is written,
//! they are added up. A table has a bounded size: what is rarest makes room.

use super::digest::Digest;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stoa_model::control::{DIGESTS_MAX, DigestReport};

/// How much of a text is kept.
const TEXT_MAX: usize = 512;

/// The tables of all threads.
#[derive(Debug)]
pub(crate) struct Top(Box<[Shard]>);

/// What one thread has counted. Its lock is taken by others for a moment a second.
#[derive(Debug)]
pub(crate) struct Shard {
    rows: Mutex<HashMap<u64, Row, BuildHasherDefault<AsItIs>>>,
    most: usize,
}

/// A digest is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Digests are written whole, see below.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// One kind of statement.
#[derive(Debug, Default)]
struct Row {
    text: String,
    primary: u64,
    replica: u64,
    errors: u64,
    rows: u64,
    time_us: u64,
    longest_us: u64,
}

/// What one statement was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// Its kind.
    pub(crate) digest: Digest,
    /// Whether the primary answered it.
    pub(crate) by_primary: bool,
    /// Whether it failed.
    pub(crate) failed: bool,
    /// How many rows it gave.
    pub(crate) rows: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Top {
    /// Empty tables of at most so many kinds, one a thread.
    pub(crate) fn new(threads: usize, most: usize) -> Arc<Self> {
        let shard = || Shard { rows: Mutex::default(), most: most.max(1) };
        Arc::new(Top((0..threads).map(|_| shard()).collect()))
    }

    /// The table of a thread.
    pub(crate) fn shard(&self, thread: usize) -> &Shard {
        &self.0[thread]
    }

    /// Those that took the most time.
    pub(crate) fn report(&self) -> Vec<DigestReport> {
        let mut sums: HashMap<u64, DigestReport> = HashMap::new();
        for shard in &self.0 {
            let rows = shard.rows.lock().unwrap_or_else(PoisonError::into_inner);
            for (digest, row) in rows.iter() {
                let sum = sums.entry(*digest).or_insert_with(|| DigestReport {
                    digest: format!("{digest:016x}"),
                    text: row.text.clone(),
                    ..DigestReport::default()
                });
                sum.primary += row.primary;
                sum.replica += row.replica;
                sum.errors += row.errors;
                sum.rows += row.rows;
                sum.time_us += row.time_us;
                sum.longest_us = sum.longest_us.max(row.longest_us);
            }
        }
        let mut told: Vec<DigestReport> = sums.into_values().collect();
        told.sort_by(|a, b| b.time_us.cmp(&a.time_us).then_with(|| a.digest.cmp(&b.digest)));
        told.truncate(DIGESTS_MAX);
        told
    }
}

impl Shard {
    /// Counts a statement; `text` is asked for where its kind is new. The lock is nobody else's but for a
    /// moment a second: some twenty nanoseconds.
    pub(crate) fn count(&self, count: &Count, text: impl FnOnce() -> String) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= self.most && !rows.contains_key(&count.digest.0) {
            // A few at once, so that a flood of new kinds does not look through all of them each time.
            let mut times: Vec<u64> = rows.values().map(|row| row.time_us).collect();
            let eighth = times.len() / 8;
            let (_, bound, _) = times.select_nth_unstable(eighth);
            let bound = *bound;
            rows.retain(|_, row| row.time_us > bound);
        }
        let row = rows.entry(count.digest.0).or_insert_with(|| {
            let mut text = text();
            text.truncate(text.floor_char_boundary(TEXT_MAX));
            Row { text, ..Row::default() }
        });
        let us = u64::try_from(count.took.as_micros()).unwrap_or(u64::MAX);
        if count.by_primary {
            row.primary += 1;
        } else {
            row.replica += 1;
        }
        row.errors += u64::from(count.failed);
        row.rows += count.rows;
        row.time_us = row.time_us.saturating_add(us);
        row.longest_us = row.longest_us.max(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(digest: u64, us: u64) -> Count {
        let took = Duration::from_micros(us);
        Count { digest: Digest(digest), by_primary: digest.is_multiple_of(2), failed: false, rows: 2, took }
    }

    #[test]
    fn threads_add_up_and_the_costly_come_first() {
        let top = Top::new(2, 10);
        for (thread, digest, us) in [(0, 1, 5), (1, 1, 7), (1, 2, 100)] {
            top.shard(thread).count(&count(digest, us), || format!("SELECT {digest}"));
        }
        let told = top.report();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].text.as_str(), told[0].primary, told[0].time_us), ("SELECT 2", 1, 100));
        let (replica, rows, time, longest) =
            (told[1].replica, told[1].rows, told[1].time_us, told[1].longest_us);
        assert_eq!((replica, rows, time, longest), (2, 4, 12, 7));
    }

    #[test]
    fn a_flood_of_kinds_is_bounded_and_leaves_the_costly() {
        let top = Top::new(1, 16);
        top.shard(0).count(&count(7, 1_000_000), || "dear".to_owned());
        for digest in 1000..2000 {
            top.shard(0).count(&count(digest, 1), || "x".repeat(5000));
        }
        let told = top.report();
        assert!(told.len() <= 16, "{}", told.len());
        assert_eq!(told[0].text, "dear");
        assert!(told.iter().all(|row| row.text.len() <= TEXT_MAX));
    }
}
