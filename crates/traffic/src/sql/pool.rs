//! The unused connections of one thread to one server.
//!
//! A connection stays with the session it served last while nobody else needs it, so that what a server
//! remembers of a session's last statement is found again. Decides who gets which; opens none itself.

use super::backend::Backend;
use super::state::State;
use super::table::Upstream;
use super::wire::capability::Capabilities;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stoa_model::Term;
use tokio::sync::Notify;

/// A connection that its session has used a moment ago is not taken from it while another may be opened.
const WARM: Duration = Duration::from_millis(20);

/// A server as one thread sees it: shared with all, and this thread's unused connections to it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The server.
    pub(crate) upstream: Arc<Upstream>,
    /// Told when a connection is put back and somebody waits for one.
    pub(crate) freed: Notify,
    /// Sessions of this thread that wait for one.
    pub(crate) waiting: Cell<u32>,
    /// Grows when what is open is not to be used any more: a change of primary.
    epoch: Cell<u64>,
    /// Grows when the server refused a write: what was proven before has to be proven again.
    proof: Cell<u64>,
    retired: Cell<bool>,
    idle: RefCell<Vec<Option<Idle>>>,
    vacant: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Idle {
    backend: Box<Backend>,
    /// The session it stays with; 0 for none.
    owner: u32,
    since: Instant,
}

/// Where a session left its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    place: usize,
}

/// What a session needs.
#[derive(Debug)]
pub(crate) struct Want<'a> {
    /// Which session.
    pub(crate) session: u32,
    /// As whom it runs.
    pub(crate) account: usize,
    /// What its client and the server must agree on.
    pub(crate) kind: Capabilities,
    /// The state it is in.
    pub(crate) state: &'a Rc<State>,
}

impl Want<'_> {
    fn fits(&self, backend: &Backend) -> bool {
        // A schema cannot be left for none.
        let schema = !self.state.schema().is_empty() || backend.has_no_schema();
        backend.account == self.account && backend.kind == self.kind && schema
    }
}

