//! Which connection a command runs on, and getting it.

use super::exchange::Expect;
use super::perform::Work;
use super::{Held, Over, Session};
use crate::sql::backend::Counted;
use crate::sql::classify::{self, Access, Kind, Reads, Route, Transaction};
use crate::sql::pool::{Home, Slot, Want};
use crate::sql::position::Position;
use crate::sql::roll::End;
use crate::sql::settings::Freshness;
use crate::sql::state::State;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::status::Status;
use crate::sql::worker::NoConnection;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// How much of what the client sends ahead is read while its command waits.
const AHEAD: usize = 64 << 10;

/// Where the last connections of a session are kept for it.
pub(super) type Homes = [Option<(Weak<Slot>, Home)>; 2];

/// What a wait for a connection needs of a session.
#[derive(Debug)]
pub(super) struct Errand {
    session: u32,
    account: usize,
    kind: Capabilities,
    state: Rc<State>,
    homes: Homes,
}

impl Errand {
    pub(super) fn want(&self) -> Want<'_> {
        Want { session: self.session, account: self.account, kind: self.kind, state: &self.state }
    }

    fn home(&self, slot: &Rc<Slot>) -> Option<Home> {
        home_in(&self.homes, slot)
    }
}

fn home_in(homes: &Homes, slot: &Rc<Slot>) -> Option<Home> {
    let of = |(known, home): &(Weak<Slot>, Home)| (known.as_ptr() == Rc::as_ptr(slot)).then_some(*home);
    homes.iter().flatten().find_map(of)
}

/// Where a command is to run.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// On the connection the session is bound to.
    Held,
    /// On the connection of its last statement, which the command asks for what it left.
    Last(Rc<Slot>),
    /// On the primary.
    Primary,
    /// On this replica.
    Replica(Rc<Slot>),
}

impl Session {
    /// Decides where `work` runs. Without `patience` no replica is waited for, nor tried again.
    pub(super) fn target(&mut self, work: &Work, patience: bool) -> Target {
        self.need = Position::default();
        let reads = work.verdict.reads;
        let asks = reads.intersects(Reads::LAST_STATEMENT);
        let last = if asks { self.kept_last(work) } else { None };
        let forgotten =
            last.is_none() && reads.intersects(Reads::LAST_STATEMENT.without(Reads::LAST_INSERT_ID));
        // What another session left on the connection is not to be told.
        self.prime = forgotten || (reads == Reads::DIAGNOSTICS && !self.has_diagnostics());
        if self.held.is_some() && self.is_bound() {
            return Target::Held;
        }
        if let Some(slot) = last.filter(|slot| !self.is_primary(slot)) {
            return Target::Last(slot);
        }
        self.told = if forgotten { self.tell(work) } else { None };
        if forgotten && self.told.is_none() && work.verdict.kind != Kind::Several {
            // Asked in a way that only a connection can answer: from now on the session keeps its own.
            self.pins.look_back();
        }
        if !patience || !self.may_read_elsewhere(work) {
            return Target::Primary;
        }
        self.replica(work).map_or(Target::Primary, Target::Replica)
    }

    /// The server whose connection still knows the last statement, where `work` may run there.
    fn kept_last(&self, work: &Work) -> Option<Rc<Slot>> {
        let slot = self.last.upgrade().filter(|slot| !slot.is_retired() && self.keeps_last())?;
        (work.only_reads() || self.is_primary(&slot)).then_some(slot)
    }

    fn is_primary(&self, slot: &Rc<Slot>) -> bool {
        self.worker.routed().primary.as_ref().is_some_and(|primary| Rc::ptr_eq(primary, slot))
    }

    fn may_read_elsewhere(&self, work: &Work) -> bool {
        let begins = matches!(
            work.verdict.kind,
            Kind::Transaction(Transaction::Begin { access: Some(Access::ReadOnly), .. })
        );
        if work.verdict.hint.target.or(self.hint.target) == Some(classify::Target::Primary) {
            return false;
        }
        (work.verdict.route == Route::Replica || begins)
            && self.status.contains(Status::AUTOCOMMIT)
            && !self.worker.routed().replicas.is_empty()
    }

    /// How fresh a read has to be, and how far its replica may be behind.
    pub(super) fn freshness(&self, work: &Work) -> (Freshness, Duration) {
        let settings = &self.worker.shared.settings;
        let asked = work.verdict.hint.consistency.or(self.hint.consistency);
        let freshness = match asked {
            Some(classify::Consistency::Eventual) => Freshness::Eventual,
            Some(classify::Consistency::Session) => Freshness::Session,
            Some(classify::Consistency::Global) => Freshness::Global,
            None => settings.freshness,
        };
        (freshness, work.verdict.hint.lag.or(self.hint.lag).unwrap_or(settings.lag))
    }

