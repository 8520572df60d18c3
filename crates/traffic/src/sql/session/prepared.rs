//! The statements a session has prepared, and having them at the connection they are to run on.
//!
//! A client knows its statements by numbers of ours. On each connection that runs one it is prepared the
//! first time, with a number of the server's, for all sessions that have prepared the same; what the client was
//! told about its columns stays.

use super::exchange::{Expect, Fault};
use super::moved::Prepared;
use super::perform::{self, Work};
use super::{Over, Session};
use crate::sql::backend::Link;
use crate::sql::classify::Statement;
use crate::sql::digest::Digest;
use crate::sql::lexer::Dialect;
use crate::sql::placed::{Placed, Text};
use crate::sql::state::Way;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::execution::Execution;
use crate::sql::wire::packet::{self, HEADER, Header, Passage};
use crate::sql::wire::response;
use crate::sql::wire::status::{ServerError, Status};
use crate::sql::worker::Worker;
use std::rc::Rc;

const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;

/// The statements of a session, by number.
#[derive(Debug, Default)]
pub(super) struct Statements {
    last: u32,
    /// In the order of their numbers.
    known: Vec<Known>,
    /// How much long data is held.
    long: usize,
}

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) number: u32,
    pub(super) text: Rc<Text>,
    pub(super) verdict: Statement,
    pub(super) digest: Digest,
    /// How its text was read.
    dialect: Dialect,
    parameters: u16,
    /// The types of its parameters as they were sent last, and of how many.
    types: Vec<u8>,
    typed: usize,
    /// Pieces of parameters that were sent ahead, as payloads.
    long: Vec<Box<[u8]>>,
    /// It has a cursor on the connection that is held.
    pub(super) cursor: bool,
}

impl Statements {
    /// The number of the next.
    pub(super) fn next(&self) -> u32 {
        // The largest number means "the last one" to MariaDB.
        match self.last.wrapping_add(1) {
            0 | u32::MAX => 1,
            next => next,
        }
    }

    /// The number of the last one.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    /// How much long data is held.
    pub(super) fn long(&self) -> usize {
        self.long
    }

    /// All of them, to be taken elsewhere.
    pub(super) fn packed(&self) -> Vec<Prepared> {
        let packed = |known: &Known| Prepared {
            number: known.number,
            sql: known.text.sql.clone(),
            prepared_in: ((*known.text.state).clone(), known.dialect),
            parameters: known.parameters,
            types: known.types.clone(),
            typed: known.typed,
        };
        self.known.iter().map(packed).collect()
    }

