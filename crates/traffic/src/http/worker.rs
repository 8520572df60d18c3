//! One thread of a role: its own runtime, its own connections to the instances, its own copy of the
//! routes. Nothing on the way of a request waits for another thread.
//!
//! Decides when this thread accepts: not before its first routes, not while draining. It never reads a
//! request.

use super::balance::{Rng, Terms};
use super::listener;
use super::pool::Slot;
use super::request::RequestId;
use super::table::{Face, Shared, Table};
use crate::buffer::Buffer;
use crate::stats::Shard;
use std::cell::{Cell, Ref, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use stoa_model::routes::{Admission, AppFace};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// How often unused connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// Sets of buffers kept for the next requests.
const SPARE_BUFFERS: usize = 64;
/// A set of buffers that has grown beyond this is not kept.
const SPARE_SIZE: usize = 96 << 10;

/// What a thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Choose by these from now on.
    Routes(Arc<Table>),
    /// Accept nothing more, end what is open, then end.
    Drain,
}

/// One thread of a role.
#[derive(Debug)]
pub(crate) struct Worker {
    /// What all threads share.
    pub(crate) shared: Arc<Shared>,
    /// Which thread this is.
    pub(crate) index: usize,
    /// This thread's random numbers.
    pub(crate) rng: Rng,
    web: RefCell<Rc<[Rc<Slot>]>>,
    app: RefCell<Rc<[Rc<Slot>]>>,
    app_face: RefCell<Rc<AppFace>>,
    admission: Cell<Option<Admission>>,
    canary_percent: Cell<u8>,
    draining: Cell<Option<Instant>>,
    open: RefCell<Vec<Option<Waker>>>,
    vacant: RefCell<Vec<usize>>,
    emptied: Notify,
    #[expect(clippy::vec_box, reason = "a task holds a set by its box, which moves in and out as it is")]
    spare: RefCell<Vec<Box<Buffers>>>,
    id_prefix: u64,
    id_next: Cell<u64>,
}

/// Everything one request is read into and written from. Held from a request's first byte to the end of
/// its answer, so that a connection without a request holds none.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// From the client: heads and body.
    pub(crate) inbound: Buffer,
    /// The request as it is sent, with a small body.
    pub(crate) request: Vec<u8>,
    /// The framing of a body on its way to the instance.
    pub(crate) upload: Vec<u8>,
    /// From the instance: head and body.
    pub(crate) answer: Buffer,
    /// The head of the answer as it is sent, and the framing of its body.
    pub(crate) response: Vec<u8>,
}

/// An open connection from below.
pub(crate) struct Open {
    worker: Rc<Worker>,
    face: Face,
    key: usize,
}

