//! An open crowd: visitors arrive by the clock, at random and whether or not the earlier ones were answered,
//! and give up after a while. A closed loop would ask less as soon as a site gets slow, and hide it.

use super::load::{ask, connect};
use std::collections::VecDeque;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A visitor gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// More at once are not made: those beyond come too late, and their wait counts from when they were due.
const VISITORS: usize = 2000;

/// What became of one visitor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    /// When it was due, since the crowd began.
    pub(super) at: Duration,
    /// From then until its answer, or until it gave up.
    pub(super) waited: Duration,
    /// The status of its answer; none where none came.
    pub(super) status: Option<u16>,
}

/// Visitors who arrive.
pub(super) struct Crowd {
    shared: Arc<Shared>,
    visitors: Vec<JoinHandle<()>>,
    began: Instant,
    seed: u64,
}

struct Shared {
    address: SocketAddr,
    request: String,
    began: Instant,
    queue: Mutex<Queue>,
    wake: Condvar,
    visits: Mutex<Vec<Visit>>,
}

#[derive(Default)]
struct Queue {
    due: VecDeque<Duration>,
    idle: usize,
    over: bool,
}

impl Crowd {
    /// One that asks for this path.
    pub(super) fn of(address: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let began = Instant::now();
        let (queue, visits) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { address, request, began, queue, wake: Condvar::new(), visits });
        Crowd { shared, visitors: Vec::new(), began, seed: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Lets visitors arrive from second `from` to second `to`, at random, `rate` a second on average.
    pub(super) fn arrive(&mut self, from: u64, to: u64, rate: f64) {
        let mut at = from as f64;
        loop {
            at += -(1.0 - self.random()).ln() / rate;
            if at >= to as f64 {
                return;
            }
            let due = Duration::from_secs_f64(at);
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
            let mut queue = self.shared.queue();
            queue.due.push_back(due);
            let missing = queue.due.len() > queue.idle && self.visitors.len() < VISITORS;
            drop(queue);
            if missing {
                let shared = self.shared.clone();
                let small = std::thread::Builder::new().stack_size(128 << 10);
                // Without one more thread it waits for one that is there.
                self.visitors.extend(small.spawn(move || shared.visit()));
            }
            self.shared.wake.notify_one();
        }
    }

    /// Waits for the last of them; what became of all, by when they were due.
    pub(super) fn end(self) -> Vec<Visit> {
        self.shared.queue().over = true;
        self.shared.wake.notify_all();
        for visitor in self.visitors {
            // One that panicked has told so itself.
            let _ = visitor.join();
        }
        let mut visits =
            std::mem::take(&mut *self.shared.visits.lock().unwrap_or_else(PoisonError::into_inner));
        visits.sort_by_key(|visit| visit.at);
        visits
    }

    /// From 0 to below 1, the same ones each time (xorshift64*).
    fn random(&mut self) -> f64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visit(&self) {
        let mut connection = None;
        while let Some(at) = self.next() {
            let status = self.ask(&mut connection);
            let waited = self.began.elapsed().saturating_sub(at);
            self.visits.lock().unwrap_or_else(PoisonError::into_inner).push(Visit { at, waited, status });
        }
    }

    fn next(&self) -> Option<Duration> {
        let mut queue = self.queue();
        queue.idle += 1;
        let mut queue = self
            .wake
            .wait_while(queue, |queue| queue.due.is_empty() && !queue.over)
            .unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
        queue.due.pop_front()
    }

    fn ask(&self, connection: &mut Option<BufReader<TcpStream>>) -> Option<u16> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => connect(self.address).ok()?,
        };
        stream.get_ref().set_read_timeout(Some(PATIENCE)).ok()?;
        let answer = ask(&mut stream, self.request.as_bytes()).ok()?;
        if answer.keep_alive {
            *connection = Some(stream);
        }
        Some(answer.status)
    }
}
