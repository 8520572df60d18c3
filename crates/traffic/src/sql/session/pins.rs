//! Why a session needs the very connection it has: what cannot be made again on another.

use crate::sql::classify::{Effects, Kind, Made, Statement, TableName, Transaction};

/// The most names that are told apart; more are taken to last.
const NAMES_MAX: usize = 64;

/// What ties a session to its connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    /// What lasts until it is undone, or the session is reset.
    effects: Effects,
    /// Temporary tables, each by its schema and name.
    tables: Vec<TableName>,
    /// Names that `GET_LOCK` may hold, and how often.
    locks: Vec<(Box<[u8]>, u32)>,
    /// Names that `PREPARE` gave.
    prepared: u16,
    /// Tables that `HANDLER` opened.
    handlers: u16,
    /// Cursors that are open.
    pub(super) cursors: u16,
    /// `SET TRANSACTION` for the one that comes next.
    next_transaction: bool,
    /// Whether the session asks, in ways that cannot be answered from elsewhere, for what its last statement
    /// left.
    looks_back: bool,
}

/// How a statement ended.
#[derive(Debug)]
pub(super) struct Ran<'a> {
    /// With an error.
    pub(super) failed: bool,
    /// The server could not read it, and so did nothing.
    pub(super) not_understood: bool,
    /// A transaction is open now.
    pub(super) in_transaction: bool,
    /// What its text names of what it made or dropped.
    pub(super) made: Option<&'a Made>,
    /// The default schema it ran in.
    pub(super) schema: &'a [u8],
}

impl Pins {
    /// What lasts until the session is reset; what undoes it cannot be counted.
    const LASTING: Effects = Effects::UNKNOWN
        .union(Effects::STORED_CODE)
        .union(Effects::USER_VARIABLE)
        .union(Effects::TEMPORARY_TABLE)
        .union(Effects::NAMED_LOCK)
        .union(Effects::SESSION_UNMOVABLE);

    /// Nothing does.
    pub(super) fn is_empty(&self) -> bool {
        self.effects.is_empty()
            && self.tables.is_empty()
            && self.locks.is_empty()
            && self.prepared == 0
            && self.handlers == 0
            && self.cursors == 0
            && !self.next_transaction
            && !self.looks_back
    }

    /// Whether there is something that a transaction run again elsewhere would miss.
    pub(super) fn hinder_replay(&self) -> bool {
        let named = !self.tables.is_empty() || !self.locks.is_empty();
        named || !self.effects.is_empty() || self.prepared > 0 || self.handlers > 0 || self.cursors > 0
    }

    /// Whether the names of what a statement makes or drops are of interest.
    pub(super) fn need_names(&self, statement: &Statement) -> bool {
        let made = Effects::TEMPORARY_TABLE.union(Effects::NAMED_LOCK);
        let dropped = Effects::DROPS_TEMPORARY.union(Effects::RELEASES_NAMED_LOCK).union(Effects::SCHEMA);
        let holds = !self.tables.is_empty() || self.effects.intersects(made) || !self.locks.is_empty();
        statement.effects.intersects(made) || holds && statement.effects.intersects(dropped)
    }

