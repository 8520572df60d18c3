//! Follows the response to a command as its bytes pass, and says where it ends and how. Rows are only
//! counted: of each, the header and one byte are looked at. Where the client speaks a plainer dialect than
//! the backend, it says what to put in and what to leave out; otherwise every byte passes as it is.

mod ending;

use super::Malformed;
use super::capability::Capabilities;
use super::field::Fields;
use super::packet::{FULL, HEADER, Header};
use super::reply;
use super::response::{Next, Outcome, Prepared, Reply, ResponseError, Step};
use super::status::{EofPacket, Status};
use super::tracking::Tracking;

/// The longest packet that must be seen whole: all but rows and columns. Session changes may be long.
const WATCHED: usize = 1 << 20;

/// The longest row that is seen whole, where it may be OUT parameters.
const PEEKED: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first packet of a result.
    First,
    /// So many columns of a result set.
    Columns(u64),
    /// The EOF after them, of a server that sends it.
    ColumnsEnd,
    /// The packet after them, before which the client is to get an EOF.
    Boundary,
    Rows,
    /// So many of a prepared statement's parameters; then so many columns.
    Parameters(u16, u16),
    ParametersEnd(u16),
    PreparedColumns(u16),
    PreparedEnd,
    /// The client's file is awaited.
    File,
    Done,
}

/// What was made of the packet at hand.
enum Verdict {
    /// It passes.
    Pass,
    /// So many bytes must stand before it can be judged.
    Need(usize),
    /// `insert` goes before it, and it is looked at again.
    Before,
    /// `insert` goes in its place.
    Instead,
    /// It passes, and `insert` after it.
    After,
}

/// Follows one response after another of one client's session. Kept for the session: its buffers are used
/// again, so that following a response allocates nothing.
#[derive(Debug)]
pub struct Follower {
    client: Capabilities,
    backend: Capabilities,
    tracking: Option<Tracking>,
    reply: Reply,
    state: State,
    /// What the next frame bears.
    sequence: u8,
    /// How much more the client's frames bear.
    shift: u8,
    /// Payload of the present frame that has not passed.
    left: usize,
    /// Another frame of the same packet follows.
    continued: bool,
    insert: Vec<u8>,
    scratch: Vec<u8>,
    outcome: Outcome,
}

impl Follower {
    /// For a client with these capabilities, as [`agree`](super::capability::agree)d.
    #[must_use]
    pub fn new(client: Capabilities) -> Self {
        Follower {
            client,
            backend: Capabilities::empty(),
            tracking: Some(Tracking::default()),
            reply: Reply::Nothing,
            state: State::Done,
            sequence: 0,
            shift: 0,
            left: 0,
            continued: false,
            insert: Vec::new(),
            scratch: Vec::new(),
            outcome: Outcome { status: Status::AUTOCOMMIT, ..Outcome::default() },
        }
    }

    /// Which session changes the client is told from now on; `None`: whatever the server tells. A client
    /// without `SESSION_TRACK` is told none. Begins as [`Tracking::default`].
    pub fn track(&mut self, tracking: Option<Tracking>) {
        self.tracking = tracking;
    }

    /// A response begins, on a backend connection with the capabilities it was
    /// [`request`](super::capability::request)ed with. `sequence` is what its first frame bears: one more
    /// than the command's last.
    pub fn begin(&mut self, reply: Reply, sequence: u8, backend: Capabilities) {
        self.backend = backend;
        self.reply = reply;
        self.state = match reply {
            Reply::Nothing => State::Done,
            Reply::Rows => State::Rows,
            _ => State::First,
        };
        self.sequence = sequence;
        self.shift = 0;
        self.left = 0;
        self.continued = false;
        self.outcome.clear();
        self.outcome.status &= SESSION;
    }

    /// The client's file has been sent; the server's next frame bears `sequence`.
    pub fn uploaded(&mut self, sequence: u8) {
        if self.state == State::File {
            self.state = State::First;
            self.sequence = sequence;
        }
    }

