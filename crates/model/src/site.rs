//! One website, validated: what `stoa.toml` describes once every default is filled in.
//!
//! Made only by [`crate::config`]; everything after it may rely on what the types promise.

use crate::ids::{EnvironmentName, SiteName};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One website.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Names folders, the database and the users in it.
    pub name: SiteName,
    /// The host names it answers to, the canonical one first; always at least one.
    pub domains: Vec<Domain>,
    /// The balancer in front.
    pub balancer: BalancerTier,
    /// The nginx instances.
    pub web: WebTier,
    /// The user's code; absent for a site of static files only.
    pub app: Option<AppTier>,
    /// Where the code comes from; static sites have code too.
    pub source: Source,
    /// The database; absent where the site uses none.
    pub database: Option<DatabaseTier>,
    /// The cache; absent where the site uses none.
    pub cache: Option<CacheTier>,
    /// Which copy of the site this is.
    #[serde(default)]
    pub environment: EnvironmentName,
    /// How one release follows another.
    #[serde(default)]
    pub deploy: DeployRules,
    /// The command that adds a host, where the site has one.
    #[serde(default)]
    pub add_host: Option<CommandLine>,
}

/// Between how many and how many instances; both the same where the count is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CountForm")]
pub struct Count {
    /// The fewest.
    pub min: u16,
    /// The most.
    pub max: u16,
}

/// As it is stored; a plain number is what versions before auto-scaling wrote.
#[derive(Deserialize)]
#[serde(untagged)]
enum CountForm {
    Fixed(u16),
    Range { min: u16, max: u16 },
}

/// The name of an environment variable: `[A-Z_][A-Z0-9_]*`, at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VariableName(pub(crate) String);

/// `[deploy]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRules {
    /// How the new release takes over.
    pub strategy: Strategy,
    /// Rolling: so many new instances are started at once.
    pub batch: u16,
    /// Rolling: so many instances more than wanted may run meanwhile.
    pub max_surge: u16,
    /// So many checks in a row must pass before a new instance is sent requests.
    pub checks: u32,
    /// Canary: the percentages of requests that the new release gets, one after the other.
    pub steps: Vec<u8>,
    /// Canary: how long each step is held at least.
    pub hold: Millis,
    /// Blue-green: how long the old instances are kept running, without requests.
    pub keep_warm: Millis,
    /// How long the new release is watched after it serves in full.
    pub watch_after: Millis,
    /// Fewer answers of the new release than this are not judged.
    pub min_requests: u64,
    /// How many built releases are kept, the one that serves included.
    pub keep_releases: u16,
    /// Run once before the first instance of a release is started.
    pub migrate: Option<CommandLine>,
    /// Run before `migrate`; where it fails, nothing changes.
    pub before_deploy: Option<CommandLine>,
    /// Run once the new release serves in full.
    pub after_deploy: Option<CommandLine>,
    /// Each of these commands may take this long.
    pub task_timeout: Millis,
}

/// How a new release takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A batch at a time.
    Rolling,
    /// All new beside all old, then one switch.
    BlueGreen,
    /// A growing part of the requests.
    Canary,
}

/// A host name in lower case, letters, digits, `-` and dots (RFC 1123), at most 253 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domain(pub(crate) String);

/// A path inside the release: relative, without `..`, never empty (`.` is the release itself).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InnerPath(pub(crate) String);

/// An absolute URL path of plain characters, such as `/static`, without a closing slash but for `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlPath(pub(crate) String);

/// A command as the program and its arguments, split like a shell would, run without one. `$NAME`
/// and `${NAME}` in a word are filled in from the environment when it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandLine(pub(crate) Vec<String>);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// `[balancer]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerTier {
    /// How many role processes share the listening sockets.
    pub instances: u16,
    /// Where visitors connect.
    pub listen: SocketAddr,
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebTier {
    /// How many nginx instances.
    pub instances: Count,
    /// Folders of the release served straight from disk: URL path -> folder. `/` means that a file is
    /// looked for there first and the application asked where there is none.
    pub files: BTreeMap<UrlPath, InnerPath>,
    /// The largest request body accepted.
    pub max_body: Bytes,
    /// How long the application may think before the visitor gets a 504.
    pub timeout: Millis,
}

