//! What the store keeps of the past: every deployment that was asked for, and the load of past days.

use super::sqlite::{SqliteStore, unix_ms};
use super::{DeployRecord, StoreError};
use rusqlite::{Row, params};
use std::collections::BTreeMap;
use stoa_model::deployment::{DeployKind, Outcome};
use stoa_model::{DeployNumber, Tier};

/// Tables of the past.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS deployment (
        number INTEGER PRIMARY KEY, release TEXT NOT NULL, kind TEXT NOT NULL, asked_by TEXT NOT NULL,
        reference TEXT NOT NULL, at_unix_ms INTEGER NOT NULL, ended_unix_ms INTEGER, failed TEXT);
    CREATE TABLE IF NOT EXISTS load (
        tier TEXT NOT NULL, minute INTEGER NOT NULL, mean REAL NOT NULL,
        PRIMARY KEY (tier, minute)) WITHOUT ROWID;
";

/// Deployments beyond this many are forgotten, the oldest first.
const DEPLOYMENTS_MAX: u64 = 1000;
/// The load of so many days is kept.
const LOAD_DAYS: i64 = 15;
const DAY_MINUTES: i64 = 24 * 60;

const KINDS: [(DeployKind, &str); 4] = [
    (DeployKind::Up, "up"),
    (DeployKind::Deploy, "deploy"),
    (DeployKind::Rollback, "rollback"),
    (DeployKind::Promote, "promote"),
];

