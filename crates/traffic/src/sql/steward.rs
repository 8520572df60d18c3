//! The role's side of the control socket: takes routes, makes tables of them, hands them to every thread and
//! reports what became of them.
//!
//! Decides which server is the same as before. Runs on a thread of its own, off the statements.

use super::errand::{Departure, Errand};
use super::killing::{self, Killings};
use super::table::{Shared, Table, Upstream};
use super::top::Top;
use super::worker::Command;
use crate::control::{ControlError, DESCRIPTORS_MAX, Wire};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stoa_model::Routes;
use stoa_model::control::{KillAnswer, KillOrder, MovedSession, Order, Report, SqlReport, UpstreamReport};
use stoa_model::routes::Route;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

/// How often a report is sent when there is nothing new.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The least time between two reports: many changes at once are one report.
const REPORT_PAUSE: Duration = Duration::from_millis(2);
/// A daemon that has not read a report for so long gets no more on this connection.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failure to accept that lasts.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most servers told of that are no longer routed to.
const REMEMBERED_MAX: usize = 64;

/// Keeps the routes of a role.
pub(crate) struct Steward {
    shared: Arc<Shared>,
    threads: Vec<mpsc::UnboundedSender<Command>>,
    tcp: TcpListener,
    unix: UnixListener,
    table: RefCell<Arc<Table>>,
    /// Servers that were routed to and may still hold something.
    former: RefCell<Vec<Arc<Upstream>>>,
    top: Arc<Top>,
    killings: Killings,
    /// Sessions that are to go on elsewhere, for the next reports.
    departures: RefCell<VecDeque<Departure>>,
    /// Told when the last of them was taken.
    all_taken: Notify,
    draining: Cell<bool>,
    /// How many sessions have come from elsewhere.
    arrived: Cell<usize>,
}

impl Steward {
    /// For these threads, which accept from these sockets.
    pub(crate) fn new(
        shared: Arc<Shared>,
        threads: Vec<mpsc::UnboundedSender<Command>>,
        (tcp, unix): (TcpListener, UnixListener),
        top: Arc<Top>,
    ) -> Rc<Self> {
        Rc::new(Steward {
            shared,
            threads,
            tcp,
            unix,
            table: RefCell::default(),
            former: RefCell::default(),
            top,
            killings: Killings::default(),
            departures: RefCell::default(),
            all_taken: Notify::new(),
            draining: Cell::new(false),
            arrived: Cell::new(0),
        })
    }

    /// The routes in force.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.borrow().clone()
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

