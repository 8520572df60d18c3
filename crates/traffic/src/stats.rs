//! Counters that only grow: rate, errors and duration, of a face or of an instance.
//!
//! Every thread counts in a shard of its own, so that counting takes neither a lock nor a cache line
//! from another core. They are added up once a second, when a report is written.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use stoa_model::control::{DURATION_BOUNDS_MS, Traffic};

/// The counters of one face or instance.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Shard]>);

/// What one thread has counted. Only that thread writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Shard {
    status: [AtomicU64; 5],
    broken: AtomicU64,
    retried: AtomicU64,
    connections: AtomicU64,
    durations: [AtomicU64; DURATION_BOUNDS_MS.len() + 1],
    duration_sum_us: AtomicU64,
}

impl Counters {
    /// Zeros, for so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Counters((0..threads).map(|_| Shard::default()).collect())
    }

    /// The shard of a thread.
    pub(crate) fn shard(&self, thread: usize) -> &Shard {
        &self.0[thread]
    }

    /// All threads together.
    pub(crate) fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        for shard in &self.0 {
            add_all(&mut total.status, &shard.status);
            add_all(&mut total.durations, &shard.durations);
            total.broken += shard.broken.load(Relaxed);
            total.retried += shard.retried.load(Relaxed);
            total.connections += shard.connections.load(Relaxed);
            total.duration_sum_us += shard.duration_sum_us.load(Relaxed);
        }
        total
    }
}

impl Shard {
    /// A request got its answer.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        bump(&self.status[class]);
        // A bound is inclusive, as Prometheus has it.
        let us = took.as_micros().try_into().unwrap_or(u64::MAX);
        let bucket = DURATION_BOUNDS_MS.partition_point(|bound| bound * 1000 < us);
        bump(&self.durations[bucket]);
        self.duration_sum_us.store(self.duration_sum_us.load(Relaxed).wrapping_add(us), Relaxed);
    }

    /// A request got none.
    pub(crate) fn broken(&self) {
        bump(&self.broken);
    }

    /// A request was sent again elsewhere.
    pub(crate) fn retried(&self) {
        bump(&self.retried);
    }

    /// A connection was opened.
    pub(crate) fn opened(&self) {
        bump(&self.connections);
    }

    /// A connection was closed.
    pub(crate) fn closed(&self) {
        self.connections.store(self.connections.load(Relaxed).saturating_sub(1), Relaxed);
    }
}

/// Not a read-modify-write: the shard has one writer.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

fn add_all<const N: usize>(to: &mut [u64; N], from: &[AtomicU64; N]) {
    for (sum, counter) in to.iter_mut().zip(from) {
        *sum += counter.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let counters = Counters::new(2);
        counters.shard(0).answered(200, Duration::from_millis(1));
        counters.shard(1).answered(204, Duration::from_micros(1001));
        counters.shard(1).answered(503, Duration::from_secs(60));
        counters.shard(0).opened();
        counters.shard(1).opened();
        counters.shard(1).closed();
        let total = counters.total();
        assert_eq!(total.status, [0, 2, 0, 0, 1]);
        assert_eq!((total.durations[0], total.durations[1], total.durations[14]), (1, 1, 1));
        assert_eq!(total.duration_sum_us, 60_002_001);
        assert_eq!(total.connections, 1);
    }
}
