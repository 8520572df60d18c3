//! What a statement leaves behind, and what it needs of what others left: two small sets.

use std::fmt;

/// What a statement does beside giving rows: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Effects(pub(super) u32);

/// What of the session's past a statement's answer depends on: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reads(pub(super) u16);

impl Effects {
    /// Changes rows, or may.
    pub const WRITE: Self = Self(1);
    /// Changes the schema, or may: whatever was derived from it is to be dropped.
    pub const SCHEMA: Self = Self(1 << 1);
    /// The server commits the open transaction first. It may not (an `ALTER` of a temporary table): what it
    /// reports of the transaction afterwards is what counts.
    pub const IMPLICIT_COMMIT: Self = Self(1 << 2);
    /// May have done anything to session, transaction and schema: unseen or misunderstood text ran.
    pub const UNKNOWN: Self = Self(1 << 3);
    /// Called a function that may be stored or loadable: it may have written rows or set user variables.
    pub const STORED_CODE: Self = Self(1 << 4);
    /// Sets a user variable.
    pub const USER_VARIABLE: Self = Self(1 << 5);
    /// Makes a temporary table.
    pub const TEMPORARY_TABLE: Self = Self(1 << 6);
    /// Drops a table that may be temporary.
    pub const DROPS_TEMPORARY: Self = Self(1 << 7);
    /// `LOCK TABLES` or another lock that `UNLOCK` ends, `FLUSH TABLES WITH READ LOCK` among them.
    pub const TABLE_LOCK: Self = Self(1 << 8);
    /// Ends those locks.
    pub const UNLOCKS_TABLES: Self = Self(1 << 9);
    /// `GET_LOCK()`.
    pub const NAMED_LOCK: Self = Self(1 << 10);
    /// `RELEASE_LOCK()`, `RELEASE_ALL_LOCKS()`.
    pub const RELEASES_NAMED_LOCK: Self = Self(1 << 11);
    /// `PREPARE`: a name that only this connection knows.
    pub const PREPARED: Self = Self(1 << 12);
    /// `DEALLOCATE PREPARE`.
    pub const DEALLOCATES: Self = Self(1 << 13);
    /// `HANDLER … OPEN`.
    pub const HANDLER_OPEN: Self = Self(1 << 14);
    /// `HANDLER … CLOSE`.
    pub const HANDLER_CLOSE: Self = Self(1 << 15);
    /// Sets session variables to plain values, all of which `assignments` tells: they can be set again
    /// elsewhere.
    pub const SESSION_VARIABLE: Self = Self(1 << 16);
    /// Sets session state that cannot be set again elsewhere: a value that is an expression, a role, a
    /// variable that belongs to one connection (`gtid_next`, `insert_id`, `sql_log_bin`, …).
    pub const SESSION_UNMOVABLE: Self = Self(1 << 17);
    /// Sets a global variable.
    pub const GLOBAL_VARIABLE: Self = Self(1 << 18);
    /// Changes the default database.
    pub const DATABASE: Self = Self(1 << 19);
    /// Sets a variable that the `Dialect` is made from.
    pub const DIALECT: Self = Self(1 << 20);
    /// `SQL_CALC_FOUND_ROWS`: `FOUND_ROWS()` will be asked of the same connection, until another `SELECT`.
    pub const FOUND_ROWS: Self = Self(1 << 21);
    /// `LAST_INSERT_ID(value)`: sets what `LAST_INSERT_ID()` gives.
    pub const LAST_INSERT_ID: Self = Self(1 << 22);
    /// `LOAD DATA LOCAL`: the server will ask the client for a file.
    pub const LOCAL_INFILE: Self = Self(1 << 23);
    /// An `XA` transaction begins, changes or ends.
    pub const XA: Self = Self(1 << 24);
    /// Begins or ends a transaction, or sets autocommit.
    pub const TRANSACTION: Self = Self(1 << 25);
    /// Sets `@stoa_…`, see [`Hint`](super::Hint).
    pub const STOA_SETTING: Self = Self(1 << 26);
    /// A hint or a `@stoa_…` has a word or a value that is not known. It was not obeyed.
    pub const BAD_HINT: Self = Self(1 << 27);
    /// Ends its own connection, or may: `… RELEASE`.
    pub const RELEASES_CONNECTION: Self = Self(1 << 28);

