//! What is said of the database: who is primary and why, how far each server is, which statements take time.

use super::InstanceState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stoa_model::cluster::{Degraded, Handover, PrimaryChange, Switchover};
use stoa_model::gtid::Gtids;
use stoa_model::observed::SemiSync;
use stoa_model::site::Consistency;
use stoa_model::{Endpoint, InstanceId, Millis, Term};

/// `GET /v1/database`: how the database stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DatabaseReport {
    /// `mariadb` or `mysql`.
    pub(crate) engine: String,
    /// Who takes writes, or is to.
    pub(crate) primary: Option<InstanceId>,
    /// Grows with every change of it.
    pub(crate) term: Term,
    /// Where applications reach it.
    pub(crate) address: Option<Endpoint>,
    /// What a read that a replica answers may see.
    pub(crate) consistency: Consistency,
    /// The last change of primary, and why it came about.
    pub(crate) changed: Option<PrimaryChange>,
    /// How long ago that was.
    pub(crate) changed_ago: Option<Millis>,
    /// A change of primary under way.
    pub(crate) handover: Option<Handover>,
    /// Why acknowledged writes may be on one server only, where they may.
    pub(crate) degraded: Option<Degraded>,
    /// What became of the last `stoa db switchover`.
    pub(crate) switchover: Option<Switchover>,
    /// Every server.
    pub(crate) servers: Vec<DatabaseServer>,
    /// Statements that wait for a primary, over all splitters.
    pub(crate) held: u32,
    /// Clients of all splitters.
    pub(crate) sessions: u32,
}

/// One server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DatabaseServer {
    /// Which.
    pub(crate) id: InstanceId,
    /// `primary` or `replica`.
    pub(crate) role: String,
    /// How it is.
    pub(crate) state: InstanceState,
    /// What there is to say of that.
    pub(crate) note: Option<String>,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// It is connected to inside TLS.
    #[serde(default)]
    pub(crate) tls: bool,
    /// What it says of itself; none where it does not answer.
    pub(crate) facts: Option<DatabaseFacts>,
}

/// What a server says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DatabaseFacts {
    /// Whether it takes writes.
    pub(crate) writable: bool,
    /// The term it knows.
    pub(crate) term: Term,
    /// What it has executed.
    pub(crate) gtid: Gtids,
    /// Transactions that the primary has and it has not; none where that is not known.
    pub(crate) behind: Option<u64>,
    /// Seconds behind, as it says itself; none on a primary.
    pub(crate) lag_seconds: Option<u64>,
    /// Whether commits wait for a replica.
    pub(crate) semi_sync: SemiSync,
    /// Its version.
    pub(crate) version: String,
    /// Settings that are not as they should be.
    pub(crate) drift: Vec<String>,
}

/// `POST /v1/database/switchover`: another primary, without a statement failing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SwitchoverRequest {
    /// Which; none: the replica that is furthest.
    pub(crate) to: Option<InstanceId>,
    /// Who asks.
    pub(crate) by: String,
}

/// A switchover was taken; see [`DatabaseReport::switchover`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SwitchoverAccepted {
    /// Its number.
    pub(crate) number: u64,
    /// What was taken, as a sentence.
    pub(crate) text: String,
}

/// `GET /v1/database/top`: which statements take the time, those that take most first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct DatabaseTop {
    /// By digest.
    pub(crate) digests: Vec<stoa_model::control::DigestReport>,
    /// Statements by the server that answered them.
    pub(crate) statements: BTreeMap<InstanceId, u64>,
}