    /// Those that were [`packed`](Statements::packed) elsewhere. What they do is judged anew.
    pub(super) fn unpacked(last: u32, packed: Vec<Prepared>, worker: &Worker) -> Self {
        let mut statements = Statements::default();
        for Prepared { number, sql, prepared_in: (state, dialect), parameters, types, typed } in packed {
            let (verdict, digest) = worker.examine(&sql, &dialect);
            let text = worker.texts.share(&sql, &worker.intern(state));
            let (long, cursor) = (Vec::new(), false);
            statements.insert(Known {
                number,
                text,
                verdict,
                digest,
                dialect,
                parameters,
                types,
                typed,
                long,
                cursor,
            });
        }
        statements.last = last;
        statements
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The one of this number.
    pub(super) fn get(&self, number: u32) -> Option<&Known> {
        let at = self.known.binary_search_by_key(&number, |known| known.number).ok()?;
        self.known.get(at)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Known> {
        let at = self.known.binary_search_by_key(&number, |known| known.number).ok()?;
        self.known.get_mut(at)
    }

    /// The number that a command means.
    pub(super) fn meant(&self, number: u32) -> u32 {
        if number == u32::MAX { self.last } else { number }
    }

    fn insert(&mut self, known: Known) {
        self.last = known.number;
        let at = self.known.partition_point(|other| other.number < known.number);
        self.known.insert(at, known);
    }

    fn remove(&mut self, number: u32) -> Option<Known> {
        let at = self.known.binary_search_by_key(&number, |known| known.number).ok()?;
        let known = self.known.remove(at);
        self.long -= known.long.iter().map(|piece| piece.len()).sum::<usize>();
        Some(known)
    }

    /// What a statement that has been prepared does when it is executed.
    pub(super) fn amend(&mut self, number: u32, verdict: Statement, digest: Option<Digest>) {
        if let Some(known) = self.get_mut(number) {
            known.verdict = verdict;
            known.digest = digest.unwrap_or(known.digest);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.long = 0;
    }
}

impl Session {
    /// A statement was prepared for the client.
    pub(super) fn took_statement(&mut self, number: u32, work: &Work, prepared: response::Prepared) {
        let text = self.worker.texts.share(self.text(work), &self.state);
        let known = Known {
            number,
            text: text.clone(),
            verdict: work.verdict,
            digest: work.digest.unwrap_or(Digest(0)),
            dialect: self.dialect,
            parameters: prepared.parameters,
            types: Vec::new(),
            typed: 0,
            long: Vec::new(),
            cursor: false,
        };
        self.statements.insert(known);
        if let Some(held) = &mut self.held {
            held.backend.place(&text, prepared.id);
        }
    }

    /// Prepares a statement on the connection that is held, where it is not.
    pub(super) fn compose_statement(&mut self, number: u32) -> Result<(), Fault> {
        if self.is_placed(number) {
            return Ok(());
        }
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get_mut(number)) else {
            return Err(Fault::Lost);
        };
        let mut ways = [Way::default(), Way::default()];
        if !Rc::ptr_eq(&known.text.state, &self.state) {
            // Its names and literals mean what they meant when the session prepared it.
            let shared = &self.worker.shared;
            let mode = shared.identity.get().map_or("", |identity| &identity.sql_mode);
            if let Some(detour) = self.state.detour(&known.text.state, mode, shared.is_mysql()) {
                ways = detour;
            } else {
                // It is prepared as the session would now: whoever had it prepared then does not share it.
                known.text = self.worker.texts.share(&known.text.sql, &self.state);
                if held.backend.placed(&known.text, number).is_some() {
                    return Ok(());
                }
            }
        }
        let [there, back] = ways;
        let (link, expects) = (&mut held.backend.link, &mut self.expects);
        go(link, expects, &there);
        packet::put(&mut link.line.outbound, 0, &[&[0x16], &*known.text.sql].concat());
        expects.push(Expect::Prepare(known.text.clone()));
        go(link, expects, &back);
        Ok(())
    }

    /// Closes a statement at the server that knows the types of others' parameters, where the session has never
    /// told any of its own and the execution at hand does not either: it is to be answered as on a new one.
    pub(super) fn refuse_others_types(&mut self, number: u32) {
        let client = self.capabilities;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get(number)) else { return };
        let told = !known.types.is_empty() || known.parameters == 0;
        if told || held.backend.placed(&known.text, number).is_none_or(|placed| placed.types.is_empty()) {
            return;
        }
        let payload = self.line.inbound.data().get(HEADER..).unwrap_or_default();
        if Execution::read(payload, known.parameters, client).is_some_and(|it| !it.brings_types()) {
            held.backend.displace(&known.text, number);
        }
    }

    /// The statement on the connection that is held.
    pub(super) fn placed(&mut self, number: u32) -> Option<&mut Placed> {
        let known = self.statements.get(number)?;
        self.held.as_mut()?.backend.placed(&known.text, number)
    }

    /// Appends a command about a statement, with the server's number, the long data before it and the types
    /// that the server does not know.
    pub(super) fn put_statement_command(&mut self, work: &Work, number: u32) -> Result<(), Fault> {
        let client = self.capabilities;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get_mut(number)) else {
            return Err(Fault::Lost);
        };
        let Some(placed) = held.backend.placed(&known.text, number) else { return Err(Fault::Lost) };
        let payload = self.line.payload(work.length);
        let execution = Execution::read(payload, known.parameters, client);
        let mut with = Vec::new();
        if let Some(execution) = &execution {
            known.learn(execution);
            if known.lacks_types(execution, &placed.types) {
                let front = execution.put_front_with(&known.types, &mut with);
                with.extend_from_slice(payload.get(front..).unwrap_or_default());
            }
            known.tell(&mut placed.types);
        }
        let id = placed.id;
        let outbound = &mut held.backend.link.line.outbound;
        for piece in known.long.iter().filter(|_| payload.first() == Some(&COM_STMT_EXECUTE)) {
            perform::put_renumbered(outbound, piece, id);
        }
        perform::put_renumbered(outbound, if with.is_empty() { payload } else { &with }, id);
        Ok(())
    }

