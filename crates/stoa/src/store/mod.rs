//! The store: all that the agents and the controller know of each other.
//!
//! Agent and controller speak through it even in one process, so that many hosts are another
//! implementation of [`Store`] and not another structure. It keeps and hands out; it never decides.
//!
//! Two kinds of facts: what must outlive a power cut (intent, roster, routes, journal) is on disk before
//! a call returns; what is only true now (observations, steps) is not, because an observation older
//! than its observer is worth nothing.

mod history;
mod sqlite;

pub(crate) use sqlite::SqliteStore;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use stoa_model::deployment::{DeployKind, Outcome};
use stoa_model::journal::{Entry, Kind};
use stoa_model::observed::HostObserved;
use stoa_model::{Demand, DeployNumber, HostId, Intent, Observed, Plan, ReleaseId, Roster, Routes, Tier};

/// The store did not keep or find something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite said no.
    #[error(
        "{path}: {source}; the site's state cannot be read or written, see that the disk is neither full nor read-only"
    )]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// What was stored does not read as what it should be.
    #[error("{path}: the {what} stored there cannot be read by this version: {source}")]
    Unreadable {
        /// The database file.
        path: PathBuf,
        /// Which kind of record.
        what: &'static str,
        /// Where it broke.
        source: serde_json::Error,
    },
}

/// A journal entry to be appended; its number and time are given by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEntry {
    /// What kind of thing happened.
    pub(crate) kind: Kind,
    /// What it is about.
    pub(crate) subject: String,
    /// What was decided or done.
    pub(crate) text: String,
    /// Why.
    pub(crate) because: String,
}

/// One deployment as it was asked for and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeployRecord {
    /// Its number.
    pub(crate) number: DeployNumber,
    /// The release that was to serve.
    pub(crate) release: ReleaseId,
    /// How it came about.
    pub(crate) kind: DeployKind,
    /// Who asked for it.
    pub(crate) by: String,
    /// The branch, tag or commit that was asked for.
    pub(crate) reference: String,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_unix_ms: u64,
    /// It is over, well or not.
    pub(crate) ended: bool,
    /// Why it failed, where it did.
    pub(crate) failed: Option<String>,
}

/// A plan as it was published.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Grows with each plan: one that was acted on is not acted on again when no newer one can be kept.
    pub(crate) number: u64,
    /// The intent it was made for.
    pub(crate) intent: Intent,
    /// What is to be done.
    pub(crate) plan: Plan,
}

/// All that the agents and the controller know of each other.
pub(crate) trait Store: Send + Sync + 'static {
    /// What the operator asked for; `None` before the first `up`.
    fn intent(&self) -> impl Future<Output = Result<Option<Intent>, StoreError>> + Send;

    /// Keeps a new intent; `text` is the file it came from, kept as a generation of config when it differs
    /// from the last one.
    fn put_intent(
        &self,
        intent: &Intent,
        text: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What has been decided to exist, and the routes in force.
    fn decided(&self) -> impl Future<Output = Result<(Roster, Routes), StoreError>> + Send;

    /// Keeps the roster and the routes of a plan made for `intent` (one transaction) and publishes its
    /// steps to the agents.
    fn put_plan(&self, intent: &Intent, plan: &Plan) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The last plan, where one was made since this process started.
    fn plan(&self) -> impl Future<Output = Result<Option<Planned>, StoreError>> + Send;

    /// Publishes what an agent sees of its host.
    fn put_observed(
        &self,
        host: &HostId,
        seen: HostObserved,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What all agents see.
    fn observed(&self) -> impl Future<Output = Result<Observed, StoreError>> + Send;

    /// Publishes what was asked of a tier over the last minutes; without it, it is not measured.
    fn put_demand(
        &self,
        tier: Tier,
        demand: Option<Demand>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What was asked of every tier that is measured.
    fn demand(&self) -> impl Future<Output = Result<BTreeMap<Tier, Demand>, StoreError>> + Send;

    /// Keeps the mean load of one minute (counted from the Unix epoch) of a tier.
    fn put_load(
        &self,
        tier: Tier,
        minute: i64,
        mean: f64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The mean load of past days from this minute of the day on, by how many seconds later; for the next
    /// `ahead` minutes.
    fn past_load(
        &self,
        tier: Tier,
        minute: i64,
        ahead: u32,
    ) -> impl Future<Output = Result<BTreeMap<u32, f64>, StoreError>> + Send;

    /// Keeps that a deployment was asked for.
    fn put_deployment(&self, record: &DeployRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps how a deployment ended.
    fn end_deployment(&self, outcome: &Outcome) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every deployment that is remembered, the newest first.
    fn deployments(&self) -> impl Future<Output = Result<Vec<DeployRecord>, StoreError>> + Send;

    /// Appends to the journal, in order.
    fn append(&self, entries: &[NewEntry]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Journal entries with a number above `after`, oldest first; without it the last ones. At most `limit`.
    fn entries(
        &self,
        after: Option<u64>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// The number of the last journal entry, 0 where there is none.
    fn last_entry(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
