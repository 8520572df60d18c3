//! The instances there are, shared by every thread: how much each holds and whether it is ejected.
//!
//! Atomics on the way of a request; the one lock here is taken when an instance is ejected, re-admitted
//! or reported.

use super::limits::Limits;
use super::queue::Queue;
use crate::stats::Counters;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stoa_model::control::UpstreamReport;
use stoa_model::routes::AppFace;
use stoa_model::{Endpoint, Generation, InstanceId, Time};
use tokio::sync::{mpsc, watch};

/// One tunnel in [`Instance::held`], whose lower half counts requests and tunnels alike.
const TUNNEL: u64 = 1 << 32;

/// One of the two addresses of the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Where visitors come in.
    Web,
    /// Where nginx comes in.
    App,
}

/// What every thread of a role shares.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How long is waited, how much is held.
    pub(crate) limits: Limits,
    /// The web face.
    pub(crate) web: FaceShared,
    /// The app face.
    pub(crate) app: FaceShared,
    /// Told whenever a report would say something new.
    pub(crate) news: watch::Sender<()>,
    /// Instances to be probed.
    pub(crate) ejections: mpsc::UnboundedSender<Arc<Upstream>>,
    acknowledged: Box<[AtomicU64]>,
}

/// What every thread shares of one face.
#[derive(Debug)]
pub(crate) struct FaceShared {
    /// Those that wait for an instance.
    pub(crate) queue: Queue,
    /// What came in.
    pub(crate) counters: Counters,
}

/// The routes of one generation.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Which.
    pub(crate) generation: Generation,
    /// Behind the web face.
    pub(crate) web: Vec<Arc<Upstream>>,
    /// Behind the app face.
    pub(crate) app: Vec<Arc<Upstream>>,
    /// How the app face is served.
    pub(crate) app_face: AppFace,
    /// How many of a hundred requests at the app face go to the canary; zero where there is none.
    pub(crate) canary_percent: u8,
}

/// An instance through all its starts.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Whose.
    pub(crate) id: InstanceId,
    /// Its id as text.
    pub(crate) name: String,
    /// What was sent to it.
    pub(crate) counters: Counters,
    /// Whether the newest routes name it.
    pub(crate) routed: AtomicBool,
    /// Requests and tunnels, and in the upper half the tunnels among them: one number, so that a bound on
    /// the requests holds exactly, whichever threads send them.
    held: AtomicU64,
}

/// One start of an instance: what was proven of another start says nothing of this one.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Which instance.
    pub(crate) instance: Arc<Instance>,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// When it started.
    pub(crate) started: Time,
    /// Which face sends to it.
    pub(crate) face: Face,
    /// Whether the newest routes name this start.
    pub(crate) current: AtomicBool,
    /// Whether it runs the release that gets a part of the requests only.
    pub(crate) canary: AtomicBool,
    ejected: AtomicBool,
    why: Mutex<Option<String>>,
    shared: Arc<Shared>,
}

/// A request that an instance holds, from being chosen to being over.
#[derive(Debug)]
pub(crate) struct InFlight {
    upstream: Arc<Upstream>,
    tunnel: Cell<bool>,
}

impl Shared {
    /// For so many threads; the receiver yields what is to be probed.
    pub(crate) fn new(limits: Limits, threads: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<Arc<Upstream>>) {
        let (ejections, to_probe) = mpsc::unbounded_channel();
        let face = || FaceShared { queue: Queue::new(threads), counters: Counters::new(threads) };
        let shared = Shared {
            limits,
            web: face(),
            app: face(),
            news: watch::Sender::new(()),
            ejections,
            acknowledged: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        };
        (Arc::new(shared), to_probe)
    }

    /// What is shared of `face`.
    pub(crate) fn face(&self, face: Face) -> &FaceShared {
        match face {
            Face::Web => &self.web,
            Face::App => &self.app,
        }
    }

    /// A thread chooses by `generation` from now on.
    pub(crate) fn acknowledge(&self, thread: usize, generation: Generation) {
        // Release: whoever reads this sees every in-flight count that older routes have led to.
        self.acknowledged[thread].store(generation.0, Ordering::Release);
        self.news.send_replace(());
    }

    /// The generation nothing older than which is used for a new request.
    pub(crate) fn serving(&self) -> Generation {
        Generation(self.acknowledged.iter().map(|n| n.load(Ordering::Acquire)).min().unwrap_or_default())
    }
}

