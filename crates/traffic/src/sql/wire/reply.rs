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
const TYPE_LONGLONG: u8 = 8;

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
    put_with(out, sequence, |out| {
        out.push(0xFE);
        out.extend_from_slice(&packet.warnings.to_le_bytes());
        out.extend_from_slice(&packet.status.bits().to_le_bytes());
    })
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
    /// Text in UTF-8.
    Text,
    /// A number, written as text.
    Integer,
}

/// A column of [`result_set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    pub kind: ColumnKind,
}

/// Appends a text result set; `None` is NULL. For a few short values: each row is one frame.
pub fn result_set<'a>(
    out: &mut Vec<u8>,
    sequence: u8,
    columns: &[Column<'_>],
    rows: impl IntoIterator<Item = &'a [Option<&'a [u8]>]>,
    status: Status,
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
        sequence = put_with(out, sequence, |out| {
            for value in row {
                match value {
                    Some(value) => put_lenenc_bytes(out, value),
                    None => out.push(0xFB),
                }
            }
        });
    }
    if deprecated {
        let last = OkPacket { status, ..OkPacket::default() };
        return put_with(out, sequence, |out| put_ok(out, 0xFE, &last, client));
    }
    eof(out, sequence, EofPacket { warnings: 0, status })
}

fn put_column(out: &mut Vec<u8>, column: &Column<'_>, client: Capabilities) {
    let (charset, kind, length) = match column.kind {
        ColumnKind::Text => (UTF8MB4, TYPE_VAR_STRING, 1024_u32),
        ColumnKind::Integer => (BINARY, TYPE_LONGLONG, 21),
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
    // No flags, no decimals, two bytes of nothing.
    out.extend_from_slice(&[0; 5]);
}
