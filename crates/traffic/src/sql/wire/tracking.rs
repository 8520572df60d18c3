//! Which session changes a client hears of. The splitter makes its backends report more than a client asked
//! for; what is only the splitter's is taken out of OK packets on their way.

use super::field::{Fields, put_lenenc, put_lenenc_bytes};

/// Which session changes a client is told, as its own `session_track_*` variables say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracking {
    /// `session_track_schema`.
    pub schema: bool,
    /// `session_track_state_change`.
    pub state: bool,
    /// `session_track_gtids` (MySQL).
    pub gtids: bool,
    /// `session_track_transaction_info` is not `OFF`.
    pub transaction_state: bool,
    /// `session_track_transaction_info` is `CHARACTERISTICS`.
    pub characteristics: bool,
    /// `session_track_system_variables`.
    pub variables: Variables,
}

/// Which system variables. No list of a session's own: every client has one of these, at rest too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variables {
    /// `*`
    All,
    /// Those that both engines begin a session with.
    Begun,
}

/// What `session_track_system_variables` begins with.
const BEGUN: [&[u8]; 5] = [
    b"autocommit",
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"time_zone",
];

impl Default for Tracking {
    /// What both engines begin a session with.
    fn default() -> Self {
        Tracking {
            schema: true,
            state: false,
            gtids: false,
            transaction_state: false,
            characteristics: false,
            variables: Variables::Begun,
        }
    }
}

impl Tracking {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Tracking {
            schema: true,
            state: true,
            gtids: true,
            transaction_state: true,
            characteristics: true,
            variables: Variables::All,
        }
    }

    /// Appends those of `changes` that the client asked for; answers whether any was left out. What is
    /// malformed is left out.
    pub(crate) fn filter(&self, changes: &[u8], out: &mut Vec<u8>) -> bool {
        let mut fields = Fields::new(changes);
        let mut left_out = false;
        while let Some((kind, data)) = fields.u8().and_then(|kind| Some((kind, fields.lenenc_bytes()?))) {
            if kind == 0 {
                left_out |= self.filter_variables(data, out);
            } else if self.wants(kind) {
                out.push(kind);
                put_lenenc_bytes(out, data);
            } else {
                left_out = true;
            }
        }
        left_out || !fields.is_empty()
    }

    fn wants(&self, kind: u8) -> bool {
        match kind {
            1 => self.schema,
            2 => self.state,
            3 => self.gtids,
            4 => self.characteristics,
            5 => self.transaction_state,
            // None that the splitter turns on.
            _ => true,
        }
    }

    fn filter_variables(&self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let mut left_out = false;
        let mut fields = Fields::new(data);
        while let Some((name, value)) =
            fields.lenenc_bytes().and_then(|name| Some((name, fields.lenenc_bytes()?)))
        {
            if !self.wants_variable(name) {
                left_out = true;
                continue;
            }
            let length = encoded(name) + encoded(value);
            out.push(0);
            put_lenenc(out, length as u64);
            put_lenenc_bytes(out, name);
            put_lenenc_bytes(out, value);
        }
        left_out || !fields.is_empty()
    }

    fn wants_variable(&self, name: &[u8]) -> bool {
        match &self.variables {
            Variables::All => true,
            Variables::Begun => BEGUN.iter().any(|begun| begun.eq_ignore_ascii_case(name)),
        }
    }
}

/// How long a string is with its length before it.
fn encoded(bytes: &[u8]) -> usize {
    let length = match bytes.len() {
        0..=0xFA => 1,
        0xFB..=0xFFFF => 3,
        0x1_0000..=0xFF_FFFF => 4,
        _ => 9,
    };
    length + bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::status::{Change, Changes};
    use super::*;

    fn entry(kind: u8, strings: &[&str]) -> Vec<u8> {
        let mut data = Vec::new();
        strings.iter().for_each(|string| put_lenenc_bytes(&mut data, string.as_bytes()));
        let mut out = vec![kind];
        put_lenenc_bytes(&mut out, &data);
        out
    }

    #[test]
    fn only_what_was_asked_for_is_left() {
        let long = "x".repeat(70_000);
        let changes = [
            entry(0, &["autocommit", "OFF"]),
            entry(0, &["last_gtid", "0-1-7"]),
            entry(1, &["shop"]),
            entry(5, &["T_______"]),
            entry(0, &["time_zone", &long, "sql_mode", "ANSI"]),
        ]
        .concat();
        let mut out = Vec::new();
        assert!(Tracking::default().filter(&changes, &mut out));
        let left: Vec<Change<'_>> = Changes::new(&out).collect();
        assert_eq!(
            left,
            [
                Change::Variable { name: b"autocommit", value: b"OFF" },
                Change::Schema(b"shop"),
                Change::Variable { name: b"time_zone", value: long.as_bytes() },
            ]
        );
        out.clear();
        assert!(!Tracking::all().filter(&changes, &mut out), "nothing is left out");
        assert_eq!(Changes::new(&out).count(), 6);
    }
}
