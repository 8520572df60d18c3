//! What `decide` returns: routes, steps, waiting; every entry with its `because`.

use crate::endpoint::Endpoint;
use crate::gtid::Gtids;
use crate::ids::{DeployNumber, HostId, IdError, InstanceId, ReleaseId, SiteName, Term};
use crate::roster::Roster;
use crate::routes::Routes;
use crate::site::CommandLine;
use crate::spec::{AppSpec, Spec};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What should be done, and because of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to exist from now on; stored before anything is done.
    pub roster: Roster,
    /// What the data plane may send where from now on.
    pub routes: Routes,
    /// What is to be done now; steps of one plan do not depend on each other.
    pub steps: Vec<Step>,
    /// What is not done yet, and what it waits for.
    pub waiting: Vec<Waiting>,
}

/// One idempotent act on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whose agent does it.
    pub host: HostId,
    /// What is done.
    pub action: Action,
    /// Why.
    pub because: String,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Unpack a release's source and run its build commands.
    Build {
        /// Whose, for `STOA_SITE`.
        site: SiteName,
        /// Which.
        release: ReleaseId,
        /// The commands; `None` means what its files suggest.
        commands: Option<Vec<crate::site::CommandLine>>,
        /// The folders that outlive it.
        persist: Vec<crate::site::InnerPath>,
        /// All of it may take this long.
        timeout: Millis,
    },
    /// Let nginx look for static files in these releases, in this order (links are swapped): the one that
    /// serves, then those whose pages may still be open or are about to be.
    Publish {
        /// Which; at least one, at most [`STATIC_ROOTS`].
        releases: Vec<ReleaseId>,
    },
    /// Run a task of a deployment once: its hooks, its migration. It outlives the daemon; one that has run
    /// is never run again under the same id.
    Run {
        /// Which.
        task: TaskId,
        /// What.
        command: CommandLine,
        /// As what: the environment of an instance of the release.
        spec: Box<AppSpec>,
        /// It may take this long.
        timeout: Millis,
    },
    /// Remove a release that nothing needs any more: its folder, its source, its build log.
    Remove {
        /// Which.
        release: ReleaseId,
    },
    /// Create a data folder.
    Prepare {
        /// Whose.
        instance: InstanceId,
        /// For what.
        spec: Spec,
    },
    /// Render its configuration and start its process. A running one of the same spec is left alone.
    Start {
        /// Which.
        instance: InstanceId,
        /// As what.
        spec: Spec,
    },
    /// Render its configuration anew and let it re-read it without dropping a request.
    Reload {
        /// Which.
        instance: InstanceId,
        /// As what.
        spec: Spec,
    },
    /// SIGTERM (what its server takes for a clean end), then SIGKILL.
    Stop {
        /// Which.
        instance: InstanceId,
        /// The time between the two.
        grace: Millis,
    },
    /// Make a data folder from that of a running database server, which goes on serving meanwhile.
    Clone {
        /// Whose.
        instance: InstanceId,
        /// For what.
        spec: Spec,
        /// The server it is made from.
        from: InstanceId,
        /// Where that listens.
        endpoint: Endpoint,
        /// The term; a source that knows a higher one refuses.
        term: Term,
    },
    /// Make a database server refuse writes and end the sessions that could still write. Belongs to no
    /// term: refusing is always safe.
    Fence {
        /// Which.
        instance: InstanceId,
    },
    /// Let a database server apply what it has received, replicate no more and take writes in this term.
    Promote {
        /// Which.
        instance: InstanceId,
        /// The term; a server that knows a higher one refuses.
        term: Term,
        /// Its commits wait until a replica has them.
        wait: bool,
    },
    /// Let a primary's commits wait until a replica has them, or no longer.
    SemiSync {
        /// Which.
        instance: InstanceId,
        /// The term; a server that knows a higher one refuses.
        term: Term,
        /// Whether they wait.
        wait: bool,
    },
    /// Save what a former primary that is down has beyond `beyond`: its binlog's transactions are written to
    /// [`crate::Paths::salvaged`], and its next start rolls back those that it had not committed. Only such a
    /// start may: whatever else restarts keeps all that is in its binlog.
    Salvage {
        /// Whose.
        instance: InstanceId,
        /// What its successor had when it took over.
        beyond: Gtids,
        /// The term of its successor.
        term: Term,
    },
    /// Remove the data folder of a database server that is down, so that it is cloned anew.
    Discard {
        /// Whose.
        instance: InstanceId,
    },
    /// Let a database server replicate from the primary of this term.
    Follow {
        /// Which.
        instance: InstanceId,
        /// The primary.
        primary: InstanceId,
        /// Where it listens.
        endpoint: Endpoint,
        /// It is connected to inside TLS.
        #[serde(default)]
        tls: bool,
        /// The term.
        term: Term,
    },
}

/// The most releases whose static files are looked through.
pub const STATIC_ROOTS: usize = 4;

/// A task of a deployment, written `migrate-12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId {
    /// What it is for.
    pub kind: TaskKind,
    /// Of which deployment.
    pub deploy: DeployNumber,
}

