//! What is, as far as it is known, and how old that knowledge is.
//!
//! A missing answer is `Unknown` or an old `at`; it never reads as zero, healthy or gone.

use crate::control::Report;
use crate::deployment::Tasks;
use crate::endpoint::{Endpoint, Port};
use crate::gtid::{Gtids, Origin};
use crate::ids::{Digest, HostId, InstanceId, ReleaseId, Term};
use crate::plan::StepKey;
use crate::time::{Millis, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that every agent has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// By host; a host that was never heard of is not in it.
    pub hosts: BTreeMap<HostId, HostObserved>,
}

/// What one agent sees of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostObserved {
    /// When it looked.
    pub at: Time,
    /// Every instance it has a trace of: a process, a record or a data folder.
    pub instances: BTreeMap<InstanceId, InstanceObserved>,
    /// Every release it has a trace of.
    pub releases: BTreeMap<ReleaseId, ReleaseState>,
    /// The releases that nginx looks for static files in, in this order; empty before the first.
    pub static_roots: Vec<ReleaseId>,
    /// Tasks of deployments there is a trace of.
    pub tasks: Tasks,
    /// What was saved of former primaries' data before they were rewound or made anew: the newest of each.
    #[serde(default)]
    pub salvaged: BTreeMap<InstanceId, Salvaged>,
    /// Ports of the loopback interface that nothing listens on, none of them in the kernel's range of
    /// ephemeral ports; enough of them for one plan. The port of an assigned instance that has no
    /// process is among them exactly when nothing else listens there.
    pub free_ports: Vec<Port>,
    /// Steps under way.
    pub busy: Vec<StepKey>,
    /// The last failure of each step that failed and has not succeeded since.
    pub failures: BTreeMap<StepKey, StepFailure>,
}

/// One instance as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceObserved {
    /// Its process.
    pub process: ProcessState,
    /// Its data folder, for tiers that have one.
    pub data: DataState,
    /// The disk of its data folder has no room: what is to be told of it. Looked at beside the server, which
    /// may answer nothing while it waits for room.
    #[serde(default)]
    pub full: Option<String>,
    /// What its own protocol tells of it.
    pub detail: Detail,
}

/// Whether a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// Could not be told.
    Unknown,
    /// Not started, or stopped on purpose.
    Absent,
    /// It runs.
    Running(Running),
    /// It ended by itself, or was killed by somebody else.
    Exited(Exited),
}

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// When it started; with the pid it names the process for good within this boot.
    pub started: Time,
    /// What it was started, or last reloaded, as.
    pub spec: Digest,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// It is connected to inside TLS.
    #[serde(default)]
    pub tls: bool,
    /// The code it runs, for the app tier.
    pub release: Option<ReleaseId>,
    /// What the checks since its start have shown.
    pub health: Health,
    /// A stop was asked for and has not come to its end.
    pub stopping: bool,
    /// How often in a row its predecessors ended before they had been healthy for a while.
    pub crashes: u32,
}

/// What the checks since a process' start have shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check has passed yet; why, where one was answered badly.
    Unproven(Option<String>),
    /// The last check passed.
    Healthy {
        /// The first pass of this unbroken row.
        since: Time,
        /// The last pass.
        last: Time,
        /// How many in a row.
        #[serde(default)]
        passes: u32,
    },
    /// Passed once since its start, but the last checks failed.
    Failing {
        /// The first failure of this unbroken row.
        since: Time,
        /// How many in a row.
        streak: u32,
        /// What was wrong.
        why: String,
    },
}

/// A process that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// When it was noticed.
    pub at: Time,
    /// `exit status 1`, `killed by signal 9`, or [`Exited::UNTOLD`] where nobody could tell.
    pub how: String,
    /// What it was run as.
    pub spec: Digest,
    /// How often in a row a process of this instance ended before it had been healthy for a while;
    /// at least 1 when this one did.
    pub crashes: u32,
    /// How often in a row one ended before its first check passed; at least 1 when this one did.
    #[serde(default)]
    pub failed_starts: u32,
    /// The last lines it printed, oldest first.
    pub last_lines: Vec<String>,
}

impl Exited {
    /// How a process ended that nobody watched.
    pub const UNTOLD: &str = "ended";
    /// How a process ended that nothing but another one's will ends: somebody's, or the kernel's for want of
    /// memory.
    pub const KILLED: &str = "killed by signal 9";

    /// Whether somebody saw how it ended. What ended while no daemon was there may have been cut short in its
    /// start by that daemon's own end.
    pub fn was_seen(&self) -> bool {
        self.how != Exited::UNTOLD
    }
}

/// An instance's data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataState {
    /// Could not be told, or the tier has none.
    Unknown,
    /// No folder, or an empty one, or one whose preparation was cut short.
    Absent,
    /// Ready to be started on.
    Ready,
    /// Made by something that the installed server must not be let loose on.
    Foreign {
        /// Whose it is, such as `MariaDB 11.4`.
        found: String,
        /// What is installed.
        installed: String,
    },
}