    /// Sends what goes ahead of an execution that is not held, and makes its front the server's own: it
    /// stands, at least to behind the types of its parameters, at the front of what has come.
    pub(super) fn begin_execution(
        &mut self,
        number: u32,
        header: Header,
        limit: u64,
    ) -> Result<Passage, Fault> {
        let client = self.capabilities;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get_mut(number)) else {
            return Err(Fault::Lost);
        };
        let Some(placed) = held.backend.placed(&known.text, number) else { return Err(Fault::Lost) };
        let inbound = &mut self.line.inbound;
        let Some(payload) = inbound.data_mut().get_mut(HEADER..) else { return Err(Fault::Client) };
        perform::renumber(payload, placed.id);
        let execution = Execution::read(payload, known.parameters, client);
        let mut put_in = None;
        if let Some(execution) = &execution {
            known.learn(execution);
            if known.lacks_types(execution, &placed.types) {
                let mut with = Vec::new();
                put_in = Some((execution.put_front_with(&known.types, &mut with), with));
            }
            known.tell(&mut placed.types);
        }
        let id = placed.id;
        let outbound = &mut held.backend.link.line.outbound;
        for piece in &known.long {
            perform::put_renumbered(outbound, piece, id);
        }
        let Some((front, with)) = put_in else { return Ok(Passage::new(header.sequence, 0, limit)) };
        // The frame that holds them becomes longer.
        let length = header.length + known.types.len();
        if length >= packet::FULL {
            return Err(Fault::Refused(ServerError {
                code: 1210,
                sqlstate: *b"HY000",
                message: "Stoa: prepare the statement again to execute it with so much".to_owned(),
            }));
        }
        outbound.extend_from_slice(&Header { length, sequence: header.sequence }.to_bytes());
        outbound.extend_from_slice(&with);
        inbound.consume(HEADER + front);
        Ok(Passage::begun(header, front, limit))
    }

    /// Whether all that is needed to run a command again stands in its payload, or is known of its statement.
    pub(super) fn stands_alone(&self, work: &Work) -> bool {
        let known = work.statement.and_then(|number| self.statements.get(number));
        !self.consumed && known.is_none_or(|known| known.long.is_empty())
    }

    /// After an execution, before its connection is given back: its cursor is open or not.
    pub(super) fn executed(&mut self, number: u32) {
        let status = self.follower.outcome().status;
        let opened = status.contains(Status::CURSOR_EXISTS) && !status.contains(Status::LAST_ROW_SENT);
        let failed = self.follower.outcome().error.is_some();
        self.set_cursor(number, opened && !failed);
        if !failed {
            return;
        }
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get(number)) else { return };
        if !known.long.is_empty() {
            // What became of them nobody says: they may fail whoever executes it next.
            held.backend.displace(&known.text, number);
        } else if let Some(placed) = held.backend.placed(&known.text, number) {
            // How much of it was read is not known either.
            placed.types.clear();
        }
    }

    /// Whether a statement has a cursor: while one is open, its connection is kept.
    pub(super) fn set_cursor(&mut self, number: u32, open: bool) {
        let Some(known) = self.statements.get_mut(number) else { return };
        if known.cursor != open {
            known.cursor = open;
            let cursors = &mut self.pins.cursors;
            *cursors = if open { cursors.saturating_add(1) } else { cursors.saturating_sub(1) };
            if let Some(held) = &mut self.held
                && let Some(placed) = held.backend.placed(&known.text, number)
            {
                placed.cursor = open.then_some(number);
            }
        }
    }

    /// Keeps a piece of a parameter until its statement is executed.
    pub(super) fn keep_long(&mut self, number: u32, length: usize) -> Result<(), Over> {
        let most = self.worker.shared.settings.long_data;
        let piece: Box<[u8]> = self.line.payload(length).into();
        self.statements.long += piece.len();
        // There is no answer to this command that could say so.
        if self.statements.long > most {
            tracing::warn!(most, "a session sent more long data than is held; it is ended");
            return Err(Over);
        }
        debug_assert_eq!(piece.first(), Some(&COM_STMT_SEND_LONG_DATA));
        match self.statements.get_mut(number) {
            Some(known) => known.long.push(piece),
            None => self.statements.long -= piece.len(),
        }
        Ok(())
    }

    /// The client needs a statement no more.
    pub(super) fn close_statement(&mut self, number: u32) {
        let Some(known) = self.statements.get(number) else { return };
        if known.cursor
            && let Some(held) = &mut self.held
        {
            held.backend.displace(&known.text, number);
        }
        self.set_cursor(number, false);
        self.statements.remove(number);
        if let Some(held) = &mut self.held {
            held.backend.tidy();
        }
    }

    /// Whether the statement's cursor or long data are at the connection that is held.
    pub(super) fn is_placed(&mut self, number: u32) -> bool {
        self.placed(number).is_some()
    }

    /// What a command is counted as: the text of its statement.
    pub(super) fn statement_text(&self, work: &Work) -> &[u8] {
        match work.statement.and_then(|number| self.statements.get(number)) {
            Some(known) => &known.text.sql,
            None => self.text(work),
        }
    }

    /// Whether a prepared statement is one that gives rows to read.
    pub(super) fn verdict_of(&self, number: u32) -> Option<(Statement, Digest)> {
        self.statements.get(number).map(|known| (known.verdict, known.digest))
    }
}

