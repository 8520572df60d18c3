//! One client from its login to its end: reads commands one after another, has each run where it belongs,
//! and passes the answers on.
//!
//! The way of a command: `command` reads what it is, `station` gets the connection it runs on, `exchange`
//! sends it and passes the answer on, `effects` takes down what it left behind. What goes wrong on the way is
//! dealt with in `lost`.

mod answers;
mod command;
mod commands;
mod effects;
mod exchange;
mod kill;
mod login;
mod lost;
mod moved;
mod perform;
mod pins;
mod prepared;
mod replay;
mod shown;
mod station;
mod stream;

use super::backend::{Backend, Counted};
use super::classify::Hint;
use super::client::Client;
use super::lexer::Dialect;
use super::line::{Line, LineError};
use super::pool::Slot;
use super::position::Position;
use super::roll::{End, Member};
use super::state::State;
use super::wire::auth::server::Verifier;
use super::wire::capability::{self, Capabilities};
use super::wire::follower::Follower;
use super::wire::status::Status;
use super::wire::{packet, reply};
use super::worker::Worker;
use crate::stream::Stream;
use exchange::Expect;
use pins::Pins;
use prepared::Statements;
use replay::Transcript;
use serde::{Deserialize, Serialize};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;
use stoa_model::control::MovedSession;

/// The session is over: its client has gone, or is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Over
    }
}

impl From<LineError> for Over {
    fn from(_: LineError) -> Self {
        Over
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    worker: Rc<Worker>,
    member: Member,
    line: Line<Client>,
    /// As whom it runs.
    account: usize,
    /// What it and the splitter have agreed on, and the part that a server must agree on too.
    capabilities: Capabilities,
    kind: Capabilities,
    verifier: Verifier,
    /// Its answers are followed by this.
    follower: Follower,
    /// What it began in, and what it is in.
    initial: Rc<State>,
    state: Rc<State>,
    dialect: Dialect,
    initial_dialect: Dialect,
    /// What it asked of the splitter for all its statements.
    hint: Hint,
    status: Status,
    /// Why it needs the connection it holds.
    pins: Pins,
    held: Option<Held>,
    /// What the connection it held is gone with; it is made again before the next statement.
    severed: bool,
    /// Where its last connections are kept for it.
    homes: station::Homes,
    /// The server of its last statement.
    last: Weak<Slot>,
    past: Past,
    /// The session's last statement was answered here: no connection knows of it.
    unshared: bool,
    /// Its warnings and its error, where no connection is asked for them.
    diagnostics: Vec<Diagnostic>,
    /// The connection at hand has to be made to look as the session's past does.
    prime: bool,
    /// The text of the statement that is run, with what it asks for and no connection knows.
    told: Option<Box<[u8]>>,
    /// Its last write, and what the statement at hand needs to see.
    written: Position,
    need: Position,
    statements: Statements,
    transcript: Transcript,
    /// The clock as it was read last: when a command came, and when it was answered.
    clock: Instant,
    /// It ends here because this splitter does.
    moves: bool,
    /// The command at hand does not stand at the front of what has come any more.
    consumed: bool,
    /// Commands sent ahead of the client's.
    expects: Vec<Expect>,
}

/// A connection in the hands of a session.
#[derive(Debug)]
struct Held {
    backend: Box<Backend>,
    /// It was taken as the primary's.
    primary: bool,
}

/// What the last statement left for the next to ask for.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Past {
    last_insert_id: u64,
    row_count: i64,
    found_rows: u64,
    warnings: u16,
    errors: u16,
}

/// A row of `SHOW WARNINGS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Diagnostic {
    level: Box<[u8]>,
    code: Box<[u8]>,
    message: Box<[u8]>,
}

