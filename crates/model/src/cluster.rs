//! What is remembered of the database servers beside who is primary: which replicas acknowledged writes may
//! be on, whether any are on the primary alone, and how the last change of primary came about.
//!
//! Part of the roster: stored before a step relies on it.

use crate::gtid::Gtids;
use crate::ids::{InstanceId, Term};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered of the database servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// The server that last took writes, and the term in which it began to. All acknowledged writes are on
    /// it. It differs from the roster's primary while another one takes over.
    pub leader: Option<Leader>,
    /// The replicas that were let follow the leader and may hold what no other replica holds: unless it is
    /// [`Cluster::degraded`], each acknowledged write is on at least one of them.
    pub acknowledgers: BTreeSet<InstanceId>,
    /// Acknowledgers that are down, or were told to follow anew and may have lost what they had received and
    /// not applied: what the leader had then. Until they have that again, or another one has, it is not known
    /// what they had acknowledged.
    pub owing: BTreeMap<InstanceId, Gtids>,
    /// Since when nobody acknowledges the leader's writes.
    pub lonely: Option<Time>,
    /// Since when, and why, writes may be on the leader alone.
    pub degraded: Option<Degraded>,
    /// The primary that is ended, so that another one may take over.
    pub fenced: Option<Fenced>,
    /// When one was last followed by another because its replicas got nothing from it.
    pub wedged: Option<Time>,
    /// A change of primary that has not come to its end.
    pub handover: Option<Handover>,
    /// The last one that has.
    pub changed: Option<PrimaryChange>,
    /// The last order to switch over that was taken up, and what became of it.
    pub switchover: Option<Switchover>,
    /// Former primaries that may hold what their successors have not, and former followers that wrote for
    /// themselves, until they are rewound or made anew.
    pub astray: BTreeMap<InstanceId, Astray>,
    /// Followers whose replication broke, and what was done about it lately.
    pub broken: BTreeMap<InstanceId, Broken>,
    /// When a planned change of primary was last given up.
    pub given_up: Option<Time>,
    /// Servers that are let drain, to be restarted in their place, and since when.
    pub resting: BTreeMap<InstanceId, Time>,
}

/// Who takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Which.
    pub instance: InstanceId,
    /// Since which term.
    pub term: Term,
}

/// Acknowledged writes may be on one server only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Since when.
    pub since: Time,
    /// Why.
    pub because: String,
    /// What the leader had when its commits waited for a replica again; once a replica has that, this is over.
    pub goal: Option<Goal>,
}

/// What a replica has to have, so that writes are on two servers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// When commits were found to wait. A later answer has to say the same.
    pub at: Time,
    /// What the leader had.
    pub gtid: Gtids,
}

/// A primary whose process is ended, though it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Which.
    pub instance: InstanceId,
    /// Why.
    pub because: String,
    /// Its replicas got nothing from it.
    pub wedged: bool,
}

/// A change of primary under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Planned or not.
    pub kind: HandoverKind,
    /// Who was primary.
    pub from: InstanceId,
    /// Who is to be; the same one, where it is only restarted.
    pub to: InstanceId,
    /// When it began.
    pub since: Time,
    /// Why.
    pub because: String,
}

/// Whether a change of primary was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandoverKind {
    /// The primary was lost.
    Failover,
    /// It was asked for, or the primary is to be restarted.
    Switchover,
}

/// A change of primary that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryChange {
    /// When the new one took writes.
    pub at: Time,
    /// Planned or not.
    pub kind: HandoverKind,
    /// Who was primary.
    pub from: InstanceId,
    /// Who is.
    pub to: InstanceId,
    /// Why.
    pub because: String,
    /// What the new one had when it took over.
    pub position: Gtids,
}

/// `stoa db switchover`, as it was asked for. Part of the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchoverOrder {
    /// Grows with each; a higher one than was taken up begins anew.
    pub number: u64,
    /// To whom; the replica that is furthest, where it was not said.
    pub to: Option<InstanceId>,
    /// Who asked, such as `anna@laptop`.
    pub by: String,
}

/// What became of an order to switch over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// Of which order.
    pub number: u64,
    /// How it stands.
    pub state: SwitchoverState,
}

/// How a switchover stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwitchoverState {
    /// It is under way.
    Underway,
    /// The new primary takes writes.
    Done {
        /// Which.
        to: InstanceId,
    },
    /// The primary is what it was; why.
    Failed {
        /// What was in the way.
        why: String,
    },
}

/// A server whose data is not a part of the primary's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Astray {
    /// Since the primary of this term.
    pub term: Term,
    /// What that one had.
    pub beyond: Gtids,
    /// What is to become of it.
    pub cure: Cure,
    /// How it came about.
    pub because: String,
}

/// A follower whose replication broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Since when it is broken, where it is; trying may have helped for moments.
    pub since: Option<Time>,
    /// When it was last seen broken, to a few seconds.
    pub seen: Time,
    /// How often it was made anew without having been well for long.
    pub rebuilds: u32,
    /// When it last was.
    pub last: Time,
}

impl Broken {
    /// One that was never made anew.
    pub fn fresh(now: Time) -> Self {
        Broken { since: None, seen: now, rebuilds: 0, last: now }
    }
}

/// What is to become of a server that went astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cure {
    /// What only it has is saved; then it starts rewound and follows.
    Rewind,
    /// What only it has is saved; then it is cloned anew.
    Rebuild,
}
