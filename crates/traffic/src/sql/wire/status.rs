//! What ends a response: OK, EOF and ERR packets, the status they carry and the session changes that an OK
//! packet reports. Borrowed from the packet; nothing is copied.

use super::Malformed;
use super::capability::Capabilities;
use super::field::Fields;
use bitflags::bitflags;

bitflags! {
    /// The server's status flags.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Status: u16 {
        /// Inside a transaction.
        const IN_TRANS = 1;
        /// Autocommit is on.
        const AUTOCOMMIT = 1 << 1;
        /// Another result follows.
        const MORE_RESULTS = 1 << 3;
        /// No good index was used.
        const NO_GOOD_INDEX_USED = 1 << 4;
        /// No index was used.
        const NO_INDEX_USED = 1 << 5;
        /// The execution opened a cursor; its rows are fetched.
        const CURSOR_EXISTS = 1 << 6;
        /// The fetch has sent the last row.
        const LAST_ROW_SENT = 1 << 7;
        /// A schema was dropped.
        const DB_DROPPED = 1 << 8;
        /// `NO_BACKSLASH_ESCAPES` is in `sql_mode`.
        const NO_BACKSLASH_ESCAPES = 1 << 9;
        /// A prepared statement's columns changed.
        const METADATA_CHANGED = 1 << 10;
        /// The query was slow.
        const QUERY_WAS_SLOW = 1 << 11;
        /// This result set holds OUT parameters.
        const PS_OUT_PARAMS = 1 << 12;
        /// Inside a read-only transaction.
        const IN_TRANS_READONLY = 1 << 13;
        /// The session changed, and the OK packet says how.
        const SESSION_STATE_CHANGED = 1 << 14;
        /// `ANSI_QUOTES` is in `sql_mode` (MariaDB).
        const ANSI_QUOTES = 1 << 15;
        /// Nothing that is known.
        const _ = !0;
    }
}

/// An OK packet, also one that bears EOF's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OkPacket<'a> {
    /// Rows changed, or found under `FOUND_ROWS`.
    pub affected_rows: u64,
    /// The first automatic key of an insert.
    pub last_insert_id: u64,
    /// Status flags.
    pub status: Status,
    /// How many warnings.
    pub warnings: u16,
    /// Text for people.
    pub info: &'a [u8],
    /// What changed in the session, for [`Changes`].
    pub changes: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Reads the payload of an OK packet, whichever of its two headers it bears.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let mut read = || {
            fields.u8()?;
            let mut packet = OkPacket {
                affected_rows: fields.lenenc()?,
                last_insert_id: fields.lenenc()?,
                status: Status::from_bits_retain(fields.u16()?),
                warnings: fields.u16()?,
                ..OkPacket::default()
            };
            let tracks = capabilities.contains(Capabilities::SESSION_TRACK);
            if !fields.is_empty() {
                // It has its length whether anything is tracked or not.
                packet.info = fields.lenenc_bytes()?;
            }
            if tracks && packet.status.contains(Status::SESSION_STATE_CHANGED) && !fields.is_empty() {
                packet.changes = fields.lenenc_bytes()?;
            }
            Some(packet)
        };
        read().ok_or(Malformed("an OK packet"))
    }
}

/// An EOF packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EofPacket {
    /// How many warnings.
    pub warnings: u16,
    /// Status flags.
    pub status: Status,
}

impl EofPacket {
    /// Reads the payload of an EOF packet.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let mut read = || {
            fields.u8()?;
            Some(EofPacket { warnings: fields.u16()?, status: Status::from_bits_retain(fields.u16()?) })
        };
        read().ok_or(Malformed("an EOF packet"))
    }
}

/// An ERR packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    /// The error's number.
    pub code: u16,
    /// The five characters of SQLSTATE; `HY000` where the server left it out.
    pub sqlstate: [u8; 5],
    /// Text for people.
    pub message: &'a [u8],
}

impl<'a> ErrPacket<'a> {
    /// Reads the payload of an ERR packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let code = fields.u8().and_then(|_| fields.u16()).ok_or(Malformed("an ERR packet"))?;
        Ok(match fields.rest() {
            [b'#', a, b, c, d, e, message @ ..] => {
                ErrPacket { code, sqlstate: [*a, *b, *c, *d, *e], message }
            }
            message => ErrPacket { code, sqlstate: *b"HY000", message },
        })
    }
}

/// An error that a server answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error {code} ({}): {message}", String::from_utf8_lossy(sqlstate))]
pub struct ServerError {
    /// Its number.
    pub code: u16,
    /// The five characters of SQLSTATE.
    pub sqlstate: [u8; 5],
    /// Text for people.
    pub message: String,
}

impl From<ErrPacket<'_>> for ServerError {
    fn from(packet: ErrPacket<'_>) -> Self {
        let message = String::from_utf8_lossy(packet.message).into_owned();
        ServerError { code: packet.code, sqlstate: packet.sqlstate, message }
    }
}

/// One thing that changed in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A system variable has a new value. MariaDB reports `last_gtid` so.
    Variable {
        /// Its name.
        name: &'a [u8],
        /// Its value as text.
        value: &'a [u8],
    },
    /// The default schema.
    Schema(&'a [u8]),
    /// Whether something changed at all (`session_track_state_change`).
    State(bool),
    /// GTIDs that the statement committed (MySQL).
    Gtids(&'a [u8]),
    /// Statements that start a transaction like the present one.
    Characteristics(&'a [u8]),
    /// The eight characters of the transaction's state.
    Transaction(&'a [u8]),
    /// A kind that is not known, with its data.
    Other(u8, &'a [u8]),
}

/// Reads the session changes of an OK packet one by one; stops at what is malformed.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    rest: Fields<'a>,
    /// Within an entry of system variables, which may hold several.
    variables: Fields<'a>,
}

impl<'a> Changes<'a> {
    /// Reads [`OkPacket::changes`], or several of them one after another.
    #[must_use]
    pub fn new(changes: &'a [u8]) -> Self {
        Changes { rest: Fields::new(changes), variables: Fields::new(&[]) }
    }

    fn variable(&mut self) -> Option<Change<'a>> {
        let name = self.variables.lenenc_bytes()?;
        Some(Change::Variable { name, value: self.variables.lenenc_bytes()? })
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        loop {
            if !self.variables.is_empty() {
                return self.variable();
            }
            let kind = self.rest.u8()?;
            let data = self.rest.lenenc_bytes()?;
            let mut fields = Fields::new(data);
            return Some(match kind {
                0 => {
                    self.variables = fields;
                    continue;
                }
                1 => Change::Schema(fields.lenenc_bytes()?),
                2 => Change::State(fields.lenenc_bytes()? == b"1"),
                3 => {
                    // How the GTIDs are written; there is one way.
                    fields.u8()?;
                    Change::Gtids(fields.lenenc_bytes()?)
                }
                4 => Change::Characteristics(fields.lenenc_bytes()?),
                5 => Change::Transaction(fields.lenenc_bytes()?),
                other => Change::Other(other, data),
            });
        }
    }
}
