//! What the command line and the daemon say to each other: JSON over HTTP on `run/stoa.sock`.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/up` | [`UpRequest`] | [`UpAccepted`] |
//! | `POST /v1/plan` | [`UpRequest`] | [`stoa_model::Plan`]; changes nothing |
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/events?after=N&limit=M` | | `Vec<`[`stoa_model::journal::Entry`]`>`, oldest first; without `after` the last M |
//! | `POST /v1/scale` | [`ScaleRequest`] | [`Accepted`] |
//! | `POST /v1/restart` | [`RestartRequest`] | [`Accepted`] |
//! | `POST /v1/dismiss` | `{}` | [`Accepted`]; the daemon ends itself if it never had a site |
//! | `POST /v1/down` | `{}` | [`Accepted`]; the daemon ends itself once everything has stopped |
//! | `GET /v1/environment` | | [`Environment`], for `stoa run`; only on the Unix socket |
//! | `GET /metrics` | | Prometheus text |
//!
//! Anything else than 2xx has a [`Problem`] as its body. On TCP (`127.0.0.1:7070`) only `GET /v1/status`,
//! `/v1/events` and `/metrics` are answered: everything that changes something needs the socket.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use stoa_model::intent::Power;
use stoa_model::{Endpoint, InstanceId, Millis, ReleaseId, Site, SiteName, Term, Tier, Waiting};

/// Bring the site up or to its new config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UpRequest {
    /// The site, validated by the command line.
    pub(crate) site: Site,
    /// The file it was read from.
    pub(crate) file: PathBuf,
    /// The file's text, kept as a generation of config.
    pub(crate) text: String,
}

/// An `up` was taken; it comes true by and by, see [`Status`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UpAccepted {
    /// The release that should run now.
    pub(crate) release: ReleaseId,
    /// Things the user should know, such as uncommitted changes that are no part of the release.
    pub(crate) warnings: Vec<String>,
    /// The number of the last journal entry before this request: what follows belongs to it.
    pub(crate) journal: u64,
}

/// `stoa scale app=4`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScaleRequest {
    /// Which tier: app, web or balancer.
    pub(crate) tier: Tier,
    /// How many instances, 1 to 100.
    pub(crate) instances: u16,
}

/// `stoa restart app`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RestartRequest {
    /// Which tier.
    pub(crate) tier: Tier,
}

/// A request was taken; it comes true by and by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// What was taken, in one sentence.
    pub(crate) text: String,
    /// The number of the last journal entry before this request.
    pub(crate) journal: u64,
}

/// A request was refused, or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Where and which value.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// What to type or change next.
    pub(crate) next: String,
}

/// The site as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whose.
    pub(crate) site: SiteName,
    /// Whether it should run.
    pub(crate) power: Power,
    /// The release that should run.
    pub(crate) release: ReleaseId,
    /// The release that static files come from: the last one that served in full.
    pub(crate) live: Option<ReleaseId>,
    /// Nothing to do and nothing to wait for.
    pub(crate) settled: bool,
    /// Where a browser finds it.
    pub(crate) urls: Vec<String>,
    /// The API's TCP address.
    pub(crate) api: Option<String>,
    /// Where its state lies.
    pub(crate) state: PathBuf,
    /// Every tier the site has, in the order in which a site is brought up.
    pub(crate) tiers: Vec<TierStatus>,
    /// The state of the release that should run: `taken`, `building`, `built` or `failed`.
    pub(crate) build: BuildStatus,
    /// What is not done yet, and what it waits for.
    pub(crate) waiting: Vec<Waiting>,
    /// The last failure of each step that failed and has not succeeded since, as sentences.
    pub(crate) failures: Vec<String>,
    /// The database's term.
    pub(crate) term: Term,
    /// The daemon itself.
    pub(crate) daemon: DaemonStatus,
}

/// The build of the release that should run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BuildStatus {
    /// Its source was taken.
    Taken,
    /// Its commands run.
    Building,
    /// Ready.
    Built,
    /// It failed.
    Failed {
        /// Which command, and how it ended.
        why: String,
        /// The last lines it printed.
        last_lines: Vec<String>,
    },
}

/// One tier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TierStatus {
    /// Which.
    pub(crate) tier: Tier,
    /// What serves it: `nginx`, `mariadb`, `redis`, `gunicorn` (the first word of `run`), `stoa`.
    pub(crate) software: String,
    /// How many instances it should have.
    pub(crate) wanted: u16,
    /// How many serve.
    pub(crate) ready: u16,
    /// Its instances.
    pub(crate) instances: Vec<InstanceStatus>,
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceStatus {
    /// Which.
    pub(crate) id: InstanceId,
    /// How it is.
    pub(crate) state: InstanceState,
    /// One sentence more, where there is something to say: why it is unhealthy, how it ended, its lag.
    pub(crate) note: Option<String>,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// `primary`, `replica`, where it has a role.
    pub(crate) role: Option<String>,
    /// The code it runs, for the app tier.
    pub(crate) release: Option<ReleaseId>,
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// For how long.
    pub(crate) uptime: Option<Millis>,
    /// How often in a row it ended before it had been healthy for a while.
    pub(crate) crashes: u32,
    /// The last lines it printed, where it crashed.
    pub(crate) last_lines: Vec<String>,
    /// Memory of the process and its children, bytes.
    pub(crate) memory: Option<u64>,
    /// CPU of the process and its children, in hundredths of one core, over the last seconds.
    pub(crate) cpu_percent: Option<f64>,
    /// Requests (connections) it holds now, over all balancers.
    pub(crate) in_flight: Option<u32>,
    /// Requests a second over the last seconds, over all balancers.
    pub(crate) requests_per_second: Option<f64>,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InstanceState {
    /// Its place is decided; nothing runs yet.
    Planned,
    /// It runs and has not passed a check yet.
    Starting,
    /// Healthy, and routed to where routes go.
    Serving,
    /// It passed once, but its last checks failed.
    Unhealthy,
    /// It is drained and stopped.
    Retiring,
    /// It ended and is started again after a while.
    Crashed,
    /// It could not be told.
    Unknown,
}

/// The daemon itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DaemonStatus {
    /// Its process.
    pub(crate) pid: u32,
    /// For how long.
    pub(crate) uptime: Millis,
    /// Memory, bytes.
    pub(crate) memory: u64,
    /// Its version.
    pub(crate) version: String,
}

/// What `stoa run -- CMD` runs with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// Every variable an instance of the app gets, secrets included.
    pub(crate) variables: BTreeMap<String, String>,
    /// The release's folder.
    pub(crate) directory: PathBuf,
    /// The numeric user and group to run as, where the daemon is root.
    pub(crate) user: Option<(u32, u32)>,
}
