//! What clients ask: the commands, read from the front of their payload, and how each is answered.

use super::Malformed;
use super::capability::Capabilities;
use super::field::Fields;
use super::response::Reply;

/// The statement number that stands for the one that was prepared last (MariaDB).
pub const LAST_PREPARED: u32 = u32::MAX;

/// A command. Strings borrow from its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// Ends the session.
    Quit,
    /// Changes the default schema.
    InitDb(&'a [u8]),
    /// Runs one or more statements.
    Query(Query<'a>),
    /// The columns of a table.
    FieldList(&'a [u8]),
    /// Flushes what the flags say.
    Refresh(u8),
    /// Stops the server.
    Shutdown,
    /// A line of statistics.
    Statistics,
    /// What the connections do.
    ProcessInfo,
    /// Kills a connection.
    ProcessKill(u32),
    /// Makes the server write to its log.
    Debug,
    /// Whether the server is there.
    Ping,
    /// Logs in anew; read it with [`ChangeUser`](super::handshake::ChangeUser).
    ChangeUser,
    /// Begins a session anew.
    ResetConnection,
    /// Whether a query may hold several statements.
    SetOption {
        /// It may.
        multi_statements: bool,
    },
    /// Prepares a statement.
    Prepare(&'a [u8]),
    /// Runs a prepared statement.
    Execute {
        /// Its number.
        statement: u32,
        /// Which cursor to open; 0 for none.
        cursor: u8,
    },
    /// Runs a prepared statement for many rows of parameters (MariaDB).
    BulkExecute {
        /// Its number.
        statement: u32,
        /// How the parameters are laid out.
        flags: u16,
    },
    /// A piece of a parameter of a prepared statement.
    SendLongData {
        /// Its number.
        statement: u32,
        /// Which parameter.
        parameter: u16,
    },
    /// Forgets a prepared statement.
    Close(u32),
    /// Forgets its cursor and long data.
    Reset(u32),
    /// Rows of its cursor.
    Fetch {
        /// Its number.
        statement: u32,
        /// How many.
        rows: u32,
    },
    /// Replication, which goes to a server and not through the splitter.
    Replication(u8),
    /// A number that is no command, or none that a server still takes.
    Unknown(u8),
}

/// What COM_QUERY holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The statements, in the connection's character set.
    pub sql: &'a [u8],
    /// Query attributes as they came, from their number to the last value; empty without the capability.
    pub attributes: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads a command from the front of its payload. Of a long one the front is enough: `sql` is then its
    /// beginning.
    pub fn parse(payload: &'a [u8], client: Capabilities) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let Some(number) = fields.u8() else { return Err(Malformed("an empty command")) };
        let read = match number {
            0x01 => Some(Command::Quit),
            0x02 => Some(Command::InitDb(fields.rest())),
            0x03 => Query::parse(fields.rest(), client).map(Command::Query),
            0x04 => Some(Command::FieldList(fields.rest())),
            0x07 => fields.u8().map(Command::Refresh),
            0x08 => Some(Command::Shutdown),
            0x09 => Some(Command::Statistics),
            0x0A => Some(Command::ProcessInfo),
            0x0C => fields.u32().map(Command::ProcessKill),
            0x0D => Some(Command::Debug),
            0x0E => Some(Command::Ping),
            0x11 => Some(Command::ChangeUser),
            0x1B => set_option(&mut fields),
            0x1F => Some(Command::ResetConnection),
            0x12 | 0x13 | 0x14 | 0x15 | 0x1E | 0x20 | 0x21 => Some(Command::Replication(number)),
            0x16..=0x1A | 0x1C | 0xFA => Self::of_statement(number, &mut fields),
            other => Some(Command::Unknown(other)),
        };
        read.ok_or(Malformed("a command"))
    }

    fn of_statement(number: u8, fields: &mut Fields<'a>) -> Option<Self> {
        if number == 0x16 {
            return Some(Command::Prepare(fields.rest()));
        }
        let statement = fields.u32()?;
        Some(match number {
            0x17 => Command::Execute { statement, cursor: fields.u8()? },
            0x18 => Command::SendLongData { statement, parameter: fields.u16()? },
            0x19 => Command::Close(statement),
            0x1A => Command::Reset(statement),
            0x1C => Command::Fetch { statement, rows: fields.u32()? },
            _ => Command::BulkExecute { statement, flags: fields.u16()? },
        })
    }

    /// What the server answers it with. [`Command::ChangeUser`] is a conversation, whose last word is OK or
    /// ERR.
    #[must_use]
    pub fn reply(&self, client: Capabilities) -> Reply {
        match self {
            Command::Quit | Command::SendLongData { .. } | Command::Close(_) => Reply::Nothing,
            Command::Query(_) => Reply::Results { local_infile: client.contains(Capabilities::LOCAL_FILES) },
            Command::ProcessInfo => Reply::Results { local_infile: false },
            Command::Execute { .. } | Command::BulkExecute { .. } => Reply::Executed,
            Command::Prepare(_) => Reply::Prepared { rename: None },
            Command::Fetch { .. } => Reply::Rows,
            Command::FieldList(_) => Reply::Fields,
            Command::Statistics => Reply::Text,
            _ => Reply::One,
        }
    }

    /// The number of the prepared statement that it is about.
    #[must_use]
    pub fn statement(&self) -> Option<u32> {
        match *self {
            Command::Execute { statement, .. }
            | Command::BulkExecute { statement, .. }
            | Command::SendLongData { statement, .. }
            | Command::Fetch { statement, .. }
            | Command::Close(statement)
            | Command::Reset(statement) => Some(statement),
            _ => None,
        }
    }
}

fn set_option<'a>(fields: &mut Fields<'_>) -> Option<Command<'a>> {
    match fields.u16()? {
        0 => Some(Command::SetOption { multi_statements: true }),
        1 => Some(Command::SetOption { multi_statements: false }),
        _ => Some(Command::Unknown(0x1B)),
    }
}

