//! What client and server may ask of each other, and which of it the splitter offers: one table, read by
//! [`offer`] (what applications are told) and [`request`] (what a backend connection must have for one).

use bitflags::bitflags;
use thiserror::Error;

bitflags! {
    /// Capability flags: the low 32 bits are everybody's, the high ones MariaDB's extension.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Capabilities: u64 {
        /// MySQL; a MariaDB server or client leaves it out to say that its extension follows.
        const LONG_PASSWORD = 1;
        /// Affected rows are those found, not those changed.
        const FOUND_ROWS = 1 << 1;
        /// More column flags.
        const LONG_FLAG = 1 << 2;
        /// The login names a schema.
        const CONNECT_WITH_DB = 1 << 3;
        /// `schema.table.column` is refused.
        const NO_SCHEMA = 1 << 4;
        /// Compressed by zlib after login.
        const COMPRESS = 1 << 5;
        /// Nothing any more.
        const ODBC = 1 << 6;
        /// The server may ask for a file of the client's.
        const LOCAL_FILES = 1 << 7;
        /// Spaces may stand before a function's parenthesis.
        const IGNORE_SPACE = 1 << 8;
        /// The protocol since 4.1.
        const PROTOCOL_41 = 1 << 9;
        /// `interactive_timeout` instead of `wait_timeout`.
        const INTERACTIVE = 1 << 10;
        /// TLS after the greeting.
        const SSL = 1 << 11;
        /// The client's own business.
        const IGNORE_SIGPIPE = 1 << 12;
        /// Status flags are sent.
        const TRANSACTIONS = 1 << 13;
        /// Nothing any more.
        const RESERVED = 1 << 14;
        /// Passwords as since 4.1.
        const SECURE_CONNECTION = 1 << 15;
        /// Several statements in one query.
        const MULTI_STATEMENTS = 1 << 16;
        /// Several results of one query.
        const MULTI_RESULTS = 1 << 17;
        /// Several results of one execution, and OUT parameters.
        const PS_MULTI_RESULTS = 1 << 18;
        /// Ways of authentication have names.
        const PLUGIN_AUTH = 1 << 19;
        /// The login says what the client is.
        const CONNECT_ATTRS = 1 << 20;
        /// The login's proof may be longer than 255 bytes.
        const PLUGIN_AUTH_LENENC = 1 << 21;
        /// The client survives that its password has expired.
        const EXPIRED_PASSWORDS = 1 << 22;
        /// OK packets say what changed in the session.
        const SESSION_TRACK = 1 << 23;
        /// Result sets end with an OK packet, and columns with nothing.
        const DEPRECATE_EOF = 1 << 24;
        /// Result sets may come without their columns (MySQL).
        const OPTIONAL_METADATA = 1 << 25;
        /// Compressed by zstd after login (MySQL).
        const ZSTD = 1 << 26;
        /// Queries carry named values (MySQL).
        const QUERY_ATTRIBUTES = 1 << 27;
        /// Several ways of authentication in a row (MySQL).
        const MULTI_FACTOR = 1 << 28;
        /// Reserved for an extension of this field (MySQL).
        const EXTENSION = 1 << 29;
        /// The client checks the server's certificate.
        const VERIFY_CERTIFICATE = 1 << 30;
        /// The client's own business.
        const REMEMBER_OPTIONS = 1 << 31;
        /// Progress reports (MariaDB).
        const PROGRESS = 1 << 32;
        /// Several commands in one packet (MariaDB, given up).
        const MULTI_COMMANDS = 1 << 33;
        /// An execution with many rows of parameters (MariaDB).
        const BULK_OPERATIONS = 1 << 34;
        /// Columns say more of their type (MariaDB).
        const EXTENDED_METADATA = 1 << 35;
        /// Columns that the client knows are left out (MariaDB).
        const CACHE_METADATA = 1 << 36;
        /// A bulk execution answers for each of its rows (MariaDB).
        const BULK_UNIT_RESULTS = 1 << 37;
    }
}

/// How one capability is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Concerns one connection only: each side of the splitter has its own.
    Ours,
    /// Changes what a statement means or what its result looks like: offered if the backend has it, and a
    /// client's backend connection has what the client has. A pool is divided by these.
    Kept,
    /// Offered if the backend has it; every backend connection has it, and what a client without it cannot
    /// read is translated on its way.
    Translated,
    /// Not offered.
    Refused,
}

use Capabilities as C;
use Treatment::{Kept, Ours, Refused, Translated};

