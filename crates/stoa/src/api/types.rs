//! What the command line and the daemon say to each other: JSON over HTTP on `run/stoa.sock`.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/up` | [`UpRequest`] | [`UpAccepted`] |
//! | `POST /v1/plan` | [`UpRequest`] | [`stoa_model::Plan`]; changes nothing |
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/events?after=N&limit=M` | | `Vec<`[`stoa_model::journal::Entry`]`>`, oldest first; without `after` the last M |
//! | `POST /v1/scale` | [`ScaleRequest`] | [`Accepted`] |
//! | `POST /v1/deploy` | [`DeployRequest`] | [`DeployAccepted`]; with `dry_run` [`DeployPreview`], nothing changes |
//! | `POST /v1/rollback` | [`RollbackRequest`] | [`DeployAccepted`] |
//! | `POST /v1/promote` | [`PromoteRequest`] | [`DeployAccepted`] |
//! | `GET /v1/releases` | | `Vec<`[`ReleaseStatus`]`>`, the newest first |
//! | `POST /v1/secrets` | [`SecretRequest`] | [`Accepted`] |
//! | `GET /v1/secrets` | | `Vec<`[`SecretStatus`]`>`: names, never values |
//! | `POST /v1/restart` | [`RestartRequest`] | [`Accepted`] |
//! | `GET /v1/database` | | [`database::DatabaseReport`] |
//! | `GET /v1/database/top` | | [`database::DatabaseTop`] |
//! | `POST /v1/database/switchover` | [`database::SwitchoverRequest`] | [`database::SwitchoverAccepted`] |
//! | `POST /v1/dismiss` | `{}` | [`Accepted`]; the daemon ends itself if it never had a site |
//! | `POST /v1/down` | `{}` | [`Accepted`]; the daemon ends itself once everything has stopped |
//! | `GET /v1/environment` | | [`Environment`], for `stoa run`; only on the Unix socket; without secrets |
//! | `GET /metrics` | | Prometheus text |
//!
//! Anything else than 2xx has a [`Problem`] as its body. On TCP (`127.0.0.1:7070`) only `GET /v1/status`,
//! `/v1/events` and `/metrics` are answered: everything that changes something needs the socket.

pub(crate) mod database;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::intent::Power;
use stoa_model::site::VariableName;
use stoa_model::spec::AppSpec;
use stoa_model::{
    DeployNumber, Endpoint, EnvironmentName, InstanceId, Millis, ReleaseId, Site, SiteName, Term, Tier,
    Waiting,
};

/// Bring the site up or to its new config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UpRequest {
    /// The site, validated by the command line.
    pub(crate) site: Site,
    /// The file it was read from.
    pub(crate) file: PathBuf,
    /// The file's text, kept as a generation of config.
    pub(crate) text: String,
    /// Who asks, such as `anna@laptop`.
    #[serde(default)]
    pub(crate) by: String,
}

/// `stoa deploy [REF]`: another release of the site as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeployRequest {
    /// The branch, tag or commit; none: what `[app] ref` says.
    pub(crate) reference: Option<String>,
    /// Who asks.
    pub(crate) by: String,
    /// Only tell what would be done.
    pub(crate) dry_run: bool,
}

/// `stoa rollback [RELEASE]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RollbackRequest {
    /// Back to which; none: to the one that served before.
    pub(crate) release: Option<ReleaseId>,
    /// Who asks.
    pub(crate) by: String,
}

/// `stoa promote ENVIRONMENT`: the very release that another environment runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PromoteRequest {
    /// The other environment.
    pub(crate) environment: EnvironmentName,
    /// Where its state lies.
    pub(crate) state: PathBuf,
    /// Who asks.
    pub(crate) by: String,
}

/// A deployment was taken; it comes true by and by, see [`Status::deployment`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeployAccepted {
    /// Its number.
    pub(crate) number: DeployNumber,
    /// The release that is to serve.
    pub(crate) release: ReleaseId,
    /// It serves already: nothing is to be done.
    pub(crate) unchanged: bool,
    /// Things the user should know.
    pub(crate) warnings: Vec<String>,
    /// The number of the last journal entry before this request.
    pub(crate) journal: u64,
}

