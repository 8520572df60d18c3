//! The servers there are, shared by every thread: what each holds, how far it is, whether reads leave it out.
//!
//! Atomics on the way of a statement; a lock only where a server is left out or reported.

use super::identity::Identity;
use super::position::Applied;
use super::settings::Settings;
use super::wire::auth::Account;
use super::wire::capability::Proxy;
use super::wire::tls::{Acceptor, Connector};
use crate::stats::Counters;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use stoa_model::control::SqlInstanceReport;
use stoa_model::routes::Route;
use stoa_model::{Endpoint, Generation, InstanceId, Term, Time};
use tokio::sync::{Semaphore, watch};

/// How long a replica that was waited for in vain gets no read that would have to wait.
const SLOW: Duration = Duration::from_millis(500);
/// A lag that is not known.
const UNKNOWN_LAG: u64 = u64::MAX;

/// What every thread of a role shares.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How long is waited, how much is held.
    pub(crate) settings: Settings,
    /// Who may log in.
    pub(crate) accounts: Vec<Account>,
    /// Who may ask a primary where its log is.
    observer: Option<Account>,
    /// Encrypts.
    pub(crate) tls: Tls,
    /// Which of the splitters this is: a part of the connection ids that clients are given.
    pub(crate) place: u8,
    /// Behind which number connection ids begin: another in each process.
    pub(crate) first: u32,
    /// What the servers say of themselves; not known before the first has been asked.
    pub(crate) identity: OnceLock<Identity>,
    /// Told whenever a report would say something new.
    pub(crate) news: watch::Sender<()>,
    /// What is open and what waits, over all threads.
    pub(crate) gauges: Gauges,
    acknowledged: Box<[AtomicU64]>,
}

/// Numbers that go up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Clients that are connected.
    pub(crate) sessions: AtomicU32,
    /// Statements that wait for a primary.
    pub(crate) held: AtomicU32,
    /// Statements that wait for a connection.
    pub(crate) waiting: AtomicU32,
    /// Sessions that are on their way to another splitter.
    pub(crate) departing: AtomicU32,
}

/// One more in a gauge, as long as this lives.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a AtomicU32);

/// TLS on both sides.
#[derive(Debug)]
pub(crate) struct Tls {
    /// For clients that ask for it, where it is offered.
    pub(crate) acceptor: Option<Acceptor>,
    /// For servers whose route says so.
    pub(crate) connector: Connector,
}

/// The routes of one generation.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Which.
    pub(crate) generation: Generation,
    /// Of which term.
    pub(crate) term: Term,
    /// What takes writes.
    pub(crate) primary: Option<Arc<Upstream>>,
    /// What reads may be sent to.
    pub(crate) replicas: Vec<Arc<Upstream>>,
}

/// One start of a server: what is known of another start says nothing of this one.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Whose.
    pub(crate) id: InstanceId,
    /// Its id as text.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// What is believed there: it is connected to inside TLS.
    pub(crate) tls: Option<Connector>,
    /// When it started.
    pub(crate) started: Time,
    /// Whether the newest routes name it.
    pub(crate) current: AtomicBool,
    /// How many connections there may yet be.
    pub(crate) permits: Arc<Semaphore>,
    /// Statements and open transactions.
    pub(crate) in_flight: AtomicU32,
    /// Sessions without a statement that are bound to a connection.
    pub(crate) pinned: AtomicU32,
    /// Statements that wait for a connection to it.
    pub(crate) wanted: AtomicU32,
    /// What it answered.
    pub(crate) counters: Counters,
    /// How far it is, as whoever reads there sees it.
    pub(crate) applied: Applied,
    lag_ms: AtomicU64,
    /// Until when it is given time to catch up, in milliseconds since it was first routed to.
    slow_until: AtomicU64,
    since: Instant,
    connections_max: u32,
    left_out: Mutex<Option<(Instant, String)>>,
    is_left_out: AtomicBool,
}

