//! The instances there are, shared by every thread: how much each holds and whether it is ejected.
//!
//! Atomics on the way of a request; the one lock here is taken when an instance is ejected, re-admitted
//! or reported.

use super::limits::Limits;
use super::stats::Counters;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stoa_model::control::UpstreamReport;
use stoa_model::routes::AppFace;
use stoa_model::{Endpoint, Generation, InstanceId, Time};
use tokio::sync::{Notify, mpsc, watch};

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
    /// Told when an instance may have become usable.
    pub(crate) usable: Notify,
    /// How many requests wait for that.
    pub(crate) waiting: AtomicU32,
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
    in_flight: AtomicU32,
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
    ejected: AtomicBool,
    why: Mutex<Option<String>>,
    shared: Arc<Shared>,
}

/// A request that an instance holds, from being chosen to being over.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Upstream>);

impl Shared {
    /// For so many threads; the receiver yields what is to be probed.
    pub(crate) fn new(limits: Limits, threads: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<Arc<Upstream>>) {
        let (ejections, to_probe) = mpsc::unbounded_channel();
        let face = || FaceShared {
            usable: Notify::new(),
            waiting: AtomicU32::new(0),
            counters: Counters::new(threads),
        };
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
            in_flight: AtomicU32::new(0),
        }
    }

    /// How many requests and tunnels it holds.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
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
        self.shared.face(self.face).usable.notify_waiters();
        self.shared.news.send_replace(());
    }

    /// Counts a request that it is sent.
    pub(crate) fn take(self: &Arc<Self>) -> InFlight {
        self.instance.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// What a report says of it.
    pub(crate) fn report(&self) -> UpstreamReport {
        UpstreamReport {
            in_flight: self.instance.in_flight(),
            ejected: self.why.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            traffic: self.instance.counters.total(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let instance = &self.0.instance;
        let was = instance.in_flight.fetch_sub(1, Ordering::Release);
        if was == 1 && !instance.routed.load(Ordering::Relaxed) {
            self.0.shared.news.send_replace(());
        }
    }
}
