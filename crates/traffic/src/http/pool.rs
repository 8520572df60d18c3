//! Unused connections to one instance, kept by one thread.

use super::table::Upstream;
use crate::stream::Stream;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// An instance as one thread sees it: shared with all, and this thread's unused connections to it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The instance.
    pub(crate) upstream: Arc<Upstream>,
    /// Told when this thread's routes name it no more.
    pub(crate) leaving: Notify,
    retired: Cell<Option<Instant>>,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Slot {
    /// One without connections.
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        Slot { upstream, leaving: Notify::new(), retired: Cell::new(None), idle: RefCell::default() }
    }

    /// The connection used last that is still good. The oldest are left to age and go.
    pub(crate) fn check_out(&self) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { stream, .. }) = idle.pop() {
            if stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection for later, where there is room and a later.
    pub(crate) fn check_in(&self, stream: Stream, now: Instant, most: usize) {
        let mut idle = self.idle.borrow_mut();
        if self.retired.get().is_none() && !self.upstream.is_ejected() && idle.len() < most {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Closes what has been unused for too long or was closed by the instance.
    pub(crate) fn sweep(&self, now: Instant, most: Duration) {
        let ejected = self.upstream.is_ejected();
        self.idle
            .borrow_mut()
            .retain(|idle| !ejected && now.duration_since(idle.since) < most && idle.stream.is_quiet());
    }

    /// Closes all: one of them turned out to be dead, or the routes name the instance no more.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// The routes name it no more: nothing is kept from now on, and its tunnels are to end.
    pub(crate) fn retire(&self) {
        self.retired.set(Some(Instant::now()));
        self.clear();
        self.leaving.notify_waiters();
    }

    /// Since when this thread's routes name it no more.
    pub(crate) fn retired(&self) -> Option<Instant> {
        self.retired.get()
    }
}
