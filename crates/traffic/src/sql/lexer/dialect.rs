//! What of a session decides how its text is read: the engine, the SQL mode, the character set.

use serde::{Deserialize, Serialize};

/// Which server reads the text. The two differ in words, functions and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Engine {
    /// MariaDB 10.11 and later.
    MariaDb,
    /// MySQL 8.4 and later.
    MySql,
}

/// What `character_set_client` means for the borders of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Charset {
    /// utf8mb3 and utf8mb4: a byte of a long character is never an ASCII character.
    Utf8,
    /// One byte a character, or none known. A high byte may even be a space there (0xA0 in latin1), so
    /// outside quotes and comments such a byte makes a text [`Broken`](super::TokenKind::Broken).
    Single,
    /// ujis, eucjpms, gb2312, euckr: long characters hold no quote and no backslash, but are otherwise
    /// not read here; outside quotes and comments they are `Broken`.
    Euc,
    /// big5: the second byte may be a backslash or a backtick.
    Big5,
    /// gbk: likewise.
    Gbk,
    /// gb18030: likewise, and characters of four bytes.
    Gb18030,
    /// sjis and cp932: likewise.
    Sjis,
}

impl Charset {
    /// The class of a character set by the server's name for it; a name not known is `Single`.
    pub fn named(name: &str) -> Self {
        let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is(&["utf8mb4", "utf8mb3", "utf8"]) {
            Self::Utf8
        } else if is(&["gbk"]) {
            Self::Gbk
        } else if is(&["big5"]) {
            Self::Big5
        } else if is(&["gb18030"]) {
            Self::Gb18030
        } else if is(&["sjis", "cp932"]) {
            Self::Sjis
        } else if is(&["ujis", "eucjpms", "gb2312", "euckr"]) {
            Self::Euc
        } else {
            Self::Single
        }
    }
}

/// How a session's text is to be read. It changes with `sql_mode`, `character_set_client` and the default
/// database, so it is made anew when the server reports one of them changed, and not a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialect {
    /// The server's kind.
    pub engine: Engine,
    /// The class of `character_set_client`.
    pub charset: Charset,
    /// `sql_mode` has `ANSI_QUOTES`: double quotes hold names, not strings.
    pub ansi_quotes: bool,
    /// `sql_mode` has `NO_BACKSLASH_ESCAPES`: a backslash is an ordinary character.
    pub no_backslash_escapes: bool,
    /// `sql_mode` has `IGNORE_SPACE`: `count (x)` calls the built-in function. Without it, it calls a
    /// stored function of that name.
    pub ignore_space: bool,
    /// `sql_mode` has `ORACLE` (MariaDB): another grammar, in which nothing is proven to be a read.
    pub oracle: bool,
    /// The session's default database is one of the server's own ([`is_system_schema`]), so that a table
    /// without a database before it may tell of this server rather than of the data.
    ///
    /// [`is_system_schema`]: crate::sql::classify::is_system_schema
    pub in_system_schema: bool,
}

impl Dialect {
    /// A session in utf8mb4 with no mode that matters here.
    pub const fn new(engine: Engine) -> Self {
        Self {
            engine,
            charset: Charset::Utf8,
            ansi_quotes: false,
            no_backslash_escapes: false,
            ignore_space: false,
            oracle: false,
            in_system_schema: false,
        }
    }

    /// The same session under another `sql_mode`, as the server writes it: names with commas between.
    pub fn with_sql_mode(self, sql_mode: &str) -> Self {
        let has = |names: &[&str]| {
            sql_mode.split(',').any(|mode| names.iter().any(|name| name.eq_ignore_ascii_case(mode.trim())))
        };
        // The combined modes set the single ones too, and the server writes out both; a server that would
        // write only the combined one is read right all the same.
        let foreign = ["DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"];
        let combined = has(&foreign) || has(&["ANSI"]);
        Self {
            ansi_quotes: combined || has(&["ANSI_QUOTES"]),
            ignore_space: combined || has(&["IGNORE_SPACE"]),
            no_backslash_escapes: has(&["NO_BACKSLASH_ESCAPES"]),
            oracle: has(&["ORACLE"]),
            ..self
        }
    }

    /// The same session under another `character_set_client`.
    pub fn with_charset(self, name: &str) -> Self {
        Self { charset: Charset::named(name), ..self }
    }
}