/// Every capability, how it is dealt with, and why.
pub const TABLE: [(Capabilities, Treatment, &str); 38] = [
    (C::LONG_PASSWORD, Ours, "says which of the two engines speaks; follows the backend"),
    (C::FOUND_ROWS, Kept, "changes affected rows, and no command changes it later"),
    (C::LONG_FLAG, Ours, "everybody has it"),
    (C::CONNECT_WITH_DB, Ours, "the schema is session state, which the splitter carries"),
    (C::NO_SCHEMA, Kept, "changes which statements are errors"),
    (C::COMPRESS, Ours, "each connection is compressed or not"),
    (C::ODBC, Ours, "means nothing"),
    (C::LOCAL_FILES, Kept, "a server must not ask a client that would not answer"),
    (C::IGNORE_SPACE, Kept, "changes how a statement is parsed"),
    (C::PROTOCOL_41, Ours, "required"),
    (C::INTERACTIVE, Kept, "changes the wait_timeout that a session sees"),
    (C::SSL, Ours, "each connection is encrypted or not"),
    (C::IGNORE_SIGPIPE, Ours, "the client's own business"),
    (C::TRANSACTIONS, Ours, "required of backends: status flags follow transactions"),
    (C::RESERVED, Ours, "means nothing"),
    (C::SECURE_CONNECTION, Ours, "required"),
    (C::MULTI_STATEMENTS, Kept, "without it a second statement is an error: a wall against injection"),
    (C::MULTI_RESULTS, Kept, "without it a CALL that answers rows is an error"),
    (C::PS_MULTI_RESULTS, Kept, "without it there are no OUT parameters"),
    (C::PLUGIN_AUTH, Ours, "each connection authenticates by itself"),
    (C::CONNECT_ATTRS, Ours, "a shared backend connection is nobody's in particular"),
    (C::PLUGIN_AUTH_LENENC, Ours, "each connection authenticates by itself"),
    (C::EXPIRED_PASSWORDS, Ours, "applications' passwords are the splitter's, and do not expire"),
    (C::SESSION_TRACK, Translated, "the splitter needs it; stripped for who did not ask"),
    (C::DEPRECATE_EOF, Translated, "only so does a result set report session state; EOF is put back"),
    (C::OPTIONAL_METADATA, Refused, "a session variable switches columns off, per connection"),
    (C::ZSTD, Ours, "each connection is compressed or not"),
    (C::QUERY_ATTRIBUTES, Kept, "changes how a query and an execution are laid out"),
    (C::MULTI_FACTOR, Refused, "the splitter's accounts have one factor"),
    (C::EXTENSION, Refused, "nothing defines it yet"),
    (C::VERIFY_CERTIFICATE, Ours, "the client's own business"),
    (C::REMEMBER_OPTIONS, Ours, "the client's own business"),
    (C::PROGRESS, Kept, "a client without it takes a progress report for an error"),
    (C::MULTI_COMMANDS, Refused, "given up by MariaDB"),
    (C::BULK_OPERATIONS, Kept, "a client without it never sends one; one with it is understood"),
    (C::EXTENDED_METADATA, Kept, "changes how columns are laid out"),
    (C::CACHE_METADATA, Refused, "what a backend left out was seen on another connection"),
    (C::BULK_UNIT_RESULTS, Kept, "changes the answer of a bulk execution"),
];

/// What both the splitter and its clients must have.
pub const REQUIRED: Capabilities = C::PROTOCOL_41.union(C::SECURE_CONNECTION);

/// Not for the server to give: a client that sets them is believed whatever was offered.
const CLIENTS_OWN: Capabilities = C::IGNORE_SIGPIPE
    .union(C::VERIFY_CERTIFICATE)
    .union(C::REMEMBER_OPTIONS)
    .union(C::INTERACTIVE)
    .union(C::IGNORE_SPACE)
    .union(C::ODBC)
    .union(C::LONG_PASSWORD);

const OFFERED_BY_US: Capabilities = REQUIRED
    .union(C::LONG_FLAG)
    .union(C::CONNECT_WITH_DB)
    .union(C::TRANSACTIONS)
    .union(C::PLUGIN_AUTH)
    .union(C::CONNECT_ATTRS)
    .union(C::PLUGIN_AUTH_LENENC)
    .union(C::EXPIRED_PASSWORDS)
    .union(C::IGNORE_SIGPIPE);

const REQUESTED_BY_US: Capabilities = REQUIRED
    .union(C::LONG_FLAG)
    .union(C::TRANSACTIONS)
    .union(C::PLUGIN_AUTH)
    .union(C::PLUGIN_AUTH_LENENC)
    .union(C::SESSION_TRACK)
    .union(C::DEPRECATE_EOF);

/// What the splitter itself can do on its clients' side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxy {
    /// It has a certificate.
    pub tls: bool,
    /// It compresses for who asks.
    pub compression: bool,
}

/// A backend cannot serve what was agreed with a client: another version than the one that was asked first.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the server cannot do what the client was promised: {missing:?}")]
pub struct Incapable {
    /// What it lacks.
    pub missing: Capabilities,
}

/// All capabilities that are treated so.
#[must_use]
pub fn treated(treatment: Treatment) -> Capabilities {
    TABLE.iter().filter(|(_, treated, _)| *treated == treatment).map(|(one, ..)| *one).collect()
}

/// What clients are offered: what both the backends (all of them: the intersection) and the splitter can
/// honour.
#[must_use]
pub fn offer(backend: Capabilities, proxy: Proxy) -> Capabilities {
    let mut offered = OFFERED_BY_US | backend & (treated(Kept) | treated(Translated) | C::LONG_PASSWORD);
    offered.set(C::SSL, proxy.tls);
    offered.set(C::COMPRESS, proxy.compression);
    // MariaDB takes this bit for nothing and its clients never ask.
    offered.set(C::ZSTD, proxy.compression && backend.contains(C::LONG_PASSWORD));
    offered
}

