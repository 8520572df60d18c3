//! The role's side of the control socket: takes routes, makes tables of them, hands them to every thread,
//! reports what became of them, and has ejected instances probed.
//!
//! Decides which instance is the same as before. Runs on a thread of its own, off the traffic.

use super::limits::Limits;
use super::probe;
use super::table::{Face, Instance, Shared, Table, Upstream};
use super::worker::Command;
use crate::control::{ControlError, Wire};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stoa_model::control::{Order, Report};
use stoa_model::routes::Route;
use stoa_model::{InstanceId, Routes};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

/// How often a report is sent when there is nothing new.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The least time between two reports: many changes at once are one report.
const REPORT_PAUSE: Duration = Duration::from_millis(2);
/// A daemon that has not read a report for so long gets no more on this connection.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failure to accept that lasts.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most instances named in a report that are no longer routed to and hold nothing: a report has a
/// bounded size, whatever comes and goes.
const REMEMBERED_MAX: usize = 256;

/// Keeps the routes of a role.
pub(crate) struct Steward {
    shared: Arc<Shared>,
    threads: Vec<mpsc::UnboundedSender<Command>>,
    web_face: TcpListener,
    app_face: UnixListener,
    table: RefCell<Arc<Table>>,
    /// Every instance that was routed to lately: what was sent to it is counted for as long as it is known.
    instances: RefCell<BTreeMap<InstanceId, Known>>,
}

/// An instance that is or was routed to.
struct Known {
    instance: Arc<Instance>,
    /// Whether it was routed to or held a request when that was looked at last.
    active: Cell<bool>,
    /// When it was so last, as far as can be told.
    last: Cell<Instant>,
}

impl Steward {
    /// For these threads, which accept from these sockets.
    pub(crate) fn new(
        shared: Arc<Shared>,
        threads: Vec<mpsc::UnboundedSender<Command>>,
        web_face: TcpListener,
        app_face: UnixListener,
    ) -> Rc<Self> {
        let (table, instances) = (RefCell::default(), RefCell::default());
        Rc::new(Steward { shared, threads, web_face, app_face, table, instances })
    }

