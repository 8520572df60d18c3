//! Asks every database server 50 times a second whether it takes writes, past Stoa, from a thread of its own.

use super::connect::{self, within};
use super::servers::Servers;
use super::writable::{Both, Writable};
use mysql_async::prelude::Queryable;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(20);
/// A server that appears is asked from then on.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// A server that is stopped for a while is asked until it goes on, so that its first answer is heard.
const PATIENCE: Duration = Duration::from_secs(30);

/// The watcher.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    servers: Servers,
    origin: Instant,
    seen: Mutex<Writable>,
    watched: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

impl Watch {
    /// Begins; times are told since `origin`.
    pub(crate) fn begin(servers: Servers, origin: Instant) -> Result<Self, String> {
        let (seen, watched, over) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { servers, origin, seen, watched, over });
        let runtime = connect::runtime()?;
        let watching = shared.clone();
        let thread = std::thread::spawn(move || runtime.block_on(look(watching)));
        Ok(Watch { shared, thread: Some(thread) })
    }

    /// Which servers take writes.
    pub(crate) fn now(&self) -> Vec<String> {
        self.shared.seen().now()
    }

    /// When two took writes at once, since then.
    pub(crate) fn both(&self, from: Duration) -> Vec<Both> {
        self.shared.seen().both(from)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has told so itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> std::sync::MutexGuard<'_, Writable> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(shared: Arc<Shared>) {
    while !shared.over.load(Ordering::Relaxed) {
        for (server, socket) in shared.servers.sockets() {
            if shared.watched().insert(server.clone()) {
                let shared = shared.clone();
                tokio::spawn(async move {
                    ask(&shared, &server, &socket).await;
                    shared.seen().silent(&server);
                    shared.watched().remove(&server);
                });
            }
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

/// Asks one server until it cannot be asked any more.
async fn ask(shared: &Shared, server: &str, socket: &Path) {
    let Ok(mut connection) = connect::connect(&shared.servers.as_admin(socket)).await else { return };
    while !shared.over.load(Ordering::Relaxed) {
        let asked = shared.origin.elapsed();
        let answer: Result<Option<u8>, _> =
            within(PATIENCE, connection.query_first("SELECT @@global.read_only")).await;
        let Ok(Some(read_only)) = answer else { return };
        shared.seen().said(server, asked, shared.origin.elapsed(), read_only == 0);
        tokio::time::sleep(EVERY).await;
    }
}
