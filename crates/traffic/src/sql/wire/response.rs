//! The nouns of a response: what a command is answered with, what to do with its bytes as they pass, what
//! came of it, and why it is not followed any further. [`Follower`](super::follower::Follower) tells them.

use super::Malformed;
use super::status::{Changes, ServerError, Status};
use thiserror::Error;

/// What a command is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Nothing at all.
    Nothing,
    /// Any number of results, each OK, or columns and rows of text.
    Results {
        /// The server may ask for a file of the client's.
        local_infile: bool,
    },
    /// Likewise, with rows in binary, OUT parameters among them, or a cursor (COM_STMT_EXECUTE).
    Executed,
    /// A prepared statement, with its parameters and columns.
    Prepared {
        /// The client is to know it by this number instead of the server's.
        rename: Option<u32>,
    },
    /// Rows of an open cursor.
    Rows,
    /// Columns without rows (COM_FIELD_LIST).
    Fields,
    /// OK, EOF or ERR.
    One,
    /// One packet of text (COM_STATISTICS).
    Text,
}

/// Why what a server sends is not followed any further. Its connection is of no more use.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// Lost, doubled or made up.
    #[error("the server's packet bears sequence number {found} where {expected} follows")]
    OutOfOrder {
        /// What follows the packet before it.
        expected: u8,
        /// What it bears.
        found: u8,
    },
    /// Nothing that may stand there.
    #[error("the server's packet begins with {first:#04x}, which is no {awaited}")]
    Unexpected {
        /// What should stand there.
        awaited: &'static str,
        /// Its first byte.
        first: u8,
    },
    /// The server asked for a file where it must not.
    #[error("the server asks for a file of the client's, which was not allowed")]
    FileNotAllowed,
    /// Longer than anything of its kind.
    #[error("the server's packet of {length} bytes is longer than one of its kind may be")]
    TooLong {
        /// How long.
        length: usize,
    },
    /// Bytes after the end.
    #[error("the server sends more than it was asked for")]
    Unasked,
    /// A field is missing.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call again with what is left of the bytes.
    Again,
    /// Read until at least so many bytes stand from where this step ended, and call again.
    Read(usize),
    /// Send the client on what has come so far, and the client's file to the server by
    /// [`Upload`](super::packet::Upload); then tell the follower that it is uploaded, and call again.
    File,
    /// The response has ended; what is left of the bytes is none of it.
    Done,
}

/// What to do with the bytes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// So many bytes go to the client as they stand.
    pub forward: usize,
    /// Then these.
    pub insert: &'a [u8],
    /// Then so many are left out.
    pub skip: usize,
    /// What comes next.
    pub next: Next,
}

impl Step<'_> {
    /// How many of the bytes are dealt with.
    #[must_use]
    pub fn used(&self) -> usize {
        self.forward + self.skip
    }
}

/// What a prepared statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The server's number for it.
    pub id: u32,
    /// How many columns it answers.
    pub columns: u16,
    /// How many parameters it takes.
    pub parameters: u16,
}

/// What came of a command. With several results: the last one's, and the sum of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The last status flags. An error carries none: then the session's are those of before it, and whether
    /// it ended the transaction (a deadlock does) is not known.
    pub status: Status,
    /// Rows changed.
    pub affected_rows: u64,
    /// The first automatic key.
    pub last_insert_id: u64,
    /// How many warnings.
    pub warnings: u16,
    /// Rows that passed.
    pub rows: u64,
    /// How many results, an error included.
    pub results: u32,
    /// How it failed.
    pub error: Option<ServerError>,
    /// What was prepared.
    pub prepared: Option<Prepared>,
    /// All session changes, one after another.
    pub(super) changes: Vec<u8>,
}

impl Outcome {
    /// What changed in the session, as the server tells it (not what the client is told).
    #[must_use]
    pub fn changes(&self) -> Changes<'_> {
        Changes::new(&self.changes)
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
        let changes = std::mem::take(&mut self.changes);
        *self = Outcome { status: self.status, changes, ..Outcome::default() };
    }
}