/// What holds with a client that asked for `asked` where `offered` was.
#[must_use]
pub fn agree(offered: Capabilities, asked: Capabilities) -> Capabilities {
    let mut agreed = asked & (offered | CLIENTS_OWN);
    if agreed.contains(C::COMPRESS | C::ZSTD) {
        // Both: zlib, as the servers choose.
        agreed.remove(C::ZSTD);
    }
    agreed
}

/// What divides a pool: two clients may share a backend connection only where this is the same.
#[must_use]
pub fn kind(agreed: Capabilities) -> Capabilities {
    agreed & KEPT
}

const KEPT: Capabilities = {
    let mut kept = C::empty();
    let mut at = 0;
    while at < TABLE.len() {
        if matches!(TABLE[at].1, Kept) {
            kept = kept.union(TABLE[at].0);
        }
        at += 1;
    }
    kept
};

/// What a backend connection is logged in with, for a client with which this was [`agree`]d (empty: for the
/// splitter's own statements). The same for all clients of a [`kind`]. `CONNECT_WITH_DB`, `SSL` and `COMPRESS`
/// are the caller's to add.
pub fn request(agreed: Capabilities, backend: Capabilities) -> Result<Capabilities, Incapable> {
    // What clients set by themselves no server announces.
    let promised = agreed & KEPT.union(C::SESSION_TRACK).union(C::DEPRECATE_EOF);
    let needed = (promised - CLIENTS_OWN) | REQUIRED;
    if !backend.contains(needed) {
        return Err(Incapable { missing: needed - backend });
    }
    Ok(kind(agreed) | (REQUESTED_BY_US | C::LONG_PASSWORD) & backend)
}

impl Capabilities {
    /// The 32 bits of the protocol's own field.
    #[must_use]
    pub fn low(self) -> u32 {
        u32::try_from(self.bits() & 0xFFFF_FFFF).unwrap_or_default()
    }

    /// The 32 bits of MariaDB's extension.
    #[must_use]
    pub fn high(self) -> u32 {
        u32::try_from(self.bits() >> 32).unwrap_or_default()
    }

    /// From the protocol's field and MariaDB's.
    #[must_use]
    pub fn from_parts(low: u32, high: u32) -> Self {
        Capabilities::from_bits_truncate(u64::from(high) << 32 | u64::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_stands_in_the_table_once() {
        let all: Capabilities = TABLE.iter().map(|(one, ..)| *one).collect();
        assert_eq!(all, Capabilities::all());
        assert!(TABLE.iter().all(|(one, _, why)| one.bits().count_ones() == 1 && !why.is_empty()));
        assert_eq!(TABLE.len(), Capabilities::all().iter().count());
        assert_eq!(KEPT, treated(Kept));
    }

    #[test]
    fn what_is_offered_can_be_honoured() {
        let mysql = Capabilities::from_parts(0xDFFF_FFFF, 0);
        let mariadb = Capabilities::from_parts(0x81FF_F7FE, 0x1F);
        let both = Proxy { tls: true, compression: true };
        let neither = Proxy { tls: false, compression: false };
        let cases = [
            (
                "MySQL",
                mysql,
                both,
                C::ZSTD | C::QUERY_ATTRIBUTES | C::SSL | C::DEPRECATE_EOF,
                C::OPTIONAL_METADATA | C::MULTI_FACTOR,
            ),
            ("MySQL without", mysql, neither, C::QUERY_ATTRIBUTES, C::SSL | C::COMPRESS | C::ZSTD),
            (
                "MariaDB",
                mariadb,
                both,
                C::BULK_OPERATIONS | C::EXTENDED_METADATA | C::COMPRESS,
                C::LONG_PASSWORD | C::CACHE_METADATA | C::ZSTD | C::QUERY_ATTRIBUTES,
            ),
            (
                "an old server",
                C::PROTOCOL_41 | C::SECURE_CONNECTION,
                both,
                C::PLUGIN_AUTH,
                C::DEPRECATE_EOF | C::SESSION_TRACK | C::MULTI_STATEMENTS,
            ),
        ];
        for (name, backend, proxy, with, without) in cases {
            let offered = offer(backend, proxy);
            assert!(offered.contains(with), "{name}: {:?}", with - offered);
            assert!(!offered.intersects(without), "{name}: {:?}", without & offered);
            for asked in [Capabilities::all(), C::empty(), offered] {
                let agreed = agree(offered, asked);
                let requested = request(agreed, backend).unwrap();
                assert_eq!(requested & KEPT, agreed & KEPT, "{name}");
            }
        }
    }

    #[test]
    fn a_server_that_cannot_keep_the_promise_is_not_asked() {
        let refused = request(C::BULK_OPERATIONS, REQUIRED);
        assert_eq!(refused, Err(Incapable { missing: C::BULK_OPERATIONS }));
        assert_eq!(request(C::empty(), C::PROTOCOL_41), Err(Incapable { missing: C::SECURE_CONNECTION }));
    }
}
