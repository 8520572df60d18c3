//! The store of a single-machine site: one SQLite file, write-ahead log, every commit on disk.
//!
//! Calls are short (well under a millisecond, a commit one fsync) and come from the daemon's one thread, so
//! they run in place.

use super::{DeployRecord, NewEntry, Planned, Store, StoreError, history};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stoa_model::deployment::Outcome;
use stoa_model::journal::{Entry, Kind};
use stoa_model::observed::HostObserved;
use stoa_model::{Demand, HostId, Intent, Observed, Plan, Roster, Routes, Tier};

/// The journal keeps this many entries; older ones are dropped a tenth at a time.
const JOURNAL_MAX: u64 = 100_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS record (name TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS config (generation INTEGER PRIMARY KEY, at_unix_ms INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS journal (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at_unix_ms INTEGER NOT NULL,
        kind TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL, because TEXT NOT NULL);
";

/// The store of a single-machine site.
pub(crate) struct SqliteStore {
    path: PathBuf,
    connection: Mutex<Connection>,
    now: Mutex<Now>,
}

/// What is only true while this process lives.
#[derive(Default)]
struct Now {
    hosts: BTreeMap<HostId, HostObserved>,
    plan: Option<Planned>,
    demand: BTreeMap<Tier, Demand>,
    /// What is on disk already: a settled site writes nothing.
    kept: Option<(Roster, Routes)>,
}

impl SqliteStore {
    /// Opens the store at `path`, making it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(at)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(at)?;
        connection.pragma_update(None, "synchronous", "full").map_err(at)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(at)?;
        connection.execute_batch(SCHEMA).map_err(at)?;
        connection.execute_batch(history::SCHEMA).map_err(at)?;
        Ok(SqliteStore {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            now: Mutex::new(Now::default()),
        })
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |source| StoreError::Sqlite { path: self.path.clone(), source }
    }

    fn read<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let connection = self.connection();
        let query = "SELECT json FROM record WHERE name = ?1";
        let json: Option<String> =
            connection.query_row(query, [name], |row| row.get(0)).optional().map_err(self.failed())?;
        let unreadable = |source| StoreError::Unreadable { path: self.path.clone(), what: name, source };
        json.map(|json| serde_json::from_str(&json).map_err(unreadable)).transpose()
    }

    fn json<T: Serialize>(&self, name: &'static str, value: &T) -> Result<String, StoreError> {
        let unreadable = |source| StoreError::Unreadable { path: self.path.clone(), what: name, source };
        serde_json::to_string(value).map_err(unreadable)
    }
}

const PUT: &str = "INSERT INTO record (name, json) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET json = excluded.json";

impl Store for SqliteStore {
    async fn intent(&self) -> Result<Option<Intent>, StoreError> {
        self.read("intent")
    }

    async fn put_intent(&self, intent: &Intent, text: Option<&str>) -> Result<(), StoreError> {
        let json = self.json("intent", intent)?;
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(self.failed())?;
        transaction.execute(PUT, params!["intent", json]).map_err(self.failed())?;
        if let Some(text) = text {
            let last = "SELECT text FROM config ORDER BY generation DESC LIMIT 1";
            let last: Option<String> =
                transaction.query_row(last, [], |row| row.get(0)).optional().map_err(self.failed())?;
            if last.as_deref() != Some(text) {
                let insert = "INSERT INTO config (at_unix_ms, text) VALUES (?1, ?2)";
                transaction.execute(insert, params![unix_ms(), text]).map_err(self.failed())?;
            }
        }
        transaction.commit().map_err(self.failed())
    }

    async fn decided(&self) -> Result<(Roster, Routes), StoreError> {
        if let Some(kept) = &self.now().kept {
            return Ok(kept.clone());
        }
        let roster: Roster = self.read("roster")?.unwrap_or_default();
        let routes: Routes = self.read("routes")?.unwrap_or_default();
        self.now().kept = Some((roster.clone(), routes.clone()));
        Ok((roster, routes))
    }

    async fn put_plan(&self, intent: &Intent, plan: &Plan) -> Result<(), StoreError> {
        let unchanged = matches!(&self.now().kept, Some((roster, routes)) if *roster == plan.roster && *routes == plan.routes);
        if !unchanged {
            let (roster, routes) = (self.json("roster", &plan.roster)?, self.json("routes", &plan.routes)?);
            let mut connection = self.connection();
            let transaction = connection.transaction().map_err(self.failed())?;
            transaction.execute(PUT, params!["roster", roster]).map_err(self.failed())?;
            transaction.execute(PUT, params!["routes", routes]).map_err(self.failed())?;
            transaction.commit().map_err(self.failed())?;
        }
        let mut now = self.now();
        now.kept = Some((plan.roster.clone(), plan.routes.clone()));
        let number = now.plan.as_ref().map_or(1, |last| last.number + 1);
        now.plan = Some(Planned { number, intent: intent.clone(), plan: plan.clone() });
        Ok(())
    }

