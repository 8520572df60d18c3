//! Where a result ends, and what is said there: OK, EOF and ERR packets, as the client is to get them.

use super::{Follower, PEEKED, SESSION, State, Verdict, deprecates, eof, tracks};
use crate::sql::wire::packet::{HEADER, Header, put_with};
use crate::sql::wire::reply;
use crate::sql::wire::response::{Reply, ResponseError};
use crate::sql::wire::status::{EofPacket, ErrPacket, OkPacket, Status};

/// The number of a MariaDB progress report.
const PROGRESS: u16 = 0xFFFF;

impl Follower {
    /// The columns have passed, and a row follows: the client is to get an EOF between them. That OUT
    /// parameters are what they are stands in that EOF, and with the server only after their one row.
    pub(super) fn before_first_row(&mut self, header: Header, bytes: &[u8]) -> Verdict {
        let mut status = self.outcome.status & SESSION;
        if self.reply == Reply::Executed && header.length <= PEEKED {
            let next = bytes.get(HEADER + header.length..).unwrap_or_default();
            let Some(after) = Header::read(next) else { return Verdict::Need(2 * HEADER + header.length) };
            let whole = HEADER + header.length + HEADER + after.length;
            match next.get(HEADER..) {
                Some([0xFE, ..]) if after.length <= PEEKED => match next.get(HEADER..HEADER + after.length) {
                    Some(payload) => {
                        let last = OkPacket::parse(payload, self.backend).unwrap_or_default();
                        status |= last.status & Status::PS_OUT_PARAMS;
                    }
                    None => return Verdict::Need(whole),
                },
                Some([]) | None => return Verdict::Need(2 * HEADER + header.length + 1),
                _ => {}
            }
        }
        self.put_eof_before(EofPacket { warnings: 0, status })
    }

    /// The columns have passed, and the end of no rows follows.
    pub(super) fn boundary(&mut self, payload: &[u8]) -> Result<Verdict, ResponseError> {
        let packet = OkPacket::parse(payload, self.backend)?;
        if packet.status.contains(Status::CURSOR_EXISTS) {
            // With a cursor there is one EOF only.
            self.state = State::Rows;
            return self.end_of_rows(payload);
        }
        let status = packet.status & (SESSION | Status::PS_OUT_PARAMS);
        Ok(self.put_eof_before(EofPacket { warnings: 0, status }))
    }

    fn put_eof_before(&mut self, packet: EofPacket) -> Verdict {
        let sequence = self.next_client_sequence();
        self.insert.clear();
        reply::eof(&mut self.insert, sequence, packet);
        self.shift = self.shift.wrapping_add(1);
        self.state = State::Rows;
        Verdict::Before
    }

    /// An EOF, or the OK that stands for it.
    pub(super) fn end_of_rows(&mut self, payload: &[u8]) -> Result<Verdict, ResponseError> {
        if deprecates(self.backend) {
            return self.ok(payload, 0xFE);
        }
        let packet = eof(payload)?;
        self.outcome.warnings = packet.warnings;
        self.end_of_result(packet.status);
        Ok(Verdict::Pass)
    }

    pub(super) fn ok(&mut self, payload: &[u8], header: u8) -> Result<Verdict, ResponseError> {
        let mut packet = OkPacket::parse(payload, self.backend)?;
        self.outcome.affected_rows = packet.affected_rows;
        self.outcome.last_insert_id = packet.last_insert_id;
        self.outcome.warnings = packet.warnings;
        self.outcome.changes.extend_from_slice(packet.changes);
        self.end_of_result(packet.status);
        let sequence = self.next_client_sequence();
        if header == 0xFE && !deprecates(self.client) {
            let status = packet.status - Status::SESSION_STATE_CHANGED;
            self.insert.clear();
            reply::eof(&mut self.insert, sequence, EofPacket { warnings: packet.warnings, status });
            return Ok(Verdict::Instead);
        }
        let rewritten = if tracks(self.client) {
            self.scratch.clear();
            let filter = self.tracking.as_ref().filter(|_| !packet.changes.is_empty());
            filter.is_some_and(|tracking| tracking.filter(packet.changes, &mut self.scratch))
        } else {
            tracks(self.backend)
                && (packet.status.contains(Status::SESSION_STATE_CHANGED) || !packet.changes.is_empty())
        };
        if !rewritten {
            return Ok(Verdict::Pass);
        }
        packet.changes = &self.scratch;
        self.insert.clear();
        let client = self.client;
        put_with(&mut self.insert, sequence, |out| reply::put_ok(out, header, &packet, client));
        Ok(Verdict::Instead)
    }

    pub(super) fn error(&mut self, payload: &[u8]) -> Result<Verdict, ResponseError> {
        let packet = ErrPacket::parse(payload)?;
        if packet.code == PROGRESS {
            return Ok(Verdict::Pass);
        }
        if self.state == State::Boundary {
            let status = self.outcome.status & SESSION;
            return Ok(self.put_eof_before(EofPacket { warnings: 0, status }));
        }
        self.outcome.error = Some(packet.into());
        self.outcome.status &= SESSION;
        self.outcome.results += 1;
        self.state = State::Done;
        Ok(Verdict::Pass)
    }

    pub(super) fn end_of_result(&mut self, status: Status) {
        self.outcome.status = status;
        self.outcome.results = self.outcome.results.saturating_add(1);
        let several = matches!(self.reply, Reply::Results { .. } | Reply::Executed);
        let more = several && status.contains(Status::MORE_RESULTS);
        self.state = if more { State::First } else { State::Done };
    }
}