    /// The replica with the least to do among those that are near enough.
    fn replica(&self, work: &Work) -> Option<Rc<Slot>> {
        let (freshness, lag) = self.freshness(work);
        let routed = self.worker.routed();
        let near = routed.replicas.iter().filter(|slot| {
            let upstream = &slot.upstream;
            upstream.is_usable()
                && !upstream.is_slow()
                && upstream.lag().is_some_and(|behind| behind <= lag)
                && (freshness == Freshness::Eventual || upstream.applied.follows(&self.written))
        });
        // Of two with as little to do the one that keeps a connection for this session.
        near.min_by_key(|slot| (slot.upstream.in_flight.load(Ordering::Relaxed), self.home(slot).is_none()))
            .cloned()
    }

    /// Where the session's last connection to a server is kept for it.
    fn home(&self, slot: &Rc<Slot>) -> Option<Home> {
        home_in(&self.homes, slot)
    }

    /// Waits, as long as there is somebody to wait for: the client is there, and nobody ends its statement.
    /// What it sends ahead is kept.
    pub(super) async fn attend<T>(
        &mut self,
        mut wait: Pin<Box<impl Future<Output = T>>>,
    ) -> Result<T, NoConnection> {
        let most = self.line.inbound.len() + AHEAD;
        poll_fn(|cx| {
            if let Poll::Ready(done) = wait.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if self.member.order().is_some() {
                return Poll::Ready(Err(NoConnection::Ended));
            }
            while self.line.inbound.len() < most {
                match self.line.poll_fill(cx, most) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoConnection::Ended)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn ask_position(&mut self) -> Result<Option<Position>, NoConnection> {
        let worker = self.worker.clone();
        self.attend(Box::pin(async move { worker.asker.position().await })).await
    }

    /// What a wait for a connection needs of the session, which goes on beside it.
    pub(super) fn errand(&self) -> Errand {
        let (session, account, kind) = (self.member.id, self.account, self.kind);
        Errand { session, account, kind, state: self.state.clone(), homes: self.homes.clone() }
    }

    /// Whether the connection of the last statement is held, or kept for the session.
    pub(super) fn keeps_last(&self) -> bool {
        if self.unshared {
            return false;
        }
        self.held.is_some()
            || self
                .last
                .upgrade()
                .is_some_and(|slot| self.home(&slot).is_some_and(|home| slot.keeps(home, self.member.id)))
    }

    /// Gets the connection.
    pub(super) async fn station(&mut self, work: &Work, target: Target) -> Result<(), NoConnection> {
        match target {
            Target::Held => {}
            Target::Last(slot) => self.station_last(work, &slot).await?,
            Target::Primary => self.station_primary(work).await?,
            Target::Replica(slot) => self.station_replica(work, &slot).await?,
        }
        if let Some(held) = &mut self.held {
            held.backend.count(Counted::InFlight);
        }
        Ok(())
    }

    async fn station_primary(&mut self, work: &Work) -> Result<(), NoConnection> {
        let routed = self.worker.routed();
        if let (Some(held), Some(primary)) = (&mut self.held, &routed.primary)
            && Rc::ptr_eq(&held.backend.slot, primary)
            && held.backend.writable == Some(primary.proof(routed.term))
        {
            held.primary = true;
            return Ok(());
        }
        self.leave();
        // Nothing to wait for: the way of most.
        if let Some(slot) = &routed.primary
            && let Some(backend) = self.worker.take(slot, &self.want(), self.home(slot))
        {
            if backend.writable == Some(slot.proof(routed.term)) {
                self.held = Some(Held { backend, primary: true });
                return Ok(());
            }
            slot.put_back(backend, 0, self.clock);
        }
        let (worker, errand) = (self.worker.clone(), self.errand());
        // Boxed: most sessions never wait, and this one's memory is theirs too.
        let wait = Box::pin(async move {
            worker.acquire_primary(&errand.want(), |slot| errand.home(slot), work.since).await
        });
        let backend = self.attend(wait).await??;
        self.held = Some(Held { backend, primary: true });
        Ok(())
    }

    async fn station_replica(&mut self, work: &Work, slot: &Rc<Slot>) -> Result<(), NoConnection> {
        match self.freshness(work).0 {
            Freshness::Eventual => {}
            Freshness::Session => self.need.reach_all(&self.written),
            Freshness::Global => match self.ask_position().await? {
                Some(position) => {
                    self.need = position;
                    self.need.reach_all(&self.written);
                }
                // Nobody can tell what has been written: the primary can, once there is one.
                None => return self.station_primary(work).await,
            },
        }
        if !slot.upstream.applied.follows(&self.need) {
            return self.station_primary(work).await;
        }
        if self.held.as_ref().is_some_and(|held| Rc::ptr_eq(&held.backend.slot, slot)) {
            return Ok(());
        }
        self.leave();
        let backend = match self.worker.take(slot, &self.want(), self.home(slot)) {
            Some(backend) => backend,
            None => {
                let (worker, errand) = (self.worker.clone(), self.errand());
                let slot = slot.clone();
                let wait = Box::pin(async move {
                    let acquired = worker.acquire(&slot, &errand.want(), errand.home(&slot)).await;
                    acquired.inspect_err(|error| slot.upstream.leave_out(&error.to_string()))
                });
                self.attend(wait).await??
            }
        };
        self.held = Some(Held { backend, primary: false });
        Ok(())
    }

    /// The connection of the last statement, if it is still kept.
    async fn station_last(&mut self, work: &Work, slot: &Rc<Slot>) -> Result<(), NoConnection> {
        if self.held.as_ref().is_some_and(|held| Rc::ptr_eq(&held.backend.slot, slot)) {
            return Ok(());
        }
        self.leave();
        if let Some(backend) = slot.take_own(&self.want(), self.home(slot)) {
            self.held = Some(Held { backend, primary: false });
            return Ok(());
        }
        // It has just been closed.
        self.prime = true;
        self.pins.look_back();
        self.station_primary(work).await
    }

    fn want(&self) -> Want<'_> {
        Want { session: self.member.id, account: self.account, kind: self.kind, state: &self.state }
    }

    /// Puts the connection that is held back, where it is not needed.
    pub(super) fn leave(&mut self) {
        let Some(Held { mut backend, .. }) = self.held.take() else { return };
        backend.count(Counted::Nothing);
        let slot = backend.slot.clone();
        let home = slot.put_back(backend, self.member.id, self.clock);
        let same = |known: &Option<(std::rc::Weak<Slot>, Home)>| {
            known.as_ref().is_some_and(|(known, _)| known.as_ptr() == Rc::as_ptr(&slot))
        };
        let place = self.homes.iter().position(same).or_else(|| self.homes.iter().position(Option::is_none));
        // A third server takes the place of the first.
        if let Some(entry) = self.homes.get_mut(place.unwrap_or(0)) {
            if let Some((known, home)) = entry.take()
                && let Some(known) = known.upgrade()
                && !Rc::ptr_eq(&known, &slot)
            {
                known.disown(home, self.member.id);
            }
            *entry = home.map(|home| (Rc::downgrade(&slot), home));
        }
    }

    /// Asks the replica to say when it has what the session needs to see.
    pub(super) fn compose_wait(&mut self) {
        let Some(held) = &mut self.held else { return };
        if held.primary || self.need.is_empty() || held.backend.slot.upstream.applied.covers(&self.need) {
            return;
        }
        let wait = self.worker.shared.settings.catch_up.as_secs_f64();
        let mysql = self.worker.shared.is_mysql();
        let function = if mysql { "WAIT_FOR_EXECUTED_GTID_SET" } else { "MASTER_GTID_WAIT" };
        let sql = format!("SELECT 1 FROM DUAL WHERE {function}('{}', {wait}) = 0", self.need.to_sql());
        held.backend.link.put(0x03, sql.as_bytes());
        self.expects.push(Expect::CaughtUp);
    }

    /// Tells the client that there is no connection for its command.
    pub(super) async fn turn_away(&mut self, no: NoConnection) -> Result<(), Over> {
        let message = format!("Stoa: {no}");
        match no {
            NoConnection::Ended => match self.member.order() {
                Some(End::Statement) => {
                    self.member.obeyed();
                    self.refuse(1, 1317, b"70100", "Query execution was interrupted").await
                }
                Some(End::Session) | None => Err(Over),
            },
            // Too many connections: what a server says too, and drivers know to try again.
            NoConnection::Full | NoConnection::Late => self.refuse(1, 1040, b"08004", &message).await,
            // Lock wait timeout: nothing was done, and doing it again may succeed.
            NoConnection::NoPrimary => self.refuse(1, 1205, b"HY000", &message).await,
            NoConnection::Open(error) => match error.server_error() {
                Some(told) => {
                    let (code, sqlstate, message) = (told.code, told.sqlstate, told.message.clone());
                    self.refuse(1, code, &sqlstate, &message).await
                }
                None => self.refuse(1, 1105, b"HY000", &message).await,
            },
        }
    }
}