/// Sends what leads to another state.
fn go(link: &mut Link, expects: &mut Vec<Expect>, way: &Way) {
    if !way.set.is_empty() {
        link.put(0x03, &way.set);
        expects.push(Expect::Set);
    }
    if let Some(schema) = &way.schema {
        link.put(0x02, schema);
        expects.push(Expect::Schema);
    }
}

impl Statements {
    /// Forgets the pieces that were sent ahead.
    pub(super) fn clear_long(&mut self, number: u32) {
        if let Some(known) = self.get_mut(number) {
            let long: usize = known.long.drain(..).map(|piece| piece.len()).sum();
            self.long -= long;
        }
    }
}

impl Known {
    /// Takes down the types that an execution brings.
    fn learn(&mut self, execution: &Execution<'_>) {
        if let Some(types) = execution.types()
            && self.types != types
        {
            self.types.clear();
            self.types.extend_from_slice(types);
        }
        if execution.brings_types() {
            self.typed = execution.count;
        }
    }

    /// Whether an execution brings no types, and the server, which was told these last, does not know them.
    fn lacks_types(&self, execution: &Execution<'_>, told: &[u8]) -> bool {
        !execution.brings_types() && self.typed == execution.count && *told != *self.types
    }

    /// The server knows the types from now on.
    fn tell(&self, told: &mut Vec<u8>) {
        if *told != self.types {
            told.clear();
            told.extend_from_slice(&self.types);
        }
    }

    /// Appends a command about it that says what types its parameters have, where it is an execution.
    pub(super) fn put_with_types(&self, payload: &[u8], client: Capabilities, out: &mut Vec<u8>) {
        let execution = Execution::read(payload, self.parameters, client);
        let front = match execution.filter(|execution| self.lacks_types(execution, &[])) {
            Some(execution) => execution.put_front_with(&self.types, out),
            None => 0,
        };
        out.extend_from_slice(payload.get(front..).unwrap_or_default());
    }
}