impl Instance {
    /// One that nothing has been sent to.
    pub(crate) fn new(id: InstanceId, threads: usize) -> Self {
        Instance {
            id,
            name: id.to_string(),
            counters: Counters::new(threads),
            routed: AtomicBool::new(false),
            held: AtomicU64::new(0),
        }
    }

    /// How many requests and tunnels it holds.
    pub(crate) fn in_flight(&self) -> u32 {
        self.held.load(Ordering::Relaxed) as u32
    }

    /// Whether it holds `most` requests. A tunnel is none: it may be open for hours and do nothing.
    pub(crate) fn is_full(&self, most: Option<u32>) -> bool {
        most.is_some_and(|most| requests(self.held.load(Ordering::Relaxed)) >= most)
    }

    /// What a report says of it.
    pub(crate) fn report(&self) -> UpstreamReport {
        // Before the counters: whoever is told of a zero is told of the last answer too.
        let held = self.held.load(Ordering::Acquire);
        UpstreamReport {
            in_flight: held as u32,
            tunnels: (held >> 32) as u32,
            ejected: None,
            traffic: self.counters.total(),
        }
    }
}

impl Upstream {
    /// A start that the routes vouch for.
    pub(crate) fn new(
        instance: Arc<Instance>,
        face: Face,
        endpoint: Endpoint,
        started: Time,
        shared: Arc<Shared>,
    ) -> Self {
        Upstream {
            instance,
            endpoint,
            started,
            face,
            current: AtomicBool::new(true),
            canary: AtomicBool::new(false),
            ejected: AtomicBool::new(false),
            why: Mutex::new(None),
            shared,
        }
    }

    /// Whether nothing is sent to it now.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// No thread sends it anything from now on, until it has been probed.
    pub(crate) fn eject(self: &Arc<Self>, why: &str) {
        if self.ejected.swap(true, Ordering::Relaxed) {
            return;
        }
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        if self.current.load(Ordering::Relaxed) {
            tracing::warn!(instance = %self.instance.name, endpoint = %self.endpoint, why, "ejected");
            // The receiver lives as long as the role.
            let _ = self.shared.ejections.send(self.clone());
            self.shared.news.send_replace(());
        }
    }

    /// It may be sent requests again.
    pub(crate) fn readmit(&self) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.ejected.store(false, Ordering::Relaxed);
        tracing::info!(instance = %self.instance.name, "re-admitted");
        self.shared.face(self.face).queue.wake_all();
        self.shared.news.send_replace(());
    }

    /// Counts a request that it is sent; none where it holds `most` already.
    pub(crate) fn take(self: &Arc<Self>, most: Option<u32>) -> Option<InFlight> {
        let held = &self.instance.held;
        match most {
            None => {
                held.fetch_add(1, Ordering::Relaxed);
            }
            Some(most) => {
                let more = |held| (requests(held) < most).then_some(held + 1);
                held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
            }
        }
        Some(InFlight { upstream: self.clone(), tunnel: Cell::new(false) })
    }

    /// What a report says of it.
    pub(crate) fn report(&self) -> UpstreamReport {
        let ejected = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UpstreamReport { ejected, ..self.instance.report() }
    }
}

impl InFlight {
    /// The request was answered and its connection is a tunnel from now on.
    pub(crate) fn becomes_tunnel(&self) {
        if !self.tunnel.replace(true) {
            self.upstream.instance.held.fetch_add(TUNNEL, Ordering::SeqCst);
            self.upstream.shared.face(self.upstream.face).queue.wake_first();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Upstream { instance, shared, face, .. } = &*self.upstream;
        let one = if self.tunnel.get() { TUNNEL + 1 } else { 1 };
        // Sequentially consistent, as is looking into the queue: who joins that meanwhile sees the free
        // place or is seen here.
        let was = instance.held.fetch_sub(one, Ordering::SeqCst);
        shared.face(*face).queue.wake_first();
        if was as u32 == 1 && !instance.routed.load(Ordering::Relaxed) {
            shared.news.send_replace(());
        }
    }
}

/// How many requests are in this many held.
fn requests(held: u64) -> u32 {
    (held as u32).saturating_sub((held >> 32) as u32)
}