/// `[app]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTier {
    /// How it is talked to.
    pub kind: AppKind,
    /// How many instances run.
    pub instances: Count,
    /// What starts one instance; for `php` the processes are php-fpm's and this is `None`.
    pub run: Option<CommandLine>,
    /// Further variables of its environment, as written.
    pub env: BTreeMap<String, String>,
    /// Folders that outlive a release and are shared by the instances.
    pub persist: Vec<InnerPath>,
    /// The path that answers 2xx or 3xx when an instance is well.
    pub health: UrlPath,
    /// An instance that is not healthy this long after its start has failed.
    pub start_timeout: Millis,
    /// SIGKILL follows SIGTERM after this.
    pub stop_timeout: Millis,
    /// The most memory one instance may take, where the machine can bound it.
    pub memory: Option<Bytes>,
    /// So many requests one instance works on at once; none: learned, and not bounded where the count of
    /// instances is fixed.
    #[serde(default)]
    pub concurrency: Option<u16>,
    /// Auto-scaling keeps the mean wait for an instance below this.
    #[serde(default = "target_wait")]
    pub target_wait: Millis,
    /// The secrets it is given.
    #[serde(default)]
    pub secrets: Vec<VariableName>,
}

fn target_wait() -> Millis {
    Millis(100)
}

/// How an application instance is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppKind {
    /// A server of its own that listens on `$HOST:$PORT`.
    Http,
    /// php-fpm over FastCGI.
    Php,
}

/// Where the code comes from and how it is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository or folder.
    pub location: SourceLocation,
    /// Branch, tag or commit; already known to hold nothing that git takes for an option.
    pub reference: String,
    /// Run in order in the new release, once; `None` means what the files in it suggest.
    pub build: Option<Vec<CommandLine>>,
    /// All of the build may take this long.
    pub build_timeout: Millis,
}

/// A place that holds code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceLocation {
    /// A folder, absolute; a repository, inside one, or neither.
    Folder(PathBuf),
    /// A URL of `https`, `http`, `ssh`, `git` or `file`, or `user@host:path`.
    Url(String),
}

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseTier {
    /// Whose server.
    pub engine: DatabaseEngine,
    /// How many replicas beside the one primary.
    pub replicas: u16,
    /// The name of the schema, `[a-z0-9_]`, at most 64.
    pub name: String,
    /// The buffer pool of each server.
    pub memory: Bytes,
    /// What happens to writes while no replica acknowledges them.
    #[serde(default)]
    pub on_lost_replica: OnLostReplica,
    /// Splitters and replicas talk to its servers inside TLS, and nobody connects to them otherwise over TCP.
    #[serde(default)]
    pub tls: bool,
    /// How the application reaches them.
    #[serde(default)]
    pub splitter: SplitterTier,
}

/// What happens to writes while no replica acknowledges them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLostReplica {
    /// They wait.
    Block,
    /// They are taken by the primary alone, and it is said loudly.
    #[default]
    Degrade,
}

/// `[splitter]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitterTier {
    /// How many processes share the address.
    pub instances: u16,
    /// How they split.
    pub rules: SplitterRules,
}

/// How a splitter treats statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitterRules {
    /// What a read may see.
    pub consistency: Consistency,
    /// A replica further behind is sent nothing.
    pub max_lag: Millis,
    /// The most connections of one splitter to one server.
    pub connections: u16,
    /// A statement for a primary that is not there waits so long.
    pub hold: Millis,
    /// A statement that takes longer is written to the log.
    pub slow: Millis,
    /// What one kind of statement may use.
    #[serde(default)]
    pub limits: StatementLimits,
}

/// What statements that differ in their values only may use; nothing is limited where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatementLimits {
    /// The most rows of one answer.
    pub rows: Option<u64>,
    /// The longest one may take.
    pub time: Option<Millis>,
    /// The most that one splitter runs at once.
    pub concurrency: Option<u32>,
}

