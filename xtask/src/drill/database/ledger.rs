//! The accounts of a ledger: what clients were told against what the database holds. Pure.
//!
//! A client never asks for the same entry twice, so whatever stands there twice was run twice by somebody
//! else.

use std::collections::BTreeMap;
use std::time::Duration;

/// One entry: the session that wrote it, and which of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) session: u16,
    pub(crate) number: u32,
}

/// One attempt to write an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) key: Key,
    /// Written in one transaction of two rows, rather than alone.
    pub(crate) pair: bool,
    /// When its success was answered; none: it failed, or nobody knows.
    pub(crate) acknowledged: Option<Duration>,
}

/// How often the first and the second row of an entry stand in the database.
pub(crate) type Found = BTreeMap<Key, [u64; 2]>;

/// What the comparison gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) acknowledged: usize,
    /// Acknowledged, and not there in full: must be none.
    pub(crate) lost: Vec<Key>,
    /// There more often than it was asked for: must be none.
    pub(crate) doubled: Vec<Key>,
    /// Half a transaction: must be none.
    pub(crate) torn: Vec<Key>,
    /// There, and never asked for: must be none.
    pub(crate) strange: Vec<Key>,
    /// Not acknowledged, and there: allowed, its client was told that it failed or is unknown.
    pub(crate) unacknowledged: usize,
}

/// Compares.
pub(crate) fn account(attempts: &[Attempt], found: &Found) -> Account {
    let mut account = Account::default();
    let mut strange = found.clone();
    for attempt in attempts {
        strange.remove(&attempt.key);
        let rows = found.get(&attempt.key).copied().unwrap_or_default();
        let wanted = [1, u64::from(attempt.pair)];
        let missing = rows.iter().zip(wanted).any(|(there, wanted)| *there < wanted);
        let present = rows != [0, 0];
        if attempt.acknowledged.is_some() {
            account.acknowledged += 1;
            if missing {
                account.lost.push(attempt.key);
            }
        } else if present {
            account.unacknowledged += 1;
        }
        if rows.iter().zip(wanted).any(|(there, wanted)| *there > wanted) {
            account.doubled.push(attempt.key);
        }
        if present && missing {
            account.torn.push(attempt.key);
        }
    }
    account.strange = strange.into_keys().collect();
    account
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { session: 3, number: 7 };

    fn one(pair: bool, acknowledged: bool, rows: [u64; 2]) -> Account {
        let acknowledged = acknowledged.then_some(Duration::from_secs(1));
        let found = if rows == [0, 0] { Found::new() } else { Found::from([(KEY, rows)]) };
        account(&[Attempt { key: KEY, pair, acknowledged }], &found)
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there() {
        let well = Account { acknowledged: 1, ..Account::default() };
        assert_eq!(one(false, true, [1, 0]), well);
        assert_eq!(one(true, true, [1, 1]), well);
        assert_eq!(
            one(false, true, [0, 0]),
            Account { acknowledged: 1, lost: vec![KEY], ..Account::default() }
        );
        assert_eq!(one(true, true, [0, 0]).lost, [KEY]);
    }

    #[test]
    fn what_was_not_acknowledged_may_be_there_once() {
        assert_eq!(one(false, false, [0, 0]), Account::default());
        assert_eq!(one(false, false, [1, 0]), Account { unacknowledged: 1, ..Account::default() });
        let twice = Account { unacknowledged: 1, doubled: vec![KEY], ..Account::default() };
        assert_eq!(one(false, false, [2, 0]), twice);
    }

    #[test]
    fn a_transaction_is_there_in_full_or_not_at_all() {
        assert_eq!(one(true, false, [1, 1]), Account { unacknowledged: 1, ..Account::default() });
        assert_eq!(one(true, false, [1, 0]).torn, [KEY]);
        let torn = one(true, true, [0, 1]);
        assert_eq!((torn.lost, torn.torn), (vec![KEY], vec![KEY]));
    }

    #[test]
    fn more_than_was_asked_for_is_told() {
        assert_eq!(one(false, true, [2, 0]).doubled, [KEY]);
        assert_eq!(one(true, true, [2, 2]).doubled, [KEY]);
        assert_eq!(one(false, true, [1, 1]).doubled, [KEY], "a second row of an entry that has one");
        assert_eq!(account(&[], &Found::from([(KEY, [1, 0])])).strange, [KEY]);
    }
}