/// Serves a client that has just connected, until one of both ends it.
pub(crate) async fn serve(stream: Stream, worker: Rc<Worker>) {
    let member = worker.roll.join();
    let id = member.id;
    let gauge = worker.clone();
    gauge.shared.gauges.sessions.fetch_add(1, Ordering::Relaxed);
    // Boxed: a login needs more space than a session at rest, and is over soon.
    if let Ok(session) = Box::pin(login::greet(stream, worker.clone(), member)).await {
        session.live().await;
    }
    gauge.shared.gauges.sessions.fetch_sub(1, Ordering::Relaxed);
    worker.roll.leave(id);
}

/// Goes on with a client of another splitter, which is to end, until one of both ends it.
pub(crate) async fn go_on(form: MovedSession, connection: OwnedFd, worker: Rc<Worker>) {
    let Some(session) = Session::arrive(worker.clone(), &form, connection) else { return };
    drop(form);
    let id = session.member.id;
    worker.shared.gauges.sessions.fetch_add(1, Ordering::Relaxed);
    session.live().await;
    worker.shared.gauges.sessions.fetch_sub(1, Ordering::Relaxed);
    worker.roll.leave(id);
}

impl Session {
    /// As after its login: what it has agreed on with its client, and what it begins in.
    fn new(
        worker: Rc<Worker>,
        member: Member,
        line: Line<Client>,
        account: usize,
        (capabilities, verifier): (Capabilities, Verifier),
        (state, dialect): (State, Dialect),
    ) -> Self {
        let state = worker.intern(state);
        member.is(account);
        Session {
            member,
            line,
            account,
            capabilities,
            kind: capability::kind(capabilities),
            verifier,
            follower: Follower::new(capabilities),
            initial: state.clone(),
            state,
            dialect,
            initial_dialect: dialect,
            hint: Hint::default(),
            status: Status::AUTOCOMMIT,
            pins: Pins::default(),
            held: None,
            severed: false,
            homes: [None, None],
            last: Weak::new(),
            past: Past::default(),
            unshared: false,
            diagnostics: Vec::new(),
            prime: false,
            told: None,
            written: Position::default(),
            need: Position::default(),
            statements: Statements::default(),
            transcript: Transcript::default(),
            clock: Instant::now(),
            moves: false,
            consumed: false,
            expects: Vec::new(),
            worker,
        }
    }

    async fn live(mut self: Box<Self>) {
        // The client has gone, or is told by the end of the connection, or goes on elsewhere.
        let Over = self.run().await;
        self.farewell();
        if self.moves {
            self.depart();
        }
    }

    async fn run(&mut self) -> Over {
        poll_fn(|cx| {
            self.member.listen(cx.waker());
            Poll::Ready(())
        })
        .await;
        self.member.idle(Instant::now());
        loop {
            self.rest();
            self.line.outbound = Vec::new();
            self.expects = Vec::new();
            self.transcript.rest();
            // What running commands takes is given up once none has come for a while: a session at rest is
            // small, and one at work allocates nothing for each of them.
            let limit = self.worker.shared.settings.command;
            match poll_fn(|cx| self.poll_arrival(cx, limit + 2 * packet::HEADER)).await {
                Ok(0) | Err(_) => return Over,
                Ok(_) => {}
            }
            if let Err(over) = Box::pin(self.work()).await {
                return over;
            }
            if self.held.is_some() && !self.is_bound() {
                // It was kept for what its last statement left, which is taken from it now.
                Box::pin(self.take_past()).await;
            }
        }
    }

    /// Runs commands until none has come for a while.
    async fn work(&mut self) -> Result<(), Over> {
        loop {
            match self.arrival().await? {
                Arrival::None => return Ok(()),
                command => command::run(self, command).await?,
            }
            self.rest();
        }
    }

    /// Gives up what a session without a statement does not need, and another uses at once: what space that
    /// takes is in the processor's cache.
    fn rest(&mut self) {
        if self.line.inbound.is_empty() {
            self.worker.spare.give_back(std::mem::take(&mut self.line.inbound));
        }
        if let Some(held) = &mut self.held {
            held.backend.count(if self.status.contains(Status::IN_TRANS) {
                Counted::InFlight
            } else {
                Counted::Pinned
            });
        }
    }