/// What a deployment would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeployPreview {
    /// The release that serves now.
    pub(crate) from: Option<ReleaseId>,
    /// The one that would serve; a new number where its code is new.
    pub(crate) to: ReleaseId,
    /// It is built already.
    pub(crate) built: bool,
    /// What would be done, in order, a sentence each.
    pub(crate) steps: Vec<String>,
    /// Things the user should know.
    pub(crate) warnings: Vec<String>,
}

/// One release, for `stoa releases`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReleaseStatus {
    /// Which.
    pub(crate) release: ReleaseId,
    /// How it is.
    pub(crate) state: ReleaseStanding,
    /// Its last deployment, where it had one.
    pub(crate) number: Option<DeployNumber>,
    /// How that came about.
    pub(crate) kind: Option<DeployKind>,
    /// Who asked for it.
    pub(crate) by: String,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_unix_ms: Option<u64>,
    /// The branch, tag or commit that was asked for.
    pub(crate) reference: String,
    /// Why it failed or was taken back.
    pub(crate) failed: Option<String>,
}

/// How a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReleaseStanding {
    /// It serves.
    Live,
    /// It is being deployed.
    Deploying,
    /// It is built and can be rolled back to in seconds.
    Built,
    /// It was built and taken back, or never got that far.
    Failed,
    /// Its source is there; it is not built.
    Taken,
    /// It was removed; only the record of it is left.
    Removed,
}

/// Set a secret, or take it away.
#[derive(Serialize, Deserialize)]
pub(crate) struct SecretRequest {
    /// Its name: an environment variable's.
    pub(crate) name: VariableName,
    /// Its value; none: take it away.
    pub(crate) value: Option<String>,
}

/// One secret, for `stoa secrets list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecretStatus {
    /// Its name.
    pub(crate) name: VariableName,
    /// It has a value.
    pub(crate) set: bool,
    /// `[app] secrets` names it.
    pub(crate) used: bool,
}

/// A deployment as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeploymentStatus {
    /// Its number.
    pub(crate) number: DeployNumber,
    /// How it came about.
    pub(crate) kind: DeployKind,
    /// Who asked for it.
    pub(crate) by: String,
    /// What served before.
    pub(crate) from: Option<ReleaseId>,
    /// What is to serve.
    pub(crate) to: ReleaseId,
    /// How far it has come.
    pub(crate) phase: Phase,
    /// What it does now and what for, in one sentence.
    pub(crate) text: String,
    /// For how long it has been in this phase.
    pub(crate) age: Millis,
    /// How many of a hundred requests the new release gets.
    pub(crate) percent: u8,
    /// Answers of the old release since it began, and its errors among them.
    pub(crate) old: (u64, u64),
    /// Answers of the new release, and its errors among them.
    pub(crate) new: (u64, u64),
    /// What 90 of 100 answers of the old release took at most, in milliseconds; none without answers.
    #[serde(default)]
    pub(crate) old_p90_ms: Option<f64>,
    /// The same of the new release.
    #[serde(default)]
    pub(crate) new_p90_ms: Option<f64>,
    /// The percentages of a canary's steps; empty for another strategy.
    #[serde(default)]
    pub(crate) steps: Vec<u8>,
    /// For how long it is still judged, once the new release serves in full; none before and after.
    #[serde(default)]
    pub(crate) left: Option<Millis>,
}

/// Auto-scaling of a tier as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScalingStatus {
    /// The fewest.
    pub(crate) min: u16,
    /// The most.
    pub(crate) max: u16,
    /// Why it has the count it has.
    pub(crate) because: String,
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
    /// The last deployment, under way or over.
    pub(crate) deployment: Option<DeploymentStatus>,
    /// Which copy of the site this is.
    #[serde(default)]
    pub(crate) environment: EnvironmentName,
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
    /// Where its count is decided by demand.
    #[serde(default)]
    pub(crate) scaling: Option<ScalingStatus>,
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

/// What `stoa run -- CMD` runs with; the command line adds what is secret from the state folder itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// What an instance of the app runs as.
    pub(crate) spec: AppSpec,
    /// The release's folder.
    pub(crate) directory: PathBuf,
    /// The numeric user and group to run as, where the daemon is root.
    pub(crate) user: Option<(u32, u32)>,
}
