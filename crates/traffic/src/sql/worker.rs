//! One thread of a role: its own runtime, its own sessions and connections, its own copy of the routes.
//! Nothing on the way of a statement waits for another thread.
//!
//! Decides when this thread accepts (not before its first routes, not while draining) and hands out
//! connections. It never reads a statement.

use super::asker::{self, Asker};
use super::backend::{Backend, OpenError};
use super::classify::{Shapes, Statement};
use super::digest::Digest;
use super::errand::{Departure, Errand};
use super::lexer::Dialect;
use super::listener;
use super::placed::Texts;
use super::pool::{Home, Slot, Want};
use super::roll::Roll;
use super::session;
use super::spare::Spare;
use super::state::State;
use super::table::{Counted, Shared, Table};
use super::top::{Shard, Top};
use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stoa_model::Term;
use stoa_model::control::KillOutcome;
use tokio::sync::{Notify, mpsc, oneshot};

/// How often unused connections and idle sessions are looked through.
const SWEEP: Duration = Duration::from_millis(500);
/// What a session that is passed on may take as text; one of thousands of prepared statements ends instead.
const FORM_MAX: usize = 200 << 10;
/// The most schemas that are known to be there.
const SCHEMAS_MAX: usize = 64;
/// The pause before a primary that cannot be connected to is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// What a thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send by these from now on.
    Routes(Arc<Table>),
    /// End this session, or only its statement, if it is one of this thread.
    Kill {
        /// The id its client was given.
        session: u32,
        /// Only the statement.
        query_only: bool,
        /// Only if it is this account's.
        owner: Option<usize>,
        /// Told what became of it; none where the id says nothing to it.
        known: oneshot::Sender<Option<KillOutcome>>,
    },
    /// Go on with a session of another splitter.
    Adopt(Departure),
    /// Accept nothing more, end what is open, then end.
    Drain,
}

/// The routes as one thread has them.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    /// Of which term.
    pub(crate) term: Term,
    /// What takes writes.
    pub(crate) primary: Option<Rc<Slot>>,
    /// What reads may be sent to.
    pub(crate) replicas: Vec<Rc<Slot>>,
    /// The primary of this term that the routes have named last: while they name none, transactions that
    /// began there may end there.
    last_primary: Option<Rc<Slot>>,
}

/// No connection could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoConnection {
    /// As many statements as may wait are waiting.
    #[error("too many statements are waiting for a connection")]
    Full,
    /// None became free in time.
    #[error("no connection to the database became free in time")]
    Late,
    /// The routes named no primary that could be connected to, for as long as statements are held.
    #[error("the database has no primary at present")]
    NoPrimary,
    /// The server could not be connected to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The client has gone, or its statement or session was ended, while it waited.
    #[error("nobody waits for it any more")]
    Ended,
}

/// One thread of a role.
#[derive(Debug)]
pub(crate) struct Worker {
    /// What all threads share.
    pub(crate) shared: Arc<Shared>,
    /// Which thread this is.
    pub(crate) index: usize,
    /// The sessions of this thread.
    pub(crate) roll: Roll,
    /// Asks the primary how far it is.
    pub(crate) asker: Asker,
    /// Told when the routes change.
    pub(crate) changed: Notify,
    /// The texts that sessions have prepared.
    pub(crate) texts: Texts,
    /// The buffers that nobody uses.
    pub(crate) spare: Spare,
    /// All threads of the role, this one too.
    pub(crate) siblings: Vec<mpsc::UnboundedSender<Command>>,
    /// What the steward is to see to.
    pub(crate) errands: mpsc::UnboundedSender<Errand>,
    top: Arc<Top>,
    routed: RefCell<Rc<Routed>>,
    slots: RefCell<Vec<Rc<Slot>>>,
    states: RefCell<HashMap<State, Weak<State>>>,
    draining: Cell<bool>,
    /// How many of a kind run now, where that is limited.
    running: RefCell<HashMap<u64, u32>>,
    /// Verdicts on the statements seen last.
    shapes: RefCell<Shapes>,
    /// Schemas that were there a moment ago, with who saw them.
    schemas: RefCell<HashSet<(usize, Box<[u8]>)>>,
}

