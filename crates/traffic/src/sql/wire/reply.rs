//! Packets that the splitter answers by itself: OK, EOF, ERR and result sets of a few values. Appended to a
//! buffer; each answers the sequence number that follows.

use super::capability::Capabilities;
use super::field::{put_lenenc, put_lenenc_bytes};
use super::packet::put_with;
use super::status::{EofPacket, OkPacket, Status};

/// The charset of what is no text.
const BINARY: u16 = 63;
/// utf8mb4_general_ci, which every server knows.
const UTF8MB4: u16 = 45;
const TYPE_VAR_STRING: u8 = 0xFD;
const TYPE_LONG: u8 = 3;
const TYPE_LONGLONG: u8 = 8;
const NOT_NULL: u16 = 1;
const UNSIGNED: u16 = 32;
const BINARY_FLAG: u16 = 128;
/// Decimals of what has none to tell of.
const NO_DECIMALS: u8 = 39;

/// Appends an OK packet. Session changes are written only for a client that tracks them.
pub fn ok(out: &mut Vec<u8>, sequence: u8, packet: &OkPacket<'_>, client: Capabilities) -> u8 {
    put_with(out, sequence, |out| put_ok(out, 0x00, packet, client))
}

pub(crate) fn put_ok(out: &mut Vec<u8>, header: u8, packet: &OkPacket<'_>, client: Capabilities) {
    let tracks = client.contains(Capabilities::SESSION_TRACK);
    let mut status = packet.status;
    status.set(Status::SESSION_STATE_CHANGED, tracks && !packet.changes.is_empty());
    out.push(header);
    put_lenenc(out, packet.affected_rows);
    put_lenenc(out, packet.last_insert_id);
    out.extend_from_slice(&status.bits().to_le_bytes());
    out.extend_from_slice(&packet.warnings.to_le_bytes());
    let changes = tracks && !packet.changes.is_empty();
    if !packet.info.is_empty() || changes {
        // With its length also for a client that tracks nothing: servers write it so, and mysqlnd reads it so.
        put_lenenc_bytes(out, packet.info);
    }
    if changes {
        put_lenenc_bytes(out, packet.changes);
    }
}

/// Appends an EOF packet, as for clients without `DEPRECATE_EOF`.
pub fn eof(out: &mut Vec<u8>, sequence: u8, packet: EofPacket) -> u8 {
    // One for each result set: written at once.
    let ([w0, w1], [s0, s1]) = (packet.warnings.to_le_bytes(), packet.status.bits().to_le_bytes());
    out.extend_from_slice(&[5, 0, 0, sequence, 0xFE, w0, w1, s0, s1]);
    sequence.wrapping_add(1)
}

/// Appends an ERR packet. What is longer than the servers' own messages may be is cut off.
pub fn error(out: &mut Vec<u8>, sequence: u8, code: u16, sqlstate: &[u8; 5], message: &str) -> u8 {
    const LONGEST: usize = 511;
    put_with(out, sequence, |out| {
        out.push(0xFF);
        out.extend_from_slice(&code.to_le_bytes());
        out.push(b'#');
        out.extend_from_slice(sqlstate);
        out.extend_from_slice(
            message.get(..message.floor_char_boundary(LONGEST)).unwrap_or(message).as_bytes(),
        );
    })
}

/// What a column of [`result_set`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text in UTF-8, as long as this at most, in bytes.
    Text(u32),
    /// A number, written as text: what a function gives.
    Integer,
    /// Likewise, never below zero.
    Unsigned,
    /// Likewise, what a variable gives.
    Variable,
    /// A number of 32 bits, so many digits wide, never below zero.
    Short(u32),
}

/// A column of [`result_set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    pub kind: ColumnKind,
}

/// How the rows of [`result_set`] are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// As statements are answered.
    Text,
    /// As executions of prepared statements are.
    Binary,
}