    /// Accepts daemons for ever. One follows another when that was killed; both may be there at once.
    pub(crate) async fn listen(self: Rc<Self>, control: tokio::net::UnixListener) {
        loop {
            match control.accept().await {
                Ok((stream, _)) => {
                    let steward = self.clone();
                    spawn_local(async move {
                        match steward.converse(stream).await {
                            Ok(()) | Err(ControlError::Closed) => {}
                            Err(error) => tracing::warn!(%error, "a control connection ended"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a control connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Has what is ejected probed, for ever.
    pub(crate) async fn probe(self: Rc<Self>, mut ejections: mpsc::UnboundedReceiver<Arc<Upstream>>) {
        while let Some(upstream) = ejections.recv().await {
            let steward = self.clone();
            spawn_local(async move {
                let limits: &Limits = &steward.shared.limits;
                probe::until_well(upstream, limits, || steward.table.borrow().app_face.clone()).await;
            });
        }
    }

    /// Tells every thread to end.
    pub(crate) fn drain(&self) {
        for thread in &self.threads {
            // A thread that is gone needs no telling.
            let _ = thread.send(Command::Drain);
        }
    }

    async fn converse(&self, stream: UnixStream) -> Result<(), ControlError> {
        let mut wire = Wire::new(stream);
        let mut news = self.shared.news.subscribe();
        let mut tick = tokio::time::interval(REPORT_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = wire.next() => match serde_json::from_slice(&frame?)? {
                    // For a splitter.
                    Order::Kill(_) | Order::Killed(_) | Order::Adopt(_) | Order::Taken(_) => {}
                    Order::Routes(routes) => self.apply(&routes),
                    Order::Listeners => {
                        let report = serde_json::to_vec(&self.report())?;
                        wire.send_with(&report, &[self.web_face.as_fd(), self.app_face.as_fd()]).await?;
                    }
                },
                // The sender lives as long as the role.
                _ = news.changed() => {
                    self.send_report(&mut wire).await?;
                    tokio::time::sleep(REPORT_PAUSE).await;
                }
                _ = tick.tick() => self.send_report(&mut wire).await?,
            }
        }
    }

    async fn send_report(&self, wire: &mut Wire) -> Result<(), ControlError> {
        wire.push(&serde_json::to_vec(&self.report())?)?;
        let sent = tokio::time::timeout(REPORT_TIMEOUT, wire.flush()).await;
        sent.map_err(|_| ControlError::Broken(std::io::ErrorKind::TimedOut.into()))?
    }

    /// Puts routes in force, where they are not older than those that are. A daemon whose store was lost
    /// begins at a lower generation: it has to replace the roles too.
    fn apply(&self, routes: &Routes) {
        let old = self.table.borrow().clone();
        if routes.generation < old.generation {
            tracing::warn!(generation = %routes.generation, served = %old.generation, "older routes ignored");
            self.shared.news.send_replace(());
            return;
        }
        let mut instances = self.instances.borrow_mut();
        let mut side = |face, of_face: &[Route], old: &[Arc<Upstream>]| -> Vec<Arc<Upstream>> {
            let mut new: Vec<Arc<Upstream>> = Vec::with_capacity(of_face.len());
            for route in of_face {
                let same = |u: &&Arc<Upstream>| {
                    u.instance.id == route.instance
                        && u.endpoint == route.endpoint
                        && u.started == route.started
                };
                let known = instances
                    .entry(route.instance)
                    .or_insert_with(|| Known::new(Instance::new(route.instance, self.threads.len())));
                let upstream = old.iter().find(same).cloned().unwrap_or_else(|| {
                    let (endpoint, shared) = (route.endpoint.clone(), self.shared.clone());
                    Arc::new(Upstream::new(known.instance.clone(), face, endpoint, route.started, shared))
                });
                let canary = routes.canary.as_ref().filter(|_| face == Face::App);
                let is_canary = canary.is_some_and(|canary| route.release.as_ref() == Some(&canary.release));
                upstream.canary.store(is_canary, Ordering::Relaxed);
                new.push(upstream);
            }
            new
        };
        let table = Arc::new(Table {
            generation: routes.generation,
            web: side(Face::Web, &routes.web, &old.web),
            app: side(Face::App, &routes.app, &old.app),
            app_face: routes.app_face.clone(),
            canary_percent: routes.canary.as_ref().map_or(0, |canary| canary.percent),
        });
        for upstream in old.web.iter().chain(&old.app) {
            let kept = table.web.iter().chain(&table.app).any(|kept| Arc::ptr_eq(kept, upstream));
            upstream.current.store(kept, Ordering::Relaxed);
        }
        for known in instances.values() {
            known.instance.routed.store(routes.names(known.instance.id), Ordering::Relaxed);
        }
        tracing::info!(
            generation = %table.generation, web = table.web.len(), app = table.app.len(), "routes in force"
        );
        *self.table.borrow_mut() = table.clone();
        for thread in &self.threads {
            // A thread that is gone ends the role, which says so.
            let _ = thread.send(Command::Routes(table.clone()));
        }
    }

    fn report(&self) -> Report {
        // First what is served, then what is in flight: so a zero is the zero of those routes.
        let serving = self.shared.serving();
        let table = self.table.borrow().clone();
        let upstreams = table.web.iter().chain(&table.app);
        let mut instances: BTreeMap<_, _> = upstreams.map(|u| (u.instance.id, u.report())).collect();
        let now = Instant::now();
        let mut remembered = Vec::new();
        for (id, known) in self.instances.borrow().iter() {
            let routed = instances.contains_key(id);
            known.look(routed, now);
            if !routed && known.active.get() {
                instances.insert(*id, known.instance.report());
            } else if !routed && now.duration_since(known.last.get()) < self.shared.limits.remember {
                remembered.push((known.last.get(), known.instance.clone()));
            }
        }
        // One that is forgotten and comes again, as another release perhaps, is counted from zero.
        let remember = self.shared.limits.remember;
        self.instances.borrow_mut().retain(|id, known| {
            instances.contains_key(id) || now.duration_since(known.last.get()) < remember
        });
        remembered.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
        instances.extend(remembered.iter().take(REMEMBERED_MAX).map(|(_, i)| (i.id, i.report())));
        Report {
            serving,
            instances,
            web_face: self.shared.web.counters.total(),
            app_face: self.shared.app.counters.total(),
            app_queue: self.shared.app.queue.report(),
            sql: None,
        }
    }
}

impl Known {
    /// One that is about to be routed to.
    fn new(instance: Instance) -> Self {
        Known { instance: Arc::new(instance), active: Cell::new(true), last: Cell::new(Instant::now()) }
    }

    /// Takes down whether it is active. One that is no longer was so at most until now: nothing on the way
    /// of a request has to remember when its last one ended.
    fn look(&self, routed: bool, now: Instant) {
        let active = routed || self.instance.in_flight() > 0;
        if self.active.replace(active) || active {
            self.last.set(now);
        }
    }
}