impl Worker {
    /// Thread `index` of a role.
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        (siblings, errands): (Vec<mpsc::UnboundedSender<Command>>, mpsc::UnboundedSender<Errand>),
        top: Arc<Top>,
    ) -> Self {
        let roll = Roll::new(shared.place, index, shared.first);
        Worker {
            shared,
            index,
            roll,
            asker: Asker::default(),
            changed: Notify::new(),
            siblings,
            errands,
            top,
            routed: RefCell::default(),
            slots: RefCell::default(),
            states: RefCell::default(),
            spare: Spare::default(),
            draining: Cell::new(false),
            running: RefCell::default(),
            shapes: RefCell::default(),
            texts: Texts::default(),
            schemas: RefCell::default(),
        }
    }

    /// Serves until drained.
    pub(crate) async fn work(
        self: Rc<Self>,
        tcp: tokio::net::TcpListener,
        unix: tokio::net::UnixListener,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        // Nothing is accepted before there are routes.
        loop {
            match commands.recv().await {
                Some(Command::Routes(table)) => break self.install(&table),
                Some(Command::Drain) | None => return,
                Some(command) => self.obey(command),
            }
        }
        // These are needed as long as there is a session.
        tokio::task::spawn_local(asker::tell_position(self.clone()));
        tokio::task::spawn_local(asker::tell_shown(self.clone()));
        tokio::task::spawn_local(self.clone().sweep());
        let listeners = [
            tokio::task::spawn_local(listener::tcp(tcp, self.clone())),
            tokio::task::spawn_local(listener::unix(unix, self.clone())),
        ];
        loop {
            match commands.recv().await {
                Some(Command::Drain) | None => break,
                Some(command) => self.obey(command),
            }
        }
        for listener in listeners {
            listener.abort();
        }
        self.drain(commands).await;
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Routes(table) => self.install(&table),
            Command::Kill { session, query_only, owner, known } => {
                // Who asked may have gone.
                let _ = known.send(self.roll.kill(session, query_only, owner));
            }
            // Where this one is to end too, the client is told by the end of its connection.
            Command::Adopt(_) if self.is_draining() => {}
            Command::Adopt(Departure { form, connection }) => {
                tokio::task::spawn_local(session::go_on(form, connection, self.clone()));
            }
            Command::Drain => {}
        }
    }

    /// Passes a session on to another splitter.
    pub(crate) fn see_off(&self, departure: Departure) {
        if departure.form.0.len() > FORM_MAX {
            return tracing::warn!("a session has too much prepared to be passed on, and ends");
        }
        self.shared.gauges.departing.fetch_add(1, Ordering::Relaxed);
        // Received as long as the role lives.
        let _ = self.errands.send(Errand::Move(departure));
    }

    /// Ends what is open. Routes are still taken: what is open may need another server yet.
    async fn drain(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let until = tokio::time::Instant::now() + self.shared.settings.drain;
        self.draining.set(true);
        self.roll.wake_all();
        while self.roll.open() > 0 {
            tokio::select! {
                () = self.roll.emptied.notified() => {}
                Some(command) = commands.recv() => self.obey(command),
                () = tokio::time::sleep_until(until) => {
                    tracing::warn!(open = self.roll.open(), "draining took too long, closing the rest");
                    return;
                }
            }
        }
    }

    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            let share = self.share();
            let slots = self.slots.borrow().clone();
            slots.iter().for_each(|slot| slot.sweep(now, self.shared.settings.unused_for, share));
            self.states.borrow_mut().retain(|_, state| state.strong_count() > 0);
            self.texts.tidy();
            self.schemas.borrow_mut().clear();
            self.roll.expire(now, &self.shared.settings);
        }
    }

    /// How many unused connections to one server this thread keeps.
    fn share(&self) -> usize {
        let servers = self.slots.borrow().len().max(1);
        (self.shared.settings.unused as usize / self.shared.threads() / servers).max(1)
    }

    fn install(&self, table: &Table) {
        let old = self.routed.borrow().clone();
        let mut slots = self.slots.borrow_mut();
        let mut slot = |upstream: &Arc<super::table::Upstream>| {
            if let Some(known) = slots.iter().find(|slot| Arc::ptr_eq(&slot.upstream, upstream)) {
                return known.clone();
            }
            let slot = Rc::new(Slot::new(upstream.clone()));
            slots.push(slot.clone());
            slot
        };
        let primary = table.primary.as_ref().map(&mut slot);
        let replicas: Vec<_> = table.replicas.iter().map(slot).collect();
        let same_term = old.last_primary.clone().filter(|_| table.term == old.term);
        let last_primary = primary.clone().or(same_term);
        let new = Routed { term: table.term, primary, replicas, last_primary };
        let is =
            |one: &Option<Rc<Slot>>, slot: &Rc<Slot>| one.as_ref().is_some_and(|one| Rc::ptr_eq(one, slot));
        // What was opened to a former primary writes no more, at once.
        if let Some(former) = &old.last_primary
            && !is(&new.last_primary, former)
        {
            former.renew();
        }
        let kept = |slot: &Rc<Slot>| {
            is(&new.last_primary, slot) || new.replicas.iter().any(|named| Rc::ptr_eq(named, slot))
        };
        for slot in slots.iter() {
            slot.set_retired(!kept(slot));
        }
        slots.retain(|slot| kept(slot) || Rc::strong_count(slot) > 1);
        drop(slots);
        *self.routed.borrow_mut() = Rc::new(new);
        self.shared.acknowledge(self.index, table.generation);
        self.changed.notify_waiters();
        // What waits for an answer looks whether it still may.
        self.roll.wake_all();
    }

    /// The routes in force.
    pub(crate) fn routed(&self) -> Rc<Routed> {
        self.routed.borrow().clone()
    }

    /// Whether this thread is draining.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// This thread's counters of statements.
    pub(crate) fn top(&self) -> &Shard {
        self.top.shard(self.index)
    }

    /// The one copy of a state that all sessions and connections in it share.
    pub(crate) fn intern(&self, state: State) -> Rc<State> {
        let mut states = self.states.borrow_mut();
        if let Some(known) = states.get(&state).and_then(Weak::upgrade) {
            return known;
        }
        let shared = Rc::new(state.clone());
        states.insert(state, Rc::downgrade(&shared));
        shared
    }

    /// The verdict on a text and its fingerprint.
    pub(crate) fn examine(&self, text: &[u8], dialect: &Dialect) -> (Statement, Digest) {
        self.shapes.borrow_mut().examine(text, dialect)
    }

    /// Whether this account was in this schema a moment ago.
    pub(crate) fn knows_schema(&self, account: usize, schema: &[u8]) -> bool {
        self.schemas.borrow().iter().any(|(seen_by, seen)| *seen_by == account && **seen == *schema)
    }

    /// This account is in this schema.
    pub(crate) fn learn_schema(&self, account: usize, schema: &[u8]) {
        let mut schemas = self.schemas.borrow_mut();
        if schemas.len() < SCHEMAS_MAX {
            schemas.insert((account, schema.into()));
        }
    }

    /// One more statement of a kind runs; none where as many run as may.
    pub(crate) fn admit(self: &Rc<Self>, digest: Digest) -> Option<Admitted> {
        let Some(most) = self.shared.settings.limits.concurrency else { return Some(Admitted(None)) };
        let mut running = self.running.borrow_mut();
        let count = running.entry(digest.0).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Admitted(Some((self.clone(), digest))))
    }

    /// A connection to `slot` that is free at once.
    pub(crate) fn take(&self, slot: &Slot, want: &Want<'_>, home: Option<Home>) -> Option<Box<Backend>> {
        slot.take_own(want, home).or_else(|| slot.take_any(want, self.share()))
    }

    /// A connection to `slot`: a free one, a new one, or the next that is put back.
    pub(crate) async fn acquire(
        &self,
        slot: &Rc<Slot>,
        want: &Want<'_>,
        home: Option<Home>,
    ) -> Result<Box<Backend>, NoConnection> {
        if let Some(backend) = self.take(slot, want, home) {
            return Ok(backend);
        }
        let permits = &slot.upstream.permits;
        if permits.available_permits() == 0 && slot.unused() > 0 {
            slot.make_room();
        }
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Backend::open(slot, want, permit, &self.shared).await?);
        }
        self.wait(slot, want).await
    }

    async fn wait(&self, slot: &Rc<Slot>, want: &Want<'_>) -> Result<Box<Backend>, NoConnection> {
        let (settings, gauges) = (&self.shared.settings, &self.shared.gauges);
        if gauges.waiting.load(Ordering::Relaxed) >= settings.waiting {
            return Err(NoConnection::Full);
        }
        let _waiting = Counted::in_gauge(&gauges.waiting);
        let _wanted = Counted::in_gauge(&slot.upstream.wanted);
        let _here = Here::new(&slot.waiting);
        let late = tokio::time::sleep(settings.wait);
        tokio::pin!(late);
        loop {
            tokio::select! {
                () = slot.freed.notified() => {
                    if let Some(backend) = slot.take_any(want, 0) {
                        return Ok(backend);
                    }
                    slot.make_room();
                }
                permit = slot.upstream.permits.clone().acquire_owned() => {
                    // The semaphore is never closed.
                    let Ok(permit) = permit else { return Err(NoConnection::Late) };
                    return Ok(Backend::open(slot, want, permit, &self.shared).await?);
                }
                () = &mut late => return Err(NoConnection::Late),
            }
        }
    }

    /// A connection to the primary, however long there is none, up to the limit. `home` is where the session
    /// left its last one, with the server it is to.
    pub(crate) async fn acquire_primary(
        &self,
        want: &Want<'_>,
        home: impl Fn(&Rc<Slot>) -> Option<Home>,
        since: Instant,
    ) -> Result<Box<Backend>, NoConnection> {
        let mut held = None;
        loop {
            // Listen first, look second: what changes in between is not missed.
            let changed = self.changed.notified();
            let primary = self.routed.borrow().primary.clone();
            if let Some(slot) = primary {
                match self.acquire_writable(&slot, want, home(&slot)).await {
                    Err(NoConnection::Open(error)) if error.may_pass() => {
                        tracing::debug!(instance = %slot.upstream.name, %error, "the primary is not there");
                    }
                    Err(error) => return Err(error),
                    // Routes may have changed while it was opened.
                    Ok(Some(backend)) if backend.is_cut() => continue,
                    Ok(Some(backend)) => return Ok(backend),
                    Ok(None) => {
                        tracing::debug!(instance = %slot.upstream.name, "the primary takes no writes")
                    }
                }
            }
            held.get_or_insert_with(|| Counted::in_gauge(&self.shared.gauges.held));
            let left = self.shared.settings.hold.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(NoConnection::NoPrimary);
            }
            let named = self.routed.borrow().primary.is_some();
            let pause = if named { left.min(RETRY) } else { left };
            // Either way it is looked again.
            let _ = tokio::time::timeout(pause, changed).await;
        }
    }

    /// A connection to `slot` that was seen to take writes in this term; none where it does not.
    async fn acquire_writable(
        &self,
        slot: &Rc<Slot>,
        want: &Want<'_>,
        home: Option<Home>,
    ) -> Result<Option<Box<Backend>>, NoConnection> {
        let mut backend = self.acquire(slot, want, home).await?;
        let proof = slot.proof(self.routed.borrow().term);
        if backend.writable == Some(proof) {
            return Ok(Some(backend));
        }
        let asked = tokio::time::timeout(self.shared.settings.connect, backend.takes_writes()).await;
        let late = |_| OpenError::Late(slot.upstream.endpoint.clone());
        if !asked.map_err(late)?? {
            return Ok(None);
        }
        backend.writable = Some(proof);
        Ok(Some(backend))
    }
}

/// A statement that runs, counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Admitted(Option<(Rc<Worker>, Digest)>);

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some((worker, digest)) = &self.0
            && let Entry::Occupied(mut count) = worker.running.borrow_mut().entry(digest.0)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// One more that waits in this thread, as long as this lives.
struct Here<'a>(&'a Cell<u32>);

impl<'a> Here<'a> {
    fn new(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Here(count)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