    /// Tells every thread to end.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        // Nobody is to pass anything on to it from now on.
        self.shared.news.send_replace(());
        for thread in &self.threads {
            // A thread that is gone needs no telling.
            let _ = thread.send(Command::Drain);
        }
    }

    /// Takes what threads want asked of other splitters.
    pub(crate) async fn run_errands(self: Rc<Self>, mut errands: mpsc::UnboundedReceiver<Errand>) {
        while let Some(errand) = errands.recv().await {
            match errand {
                Errand::Kill(killing) => self.killings.ask(self.shared.place, killing),
                Errand::Move(departure) => self.departures.borrow_mut().push_back(departure),
            }
            self.shared.news.send_replace(());
        }
    }

    /// Returns once no session is on its way to another splitter.
    pub(crate) async fn seen_off(&self) {
        while self.shared.gauges.departing.load(Ordering::Relaxed) > 0 {
            self.all_taken.notified().await;
        }
    }

    fn taken(&self, count: u32) {
        let departing = &self.shared.gauges.departing;
        let before = departing.fetch_sub(count, Ordering::Relaxed);
        if before == count {
            self.all_taken.notify_one();
        }
    }

    /// Another splitter's client goes on here.
    fn adopt(&self, form: MovedSession, connection: Option<OwnedFd>) {
        let Some(connection) = connection else {
            return tracing::warn!("a session came without its client's connection");
        };
        let turn = self.arrived.replace(self.arrived.get().wrapping_add(1));
        if let Some(thread) = self.threads.get(turn % self.threads.len().max(1)) {
            // A thread that is gone ends the role, and with it this client's connection.
            let _ = thread.send(Command::Adopt(Departure { form, connection }));
        }
    }

    /// Another splitter's client ends a session of this one.
    async fn kill(self: Rc<Self>, order: KillOrder) {
        let outcome = killing::carry_out(&order, &self.shared, &self.threads).await;
        self.killings.answer(KillAnswer { ticket: order.ticket, from: order.from, outcome });
        self.shared.news.send_replace(());
    }

    async fn converse(self: &Rc<Self>, stream: UnixStream) -> Result<(), ControlError> {
        let mut wire = Wire::new(stream);
        let mut news = self.shared.news.subscribe();
        let mut tick = tokio::time::interval(REPORT_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = wire.next() => match serde_json::from_slice(&frame?)? {
                    Order::Routes(routes) => self.apply(&routes),
                    Order::Kill(order) => drop(spawn_local(self.clone().kill(order))),
                    Order::Killed(answer) => self.killings.answered(answer),
                    Order::Taken(count) => self.taken(count),
                    Order::Adopt(form) => self.adopt(form, wire.take_descriptor()),
                    Order::Listeners => {
                        let report = serde_json::to_vec(&self.report())?;
                        wire.send_with(&report, &[self.tcp.as_fd(), self.unix.as_fd()]).await?;
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
        let sent = tokio::time::timeout(REPORT_TIMEOUT, async {
            while !self.departures.borrow().is_empty() {
                self.send_departures(wire).await?;
            }
            wire.push(&serde_json::to_vec(&self.report())?)?;
            wire.flush().await
        });
        sent.await.map_err(|_| ControlError::Broken(std::io::ErrorKind::TimedOut.into()))?
    }

    /// Sends sessions away, as many as go with one report.
    async fn send_departures(&self, wire: &mut Wire) -> Result<(), ControlError> {
        let leaving: Vec<_> = {
            let mut departures = self.departures.borrow_mut();
            let together = departures.len().min(DESCRIPTORS_MAX);
            departures.drain(..together).collect()
        };
        let (forms, connections): (Vec<_>, Vec<_>) =
            leaving.into_iter().map(|departure| (departure.form, departure.connection)).unzip();
        let mut report = self.report();
        report.sql.get_or_insert_default().moving = forms;
        let connections: Vec<_> = connections.iter().map(AsFd::as_fd).collect();
        wire.send_with(&serde_json::to_vec(&report)?, &connections).await
    }

    /// Puts routes in force, where neither they nor their term are older than what is.
    fn apply(&self, routes: &Routes) {
        let old = self.table.borrow().clone();
        if routes.generation < old.generation || routes.sql.term < old.term {
            tracing::warn!(
                generation = %routes.generation, term = %routes.sql.term, served = %old.generation,
                "older routes ignored"
            );
            self.shared.news.send_replace(());
            return;
        }
        let mut former = self.former.borrow_mut();
        let upstream = |route: &Route| {
            let same = |u: &&Arc<Upstream>| {
                u.id == route.instance && u.endpoint == route.endpoint && u.started == route.started
            };
            // Also one that left and comes back: a switch of roles names it anew.
            let known = old.all().chain(former.iter()).find(same).cloned();
            known.unwrap_or_else(|| Arc::new(Upstream::new(route, &self.shared)))
        };
        let table = Arc::new(Table {
            generation: routes.generation,
            term: routes.sql.term,
            primary: routes.sql.primary.as_ref().map(upstream),
            replicas: routes.sql.replicas.iter().map(upstream).collect(),
        });
        let stays = |upstream: &Arc<Upstream>| table.all().any(|kept| Arc::ptr_eq(kept, upstream));
        former.retain(|upstream| !stays(upstream));
        former.extend(old.all().filter(|upstream| !stays(upstream)).cloned());
        let over = former.len().saturating_sub(REMEMBERED_MAX);
        former.drain(..over);
        table.all().for_each(|upstream| upstream.current.store(true, Ordering::Relaxed));
        former.iter().for_each(|upstream| upstream.current.store(false, Ordering::Relaxed));
        let primary = table.primary.as_ref().map(|primary| primary.name.as_str());
        tracing::info!(
            generation = %table.generation, term = %table.term, primary, replicas = table.replicas.len(),
            "routes in force"
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
        let table = self.table();
        let former = self.former.borrow();
        let gauges = &self.shared.gauges;
        let mut report = Report { serving, ..Report::default() };
        let mut sql = SqlReport {
            sessions: gauges.sessions.load(Ordering::Relaxed),
            held: gauges.held.load(Ordering::Relaxed),
            waiting: gauges.waiting.load(Ordering::Relaxed),
            digests: self.top.report(),
            draining: self.draining.get(),
            ..SqlReport::default()
        };
        // An instance may be there twice, as what it was before it started again: the newest is told, with
        // what the others still hold.
        for upstream in former.iter().chain(table.all()) {
            let of_start = upstream.report();
            let held = sql.instances.get(&upstream.id);
            let (in_flight, pinned) = held.map_or((0, 0), |held| (held.in_flight, held.pinned));
            let mut told = of_start;
            told.in_flight += in_flight;
            told.pinned += pinned;
            report.instances.insert(
                upstream.id,
                UpstreamReport {
                    in_flight: told.in_flight + told.pinned,
                    tunnels: told.pinned,
                    ejected: told.left_out.clone(),
                    traffic: upstream.counters.total(),
                },
            );
            sql.instances.insert(upstream.id, told);
        }
        self.killings.report(&mut sql);
        report.sql = Some(sql);
        report
    }
}