    /// What binds a session to the connection it ran on, until what it made is known to be gone. The
    /// effects that undo one of them (`UNLOCKS_TABLES`, …) are not among them.
    pub const PINS: Self = Self(
        Self::UNKNOWN.0
            | Self::STORED_CODE.0
            | Self::USER_VARIABLE.0
            | Self::TEMPORARY_TABLE.0
            | Self::TABLE_LOCK.0
            | Self::NAMED_LOCK.0
            | Self::PREPARED.0
            | Self::HANDLER_OPEN.0
            | Self::SESSION_UNMOVABLE.0
            | Self::FOUND_ROWS.0
            | Self::LAST_INSERT_ID.0
            | Self::XA.0,
    );

    /// No effect.
    pub const NONE: Self = Self(0);

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is among these.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Reads {
    /// Nothing of the past.
    pub const NONE: Self = Self(0);
    /// `LAST_INSERT_ID()`, `@@last_insert_id`, `@@identity`.
    pub const LAST_INSERT_ID: Self = Self(1);
    /// `FOUND_ROWS()`.
    pub const FOUND_ROWS: Self = Self(1 << 1);
    /// `ROW_COUNT()`.
    pub const ROW_COUNT: Self = Self(1 << 2);
    /// The warnings and errors of the last statement: `SHOW WARNINGS`, `@@warning_count`, `GET DIAGNOSTICS`.
    pub const DIAGNOSTICS: Self = Self(1 << 3);
    /// `CONNECTION_ID()`, `@@pseudo_thread_id`: the client must see its own.
    pub const CONNECTION_ID: Self = Self(1 << 4);
    /// A user variable. One that the session never set is NULL on every connection.
    pub const USER_VARIABLE: Self = Self(1 << 5);
    /// A system variable.
    pub const SYSTEM_VARIABLE: Self = Self(1 << 6);

    /// What only the connection that ran the session's last statement can answer.
    pub const LAST_STATEMENT: Self =
        Self(Self::LAST_INSERT_ID.0 | Self::FOUND_ROWS.0 | Self::ROW_COUNT.0 | Self::DIAGNOSTICS.0);

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is among these.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The names of the bits, from the lowest, for people who read a verdict.
const EFFECTS: [&str; 29] = [
    "WRITE",
    "SCHEMA",
    "IMPLICIT_COMMIT",
    "UNKNOWN",
    "STORED_CODE",
    "USER_VARIABLE",
    "TEMPORARY_TABLE",
    "DROPS_TEMPORARY",
    "TABLE_LOCK",
    "UNLOCKS_TABLES",
    "NAMED_LOCK",
    "RELEASES_NAMED_LOCK",
    "PREPARED",
    "DEALLOCATES",
    "HANDLER_OPEN",
    "HANDLER_CLOSE",
    "SESSION_VARIABLE",
    "SESSION_UNMOVABLE",
    "GLOBAL_VARIABLE",
    "DATABASE",
    "DIALECT",
    "FOUND_ROWS",
    "LAST_INSERT_ID",
    "LOCAL_INFILE",
    "XA",
    "TRANSACTION",
    "STOA_SETTING",
    "BAD_HINT",
    "RELEASES_CONNECTION",
];

/// Likewise.
const READS: [&str; 7] = [
    "LAST_INSERT_ID",
    "FOUND_ROWS",
    "ROW_COUNT",
    "DIAGNOSTICS",
    "CONNECTION_ID",
    "USER_VARIABLE",
    "SYSTEM_VARIABLE",
];

impl fmt::Debug for Effects {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(self.0, &EFFECTS, out)
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(u32::from(self.0), &READS, out)
    }
}

/// The names of the bits that are set, with spaces between.
fn names(bits: u32, all: &[&str], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let set = all.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    for (place, (_, name)) in set.enumerate() {
        out.write_str(if place == 0 { "" } else { " " })?;
        out.write_str(name)?;
    }
    Ok(())
}