    /// How much more the client's sequence numbers are than the backend's. What a client sends in the middle
    /// of a response (a file) is shifted back by as much.
    #[must_use]
    pub fn shift(&self) -> u8 {
        self.shift
    }

    /// What the next frame bears on the backend's side.
    #[must_use]
    pub fn next_sequence(&self) -> u8 {
        self.sequence
    }

    /// What the next frame bears on the client's side: where an answer of the splitter's own would go on.
    #[must_use]
    pub fn next_client_sequence(&self) -> u8 {
        self.sequence.wrapping_add(self.shift)
    }

    /// Whether the response has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done && self.left == 0 && !self.continued
    }

    /// What came of the command so far.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Looks at the bytes that have come from the backend and are not dealt with yet. A packet costs a look
    /// at its header and first byte; packets that end something are read whole.
    pub fn step(&mut self, bytes: &mut [u8]) -> Result<Step<'_>, ResponseError> {
        let mut at = 0;
        loop {
            let passing = self.left.min(bytes.len() - at);
            at += passing;
            self.left -= passing;
            if self.left > 0 {
                return Ok(stop(at, Next::Read(1)));
            }
            if self.state == State::Rows && !self.continued {
                at = self.rows(bytes, at);
            }
            let rest = bytes.get_mut(at..).unwrap_or_default();
            if !self.continued {
                match self.state {
                    State::Done => return Ok(stop(at, Next::Done)),
                    State::File => return Ok(stop(at, Next::File)),
                    _ => {}
                }
            }
            let Some(header) = Header::read(rest) else { return Ok(stop(at, Next::Read(HEADER))) };
            if self.continued {
                self.expect(header)?;
                at += self.enter(header, rest);
                continue;
            }
            if header.length == 0 {
                return Err(Malformed("an empty packet").into());
            }
            // Without its first byte no packet can be told from another.
            let Some(&first) = rest.get(HEADER) else { return Ok(stop(at, Next::Read(HEADER + 1))) };
            // An error may come from a thread of the server's that has not counted.
            if first != 0xFF {
                self.expect(header)?;
            }
            match self.packet(header, first, rest)? {
                Verdict::Pass => at += self.enter(header, rest),
                Verdict::Need(bytes) => return Ok(stop(at, Next::Read(bytes))),
                Verdict::Before => return Ok(self.put_in(at, 0)),
                Verdict::Instead => {
                    self.sequence = self.sequence.wrapping_add(1);
                    return Ok(self.put_in(at, HEADER + header.length));
                }
                Verdict::After => {
                    // What is put in has been counted, and goes after this one.
                    self.shift = self.shift.wrapping_sub(1);
                    at += self.enter(header, rest) + header.length;
                    self.shift = self.shift.wrapping_add(1);
                    self.left = 0;
                    return Ok(self.put_in(at, 0));
                }
            }
        }
    }

    /// Passes the plain rows that stand whole from `at` on; answers where they end.
    fn rows(&mut self, bytes: &mut [u8], mut at: usize) -> usize {
        let whole = bytes.len();
        while let Some(&mut [low, middle, high, ref mut sequence, first]) =
            bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<{ HEADER + 1 }>())
        {
            let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
            let end = at + HEADER + length;
            let plain = first < 0xFE && length > 0 && length < FULL && *sequence == self.sequence;
            if !plain || end > whole {
                break;
            }
            *sequence = self.sequence.wrapping_add(self.shift);
            self.sequence = self.sequence.wrapping_add(1);
            self.outcome.rows += 1;
            at = end;
        }
        at
    }

    fn put_in(&self, forward: usize, skip: usize) -> Step<'_> {
        let next = if self.state == State::Done { Next::Done } else { Next::Again };
        Step { forward, insert: &self.insert, skip, next }
    }

    /// Inside compression servers renumber their packets as they like.
    #[inline]
    fn expect(&self, header: Header) -> Result<(), ResponseError> {
        if header.sequence == self.sequence || self.backend.intersects(COMPRESSED) {
            return Ok(());
        }
        Err(ResponseError::OutOfOrder { expected: self.sequence, found: header.sequence })
    }

    /// A frame begins to pass, numbered as the client counts; answers the length of its header.
    #[inline]
    fn enter(&mut self, header: Header, bytes: &mut [u8]) -> usize {
        if let Some(sequence) = bytes.get_mut(HEADER - 1) {
            *sequence = self.sequence.wrapping_add(self.shift);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.left = header.length;
        self.continued = header.is_continued();
        HEADER
    }

    /// Judges the packet whose header and first byte stand at the front of `bytes`.
    #[inline]
    fn packet(&mut self, header: Header, first: u8, bytes: &mut [u8]) -> Result<Verdict, ResponseError> {
        // A row that begins with 0xFE holds 16 MB and fills its frame; what else begins so ends the rows.
        let is_row = first < 0xFE || (first == 0xFE && header.is_continued());
        match self.state {
            State::Rows if is_row => {
                self.outcome.rows += 1;
                Ok(Verdict::Pass)
            }
            State::Columns(left) if is_row => {
                self.state = if left > 1 { State::Columns(left - 1) } else { self.after_columns() };
                Ok(Verdict::Pass)
            }
            State::Boundary if is_row => Ok(self.before_first_row(header, bytes)),
            State::First if self.reply == Reply::Text && is_row => {
                self.state = State::Done;
                Ok(Verdict::Pass)
            }
            State::First if self.reply == Reply::Fields && is_row => Ok(Verdict::Pass),
            _ => self.watched(header, first, bytes),
        }
    }

    /// A packet that says something: it must stand whole.
    fn watched(&mut self, header: Header, first: u8, bytes: &mut [u8]) -> Result<Verdict, ResponseError> {
        if header.length > WATCHED {
            return Err(ResponseError::TooLong { length: header.length });
        }
        let Some(payload) = bytes.get_mut(HEADER..HEADER + header.length) else {
            return Ok(Verdict::Need(HEADER + header.length));
        };
        if first == 0xFF {
            return self.error(payload);
        }
        match self.state {
            State::First => self.first(first, payload),
            State::Boundary => self.boundary(payload),
            State::Rows => self.end_of_rows(payload),
            State::ColumnsEnd => self.columns_end(payload),
            State::Parameters(left, columns) => {
                let end = State::ParametersEnd(columns);
                let more = (left > 1).then(|| State::Parameters(left - 1, columns));
                Ok(self.definition(more, end, prepared_columns(columns)))
            }
            State::PreparedColumns(left) => {
                let more = (left > 1).then(|| State::PreparedColumns(left - 1));
                Ok(self.definition(more, State::PreparedEnd, State::Done))
            }
            State::ParametersEnd(columns) => self.definitions_end(payload, prepared_columns(columns)),
            State::PreparedEnd => self.definitions_end(payload, State::Done),
            State::Columns(_) | State::File | State::Done => Err(unexpected("column", payload)),
        }
    }

    fn first(&mut self, first: u8, payload: &mut [u8]) -> Result<Verdict, ResponseError> {
        match (self.reply, first) {
            (Reply::Results { .. } | Reply::Executed | Reply::One, 0x00) => self.ok(payload, 0x00),
            (Reply::One | Reply::Fields, 0xFE) => self.end_of_rows(payload),
            (Reply::Results { local_infile: true }, 0xFB) => {
                self.state = State::File;
                Ok(Verdict::Pass)
            }
            (Reply::Results { .. } | Reply::Executed, 0xFB) => Err(ResponseError::FileNotAllowed),
            (Reply::Results { .. } | Reply::Executed, 0x01..=0xFD) => {
                let mut fields = Fields::new(payload);
                let columns = fields.lenenc().filter(|columns| *columns > 0 && fields.is_empty());
                self.state = State::Columns(columns.ok_or(Malformed("a number of columns"))?);
                Ok(Verdict::Pass)
            }
            (Reply::Prepared { rename }, 0x00) => self.prepared(payload, rename),
            _ => Err(unexpected("answer to that command", payload)),
        }
    }

    fn prepared(&mut self, payload: &mut [u8], rename: Option<u32>) -> Result<Verdict, ResponseError> {
        let mut fields = Fields::new(payload);
        let mut read = || {
            fields.u8()?;
            let prepared = Prepared { id: fields.u32()?, columns: fields.u16()?, parameters: fields.u16()? };
            fields.u8()?;
            Some((prepared, fields.u16()?))
        };
        let (prepared, warnings) = read().ok_or(Malformed("a prepared statement"))?;
        if let (Some(id), Some(place)) = (rename, payload.get_mut(1..5)) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        self.outcome.prepared = Some(prepared);
        self.outcome.warnings = warnings;
        self.outcome.results += 1;
        let Prepared { columns, parameters, .. } = prepared;
        self.state = match parameters {
            0 => prepared_columns(columns),
            _ => State::Parameters(parameters, columns),
        };
        Ok(Verdict::Pass)
    }

    /// One parameter or column of a prepared statement passes.
    fn definition(&mut self, more: Option<State>, end: State, after: State) -> Verdict {
        if let Some(more) = more {
            self.state = more;
            return Verdict::Pass;
        }
        if !deprecates(self.backend) {
            self.state = end;
            return Verdict::Pass;
        }
        self.state = after;
        if deprecates(self.client) {
            return Verdict::Pass;
        }
        let packet = EofPacket { warnings: 0, status: self.outcome.status & SESSION };
        let sequence = self.next_client_sequence().wrapping_add(1);
        self.insert.clear();
        reply::eof(&mut self.insert, sequence, packet);
        self.shift = self.shift.wrapping_add(1);
        Verdict::After
    }

    fn definitions_end(&mut self, payload: &[u8], after: State) -> Result<Verdict, ResponseError> {
        self.outcome.status = eof(payload)?.status;
        self.state = after;
        Ok(Verdict::Pass)
    }

    fn after_columns(&self) -> State {
        match (deprecates(self.backend), deprecates(self.client)) {
            (false, _) => State::ColumnsEnd,
            (true, true) => State::Rows,
            (true, false) => State::Boundary,
        }
    }

    fn columns_end(&mut self, payload: &[u8]) -> Result<Verdict, ResponseError> {
        let packet = eof(payload)?;
        self.state = State::Rows;
        // The rows of a cursor are fetched.
        if packet.status.contains(Status::CURSOR_EXISTS) {
            self.outcome.warnings = packet.warnings;
            self.end_of_result(packet.status);
        }
        Ok(Verdict::Pass)
    }
}