impl Worker {
    /// Thread `index` of a role.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Worker {
            shared,
            index,
            rng: Rng::new(seed()),
            web: RefCell::new(Rc::from([])),
            app: RefCell::new(Rc::from([])),
            app_face: RefCell::default(),
            admission: Cell::default(),
            canary_percent: Cell::default(),
            draining: Cell::new(None),
            open: RefCell::default(),
            vacant: RefCell::default(),
            emptied: Notify::new(),
            spare: RefCell::default(),
            id_prefix: seed(),
            id_next: Cell::new(seed()),
        }
    }

    /// Serves until drained.
    pub(crate) async fn work(
        self: Rc<Self>,
        web: tokio::net::TcpListener,
        app: tokio::net::UnixListener,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        match commands.recv().await {
            Some(Command::Routes(table)) => self.install(&table),
            Some(Command::Drain) | None => return,
        }
        let port = web.local_addr().map_or(0, |address| address.port());
        let tasks = [
            tokio::task::spawn_local(listener::web(web, port, self.clone())),
            tokio::task::spawn_local(listener::app(app, self.clone())),
            tokio::task::spawn_local(self.clone().sweep()),
        ];
        while let Some(Command::Routes(table)) = commands.recv().await {
            self.install(&table);
        }
        for task in tasks {
            task.abort();
        }
        self.drain(commands).await;
    }

    /// Ends what is open. Routes are still taken: what is open may need another instance yet.
    async fn drain(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let until = Instant::now() + self.shared.limits.drain;
        self.draining.set(Some(Instant::now()));
        for waker in self.open.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
        while self.open_connections() > 0 {
            tokio::select! {
                () = self.emptied.notified() => {}
                Some(command) = commands.recv() => if let Command::Routes(table) = command {
                    self.install(&table);
                },
                () = tokio::time::sleep_until(until) => {
                    tracing::warn!(open = self.open_connections(), "draining took too long, closing the rest");
                    return;
                }
            }
        }
    }

    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            for face in [&self.web, &self.app] {
                let slots = face.borrow().clone();
                slots.iter().for_each(|slot| slot.sweep(now, self.shared.limits.pool_idle));
            }
        }
    }

    fn install(&self, table: &Table) {
        for (slots, upstreams) in [(&self.web, &table.web), (&self.app, &table.app)] {
            let old = slots.borrow().clone();
            let keep = |upstream| {
                let kept = old.iter().find(|slot| Arc::ptr_eq(&slot.upstream, upstream));
                kept.cloned().unwrap_or_else(|| Rc::new(Slot::new(upstream.clone())))
            };
            let new: Rc<[Rc<Slot>]> = upstreams.iter().map(keep).collect();
            let gone = old.iter().filter(|slot| !new.iter().any(|kept| Rc::ptr_eq(kept, slot)));
            gone.for_each(|slot| slot.retire());
            *slots.borrow_mut() = new;
        }
        *self.app_face.borrow_mut() = Rc::new(table.app_face.clone());
        self.admission.set(table.app_face.admission);
        self.canary_percent.set(table.canary_percent);
        self.shared.acknowledge(self.index, table.generation);
        self.shared.web.queue.wake_all();
        self.shared.app.queue.wake_all();
    }

    /// How the app face is served now.
    pub(crate) fn app_face(&self) -> Rc<AppFace> {
        self.app_face.borrow().clone()
    }

    /// How long an instance of `face` may take to answer.
    pub(crate) fn answer_timeout(&self, face: Face) -> Duration {
        let app = self.app_face.borrow().timeout.as_duration();
        match face {
            Face::Web => app + self.shared.limits.web_grace,
            Face::App => app,
        }
    }

    /// Since when this thread is draining.
    pub(crate) fn draining(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// This thread's counters of `face`.
    pub(crate) fn shard(&self, face: Face) -> &Shard {
        self.shared.face(face).counters.shard(self.index)
    }

    /// The instances of `face`.
    pub(crate) fn slots(&self, face: Face) -> Ref<'_, Rc<[Rc<Slot>]>> {
        match face {
            Face::Web => self.web.borrow(),
            Face::App => self.app.borrow(),
        }
    }

    /// How much is let through at `face`; none: everything.
    pub(crate) fn admission(&self, face: Face) -> Option<Admission> {
        match face {
            Face::Web => None,
            Face::App => self.admission.get(),
        }
    }

    /// What the routes ask of every choice at `face`.
    pub(crate) fn terms(&self, face: Face) -> Terms {
        match face {
            Face::Web => Terms::default(),
            Face::App => Terms {
                // None at all would have everything wait for ever.
                most: self.admission.get().map(|admission| admission.per_instance.max(1)),
                canary_percent: self.canary_percent.get(),
            },
        }
    }

    /// Counts a request at `face`, whatever becomes of it.
    pub(crate) fn arrived(&self, face: Face) {
        self.shared.face(face).queue.shard(self.index).arrived();
    }

    /// A set of empty buffers.
    pub(crate) fn buffers(&self) -> Box<Buffers> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a set back for the next request.
    pub(crate) fn recycle(&self, mut buffers: Box<Buffers>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS && buffers.capacity() <= SPARE_SIZE {
            buffers.inbound.clear();
            buffers.answer.clear();
            spare.push(buffers);
        }
    }

    /// A new identifier: unlike any other of this role and, but for luck, of any other.
    pub(crate) fn request_id(&self) -> RequestId {
        let next = self.id_next.get().wrapping_add(1);
        self.id_next.set(next);
        let mut id = [0; 32];
        for (half, number) in id.chunks_exact_mut(16).zip([self.id_prefix, next]) {
            for (i, digit) in half.iter_mut().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (60 - 4 * i)) as usize & 0xf];
            }
        }
        id
    }

    /// Registers the calling task as an open connection: it is woken when draining begins, and draining
    /// waits for it.
    pub(crate) async fn register(self: &Rc<Self>, face: Face) -> Open {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let key = self.vacant.borrow_mut().pop();
        let mut open = self.open.borrow_mut();
        let key = key.unwrap_or(open.len());
        if key == open.len() {
            open.push(None);
        }
        open[key] = Some(waker);
        self.shard(face).opened();
        Open { worker: self.clone(), face, key }
    }

    fn open_connections(&self) -> usize {
        self.open.borrow().len() - self.vacant.borrow().len()
    }
}

impl Buffers {
    fn capacity(&self) -> usize {
        self.inbound.capacity()
            + self.answer.capacity()
            + self.request.capacity()
            + self.upload.capacity()
            + self.response.capacity()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(entry) = self.worker.open.borrow_mut().get_mut(self.key) {
            *entry = None;
        }
        self.worker.vacant.borrow_mut().push(self.key);
        self.worker.shard(self.face).closed();
        if self.worker.draining.get().is_some() && self.worker.open_connections() == 0 {
            self.worker.emptied.notify_one();
        }
    }
}

/// A number nobody can know beforehand; where the system has none to give, one that differs by time.
fn seed() -> u64 {
    let mut bytes = [0_u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
    }
}
