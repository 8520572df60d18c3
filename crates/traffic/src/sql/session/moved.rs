//! A session on its way to another splitter, because this one is to end: what it is in, as text, beside the
//! client's connection itself.
//!
//! Only a session at rest goes: between two statements, bound to no connection, nothing said by halves. What the next
//! splitter cannot make of it ends as it would have here. The client notices nothing, and keeps its id.

use super::prepared::Statements;
use super::{Diagnostic, Past, Session};
use crate::sql::classify::Hint;
use crate::sql::client::{Client, Layers};
use crate::sql::errand::Departure;
use crate::sql::lexer::Dialect;
use crate::sql::line::Line;
use crate::sql::position::Position;
use crate::sql::state::State;
use crate::sql::wire::auth::server::Verifier;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::status::Status;
use crate::sql::worker::Worker;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use stoa_model::control::MovedSession;

/// What a session is in. The form of one version of Stoa; another one refuses what it cannot read.
#[derive(Debug, Serialize, Deserialize)]
struct Moved {
    layers: Layers,
    id: u32,
    user: String,
    capabilities: u64,
    verifier: Verifier,
    initial: (State, Dialect),
    now: (State, Dialect),
    hint: Hint,
    status: u16,
    past: Past,
    unshared: bool,
    diagnostics: Vec<Diagnostic>,
    written: Position,
    last_statement: u32,
    statements: Vec<Prepared>,
}

/// A statement that a session has prepared.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepared {
    pub(super) number: u32,
    pub(super) sql: Box<[u8]>,
    pub(super) prepared_in: (State, Dialect),
    pub(super) parameters: u16,
    pub(super) types: Vec<u8>,
    pub(super) typed: usize,
}

impl Session {
    /// Whether another splitter could go on with it, if its client's connection can be passed on.
    fn may_move(&self) -> bool {
        let said_all = self.line.inbound.is_empty() && self.line.outbound.is_empty();
        let bound = self.held.is_some() || self.severed || self.is_bound() || self.transcript.is_recording();
        said_all && !bound && self.statements.long() == 0 && self.member.order().is_none()
    }

    /// Sends the session on its way, where it can be.
    pub(super) fn depart(mut self: Box<Self>) {
        if !self.may_move() {
            return;
        }
        let Some(account) = self.worker.shared.accounts.get(self.account) else { return };
        let client = std::mem::replace(&mut self.line.stream, Client::Nowhere);
        // A connection that cannot be taken out of this process ends with it.
        let Some((connection, layers)) = client.take_apart() else { return };
        let moved = Moved {
            layers,
            id: self.member.id,
            user: account.user.clone(),
            capabilities: self.capabilities.bits(),
            verifier: self.verifier.clone(),
            initial: ((*self.initial).clone(), self.initial_dialect),
            now: ((*self.state).clone(), self.dialect),
            hint: self.hint,
            status: self.status.bits(),
            past: self.past,
            unshared: self.unshared,
            diagnostics: std::mem::take(&mut self.diagnostics),
            written: self.written.clone(),
            last_statement: self.statements.last(),
            statements: self.statements.packed(),
        };
        if let Ok(form) = serde_json::to_string(&moved) {
            self.worker.see_off(Departure { form: MovedSession(form), connection });
        }
    }

    /// The session that came as `form` with its client's connection; none where it cannot go on here.
    pub(super) fn arrive(
        worker: Rc<Worker>,
        form: &MovedSession,
        connection: OwnedFd,
    ) -> Option<Box<Session>> {
        let moved: Moved = serde_json::from_str(&form.0)
            .inspect_err(|error| tracing::warn!(%error, "a session of another splitter cannot be read"))
            .ok()?;
        let client = Client::put_together(connection, moved.layers)
            .inspect_err(|error| tracing::warn!(%error, "a client of another splitter cannot be taken over"))
            .ok()?;
        let Some(account) = worker.shared.accounts.iter().position(|account| account.user == moved.user)
        else {
            tracing::warn!(user = %moved.user, "nobody of this name may log in here: a moved session ends");
            return None;
        };
        // Two clients with one id: the other one was here first.
        let member = worker.roll.join_as(moved.id)?;
        let agreed = (Capabilities::from_bits_retain(moved.capabilities), moved.verifier);
        let statements = Statements::unpacked(moved.last_statement, moved.statements, &worker);
        let state = worker.intern(moved.now.0);
        let begun = Session::new(worker, member, Line::new(client), account, agreed, moved.initial);
        Some(Box::new(Session {
            state,
            dialect: moved.now.1,
            hint: moved.hint,
            status: Status::from_bits_retain(moved.status),
            past: moved.past,
            unshared: moved.unshared,
            diagnostics: moved.diagnostics,
            written: moved.written,
            statements,
            ..begun
        }))
    }
}