/// Writes another statement number into the payload of a command that is about one: execute, bulk execute,
/// long data, close, reset, fetch. Any other is left as it is; answers whether it was written.
pub fn set_statement(payload: &mut [u8], statement: u32) -> bool {
    match payload {
        [0x17..=0x1A | 0x1C | 0xFA, a, b, c, d, ..] => {
            [*a, *b, *c, *d] = statement.to_le_bytes();
            true
        }
        _ => false,
    }
}

impl<'a> Query<'a> {
    fn parse(rest: &'a [u8], client: Capabilities) -> Option<Self> {
        if !client.contains(Capabilities::QUERY_ATTRIBUTES) {
            return Some(Query { sql: rest, attributes: &[] });
        }
        let mut fields = Fields::new(rest);
        let parameters = fields.lenenc()?;
        let _sets = fields.lenenc()?;
        if parameters > 0 {
            skip_parameters(&mut fields, parameters)?;
        }
        let sql = fields.rest();
        Some(Query { sql, attributes: rest.get(..rest.len() - sql.len())? })
    }
}

/// Skips parameters with their types, names and values, as COM_QUERY has them.
fn skip_parameters(fields: &mut Fields<'_>, parameters: u64) -> Option<()> {
    // Each takes more than two bytes, so that a number that is only claimed ends the loop soon.
    let parameters = usize::try_from(parameters).ok()?;
    let nulls = fields.take(parameters.div_ceil(8))?;
    if fields.u8()? != 1 {
        return None;
    }
    let mut types = *fields;
    for _ in 0..parameters {
        fields.u16()?;
        fields.lenenc_bytes()?;
    }
    for at in 0..parameters {
        let kind = types.u16()? & 0xFF;
        types.lenenc_bytes()?;
        if nulls.get(at / 8)? & (1 << (at % 8)) == 0 {
            skip_value(fields, kind)?;
        }
    }
    Some(())
}

/// Skips one value of the binary protocol.
fn skip_value(fields: &mut Fields<'_>, kind: u16) -> Option<()> {
    let length = match kind {
        // NULL; TINY; SHORT and YEAR; LONG, FLOAT and INT24; DOUBLE and LONGLONG.
        6 => 0,
        1 => 1,
        2 | 13 => 2,
        3 | 4 | 9 => 4,
        5 | 8 => 8,
        // TIMESTAMP, DATE, TIME, DATETIME: behind one byte of length.
        7 | 10 | 11 | 12 => usize::from(fields.u8()?),
        _ => return fields.lenenc_bytes().map(drop),
    };
    fields.take(length).map(drop)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