/// What of the status is the session's and not the last result's.
const SESSION: Status = Status::IN_TRANS
    .union(Status::AUTOCOMMIT)
    .union(Status::NO_BACKSLASH_ESCAPES)
    .union(Status::IN_TRANS_READONLY)
    .union(Status::ANSI_QUOTES);

const COMPRESSED: Capabilities = Capabilities::COMPRESS.union(Capabilities::ZSTD);

fn stop(forward: usize, next: Next) -> Step<'static> {
    Step { forward, insert: &[], skip: 0, next }
}

fn deprecates(side: Capabilities) -> bool {
    side.contains(Capabilities::DEPRECATE_EOF)
}

fn tracks(side: Capabilities) -> bool {
    side.contains(Capabilities::SESSION_TRACK)
}

fn prepared_columns(columns: u16) -> State {
    if columns == 0 { State::Done } else { State::PreparedColumns(columns) }
}

fn eof(payload: &[u8]) -> Result<EofPacket, ResponseError> {
    match payload {
        [0xFE, ..] => Ok(EofPacket::parse(payload)?),
        _ => Err(unexpected("EOF", payload)),
    }
}

fn unexpected(awaited: &'static str, payload: &[u8]) -> ResponseError {
    ResponseError::Unexpected { awaited, first: payload.first().copied().unwrap_or_default() }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