    /// Waits for the next command. Its payload, or the front of it, stands at the front of what has come.
    async fn arrival(&mut self) -> Result<Arrival, Over> {
        let limit = self.worker.shared.settings.command;
        let mut rests = true;
        loop {
            match packet::front(self.line.inbound.data(), packet::FULL) {
                Ok(packet::Front::Whole { payload, .. }) => return Ok(Arrival::Whole(payload.len())),
                Ok(packet::Front::Begun { header, .. })
                    if header.is_continued() || header.length > limit && self.line.inbound.len() >= limit =>
                {
                    return Ok(Arrival::Long);
                }
                Ok(_) => {}
                Err(_) => return Err(Over),
            }
            if rests && self.line.inbound.is_empty() {
                self.member.idle(self.clock);
                rests = false;
            }
            let rested = |session: &Session| session.line.inbound.is_empty() && session.member.rests();
            let read = poll_fn(|cx| match self.poll_arrival(cx, limit + 2 * packet::HEADER) {
                Poll::Pending if rested(self) => Poll::Ready(Ok(None)),
                read => read.map_ok(Some),
            });
            match read.await? {
                None => return Ok(Arrival::None),
                Some(0) => return Err(Over),
                Some(_) => {}
            }
        }
    }

    /// Reads once, or ends where the session is to end. Between statements it needs no buffer before there is
    /// something to read.
    fn poll_arrival(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, Over>> {
        match self.member.order() {
            Some(End::Session) => return Poll::Ready(Err(Over)),
            Some(End::Statement) => self.member.obeyed(),
            None => {}
        }
        if self.held.as_ref().is_some_and(|held| held.backend.is_cut()) {
            // At once, not when it is used next: nobody writes to a former primary.
            self.sever();
        }
        let mut read = self.line.stream.poll_readable(cx).map_ok(|()| 0)?;
        if read.is_ready() {
            if self.line.inbound.capacity() == 0 {
                self.line.inbound = self.worker.spare.lend();
            }
            read = self.line.poll_fill(cx, limit)?;
        }
        let rests = self.line.inbound.is_empty() && self.held.is_none() && !self.severed;
        if read.is_pending() && self.worker.is_draining() && rests {
            self.moves = true;
            return Poll::Ready(Err(Over));
        }
        read.map(Ok)
    }

    /// Lets the connection that is held go, which is of no more use.
    fn sever(&mut self) {
        if self.held.take().is_some() {
            self.severed = self.is_bound();
        }
    }

    /// Whether the session needs the connection it holds, or held.
    fn is_bound(&self) -> bool {
        self.status.contains(Status::IN_TRANS) || !self.pins.is_empty()
    }

    /// Answers with an error.
    async fn refuse(
        &mut self,
        sequence: u8,
        code: u16,
        sqlstate: &[u8; 5],
        message: &str,
    ) -> Result<(), Over> {
        reply::error(&mut self.line.outbound, sequence, code, sqlstate, message);
        let Past { last_insert_id, found_rows, .. } = self.past;
        self.past = Past { row_count: -1, errors: 1, warnings: 1, last_insert_id, found_rows };
        self.unshared = true;
        let [level, code, message] =
            ["Error", &code.to_string(), message].map(|text| Box::from(text.as_bytes()));
        self.diagnostics = vec![Diagnostic { level, code, message }];
        // It may have been waited for long, and nothing else takes the time.
        self.clock = Instant::now();
        Ok(self.line.send().await?)
    }

    /// Leaves nothing behind.
    fn farewell(&mut self) {
        for (slot, home) in self.homes.iter().flatten() {
            if let Some(slot) = slot.upgrade() {
                slot.disown(*home, self.member.id);
            }
        }
    }
}

/// A command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// All of it: so many bytes of payload.
    Whole(usize),
    /// The front of a long one.
    Long,
    /// None, for a while.
    None,
}
