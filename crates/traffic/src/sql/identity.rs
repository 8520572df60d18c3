//! What the servers of the cluster say of themselves, so that the splitter says the same to applications.
//! Learned once, from the first server that answers; all of them are of one kind.

use super::lexer::{Charset, Dialect, Engine};
use super::wire::capability::Capabilities;
use std::collections::HashMap;

/// The cluster's face.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The version as the greeting has it.
    pub(crate) version: String,
    /// What a server offers.
    pub(crate) capabilities: Capabilities,
    /// Which kind.
    pub(crate) engine: Engine,
    /// The greeting's collation.
    pub(crate) collation: u8,
    /// By the number a client logs in with: the character set and the collation.
    pub(crate) collations: HashMap<u16, (String, String)>,
    /// The `sql_mode` a session begins with.
    pub(crate) sql_mode: String,
    /// Whether sessions begin with autocommit.
    pub(crate) autocommit: bool,
}

impl Identity {
    /// What stands behind the `SET NAMES` of a client that logs in with `collation`. One the server does not
    /// know gives the server's own, as it would there.
    pub(crate) fn names(&self, collation: u16) -> String {
        let known = self.collations.get(&collation).or_else(|| self.collations.get(&self.collation.into()));
        match known {
            Some((charset, collation)) => format!("{charset} COLLATE {collation}"),
            None => "utf8mb4".to_owned(),
        }
    }

    /// How the text of a client that logs in with `collation` reads.
    pub(crate) fn dialect(&self, collation: u16) -> Dialect {
        let dialect = Dialect::new(self.engine).with_sql_mode(&self.sql_mode);
        match self.collations.get(&collation) {
            Some((charset, _)) => Dialect { charset: Charset::named(charset), ..dialect },
            None => dialect,
        }
    }

    /// Whether this is MySQL.
    pub(crate) fn is_mysql(&self) -> bool {
        self.engine == Engine::MySql
    }
}