/// What a task of a deployment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// `[deploy] before_deploy`.
    Before,
    /// `[deploy] migrate`.
    Migrate,
    /// `[deploy] after_deploy`.
    After,
}

/// What tells steps apart: the same key is the same step, tried again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct StepKey(String);

/// Something not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Whose turn it is: an instance, a release, a tier.
    pub subject: String,
    /// What it waits for.
    pub until: String,
    /// How it stands.
    pub kind: WaitKind,
}

/// Whether waiting helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitKind {
    /// It comes by itself.
    Progress,
    /// Everything is done that may be, and it falls short of what is asked of the site: at rest, not well.
    Limit,
    /// Something failed and is tried again later; the user may have to mend it.
    Trouble,
    /// Nothing more happens before the user does something.
    Stuck,
}

impl Action {
    /// The verb, as in the key and in the journal.
    pub fn verb(&self) -> &'static str {
        match self {
            Action::Build { .. } => "build",
            Action::Publish { .. } => "publish",
            Action::Run { .. } => "run",
            Action::Remove { .. } => "remove",
            Action::Prepare { .. } => "prepare",
            Action::Start { .. } => "start",
            Action::Reload { .. } => "reload",
            Action::Stop { .. } => "stop",
            Action::Clone { .. } => "clone",
            Action::Fence { .. } => "fence",
            Action::Promote { .. } => "promote",
            Action::SemiSync { .. } => "semi-sync",
            Action::Salvage { .. } => "salvage",
            Action::Discard { .. } => "discard",
            Action::Follow { .. } => "follow",
        }
    }

    /// The instance it acts on, where it acts on one.
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Action::Build { .. } | Action::Publish { .. } | Action::Run { .. } | Action::Remove { .. } => {
                None
            }
            Action::Prepare { instance, .. }
            | Action::Start { instance, .. }
            | Action::Reload { instance, .. }
            | Action::Stop { instance, .. }
            | Action::Clone { instance, .. }
            | Action::Fence { instance }
            | Action::Promote { instance, .. }
            | Action::SemiSync { instance, .. }
            | Action::Salvage { instance, .. }
            | Action::Discard { instance }
            | Action::Follow { instance, .. } => Some(*instance),
        }
    }

    /// The instance or release it acts on, as text.
    pub fn subject(&self) -> String {
        match self {
            Action::Build { release, .. } | Action::Remove { release } => release.to_string(),
            Action::Publish { releases } => releases.first().map(ToString::to_string).unwrap_or_default(),
            Action::Run { task, .. } => task.to_string(),
            other => other.instance().map(|id| id.to_string()).unwrap_or_default(),
        }
    }

    /// What tells it apart.
    pub fn key(&self) -> StepKey {
        StepKey(format!("{} {}", self.verb(), self.subject()))
    }
}

impl TaskKind {
    /// Every one, in the order in which they run.
    pub const ALL: [TaskKind; 3] = [TaskKind::Before, TaskKind::Migrate, TaskKind::After];

    /// The word for it: its key in `[deploy]`, with `-` for `_`.
    pub const fn word(self) -> &'static str {
        match self {
            TaskKind::Before => "before-deploy",
            TaskKind::Migrate => "migrate",
            TaskKind::After => "after-deploy",
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.kind.word(), self.deploy))
    }
}

impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let parsed = value.rsplit_once('-').and_then(|(word, number)| {
            let kind = TaskKind::ALL.into_iter().find(|kind| kind.word() == word)?;
            let canonical = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
            let deploy = DeployNumber(canonical.then(|| number.parse().ok())??);
            Some(TaskId { kind, deploy })
        });
        parsed.ok_or_else(|| IdError { value: value.to_owned(), expected: "a task, such as migrate-12" })
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;
    fn try_from(value: String) -> Result<Self, IdError> {
        value.parse()
    }
}

impl From<TaskId> for String {
    fn from(task: TaskId) -> String {
        task.to_string()
    }
}

impl StepKey {
    /// The verb.
    pub fn verb(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// What is true once it has come to its end, as in "app-2 waits until it has started".
    pub fn end(&self) -> &'static str {
        match self.verb() {
            "build" => "it is built",
            "publish" => "static files come from it",
            "run" => "it has run",
            "remove" => "it is removed",
            "prepare" => "its data folder is made",
            "start" => "it has started",
            "reload" => "it has re-read its configuration",
            "stop" => "it has stopped",
            "clone" => "its data folder is cloned",
            "fence" => "it refuses writes",
            "promote" => "it takes writes",
            "semi-sync" => "it is told whether its commits wait for a replica",
            "salvage" => "what only it has is saved",
            "discard" => "its data folder is removed",
            "follow" => "it replicates",
            _ => "what is being done to it is done",
        }
    }

    /// The instance or release, as text.
    pub fn subject(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, subject)| subject)
    }
}

impl From<String> for StepKey {
    fn from(text: String) -> Self {
        StepKey(text)
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> String {
        key.0
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Plan {
    /// Nothing to do, and nothing to wait for that anybody works on.
    pub fn settled(&self) -> bool {
        self.steps.is_empty() && self.waiting.iter().all(|waiting| waiting.kind == WaitKind::Limit)
    }
}