/// What an instance's own protocol tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::large_enum_variant, reason = "a handful exist; a box would be in every pattern")]
pub enum Detail {
    /// Nothing (yet).
    None,
    /// A role's last report.
    Role {
        /// When it came.
        at: Time,
        /// What it said.
        report: Report,
    },
    /// A database server's answer.
    Database {
        /// When it came.
        at: Time,
        /// What it said.
        status: DatabaseStatus,
    },
}

/// A database server's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// `@@read_only = 0`.
    pub writable: bool,
    /// The term it was last made primary or follower in, as it remembers itself.
    pub term: Term,
    /// Whose transactions are its own.
    pub origin: Origin,
    /// What it has executed, in all domains. MariaDB: `@@gtid_binlog_state` with `@@gtid_slave_pos`, so that
    /// it tells of each server's transactions how far they are in it; MySQL: `@@gtid_executed`.
    pub gtid: Gtids,
    /// A replica: what it holds, what it has not yet applied of it included; at least `gtid`.
    pub received: Option<Gtids>,
    /// Whether commits wait for a replica.
    pub semi_sync: SemiSync,
    /// The `server_id`s of the replicas that are connected to it and fetch.
    pub followers: BTreeSet<u32>,
    /// As it names itself, such as `10.11.6-MariaDB`.
    pub version: String,
    /// Settings that are not as they were rendered, such as `sync_binlog is 0, not 1`.
    pub drift: Vec<String>,
    /// What it replicates from, when it does.
    pub replication: Option<Replication>,
}

/// Whether commits wait until a replica has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SemiSync {
    /// Commits of this server wait.
    pub enabled: bool,
    /// So many connected replicas acknowledge.
    pub acknowledging: u32,
    /// So many sessions wait for an acknowledgement now.
    pub waiting: u32,
    /// How long its binlog has not grown while sessions waited, as far as it was seen.
    #[serde(default)]
    pub unmoved: Millis,
}

/// A replica's view of its replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Where it replicates from.
    pub primary: Endpoint,
    /// It connects there inside TLS.
    #[serde(default)]
    pub tls: bool,
    /// How the thread that fetches stands.
    pub receiving: Receiving,
    /// The thread that applies runs.
    pub applying: bool,
    /// Seconds behind, as the server tells it.
    pub lag_seconds: Option<u64>,
    /// How long before the answer it last got anything from its primary, a heartbeat included (asked for
    /// every 500 ms), or began to connect to it; none where the server does not tell.
    pub heard: Option<Millis>,
    /// How long nothing has come of what its primary wrote that had not come before while it was connected, as far as
    /// it was seen.
    #[serde(default)]
    pub stalled: Millis,
    /// How long it has been connected and has acknowledged nothing it got, as far as it was seen; nothing where it
    /// acknowledges.
    #[serde(default)]
    pub mute: Millis,
    /// The last error of either thread.
    pub error: Option<String>,
}

/// How the thread that fetches stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receiving {
    /// It is connected to its primary.
    Connected,
    /// It tries to be.
    Connecting,
    /// It does not run.
    Stopped,
}

/// What was saved of a former primary's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvaged {
    /// The term whose primary has taken over.
    pub term: Term,
    /// So many transactions are in the file; none where it had nothing of its own.
    pub transactions: u64,
}

impl Replication {
    /// Whether it needs no help: both threads run. One that lost its connection tries again by itself, every
    /// second; one that has ended, whether told to or for an error, never begins by itself.
    pub fn goes_on(&self) -> bool {
        self.receiving != Receiving::Stopped && self.applying && !self.is_stuck() && !self.is_mute()
    }

    /// Whether commits of its primary wait in vain for it: it has fetched for a while as a replica does whose
    /// acknowledging is switched off. One that has just connected says so for a moment too.
    pub fn is_mute(&self) -> bool {
        const MOMENT: Millis = Millis::from_secs(2);
        self.receiving == Receiving::Connected && self.mute > MOMENT
    }

    /// Whether it has been connecting for so long that it may do so for ever: of MySQL, the handshake of TLS has
    /// no time-out, and waits for a server that has long closed the connection.
    pub fn is_stuck(&self) -> bool {
        const LONG: Millis = Millis::from_secs(15);
        self.receiving == Receiving::Connecting && self.heard.is_some_and(|heard| heard > LONG)
    }

    /// Whether it fetches and applies.
    pub fn runs(&self) -> bool {
        self.receiving == Receiving::Connected && self.applying
    }
}

impl DatabaseStatus {
    /// How many transactions it holds and has not applied.
    pub fn unapplied(&self) -> u64 {
        self.holds().ahead_of(&self.gtid)
    }

    /// What it holds, applied or not.
    pub fn holds(&self) -> &Gtids {
        self.received.as_ref().unwrap_or(&self.gtid)
    }
}

/// A release on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Its source was taken; it is not built.
    Taken,
    /// Built, sealed, ready to run.
    Built,
    /// The build failed; it is not tried again by itself.
    Failed {
        /// Which command, and how it ended.
        why: String,
        /// The last lines it printed.
        last_lines: Vec<String>,
    },
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// When, last.
    pub at: Time,
    /// How often in a row.
    pub attempts: u32,
    /// What went wrong and what to do about it.
    pub error: String,
}
