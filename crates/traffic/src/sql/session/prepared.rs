//! The statements a session has prepared, and having them at the connection they are to run on.
//!
//! A client knows its statements by numbers of ours. On each connection that runs one it is prepared the
//! first time, with a number of the server's; what the client was told about its columns stays.

use super::exchange::{Expect, Fault};
use super::perform::{self, Work};
use super::{Over, Session};
use crate::sql::classify::Statement;
use crate::sql::digest::Digest;
use crate::sql::wire::packet::{self, Header, Passage};
use crate::sql::wire::response::Prepared;
use crate::sql::wire::status::{ServerError, Status};
use std::rc::Rc;

/// Where the null bitmap of an execution stands: after command, number, flags and count.
const BITMAP: usize = 10;
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
    pub(super) sql: Rc<[u8]>,
    pub(super) verdict: Statement,
    pub(super) digest: Digest,
    parameters: u16,
    /// The types of its parameters, as they were sent last, and how often they have changed.
    types: Vec<u8>,
    types_version: u32,
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
    pub(super) fn took_statement(&mut self, number: u32, work: &Work, prepared: Prepared) {
        let sql: Rc<[u8]> = self.text(work).into();
        let known = Known {
            number,
            sql,
            verdict: work.verdict,
            digest: work.digest.unwrap_or(Digest(0)),
            parameters: prepared.parameters,
            types: Vec::new(),
            types_version: 0,
            long: Vec::new(),
            cursor: false,
        };
        self.statements.insert(known);
        let id = self.member.id;
        if let Some(held) = &mut self.held
            && let Some(closed) = held.backend.place(id, number, prepared.id)
        {
            held.backend.link.put(0x19, &closed.to_le_bytes());
        }
    }

    /// Prepares a statement on the connection that is held, where it is not.
    pub(super) fn compose_statement(&mut self, number: u32) -> Result<(), Fault> {
        let id = self.member.id;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get(number)) else {
            return Err(Fault::Lost);
        };
        if held.backend.placed(id, number).is_none() {
            let outbound = &mut held.backend.link.line.outbound;
            let mut payload = Vec::with_capacity(known.sql.len() + 1);
            payload.push(0x16);
            payload.extend_from_slice(&known.sql);
            packet::put(outbound, 0, &payload);
            self.expects.push(Expect::Prepare(number));
        }
        Ok(())
    }

    /// The server's number for a statement on the connection that is held.
    pub(super) fn placed_number(&mut self, number: u32) -> Option<u32> {
        let id = self.member.id;
        Some(self.held.as_mut()?.backend.placed(id, number)?.id)
    }

    /// Appends a command about a statement, with the server's number, the long data before it and the types
    /// that the server does not know.
    pub(super) fn put_statement_command(&mut self, work: &Work, number: u32) -> Result<(), Fault> {
        let id = self.member.id;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get_mut(number)) else {
            return Err(Fault::Lost);
        };
        let backend = &mut *held.backend;
        let Some(placed) = backend.placed(id, number) else { return Err(Fault::Lost) };
        let (server_number, told) = (placed.id, placed.types);
        let payload = self.line.payload(work.length);
        let outbound = &mut backend.link.line.outbound;
        if payload.first() != Some(&COM_STMT_EXECUTE) {
            perform::put_renumbered(outbound, payload, server_number);
            return Ok(());
        }
        for piece in &known.long {
            perform::put_renumbered(outbound, piece, server_number);
        }
        let rewritten = known.take_types(payload, told);
        perform::put_renumbered(outbound, rewritten.as_deref().unwrap_or(payload), server_number);
        let version = known.types_version;
        if let Some(placed) = held.backend.placed(id, number) {
            placed.types = version;
        }
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
        let id = self.member.id;
        let (Some(held), Some(known)) = (&mut self.held, self.statements.get_mut(number)) else {
            return Err(Fault::Lost);
        };
        let backend = &mut *held.backend;
        let Some(placed) = backend.placed(id, number) else { return Err(Fault::Lost) };
        let (server_number, told) = (placed.id, placed.types);
        let outbound = &mut backend.link.line.outbound;
        for piece in &known.long {
            perform::put_renumbered(outbound, piece, server_number);
        }
        let inbound = &mut self.line.inbound;
        let Some(payload) = inbound.data_mut().get_mut(packet::HEADER..) else { return Err(Fault::Client) };
        perform::renumber(payload, server_number);
        let passage = if payload.first() == Some(&COM_STMT_EXECUTE) && known.needs_types(payload, told) {
            // They are put in, and the frame that holds them becomes longer.
            let longer = header.length + known.types.len();
            if longer >= packet::FULL {
                return Err(Fault::Refused(ServerError {
                    code: 1210,
                    sqlstate: *b"HY000",
                    message: "Stoa: prepare the statement again to execute it with so much".to_owned(),
                }));
            }
            let bound = known.bound();
            let front = payload.get(..bound).unwrap_or_default();
            outbound.extend_from_slice(&Header { length: longer, sequence: header.sequence }.to_bytes());
            outbound.extend_from_slice(front);
            outbound.push(1);
            outbound.extend_from_slice(&known.types);
            inbound.consume(packet::HEADER + bound + 1);
            Passage::begun(header, bound + 1, limit)
        } else {
            known.take_types(payload, known.types_version);
            Passage::new(header.sequence, 0, limit)
        };
        let version = known.types_version;
        if let Some(placed) = backend.placed(id, number) {
            placed.types = version;
        }
        Ok(passage)
    }

    /// A command's payload with all that is needed to run it again; none where that is not held.
    pub(super) fn payload_alone(&self, work: &Work) -> Option<Box<[u8]>> {
        if self.consumed {
            return None;
        }
        let payload = self.line.payload(work.length);
        match work.statement.and_then(|number| self.statements.get(number)) {
            Some(known) if !known.long.is_empty() => None,
            Some(known) if payload.first() == Some(&COM_STMT_EXECUTE) => {
                Some(known.with_types(payload).map_or_else(|| payload.into(), Vec::into_boxed_slice))
            }
            _ => Some(payload.into()),
        }
    }

    /// After an execution, before its connection is given back: its cursor is open or not.
    pub(super) fn executed(&mut self, number: u32) {
        let status = self.follower.outcome().status;
        let opened = status.contains(Status::CURSOR_EXISTS) && !status.contains(Status::LAST_ROW_SENT);
        self.set_cursor(number, opened);
    }

    /// Whether a statement has a cursor: while one is open, its connection is kept.
    pub(super) fn set_cursor(&mut self, number: u32, open: bool) {
        let Some(known) = self.statements.get_mut(number) else { return };
        if known.cursor != open {
            known.cursor = open;
            let cursors = &mut self.pins.cursors;
            *cursors = if open { cursors.saturating_add(1) } else { cursors.saturating_sub(1) };
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
        self.set_cursor(number, false);
        self.statements.remove(number);
        let id = self.member.id;
        if let Some(held) = &mut self.held
            && let Some(placed) = held.backend.displace(id, number)
        {
            // Goes with the next command.
            held.backend.link.put(0x19, &placed.to_le_bytes());
        }
    }

    /// Whether the statement's cursor or long data are at the connection that is held.
    pub(super) fn is_placed(&mut self, number: u32) -> bool {
        self.placed_number(number).is_some()
    }

    /// What a command is counted as: the text of its statement.
    pub(super) fn statement_text(&self, work: &Work) -> &[u8] {
        match work.statement.and_then(|number| self.statements.get(number)) {
            Some(known) => &known.sql,
            None => self.text(work),
        }
    }

    /// Whether a prepared statement is one that gives rows to read.
    pub(super) fn verdict_of(&self, number: u32) -> Option<(Statement, Digest)> {
        self.statements.get(number).map(|known| (known.verdict, known.digest))
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
    /// Where an execution says whether it brings the types of its parameters.
    fn bound(&self) -> usize {
        BITMAP + usize::from(self.parameters).div_ceil(8)
    }

    /// Whether an execution brings no types, and the server was not told the last ones.
    fn needs_types(&self, payload: &[u8], told: u32) -> bool {
        self.parameters > 0
            && told != self.types_version
            && !self.types.is_empty()
            && payload.get(self.bound()) == Some(&0)
    }

    /// Takes down the types that an execution brings; where it brings none and the server, which was told
    /// those of version `told`, does not know them, answers the execution with them put in.
    fn take_types(&mut self, payload: &[u8], told: u32) -> Option<Vec<u8>> {
        if self.parameters == 0 {
            return None;
        }
        let count = usize::from(self.parameters);
        let bound = self.bound();
        match payload.get(bound) {
            Some(1) => {
                let types = payload.get(bound + 1..bound + 1 + 2 * count)?;
                if self.types != types {
                    self.types.clear();
                    self.types.extend_from_slice(types);
                    self.types_version += 1;
                }
                None
            }
            Some(0) if told != self.types_version => self.with_types(payload),
            _ => None,
        }
    }

    /// An execution with the types put in that it does not bring; none where it brings them or takes none.
    fn with_types(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let bound = self.bound();
        if self.types.is_empty() || payload.get(bound) != Some(&0) {
            return None;
        }
        let mut with = payload.get(..bound)?.to_vec();
        with.push(1);
        with.extend_from_slice(&self.types);
        with.extend_from_slice(payload.get(bound + 1..)?);
        Some(with)
    }
}