    /// A statement has run; whether the server says that it is in a transaction now. `made` is what its text
    /// names of what it made or dropped, in the schema `schema` where it names none.
    pub(super) fn ran(&mut self, statement: &Statement, ran: &Ran<'_>) {
        let did = statement.effects;
        // Of several statements an earlier one may have been done though a later one failed, and what one
        // undid another may have done again.
        let several = statement.count > 1;
        let (done, undone) = (!ran.failed || several, !ran.failed && !several);
        for lasting in [Effects::UNKNOWN, Effects::STORED_CODE, Effects::USER_VARIABLE] {
            if did.contains(lasting) && !ran.not_understood {
                self.effects = self.effects.union(lasting);
            }
        }
        let next = matches!(statement.kind, Kind::Transaction(Transaction::Next { .. }));
        if !next {
            self.next_transaction = self.next_transaction && ran.in_transaction;
        }
        if did.contains(Effects::XA) || ran.in_transaction && self.effects.contains(Effects::XA) {
            self.effects = self.effects.union(Effects::XA);
        }
        self.name(did, ran, several);
        if done {
            for kept in [Effects::TABLE_LOCK, Effects::SESSION_UNMOVABLE] {
                if did.contains(kept) {
                    self.effects = self.effects.union(kept);
                }
            }
            self.prepared = self.prepared.saturating_add(did.contains(Effects::PREPARED).into());
            self.handlers = self.handlers.saturating_add(did.contains(Effects::HANDLER_OPEN).into());
            // How many there were cannot be told.
            if several && did.intersects(Effects::PREPARED.union(Effects::HANDLER_OPEN)) {
                self.unknown();
            }
        }
        if undone {
            if did.contains(Effects::UNLOCKS_TABLES) {
                self.effects = self.effects.without(Effects::TABLE_LOCK);
            }
            if did.contains(Effects::XA) && !ran.in_transaction {
                self.effects = self.effects.without(Effects::XA);
            }
            self.prepared = self.prepared.saturating_sub(did.contains(Effects::DEALLOCATES).into());
            self.handlers = self.handlers.saturating_sub(did.contains(Effects::HANDLER_CLOSE).into());
            self.next_transaction |= next;
        }
    }

    /// Temporary tables and named locks, by their names where these are known.
    fn name(&mut self, did: Effects, ran: &Ran<'_>, several: bool) {
        let key = |table: &TableName| {
            let schema = table.schema.as_deref().unwrap_or(ran.schema);
            TableName { schema: Some(schema.into()), name: table.name.clone() }
        };
        match ran.made.filter(|_| !several) {
            Some(Made::Table(table)) if !ran.failed && self.tables.len() < NAMES_MAX => {
                let key = key(table);
                self.tables.retain(|known| *known != key);
                self.tables.push(key);
            }
            Some(Made::Dropped(names)) if !ran.failed => {
                self.tables.retain(|known| !names.iter().any(|name| key(name) == *known));
            }
            Some(Made::Renamed) if !self.tables.is_empty() => {
                self.tables.clear();
                self.effects = self.effects.union(Effects::TEMPORARY_TABLE);
            }
            // It may have been taken although the statement failed.
            Some(Made::Took(name)) if self.locks.len() < NAMES_MAX => {
                match self.locks.iter_mut().find(|(known, _)| known == name) {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None => self.locks.push((name.clone(), 1)),
                }
            }
            Some(Made::Released(name)) if !ran.failed => {
                if let Some((_, count)) = self.locks.iter_mut().find(|(known, _)| known == name) {
                    *count -= 1;
                }
                self.locks.retain(|(_, count)| *count > 0);
            }
            Some(Made::ReleasedAll) if !ran.failed => {
                self.locks.clear();
                self.effects = self.effects.without(Effects::NAMED_LOCK);
            }
            _ => {
                let table = did.contains(Effects::TEMPORARY_TABLE) && (!ran.failed || several);
                let table = if table { Effects::TEMPORARY_TABLE } else { Effects::NONE };
                let lock =
                    if did.contains(Effects::NAMED_LOCK) { Effects::NAMED_LOCK } else { Effects::NONE };
                self.effects = self.effects.union(table).union(lock);
            }
        }
    }

    /// Something of the session changed that nothing explains.
    pub(super) fn unknown(&mut self) {
        self.effects = self.effects.union(Effects::UNKNOWN);
    }

    /// A variable was set that cannot be carried.
    pub(super) fn unmovable(&mut self) {
        self.effects = self.effects.union(Effects::SESSION_UNMOVABLE);
    }

    /// It asks for what its last statement left, from now on on one connection.
    pub(super) fn look_back(&mut self) {
        self.looks_back = true;
    }

    /// Whether a change that the server reports is explained by what the statement did.
    pub(super) fn explain(statement: &Statement) -> bool {
        let explained = Self::LASTING
            .union(Effects::PREPARED)
            .union(Effects::DEALLOCATES)
            .union(Effects::DROPS_TEMPORARY)
            .union(Effects::STOA_SETTING)
            .union(Effects::LAST_INSERT_ID);
        statement.effects.intersects(explained)
    }
}