impl Shared {
    /// For so many threads.
    pub(crate) fn new(
        settings: Settings,
        accounts: Vec<Account>,
        observer: Option<Account>,
        tls: Tls,
        place: u8,
        threads: usize,
    ) -> Arc<Self> {
        Arc::new(Shared {
            settings,
            tls,
            accounts,
            observer,
            place,
            first: RandomState::new().hash_one(place) as u32,
            identity: OnceLock::new(),
            news: watch::Sender::new(()),
            gauges: Gauges::default(),
            acknowledged: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// A thread sends by `generation` from now on.
    pub(crate) fn acknowledge(&self, thread: usize, generation: Generation) {
        // Release: whoever reads this sees every in-flight count that older routes have led to.
        if let Some(acknowledged) = self.acknowledged.get(thread) {
            acknowledged.store(generation.0, Ordering::Release);
        }
        self.news.send_replace(());
    }

    /// The generation nothing older than which is used for a new statement.
    pub(crate) fn serving(&self) -> Generation {
        Generation(self.acknowledged.iter().map(|n| n.load(Ordering::Acquire)).min().unwrap_or_default())
    }

    /// What the splitter adds to what the servers offer.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy { tls: self.tls.acceptor.is_some(), compression: self.settings.compression }
    }

    /// Who asks a primary how far it is: the observer, or the first account.
    pub(crate) fn observer(&self) -> Option<&Account> {
        self.observer.as_ref().or(self.accounts.first())
    }

    /// Whether the servers are MySQL's; not before one has said so.
    pub(crate) fn is_mysql(&self) -> bool {
        self.identity.get().is_some_and(Identity::is_mysql)
    }

    /// How many threads serve.
    pub(crate) fn threads(&self) -> usize {
        self.acknowledged.len()
    }
}

impl<'a> Counted<'a> {
    /// Counts one more.
    pub(crate) fn in_gauge(gauge: &'a AtomicU32) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Table {
    /// Every server named, the primary first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.primary.iter().chain(&self.replicas)
    }
}

impl Upstream {
    /// What `route` names, for so many threads.
    pub(crate) fn new(route: &Route, shared: &Shared) -> Self {
        let (settings, threads) = (&shared.settings, shared.threads());
        Upstream {
            id: route.instance,
            name: route.instance.to_string(),
            endpoint: route.endpoint.clone(),
            tls: route.tls.then(|| shared.tls.connector.clone()),
            started: route.started,
            current: AtomicBool::new(true),
            permits: Arc::new(Semaphore::new(settings.connections as usize)),
            in_flight: AtomicU32::new(0),
            pinned: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            counters: Counters::new(threads),
            applied: Applied::default(),
            lag_ms: AtomicU64::new(UNKNOWN_LAG),
            slow_until: AtomicU64::new(0),
            since: Instant::now(),
            connections_max: settings.connections,
            left_out: Mutex::default(),
            is_left_out: AtomicBool::new(false),
        }
    }

    /// How far it is behind, where that is known.
    pub(crate) fn lag(&self) -> Option<Duration> {
        match self.lag_ms.load(Ordering::Relaxed) {
            UNKNOWN_LAG => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }

    /// Takes down how far it is behind.
    pub(crate) fn set_lag(&self, lag: Option<Duration>) {
        let ms = lag.map_or(UNKNOWN_LAG, |lag| u64::try_from(lag.as_millis()).unwrap_or(UNKNOWN_LAG - 1));
        self.lag_ms.store(ms, Ordering::Relaxed);
    }

    /// A read has waited for it in vain: others do not for a moment.
    pub(crate) fn was_slow(&self) {
        let until = self.since.elapsed() + SLOW;
        self.slow_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether a read has waited for it in vain a moment ago. The clock is read only where one ever has.
    pub(crate) fn is_slow(&self) -> bool {
        let until = self.slow_until.load(Ordering::Relaxed);
        until > 0 && self.since.elapsed().as_millis() < u128::from(until)
    }

    /// Sends it no read for a while.
    pub(crate) fn leave_out(&self, why: &str) {
        *self.left_out.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), why.to_owned()));
        if !self.is_left_out.swap(true, Ordering::Relaxed) {
            tracing::warn!(instance = %self.name, why, "no read is sent there");
        }
    }

    /// It has answered: reads may be sent to it again.
    pub(crate) fn readmit(&self) {
        if self.is_left_out.swap(false, Ordering::Relaxed) {
            *self.left_out.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!(instance = %self.name, "reads are sent there again");
        }
    }

    /// Whether reads may be sent to it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_left_out.load(Ordering::Relaxed)
    }

    /// Connections to it, used or not.
    pub(crate) fn connections(&self) -> u32 {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        self.connections_max.saturating_sub(free)
    }

    /// What there is to tell of it.
    pub(crate) fn report(&self) -> SqlInstanceReport {
        let traffic = self.counters.total();
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let [_, good, .., bad] = traffic.status;
        SqlInstanceReport {
            connections: self.connections(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            pinned: self.pinned.load(Ordering::Relaxed),
            statements: good + bad,
            errors: bad,
            broken: traffic.broken,
            durations: traffic.durations,
            duration_sum_us: traffic.duration_sum_us,
            lag_ms: self.lag().map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            left_out: left_out.as_ref().map(|(_, why)| why.clone()),
        }
    }
}