/// Appends a result set; `None` is NULL. For a few short values: each row is one frame. Numbers are given as
/// text, however they are written.
pub fn result_set<'a>(
    out: &mut Vec<u8>,
    sequence: u8,
    columns: &[Column<'_>],
    rows: impl IntoIterator<Item = &'a [Option<&'a [u8]>]>,
    (written, status): (Rows, Status),
    client: Capabilities,
) -> u8 {
    let mut sequence = put_with(out, sequence, |out| put_lenenc(out, columns.len() as u64));
    for column in columns {
        sequence = put_with(out, sequence, |out| put_column(out, column, client));
    }
    let deprecated = client.contains(Capabilities::DEPRECATE_EOF);
    if !deprecated {
        sequence = eof(out, sequence, EofPacket { warnings: 0, status });
    }
    for row in rows {
        sequence = put_with(out, sequence, |out| match written {
            Rows::Text => put_text_row(out, row),
            Rows::Binary => put_binary_row(out, columns, row),
        });
    }
    if deprecated {
        let last = OkPacket { status, ..OkPacket::default() };
        return put_with(out, sequence, |out| put_ok(out, 0xFE, &last, client));
    }
    eof(out, sequence, EofPacket { warnings: 0, status })
}

fn put_text_row(out: &mut Vec<u8>, row: &[Option<&[u8]>]) {
    for value in row {
        match value {
            Some(value) => put_lenenc_bytes(out, value),
            None => out.push(0xFB),
        }
    }
}

fn put_binary_row(out: &mut Vec<u8>, columns: &[Column<'_>], row: &[Option<&[u8]>]) {
    out.push(0);
    let nulls = out.len();
    // The bitmap of what is NULL begins with two bits of nothing.
    out.resize(nulls + (row.len() + 9) / 8, 0);
    for (at, (column, value)) in columns.iter().zip(row).enumerate() {
        let Some(value) = value else {
            if let Some(byte) = out.get_mut(nulls + (at + 2) / 8) {
                *byte |= 1 << ((at + 2) % 8);
            }
            continue;
        };
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<i128>().ok());
        // Two's complement of as many bits as there are: the sign is the column's.
        match column.kind {
            ColumnKind::Text(_) => put_lenenc_bytes(out, value),
            ColumnKind::Integer | ColumnKind::Unsigned | ColumnKind::Variable => {
                out.extend_from_slice(&(number().unwrap_or_default() as u64).to_le_bytes());
            }
            ColumnKind::Short(_) => {
                out.extend_from_slice(&(number().unwrap_or_default() as u32).to_le_bytes());
            }
        }
    }
}

fn put_column(out: &mut Vec<u8>, column: &Column<'_>, client: Capabilities) {
    let (charset, kind, length, flags, decimals) = match column.kind {
        ColumnKind::Text(length) => (UTF8MB4, TYPE_VAR_STRING, length, NOT_NULL, NO_DECIMALS),
        ColumnKind::Integer => (BINARY, TYPE_LONGLONG, 21, NOT_NULL | BINARY_FLAG, 0),
        ColumnKind::Unsigned => (BINARY, TYPE_LONGLONG, 21, NOT_NULL | UNSIGNED | BINARY_FLAG, 0),
        ColumnKind::Variable => (BINARY, TYPE_LONGLONG, 21, UNSIGNED | BINARY_FLAG, 0),
        ColumnKind::Short(length) => (BINARY, TYPE_LONG, length, NOT_NULL | UNSIGNED | BINARY_FLAG, 0),
    };
    put_lenenc_bytes(out, b"def");
    for _schema_table_and_its_own_name in 0..3 {
        out.push(0);
    }
    put_lenenc_bytes(out, column.name.as_bytes());
    out.push(0);
    if client.contains(Capabilities::EXTENDED_METADATA) {
        out.push(0);
    }
    out.push(0x0C);
    out.extend_from_slice(&charset.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&flags.to_le_bytes());
    out.push(decimals);
    // Two bytes of nothing.
    out.extend_from_slice(&[0; 2]);
}
