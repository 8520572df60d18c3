//! What an instance is run as: everything that its rendered configuration, argv and environment
//! follow from, secrets aside. Two equal specs run the same; a changed digest means that the instance
//! has to be reloaded or replaced.

use crate::endpoint::Endpoint;
use crate::ids::{Digest, EnvironmentName, ReleaseId, SiteName, Tier};
use crate::site::{
    AppKind, Bytes, CacheEngine, CommandLine, DatabaseEngine, Domain, Eviction, InnerPath, SplitterRules,
    UrlPath, VariableName,
};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What an instance is run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "tier")]
#[allow(clippy::large_enum_variant, reason = "a handful exist; a box would be in every pattern")]
pub enum Spec {
    /// A balancer role.
    Balancer(BalancerSpec),
    /// An nginx.
    Web(WebSpec),
    /// The user's code.
    App(AppSpec),
    /// A splitter role.
    Splitter(SplitterSpec),
    /// A database server.
    Database(DatabaseSpec),
    /// A cache server.
    Cache(CacheSpec),
}

/// A balancer role process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerSpec {
    /// Where visitors connect.
    pub web_face: SocketAddr,
    /// The Unix socket that nginx knows as its one upstream.
    pub app_face: Endpoint,
    /// Its control socket.
    pub control: Endpoint,
    /// The tier's restart count.
    pub restart: u64,
}

/// An nginx instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSpec {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The `Host`s it answers; local addresses are added to the site's domains.
    pub names: Vec<Domain>,
    /// The balancer's app face; `None` for a site of static files.
    pub upstream: Option<Endpoint>,
    /// How the upstream is talked to.
    pub kind: AppKind,
    /// Served straight from disk: URL path -> folder in the release.
    pub files: BTreeMap<UrlPath, InnerPath>,
    /// The largest request body.
    pub max_body: Bytes,
    /// How long the upstream may take.
    pub timeout: Millis,
    /// The tier's restart count.
    pub restart: u64,
}

/// An application instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// The site, for `STOA_SITE`.
    pub site: SiteName,
    /// The code.
    pub release: ReleaseId,
    /// How it is talked to.
    pub kind: AppKind,
    /// What starts it; `None` for php-fpm.
    pub run: Option<CommandLine>,
    /// Where it listens: loopback TCP for `http`, a Unix socket for `php`.
    pub endpoint: Endpoint,
    /// Further variables, as written in the file.
    pub env: BTreeMap<String, String>,
    /// Folders that outlive a release.
    pub persist: Vec<InnerPath>,
    /// Where its health is asked.
    pub health: UrlPath,
    /// Not healthy this long after its start: failed.
    pub start_timeout: Millis,
    /// SIGKILL follows SIGTERM after this.
    pub stop_timeout: Millis,
    /// The most memory, where the machine can bound it.
    pub memory: Option<Bytes>,
    /// The database it is given.
    pub database: Option<DatabaseAccess>,
    /// The cache it is given.
    pub cache: Option<CacheAccess>,
    /// The tier's restart count.
    pub restart: u64,
    /// The environment, for `STOA_ENVIRONMENT`.
    #[serde(default, skip_serializing_if = "EnvironmentName::is_production")]
    pub environment: EnvironmentName,
    /// The names of the secrets it is given, and how often any of them was changed; never their values.
    #[serde(default, skip_serializing_if = "Secrets::is_none")]
    pub secrets: Secrets,
}

/// Which secrets an instance is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Secrets {
    /// Their names.
    pub names: Vec<VariableName>,
    /// How often any secret of the site was changed.
    pub changes: u64,
}

impl Secrets {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.names.is_empty()
    }
}

/// A splitter role process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitterSpec {
    /// The TCP address that applications connect to.
    pub address: SocketAddr,
    /// The Unix socket beside it.
    pub socket: Endpoint,
    /// Its control socket.
    pub control: Endpoint,
    /// How it splits.
    pub rules: SplitterRules,
    /// The servers are connected to inside TLS: it has to know their certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// The tier's restart count.
    pub restart: u64,
}

/// How an application reaches the database; the credentials are added when it is started. Which server is
/// primary is no part of it: that is the splitters' affair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseAccess {
    /// `DATABASE_URL`: the splitters.
    pub address: Endpoint,
    /// The schema.
    pub name: String,
}

/// How an application reaches the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheAccess {
    /// `REDIS_URL` or `MEMCACHED_URL`.
    pub engine: CacheEngine,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// A database server. Which of them is primary is no part of it: that changes without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// Whose server.
    pub engine: DatabaseEngine,
    /// Where applications and replicas connect.
    pub endpoint: Endpoint,
    /// The Unix socket the daemon itself uses.
    pub socket: Endpoint,
    /// Differs between the servers of one site.
    pub server_id: u32,
    /// The schema the application uses.
    pub name: String,
    /// The buffer pool.
    pub memory: Bytes,
    /// It is connected to over TCP inside TLS only. Not written where it is not so: what servers of sites that
    /// never had it run as stays what it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// The tier's restart count.
    pub restart: u64,
}

/// A cache server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSpec {
    /// Whose server.
    pub engine: CacheEngine,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The most it holds.
    pub memory: Bytes,
    /// What it evicts when full.
    pub eviction: Eviction,
    /// The tier's restart count.
    pub restart: u64,
}

impl Spec {
    /// The tier it belongs to.
    pub fn tier(&self) -> Tier {
        match self {
            Spec::Balancer(_) => Tier::Balancer,
            Spec::Web(_) => Tier::Web,
            Spec::App(_) => Tier::App,
            Spec::Splitter(_) => Tier::Splitter,
            Spec::Database(_) => Tier::Database,
            Spec::Cache(_) => Tier::Cache,
        }
    }

    /// Where it listens; a role's is its control socket.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Spec::Balancer(balancer) => &balancer.control,
            Spec::Web(web) => &web.endpoint,
            Spec::App(app) => &app.endpoint,
            Spec::Splitter(splitter) => &splitter.control,
            Spec::Database(database) => &database.endpoint,
            Spec::Cache(cache) => &cache.endpoint,
        }
    }

    /// Whether it is connected to inside TLS.
    pub fn tls(&self) -> bool {
        matches!(self, Spec::Database(DatabaseSpec { tls: true, .. }))
    }

    /// Its fingerprint.
    pub fn digest(&self) -> Digest {
        // A spec is plain data: maps with text keys, so that it always has a JSON form. Were it ever
        // not so, the empty digest would make the instance differ from itself and be seen at once.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// How long SIGTERM may take before SIGKILL follows.
    pub fn stop_timeout(&self) -> Millis {
        match self {
            Spec::App(app) => app.stop_timeout,
            Spec::Database(_) => Millis::from_secs(120),
            Spec::Balancer(_) | Spec::Web(_) | Spec::Splitter(_) => Millis::from_secs(60),
            Spec::Cache(_) => Millis::from_secs(10),
        }
    }

    /// How long a start may take before it counts as failed.
    pub fn start_timeout(&self) -> Millis {
        match self {
            Spec::App(app) => app.start_timeout,
            // Crash recovery replays the redo log first.
            Spec::Database(_) => Millis::from_secs(600),
            Spec::Balancer(_) | Spec::Web(_) | Spec::Splitter(_) | Spec::Cache(_) => Millis::from_secs(30),
        }
    }
}