/// What a read that a replica answers may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Whatever the replica has, within the lag that is allowed.
    Eventual,
    /// Every write of its own session.
    Session,
    /// Every write that was acknowledged to anybody before the read began.
    Global,
}

/// Whose database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseEngine {
    /// MariaDB 10.11 or newer.
    Mariadb,
    /// MySQL 8.4 or newer.
    Mysql,
}

impl DatabaseEngine {
    /// Whether a start of a former primary can take back what it had not committed. Otherwise the server commits
    /// then whatever stands in its binlog.
    pub const fn rewinds(self) -> bool {
        matches!(self, DatabaseEngine::Mariadb)
    }
}

/// `[cache]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheTier {
    /// Whose server.
    pub engine: CacheEngine,
    /// The most it holds before it evicts.
    pub memory: Bytes,
    /// What it evicts when full; Memcached knows only least recently used.
    pub eviction: Eviction,
}

/// Whose cache server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheEngine {
    /// Redis.
    Redis,
    /// Memcached.
    Memcached,
}

/// Redis' `maxmemory-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Least recently used of all keys.
    AllkeysLru,
    /// Least frequently used of all keys.
    AllkeysLfu,
    /// Least recently used of the keys that expire.
    VolatileLru,
    /// None: writes fail when full.
    Noeviction,
}

macro_rules! text_access {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_access!(Domain, InnerPath, UrlPath, VariableName);

impl CommandLine {
    /// The program and its arguments, not yet expanded.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl Site {
    /// How many instances of `tier` the file asks for.
    pub fn count(&self, tier: crate::Tier) -> Count {
        match tier {
            crate::Tier::Balancer => Count::fixed(self.balancer.instances),
            crate::Tier::Web => self.web.instances,
            crate::Tier::App => self.app.as_ref().map_or(Count::fixed(0), |app| app.instances),
            crate::Tier::Splitter => {
                Count::fixed(self.database.as_ref().map_or(0, |database| database.splitter.instances))
            }
            crate::Tier::Database => Count::fixed(self.database.as_ref().map_or(0, |db| 1 + db.replicas)),
            crate::Tier::Cache => Count::fixed(u16::from(self.cache.is_some())),
        }
    }
}

impl Count {
    /// Exactly so many.
    pub const fn fixed(n: u16) -> Self {
        Count { min: n, max: n }
    }

    /// Whether there is nothing to decide.
    pub fn is_fixed(self) -> bool {
        self.min == self.max
    }

    /// The count within the bounds that is nearest to `n`.
    pub fn nearest(self, n: u16) -> u16 {
        n.clamp(self.min, self.max.max(self.min))
    }
}

impl From<CountForm> for Count {
    fn from(form: CountForm) -> Self {
        match form {
            CountForm::Fixed(n) => Count::fixed(n),
            CountForm::Range { min, max } => Count { min, max },
        }
    }
}

impl Default for SplitterTier {
    fn default() -> Self {
        SplitterTier { instances: 2, rules: SplitterRules::default() }
    }
}

impl Default for SplitterRules {
    fn default() -> Self {
        SplitterRules {
            consistency: Consistency::Session,
            max_lag: Millis::from_secs(10),
            connections: 100,
            hold: Millis::from_secs(30),
            slow: Millis::from_secs(1),
            limits: StatementLimits::default(),
        }
    }
}

impl Default for DeployRules {
    fn default() -> Self {
        DeployRules {
            strategy: Strategy::Rolling,
            batch: 1,
            max_surge: 1,
            checks: 2,
            steps: vec![5, 25, 50],
            hold: Millis::from_secs(60),
            keep_warm: Millis::from_secs(300),
            watch_after: Millis::from_secs(60),
            min_requests: 50,
            keep_releases: 5,
            migrate: None,
            before_deploy: None,
            after_deploy: None,
            task_timeout: Millis::from_secs(600),
        }
    }
}