impl SqliteStore {
    pub(super) fn insert_deployment(&self, record: &DeployRecord) -> Result<(), StoreError> {
        let connection = self.connection();
        let kind = KINDS.iter().find(|(kind, _)| *kind == record.kind).map_or("deploy", |(_, word)| word);
        let insert = "INSERT OR REPLACE INTO deployment
            (number, release, kind, asked_by, reference, at_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let number = signed(record.number.0);
        let row = params![
            number,
            record.release.to_string(),
            kind,
            record.by,
            record.reference,
            signed(record.at_unix_ms)
        ];
        connection.execute(insert, row).map_err(self.failed())?;
        let oldest = number - signed(DEPLOYMENTS_MAX);
        connection.execute("DELETE FROM deployment WHERE number <= ?1", [oldest]).map_err(self.failed())?;
        Ok(())
    }

    pub(super) fn finish_deployment(&self, outcome: &Outcome) -> Result<(), StoreError> {
        let update = "UPDATE deployment SET ended_unix_ms = ?2, failed = ?3 WHERE number = ?1";
        let row = params![signed(outcome.number.0), unix_ms(), outcome.failed];
        self.connection().execute(update, row).map_err(self.failed())?;
        Ok(())
    }

    pub(super) fn all_deployments(&self) -> Result<Vec<DeployRecord>, StoreError> {
        let connection = self.connection();
        let query = "SELECT number, release, kind, asked_by, reference, at_unix_ms, ended_unix_ms, failed
                     FROM deployment ORDER BY number DESC";
        let mut statement = connection.prepare_cached(query).map_err(self.failed())?;
        let rows = statement.query_map([], record_of).map_err(self.failed())?;
        let read: Vec<Option<DeployRecord>> = rows.collect::<Result<_, _>>().map_err(self.failed())?;
        Ok(read.into_iter().flatten().collect())
    }

    pub(super) fn insert_load(&self, tier: Tier, minute: i64, mean: f64) -> Result<(), StoreError> {
        let connection = self.connection();
        let insert = "INSERT OR REPLACE INTO load (tier, minute, mean) VALUES (?1, ?2, ?3)";
        connection.execute(insert, params![tier.word(), minute, mean]).map_err(self.failed())?;
        let oldest = minute - LOAD_DAYS * DAY_MINUTES;
        let forget = "DELETE FROM load WHERE tier = ?1 AND minute < ?2";
        connection.execute(forget, params![tier.word(), oldest]).map_err(self.failed())?;
        Ok(())
    }

    pub(super) fn mean_of_past_days(
        &self,
        tier: Tier,
        minute: i64,
        ahead: u32,
    ) -> Result<BTreeMap<u32, f64>, StoreError> {
        let connection = self.connection();
        let query = "SELECT (minute - ?2) % ?4 + ?4, avg(mean) FROM load
                     WHERE tier = ?1 AND minute < ?2 - 60
                       AND ((minute - ?2) % ?4 + ?4) % ?4 <= ?3 GROUP BY 1";
        let mut statement = connection.prepare_cached(query).map_err(self.failed())?;
        let rows = statement
            .query_map(params![tier.word(), minute, ahead, DAY_MINUTES], |row| {
                let offset: i64 = row.get(0)?;
                Ok((offset % DAY_MINUTES, row.get::<_, f64>(1)?))
            })
            .map_err(self.failed())?;
        let read: Vec<(i64, f64)> = rows.collect::<Result<_, _>>().map_err(self.failed())?;
        Ok(read
            .into_iter()
            .filter_map(|(minutes, mean)| Some((u32::try_from(minutes * 60).ok()?, mean)))
            .collect())
    }
}

/// A row that another version wrote and this one cannot read is left out.
fn record_of(row: &Row<'_>) -> rusqlite::Result<Option<DeployRecord>> {
    let (release, kind): (String, String) = (row.get(1)?, row.get(2)?);
    let kind = KINDS.iter().find(|(_, word)| *word == kind).map(|(kind, _)| *kind);
    let (Ok(release), Some(kind)) = (release.parse(), kind) else { return Ok(None) };
    Ok(Some(DeployRecord {
        number: DeployNumber(row.get::<_, i64>(0)?.unsigned_abs()),
        release,
        kind,
        by: row.get(3)?,
        reference: row.get(4)?,
        at_unix_ms: row.get::<_, i64>(5)?.unsigned_abs(),
        ended: row.get::<_, Option<i64>>(6)?.is_some(),
        failed: row.get(7)?,
    }))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn deployments_are_kept_with_their_end() {
        let (_folder, store) = store();
        for (number, release) in [(1, "1-abcdef0"), (2, "2-abcdef1")] {
            let record = DeployRecord {
                number: DeployNumber(number),
                release: release.parse().unwrap(),
                kind: DeployKind::Deploy,
                by: "anna@laptop".to_owned(),
                reference: "main".to_owned(),
                at_unix_ms: 7,
                ended: false,
                failed: None,
            };
            store.insert_deployment(&record).unwrap();
        }
        let outcome = Outcome {
            number: DeployNumber(2),
            release: "2-abcdef1".parse().unwrap(),
            failed: Some("it crashed".to_owned()),
        };
        store.finish_deployment(&outcome).unwrap();
        let all = store.all_deployments().unwrap();
        assert_eq!(all.iter().map(|record| record.number.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(all[0].failed.as_deref(), Some("it crashed"));
        assert!(all[0].ended && !all[1].ended);
    }

    #[test]
    fn the_same_minutes_of_past_days_are_averaged() {
        let (_folder, store) = store();
        let now = 30 * DAY_MINUTES + 600;
        for (day, mean) in [(1, 10.0), (2, 20.0), (14, 30.0), (20, 1000.0)] {
            store.insert_load(Tier::App, now - day * DAY_MINUTES + 5, mean).unwrap();
        }
        // Of today, of another tier, and further ahead than asked: none of them counts.
        store.insert_load(Tier::App, now - 1, 99.0).unwrap();
        store.insert_load(Tier::Web, now - DAY_MINUTES + 5, 99.0).unwrap();
        store.insert_load(Tier::App, now - DAY_MINUTES + 30, 99.0).unwrap();
        let known = store.mean_of_past_days(Tier::App, now, 10).unwrap();
        assert_eq!(known, BTreeMap::from([(300, 20.0)]));
    }
}