    async fn plan(&self) -> Result<Option<Planned>, StoreError> {
        Ok(self.now().plan.clone())
    }

    async fn put_observed(&self, host: &HostId, seen: HostObserved) -> Result<(), StoreError> {
        self.now().hosts.insert(host.clone(), seen);
        Ok(())
    }

    async fn observed(&self) -> Result<Observed, StoreError> {
        Ok(Observed { hosts: self.now().hosts.clone() })
    }

    async fn put_demand(&self, tier: Tier, demand: Option<Demand>) -> Result<(), StoreError> {
        let mut now = self.now();
        match demand {
            Some(demand) => now.demand.insert(tier, demand),
            None => now.demand.remove(&tier),
        };
        Ok(())
    }

    async fn demand(&self) -> Result<BTreeMap<Tier, Demand>, StoreError> {
        Ok(self.now().demand.clone())
    }

    async fn put_load(&self, tier: Tier, minute: i64, mean: f64) -> Result<(), StoreError> {
        self.insert_load(tier, minute, mean)
    }

    async fn past_load(&self, tier: Tier, minute: i64, ahead: u32) -> Result<BTreeMap<u32, f64>, StoreError> {
        self.mean_of_past_days(tier, minute, ahead)
    }

    async fn put_deployment(&self, record: &DeployRecord) -> Result<(), StoreError> {
        self.insert_deployment(record)
    }

    async fn end_deployment(&self, outcome: &Outcome) -> Result<(), StoreError> {
        self.finish_deployment(outcome)
    }

    async fn deployments(&self) -> Result<Vec<DeployRecord>, StoreError> {
        self.all_deployments()
    }

    async fn append(&self, entries: &[NewEntry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(self.failed())?;
        for entry in entries {
            let insert =
                "INSERT INTO journal (at_unix_ms, kind, subject, text, because) VALUES (?1, ?2, ?3, ?4, ?5)";
            let row = params![unix_ms(), kind_word(entry.kind), entry.subject, entry.text, entry.because];
            transaction.execute(insert, row).map_err(self.failed())?;
        }
        let last = transaction.last_insert_rowid();
        if last % (JOURNAL_MAX as i64 / 10) < entries.len() as i64 {
            let oldest = last - JOURNAL_MAX as i64;
            transaction.execute("DELETE FROM journal WHERE number <= ?1", [oldest]).map_err(self.failed())?;
        }
        transaction.commit().map_err(self.failed())
    }

    async fn entries(&self, after: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let connection = self.connection();
        let forward = "SELECT * FROM journal WHERE number > ?1 ORDER BY number LIMIT ?2";
        let last = "SELECT * FROM (SELECT * FROM journal WHERE number > ?1 ORDER BY number DESC LIMIT ?2) ORDER BY number";
        let query = if after.is_some() { forward } else { last };
        let mut statement = connection.prepare_cached(query).map_err(self.failed())?;
        let from = i64::try_from(after.unwrap_or(0)).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![from, limit], entry_of).map_err(self.failed())?;
        rows.collect::<Result<_, _>>().map_err(self.failed())
    }

    async fn last_entry(&self) -> Result<u64, StoreError> {
        let query = "SELECT coalesce(max(number), 0) FROM journal";
        let number: i64 = self.connection().query_row(query, [], |row| row.get(0)).map_err(self.failed())?;
        Ok(number.unsigned_abs())
    }
}

fn entry_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        at_unix_ms: row.get::<_, i64>(1)?.unsigned_abs(),
        kind: kind_of(&row.get::<_, String>(2)?),
        subject: row.get(3)?,
        text: row.get(4)?,
        because: row.get(5)?,
    })
}

const KINDS: [(Kind, &str); 8] = [
    (Kind::Decided, "decided"),
    (Kind::Asked, "asked"),
    (Kind::Step, "step"),
    (Kind::Done, "done"),
    (Kind::Failed, "failed"),
    (Kind::Routes, "routes"),
    (Kind::Seen, "seen"),
    (Kind::Refused, "refused"),
];

fn kind_word(kind: Kind) -> &'static str {
    KINDS.iter().find(|(k, _)| *k == kind).map_or("seen", |(_, word)| word)
}

fn kind_of(word: &str) -> Kind {
    KINDS.iter().find(|(_, w)| *w == word).map_or(Kind::Seen, |(kind, _)| *kind)
}

/// For people reading the journal; nothing is decided by it.
pub(super) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
