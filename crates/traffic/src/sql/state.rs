//! What of a session can be carried from one connection to another: the default schema, the character set,
//! and variables with plain values. A value, compared and moved; never changed in place.
//!
//! Decides which statements bring a connection from one such state to another, and what cannot be carried.

use serde::{Deserialize, Serialize};

/// The most variables that are carried.
const VARIABLES_MAX: usize = 64;

/// Makes a server report what changes in a session. Every connection begins with it.
const TRACKING: &str = "session_track_schema=1, session_track_system_variables='*', \
                        session_track_state_change=1, session_track_transaction_info='OFF'";

/// MySQL reports GTIDs on their own.
const TRACKING_GTIDS: &str = ", session_track_gtids='OWN_GTID'";

/// Variables that belong to one connection or one moment. Whoever sets one keeps the connection.
const UNMOVABLE: [&[u8]; 16] = [
    b"timestamp",
    b"insert_id",
    b"rand_seed1",
    b"rand_seed2",
    b"pseudo_thread_id",
    b"pseudo_slave_mode",
    b"gtid_seq_no",
    b"gtid_domain_id",
    b"gtid_next",
    b"server_id",
    b"sql_log_bin",
    b"skip_replication",
    b"skip_parallel_replication",
    b"binlog_direct_non_transactional_updates",
    b"debug",
    b"debug_sync",
];

/// The movable state of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The default schema; empty for none.
    schema: Box<[u8]>,
    /// What stands behind `SET NAMES`.
    names: Box<[u8]>,
    /// Names, in order, and the literals they are set to.
    variables: Vec<Variable>,
}

/// A name, and the literal it is set to.
type Variable = (Box<[u8]>, Box<[u8]>);

/// How a connection gets from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// By these statements, in this order.
    Steps {
        /// `COM_RESET_CONNECTION`.
        reset: bool,
        /// The `SET` that was written out.
        set: bool,
        /// `COM_INIT_DB`.
        schema: bool,
    },
    /// There is none: a schema cannot be left for none.
    None,
}

/// Statements that bring a connection into another state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Way {
    /// A `SET`; empty for none.
    pub(crate) set: Vec<u8>,
    /// The schema for a `COM_INIT_DB`.
    pub(crate) schema: Option<Box<[u8]>>,
}

/// A value cannot be carried; the session keeps its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unmovable;

impl State {
    /// A session that begins in `schema` with what stands behind `SET NAMES`.
    pub(crate) fn new(schema: &[u8], names: &[u8]) -> Self {
        State { schema: schema.into(), names: names.into(), variables: Vec::new() }
    }

    /// The same in another schema.
    pub(crate) fn with_schema(&self, schema: &[u8]) -> Self {
        State { schema: schema.into(), ..self.clone() }
    }

    /// The same after `SET NAMES` with `names` behind it, which sets what each of them sets.
    pub(crate) fn with_names(&self, names: &[u8]) -> Self {
        let of_names = |name: &[u8]| {
            matches!(
                name,
                b"character_set_client"
                    | b"character_set_connection"
                    | b"character_set_results"
                    | b"collation_connection"
            )
        };
        let variables = self.variables.iter().filter(|(name, _)| !of_names(name)).cloned().collect();
        State { schema: self.schema.clone(), names: names.into(), variables }
    }