impl Slot {
    /// One without connections.
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        Slot {
            upstream,
            freed: Notify::new(),
            waiting: Cell::new(0),
            epoch: Cell::new(0),
            proof: Cell::new(0),
            retired: Cell::new(false),
            idle: RefCell::default(),
            vacant: RefCell::default(),
        }
    }

    /// Counts the changes after which what was opened before is of no use.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// What a connection that is proven to take writes in `term` bears.
    pub(crate) fn proof(&self, term: Term) -> (Term, u64) {
        (term, self.proof.get())
    }

    /// The server has refused a write.
    pub(crate) fn distrust(&self) {
        self.proof.set(self.proof.get() + 1);
    }

    /// Whether the routes name it no more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// The connection that the session left at `home`, if it is still its own.
    pub(crate) fn take_own(&self, want: &Want<'_>, home: Option<Home>) -> Option<Box<Backend>> {
        let place = home?.place;
        let mut idle = self.idle.borrow_mut();
        let entry = idle.get_mut(place)?;
        if !entry.as_mut().is_some_and(|idle| idle.owner == want.session && want.fits(&idle.backend)) {
            return None;
        }
        let mut taken = entry.take()?;
        self.vacant.borrow_mut().push(place);
        taken.backend.is_quiet().then_some(taken.backend)
    }

    /// A connection that fits, best one that is nobody's and in the right state. Below `share` unused ones,
    /// and while more may be opened, none is taken from a session that has just used it.
    pub(crate) fn take_any(&self, want: &Want<'_>, share: usize) -> Option<Box<Backend>> {
        loop {
            let place = self.best(want, share)?;
            let mut taken = self.idle.borrow_mut().get_mut(place)?.take()?;
            self.vacant.borrow_mut().push(place);
            if taken.backend.is_quiet() {
                return Some(taken.backend);
            }
        }
    }

    fn best(&self, want: &Want<'_>, share: usize) -> Option<usize> {
        let idle = self.idle.borrow();
        let must =
            idle.len() - self.vacant.borrow().len() > share || self.upstream.permits.available_permits() == 0;
        let fitting = idle.iter().enumerate().filter_map(|(place, idle)| {
            let idle = idle.as_ref().filter(|idle| want.fits(&idle.backend))?;
            let usable = idle.owner == 0 || must || idle.since.elapsed() > WARM;
            usable.then(|| {
                let elsewhere = !idle.backend.is_in(want.state);
                ((idle.owner != 0, elsewhere, idle.since), place)
            })
        });
        fitting.min_by_key(|(rank, _)| *rank).map(|(_, place)| place)
    }

    /// Closes one that does not fit, so that another may be opened in its place.
    pub(crate) fn make_room(&self) {
        let mut idle = self.idle.borrow_mut();
        let oldest =
            idle.iter().enumerate().filter_map(|(place, idle)| Some((idle.as_ref()?.since, place))).min();
        if let Some((_, place)) = oldest
            && let Some(entry) = idle.get_mut(place)
        {
            *entry = None;
            self.vacant.borrow_mut().push(place);
        }
    }

    /// Keeps a connection for later, where there is a later and nobody in another thread waits for it.
    pub(crate) fn put_back(&self, backend: Box<Backend>, owner: u32, now: Instant) -> Option<Home> {
        if self.retired.get() || backend.epoch != self.epoch.get() {
            return None;
        }
        let waiting = self.waiting.get();
        if waiting == 0 && self.upstream.wanted.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let place = self.vacant.borrow_mut().pop().unwrap_or(idle.len());
        let owner = if waiting > 0 { 0 } else { owner };
        let entry = Some(Idle { backend, owner, since: now });
        match idle.get_mut(place) {
            Some(free) => *free = entry,
            None => idle.push(entry),
        }
        if waiting > 0 {
            self.freed.notify_one();
        }
        Some(Home { place })
    }

    /// The session has ended.
    pub(crate) fn disown(&self, home: Home, session: u32) {
        if let Some(Some(idle)) = self.idle.borrow_mut().get_mut(home.place)
            && idle.owner == session
        {
            idle.owner = 0;
        }
    }

    /// Whether the session's connection is still where it left it.
    pub(crate) fn keeps(&self, home: Home, session: u32) -> bool {
        let idle = self.idle.borrow();
        idle.get(home.place).is_some_and(|idle| idle.as_ref().is_some_and(|idle| idle.owner == session))
    }

    /// How many are unused.
    pub(crate) fn unused(&self) -> usize {
        self.idle.borrow().len() - self.vacant.borrow().len()
    }

    /// Closes what has been unused for longer than `most` beyond the `share` used last, and what the server
    /// has closed.
    pub(crate) fn sweep(&self, now: Instant, most: Duration, share: usize) {
        let mut idle = self.idle.borrow_mut();
        let mut places: Vec<(Instant, usize)> =
            idle.iter().enumerate().filter_map(|(place, idle)| Some((idle.as_ref()?.since, place))).collect();
        places.sort_by(|a, b| b.cmp(a));
        let wanted = self.upstream.wanted.load(Ordering::Relaxed) > 0;
        for (rank, (since, place)) in places.into_iter().enumerate() {
            let Some(entry) = idle.get_mut(place) else { continue };
            let old = now.duration_since(since) > most;
            let quiet = entry.as_mut().is_some_and(|idle| idle.backend.is_quiet());
            if !quiet || wanted || (old && rank >= share) {
                *entry = None;
                self.vacant.borrow_mut().push(place);
            }
        }
    }

    /// Closes all: what is open is not to be used any more.
    pub(crate) fn renew(&self) {
        self.epoch.set(self.epoch.get() + 1);
        self.clear();
    }

    /// The routes name it no more, or again.
    pub(crate) fn set_retired(&self, retired: bool) {
        self.retired.set(retired);
        if retired {
            self.clear();
        }
    }

    fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.vacant.borrow_mut().clear();
    }
}
