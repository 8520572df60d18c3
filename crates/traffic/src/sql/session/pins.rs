//! Why a session needs the very connection it has: what cannot be made again on another.

use crate::sql::classify::{Effects, Kind, Statement, Transaction};

/// What ties a session to its connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pins {
    /// What lasts until it is undone, or the session is reset.
    effects: Effects,
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
            && self.prepared == 0
            && self.handlers == 0
            && self.cursors == 0
            && !self.next_transaction
            && !self.looks_back
    }

    /// Whether there is something that a transaction run again elsewhere would miss.
    pub(super) fn hinder_replay(&self) -> bool {
        !self.effects.is_empty() || self.prepared > 0 || self.handlers > 0 || self.cursors > 0
    }

    /// A statement has run; whether the server says that it is in a transaction now.
    pub(super) fn ran(&mut self, statement: &Statement, failed: bool, in_transaction: bool) {
        let did = statement.effects;
        for lasting in [Effects::UNKNOWN, Effects::STORED_CODE, Effects::USER_VARIABLE, Effects::NAMED_LOCK] {
            if did.contains(lasting) {
                self.effects = self.effects.union(lasting);
            }
        }
        let next = matches!(statement.kind, Kind::Transaction(Transaction::Next { .. }));
        if !next {
            self.next_transaction = self.next_transaction && in_transaction;
        }
        if did.contains(Effects::XA) || in_transaction && self.effects.contains(Effects::XA) {
            self.effects = self.effects.union(Effects::XA);
        }
        if failed {
            return;
        }
        for kept in [Effects::TEMPORARY_TABLE, Effects::TABLE_LOCK, Effects::SESSION_UNMOVABLE] {
            if did.contains(kept) {
                self.effects = self.effects.union(kept);
            }
        }
        if did.contains(Effects::UNLOCKS_TABLES) {
            self.effects = self.effects.without(Effects::TABLE_LOCK);
        }
        if did.contains(Effects::XA) && !in_transaction {
            self.effects = self.effects.without(Effects::XA);
        }
        let count = |count: &mut u16, up: Effects, down: Effects| {
            *count = count.saturating_add(did.contains(up).into());
            *count = count.saturating_sub(did.contains(down).into());
        };
        count(&mut self.prepared, Effects::PREPARED, Effects::DEALLOCATES);
        count(&mut self.handlers, Effects::HANDLER_OPEN, Effects::HANDLER_CLOSE);
        self.next_transaction |= next;
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
