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
pub struct UpRequest {
    /// The site, validated by the command line.
    pub site: Site,
    /// The file it was read from.
    pub file: PathBuf,
    /// The file's text, kept as a generation of config.
    pub text: String,
}

/// An `up` was taken; it comes true by and by, see [`Status`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpAccepted {
    /// The release that should run now.
    pub release: ReleaseId,
    /// Things the user should know, such as uncommitted changes that are no part of the release.
    pub warnings: Vec<String>,
    /// The number of the last journal entry before this request: what follows belongs to it.
    pub journal: u64,
}

/// `stoa scale app=4`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScaleRequest {
    /// Which tier: app, web or balancer.
    pub tier: Tier,
    /// How many instances, 1 to 100.
    pub instances: u16,
}

/// `stoa restart app`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestartRequest {
    /// Which tier.
    pub tier: Tier,
}

/// A request was taken; it comes true by and by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accepted {
    /// What was taken, in one sentence.
    pub text: String,
    /// The number of the last journal entry before this request.
    pub journal: u64,
}

/// A request was refused, or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Where and which value.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to type or change next.
    pub next: String,
}

/// The site as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Whose.
    pub site: SiteName,
    /// Whether it should run.
    pub power: Power,
    /// The release that should run.
    pub release: ReleaseId,
    /// The release that static files come from: the last one that served in full.
    pub live: Option<ReleaseId>,
    /// Nothing to do and nothing to wait for.
    pub settled: bool,
    /// Where a browser finds it.
    pub urls: Vec<String>,
    /// The API's TCP address.
    pub api: Option<String>,
    /// Where its state lies.
    pub state: PathBuf,
    /// Every tier the site has, in the order in which a site is brought up.
    pub tiers: Vec<TierStatus>,
    /// The state of the release that should run: `taken`, `building`, `built` or `failed`.
    pub build: BuildStatus,
    /// What is not done yet, and what it waits for.
    pub waiting: Vec<Waiting>,
    /// The last failure of each step that failed and has not succeeded since, as sentences.
    pub failures: Vec<String>,
    /// The database's term.
    pub term: Term,
    /// The daemon itself.
    pub daemon: DaemonStatus,
}

/// The build of the release that should run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
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
pub struct TierStatus {
    /// Which.
    pub tier: Tier,
    /// What serves it: `nginx`, `mariadb`, `redis`, `gunicorn` (the first word of `run`), `stoa`.
    pub software: String,
    /// How many instances it should have.
    pub wanted: u16,
    /// How many serve.
    pub ready: u16,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Which.
    pub id: InstanceId,
    /// How it is.
    pub state: InstanceState,
    /// One sentence more, where there is something to say: why it is unhealthy, how it ended, its lag.
    pub note: Option<String>,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// `primary`, `replica`, where it has a role.
    pub role: Option<String>,
    /// The code it runs, for the app tier.
    pub release: Option<ReleaseId>,
    /// Its process.
    pub pid: Option<u32>,
    /// For how long.
    pub uptime: Option<Millis>,
    /// How often in a row it ended before it had been healthy for a while.
    pub crashes: u32,
    /// The last lines it printed, where it crashed.
    pub last_lines: Vec<String>,
    /// Memory of the process and its children, bytes.
    pub memory: Option<u64>,
    /// CPU of the process and its children, in hundredths of one core, over the last seconds.
    pub cpu_percent: Option<f64>,
    /// Requests (connections) it holds now, over all balancers.
    pub in_flight: Option<u32>,
    /// Requests a second over the last seconds, over all balancers.
    pub requests_per_second: Option<f64>,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
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
pub struct DaemonStatus {
    /// Its process.
    pub pid: u32,
    /// For how long.
    pub uptime: Millis,
    /// Memory, bytes.
    pub memory: u64,
    /// Its version.
    pub version: String,
}

/// What `stoa run -- CMD` runs with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// Every variable an instance of the app gets, secrets included.
    pub variables: BTreeMap<String, String>,
    /// The release's folder.
    pub directory: PathBuf,
    /// The numeric user and group to run as, where the daemon is root.
    pub user: Option<(u32, u32)>,
}
