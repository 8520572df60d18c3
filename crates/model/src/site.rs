//! One website, validated: what `stoa.toml` describes once every default is filled in.
//!
//! Made only by [`crate::config`]; everything after it may rely on what the types promise.

use crate::ids::SiteName;
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
    pub instances: u16,
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
    pub instances: u16,
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

text_access!(Domain, InnerPath, UrlPath);

impl CommandLine {
    /// The program and its arguments, not yet expanded.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl Site {
    /// How many instances of `tier` the file asks for.
    pub fn instances(&self, tier: crate::Tier) -> u16 {
        match tier {
            crate::Tier::Balancer => self.balancer.instances,
            crate::Tier::Web => self.web.instances,
            crate::Tier::App => self.app.as_ref().map_or(0, |app| app.instances),
            crate::Tier::Database => self.database.as_ref().map_or(0, |db| 1 + db.replicas),
            crate::Tier::Cache => u16::from(self.cache.is_some()),
        }
    }
}