    /// The same with `name` set to `value`, as the server reports it.
    pub(crate) fn with_variable(&self, name: &[u8], value: &[u8]) -> Result<Self, Unmovable> {
        if UNMOVABLE.contains(&name) || name.starts_with(b"session_track_") {
            return Err(Unmovable);
        }
        let literal = literal(name, value).ok_or(Unmovable)?;
        let mut state = self.clone();
        if name == b"character_set_connection" {
            // It takes the collation of that character set with it.
            state.variables.retain(|(name, _)| **name != *b"collation_connection");
        }
        match state.variables.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => state.variables[at].1 = literal,
            Err(_) if state.variables.len() >= VARIABLES_MAX => return Err(Unmovable),
            Err(at) => state.variables.insert(at, (name.into(), literal)),
        }
        Ok(state)
    }

    /// The default schema.
    pub(crate) fn schema(&self) -> &[u8] {
        &self.schema
    }

    /// What `name` is set to, as a literal.
    pub(crate) fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.variables.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.variables.get(at).map(|(_, literal)| &**literal)
    }

    /// How a connection in `from` gets here, where `from` says what is known of it; the `SET` is appended
    /// to `sql`. `schema_left` is the schema of a connection of which nothing else is known.
    pub(crate) fn path(&self, from: &From<'_>, mysql: bool, sql: &mut Vec<u8>) -> Path {
        let (reset, known) = match from {
            From::Known(state) if !self.is_reached_by_setting(state) => (true, None),
            From::Known(state) => (false, Some(*state)),
            From::Fresh => (false, None),
            From::Unknown => (true, None),
        };
        let schema = match from {
            From::Known(state) => state.schema != self.schema,
            From::Fresh => !self.schema.is_empty(),
            From::Unknown => true,
        };
        if schema && self.schema.is_empty() {
            return Path::None;
        }
        let start = sql.len();
        let mut item = |parts: &[&[u8]]| {
            sql.extend_from_slice(if sql.len() == start { b"SET " } else { b", " });
            parts.iter().for_each(|part| sql.extend_from_slice(part));
        };
        if known.is_none() {
            item(&[TRACKING.as_bytes(), if mysql { TRACKING_GTIDS.as_bytes() } else { b"" }]);
        }
        let names_differ = known.is_none_or(|known| known.names != self.names);
        if names_differ {
            item(&[b"NAMES ", &self.names]);
        }
        for (name, literal) in &self.variables {
            // What SET NAMES has just set is set again.
            let stands = known.is_some_and(|known| known.variable(name) == Some(literal))
                && !(names_differ
                    && (name.starts_with(b"character_set_") || name.starts_with(b"collation_")));
            if !stands {
                item(&[b"SESSION ", name, b"=", literal]);
            }
        }
        Path::Steps { reset, set: sql.len() > start, schema }
    }

    /// The ways to where a text is read as in `other`, and back: its schema, character sets and SQL mode, which is
    /// `default_mode` where a session has never set it. None where the connection would have to begin anew.
    pub(crate) fn detour(&self, other: &State, default_mode: &str, mysql: bool) -> Option<[Way; 2]> {
        const MODE: &[u8] = b"sql_mode";
        let reads = |name: &[u8]| name.starts_with(b"character_set_") || name.starts_with(b"collation_");
        let (mut here, mut there) = (self.clone(), self.clone());
        if !other.schema.is_empty() {
            there.schema = other.schema.clone();
        }
        there.names = other.names.clone();
        there.variables.retain(|(name, _)| !reads(name));
        there.variables.extend(other.variables.iter().filter(|(name, _)| reads(name)).cloned());
        there.variables.sort();
        if self.variable(MODE) != other.variable(MODE) {
            let default = literal(MODE, default_mode.as_bytes())?;
            here.set_literal(MODE, self.variable(MODE).unwrap_or(&default));
            there.set_literal(MODE, other.variable(MODE).unwrap_or(&default));
        }
        Some([there.way_from(&here, mysql)?, here.way_from(&there, mysql)?])
    }

    fn set_literal(&mut self, name: &[u8], literal: &[u8]) {
        self.variables.retain(|(known, _)| **known != *name);
        self.variables.push((name.into(), literal.into()));
        self.variables.sort();
    }

    fn way_from(&self, from: &State, mysql: bool) -> Option<Way> {
        let mut set = Vec::new();
        match self.path(&From::Known(from), mysql, &mut set) {
            Path::Steps { reset: false, schema, .. } => {
                Some(Way { set, schema: schema.then(|| self.schema.clone()) })
            }
            Path::Steps { .. } | Path::None => None,
        }
    }

    /// Whether setting variables is enough: none is to go back to what the server begins with.
    fn is_reached_by_setting(&self, from: &State) -> bool {
        let charset = |name: &[u8]| name.starts_with(b"character_set_") || name.starts_with(b"collation_");
        let stays = |name: &[u8]| self.variable(name).is_some();
        from.variables.iter().all(|(name, _)| stays(name) || (charset(name) && from.names != self.names))
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From<'a> {
    /// Everything.
    Known(&'a State),
    /// It has just logged in, without a schema.
    Fresh,
    /// Nothing.
    Unknown,
}

/// `value` as it stands in a `SET`; none where it cannot be told how.
fn literal(name: &[u8], value: &[u8]) -> Option<Box<[u8]>> {
    if value.is_empty() && name == b"character_set_results" {
        return Some((*b"NULL").into());
    }
    // Quotes are doubled, which holds in every mode; how a backslash or another byte reads depends on the
    // session.
    if value.iter().any(|byte| *byte == b'\\' || !(b' '..=b'~').contains(byte)) {
        return None;
    }
    if is_number(value) {
        return Some(value.into());
    }
    let mut quoted = vec![b'\''];
    for byte in value {
        quoted.push(*byte);
        if *byte == b'\'' {
            quoted.push(b'\'');
        }
    }
    quoted.push(b'\'');
    Some(quoted.into())
}

fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let all = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts.next().is_some_and(all) && parts.next().is_none_or(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(from: &State, to: &State) -> (Path, String) {
        let mut sql = Vec::new();
        let path = to.path(&From::Known(from), false, &mut sql);
        (path, String::from_utf8(sql).unwrap())
    }

    fn set(state: &State, name: &str, value: &str) -> State {
        state.with_variable(name.as_bytes(), value.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_differs_is_set() {
        let plain = State::new(b"shop", b"utf8mb4");
        assert_eq!(
            path(&plain, &plain),
            (Path::Steps { reset: false, set: false, schema: false }, String::new())
        );
        let strict = set(&set(&plain, "sql_mode", "ANSI,STRICT"), "max_statement_time", "1.500000");
        let steps = Path::Steps { reset: false, set: true, schema: false };
        let text = "SET SESSION max_statement_time=1.500000, SESSION sql_mode='ANSI,STRICT'";
        assert_eq!(path(&plain, &strict), (steps, text.to_owned()));
        let other = set(&strict.with_schema(b"other"), "sql_mode", "");
        let steps = Path::Steps { reset: false, set: true, schema: true };
        assert_eq!(path(&strict, &other), (steps, "SET SESSION sql_mode=''".to_owned()));
    }

    #[test]
    fn what_is_to_go_back_takes_a_reset() {
        let plain = State::new(b"shop", b"utf8mb4");
        let (way, text) = path(&set(&plain, "time_zone", "+02:00"), &plain);
        assert_eq!(way, Path::Steps { reset: true, set: true, schema: false });
        assert!(
            text.starts_with("SET session_track_schema=1") && text.ends_with(", NAMES utf8mb4"),
            "{text}"
        );
        assert_eq!(path(&plain, &State::new(b"", b"utf8mb4")).0, Path::None);
    }

    #[test]
    fn a_character_set_takes_its_parts_with_it() {
        let plain = State::new(b"", b"utf8mb4");
        let odd = set(&plain, "character_set_results", "");
        assert_eq!(path(&plain, &odd).1, "SET SESSION character_set_results=NULL");
        assert_eq!(odd.with_names(b"utf8mb4"), plain);
        let latin = odd.with_names(b"latin1 COLLATE latin1_bin");
        assert_eq!(path(&odd, &latin).1, "SET NAMES latin1 COLLATE latin1_bin");
        let latin_odd = set(&latin, "character_set_results", "");
        let text = "SET NAMES latin1 COLLATE latin1_bin, SESSION character_set_results=NULL";
        assert_eq!(path(&odd, &latin_odd).1, text);
    }

    #[test]
    fn what_belongs_to_one_connection_is_not_carried() {
        let plain = State::default();
        for name in ["timestamp", "gtid_next", "session_track_schema"] {
            assert_eq!(plain.with_variable(name.as_bytes(), b"1"), Err(Unmovable), "{name}");
        }
        assert_eq!(plain.with_variable(b"time_zone", b"a\\b"), Err(Unmovable));
        assert_eq!(set(&plain, "lc_time_names", "it's").variable(b"lc_time_names"), Some(&b"'it''s'"[..]));
    }

    #[test]
    fn a_text_is_read_where_it_was_prepared_and_the_session_comes_back() {
        let plain = State::new(b"shop", b"utf8mb4");
        let way = |set: &str, schema: &str| Way {
            set: set.as_bytes().to_vec(),
            schema: (!schema.is_empty()).then(|| schema.as_bytes().into()),
        };
        let latin = plain.with_schema(b"other").with_names(b"latin1");
        let ansi = set(&plain, "sql_mode", "ANSI_QUOTES");
        let zone = set(&plain, "time_zone", "+02:00");
        let none = [Way::default(), Way::default()];
        // The session, where it prepared, and the ways.
        let cases = [
            (&zone, &plain, none.clone()),
            (&plain, &zone, none),
            (&latin, &plain, [way("SET NAMES utf8mb4", "shop"), way("SET NAMES latin1", "other")]),
            (
                &ansi,
                &plain,
                [way("SET SESSION sql_mode='STRICT'", ""), way("SET SESSION sql_mode='ANSI_QUOTES'", "")],
            ),
            (
                &plain,
                &ansi,
                [way("SET SESSION sql_mode='ANSI_QUOTES'", ""), way("SET SESSION sql_mode='STRICT'", "")],
            ),
        ];
        for (session, prepared, ways) in cases {
            assert_eq!(session.detour(prepared, "STRICT", false), Some(ways), "{session:?} {prepared:?}");
        }
        // Nothing leads back out of a schema, nor to what a variable was before it was set.
        assert_eq!(State::new(b"", b"utf8mb4").detour(&plain, "STRICT", false), None);
        let odd = set(&plain, "character_set_results", "");
        assert_eq!(plain.detour(&odd, "STRICT", false), None);
    }
}
