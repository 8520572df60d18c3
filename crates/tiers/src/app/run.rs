//! How an application instance is run: its argv and its whole environment.
//!
//! Secrets stand in the environment only: everybody on the machine can read another process' arguments, and
//! nobody but its own user and root its environment.

use super::{expand, php};
use crate::database::accounts;
use crate::host::credentials::Credentials;
use crate::host::launch::{Launch, Limits, RunAs, StopSignal};
use crate::host::users;
use crate::tool::look_up;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use stoa_model::site::{AppKind, CacheEngine, CommandLine};
use stoa_model::spec::{AppSpec, CacheAccess, DatabaseAccess};
use stoa_model::{Endpoint, InstanceId, Paths, ReleaseId, Spec, Tier};

/// Where programs of the machine are.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Folders of a release that hold the programs it brings along, the first one wins.
const RELEASE_PATH: [&str; 5] = [".venv/bin", "venv/bin", "node_modules/.bin", "vendor/bin", "bin"];

/// A secret of at least so many bytes is looked for in other variables.
const TELLING: usize = 6;

/// An application cannot be run as its file says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The file gives no command.
    #[error("[app] run is missing: nothing says how the application is started")]
    NoCommand,
    /// A variable that nothing sets.
    #[error(
        "{command:?} uses ${name}, which nothing sets; there are {there}; add it below [app.env], or the \
         table that brings it ([database], [cache])"
    )]
    UnknownVariable {
        /// The command as written.
        command: String,
        /// The variable.
        name: String,
        /// The ones there are.
        there: String,
    },
    /// A secret would stand in the argv.
    #[error(
        "{command:?} puts ${name} into the arguments, where every user of this machine could read the \
         secret in it; let the application read {name} from its environment"
    )]
    SecretArgument {
        /// The command as written.
        command: String,
        /// The variable.
        name: String,
    },
    /// No such program.
    #[error(
        "there is no program {program:?} for {command:?}: looked in {} of the release {release}, then in \
         {SYSTEM_PATH}; is it in what the build installs?", RELEASE_PATH.join(", ")
    )]
    MissingProgram {
        /// As it would be run.
        program: String,
        /// The command as written.
        command: String,
        /// The release's folder.
        release: PathBuf,
    },
    /// php-fpm is not installed.
    #[error("php-fpm is not installed: apt-get install php-fpm")]
    NoPhp,
    /// A value that cannot stand in php-fpm's configuration.
    #[error("{what} {value:?} cannot be written into php-fpm's configuration")]
    Unwritable {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
    },
}

/// How `instance` is started. `secrets` are those that its spec names.
pub fn launch(
    instance: InstanceId,
    spec: &AppSpec,
    paths: &Paths,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> Result<Launch, RunError> {
    if spec.kind == AppKind::Php {
        return php::launch(instance, spec, paths, credentials, secrets);
    }
    let command = spec.run.as_ref().ok_or(RunError::NoCommand)?;
    let environment = environment(Some(instance), spec, paths, credentials, secrets);
    let argv = argv(command, &environment, &paths.release(&spec.release), credentials, secrets)?;
    Ok(base(instance, spec, paths, environment, argv))
}

/// The environment of an instance, or of a single command (`stoa run -- CMD`) where none is named. A secret
/// wins over a variable of the same name, and further variables may hold it (`$NAME`).
pub fn environment(
    instance: Option<InstanceId>,
    spec: &AppSpec,
    paths: &Paths,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut variables = basics(&spec.release, paths);
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("STOA_SITE", spec.site.to_string());
    set("STOA_ENVIRONMENT", spec.environment.to_string());
    set("STOA_INSTANCE", instance.map_or_else(|| "run".to_owned(), |id| id.to_string()));
    set("PYTHONUNBUFFERED", "1".to_owned());
    if let (Endpoint::Tcp(address), true) = (&spec.endpoint, instance.is_some()) {
        set("HOST", address.ip().to_string());
        set("PORT", address.port().to_string());
    }
    if let Some(database) = &spec.database {
        let url = database_url(database, credentials);
        // The splitters send reads to the replicas by themselves; an application that tells the two apart may.
        set("DATABASE_REPLICA_URL", url.clone());
        set("DATABASE_URL", url);
    }
    if let Some(cache) = &spec.cache {
        let (name, url) = cache_url(cache, credentials);
        set("CACHE_URL", url.clone());
        set(name, url);
    }
    let given = || secrets.iter().map(|(name, value)| (name.clone(), value.clone()));
    variables.extend(given());
    let own = spec.env.iter().map(|(name, value)| {
        (name.clone(), expand::expand_known(value, |name| variables.get(name).map(String::as_str)))
    });
    let own: Vec<(String, String)> = own.collect();
    variables.extend(own);
    variables.extend(given());
    variables
}

/// The argv of `command`, run in `release` with `environment`: the program as an absolute path, the
/// variables filled in, no secret among them.
pub fn argv(
    command: &CommandLine,
    environment: &BTreeMap<String, String>,
    release: &Path,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> Result<Vec<OsString>, RunError> {
    let written = || command.words().join(" ");
    let generated = [credentials.app(), credentials.cache()];
    let generated = generated.into_iter().flat_map(|secret| [secret.to_owned(), encoded(secret)]);
    // A short one would be found in values that have nothing to do with it; by its name it is refused too.
    let given = secrets.values().filter(|value| value.len() >= TELLING).cloned();
    let hidden: Vec<String> = generated.chain(given).filter(|secret| !secret.is_empty()).collect();
    for name in command.words().iter().flat_map(|word| expand::variables(word)) {
        let value = environment.get(name).map_or("", String::as_str);
        if secrets.contains_key(name) || hidden.iter().any(|secret| value.contains(secret.as_str())) {
            return Err(RunError::SecretArgument { command: written(), name: name.to_owned() });
        }
    }
    resolve(command, environment, release)
}

/// As [`argv`], for commands that have no secrets in their environment.
pub(super) fn resolve(
    command: &CommandLine,
    environment: &BTreeMap<String, String>,
    release: &Path,
) -> Result<Vec<OsString>, RunError> {
    let written = || command.words().join(" ");
    let mut words = Vec::new();
    for word in command.words() {
        let filled = expand::expand(word, |name| environment.get(name).map(String::as_str));
        words.push(filled.map_err(|name| {
            let there = environment.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            RunError::UnknownVariable { command: written(), name, there }
        })?);
    }
    let program = words.first().cloned().unwrap_or_default();
    let path = environment.get("PATH").map_or(SYSTEM_PATH, String::as_str);
    let Some(found) = look_up(&program, path.as_ref(), release) else {
        return Err(RunError::MissingProgram { program, command: written(), release: release.to_owned() });
    };
    Ok(std::iter::once(found.into()).chain(words.into_iter().skip(1).map(OsString::from)).collect())
}

/// What a build command and an instance have in common.
pub(super) fn basics(release: &ReleaseId, paths: &Paths) -> BTreeMap<String, String> {
    let folder = paths.release(release);
    let own = RELEASE_PATH.map(|inner| folder.join(inner).to_string_lossy().into_owned());
    let user = if rustix::process::geteuid().is_root() { users::name(paths, Tier::App) } else { caller() };
    [
        ("PATH", format!("{}:{SYSTEM_PATH}", own.join(":"))),
        ("HOME", home(paths).to_string_lossy().into_owned()),
        ("USER", user),
        ("LANG", "C.UTF-8".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("STOA_RELEASE", release.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The home of the application's user: caches of package managers, dot files.
pub(super) fn home(paths: &Paths) -> PathBuf {
    paths.root().join("home")
}

/// What every kind of application has in common.
pub(super) fn base(
    instance: InstanceId,
    spec: &AppSpec,
    paths: &Paths,
    environment: BTreeMap<String, String>,
    argv: Vec<OsString>,
) -> Launch {
    Launch {
        instance,
        argv,
        environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        directory: paths.release(&spec.release),
        user: RunAs::Tier(Tier::App),
        limits: Limits { memory: spec.memory.map(|bytes| bytes.0), ..Limits::default() },
        stop_signal: StopSignal::Term,
        spec: Spec::App(spec.clone()),
        release: Some(spec.release.clone()),
        files: Vec::new(),
        folders: vec![home(paths)],
        held: None,
    }
}

fn caller() -> String {
    std::env::var("USER").unwrap_or_else(|_| "stoa".to_owned())
}

fn database_url(access: &DatabaseAccess, credentials: &Credentials) -> String {
    let (user, password) = (accounts::APP, encoded(credentials.app()));
    match &access.address {
        Endpoint::Tcp(address) => format!("mysql://{user}:{password}@{address}/{}", access.name),
        Endpoint::Unix(path) => {
            let socket = encoded(&path.to_string_lossy());
            format!("mysql://{user}:{password}@localhost/{}?unix_socket={socket}", access.name)
        }
    }
}

/// The engine's own variable and the URL.
fn cache_url(access: &CacheAccess, credentials: &Credentials) -> (&'static str, String) {
    let password = encoded(credentials.cache());
    match (access.engine, &access.endpoint) {
        (CacheEngine::Redis, Endpoint::Tcp(address)) => {
            ("REDIS_URL", format!("redis://:{password}@{address}/0"))
        }
        (CacheEngine::Redis, Endpoint::Unix(path)) => {
            ("REDIS_URL", format!("unix://:{password}@{}?db=0", path.display()))
        }
        // Memcached knows no password.
        (CacheEngine::Memcached, Endpoint::Tcp(address)) => {
            ("MEMCACHED_URL", format!("memcached://{address}"))
        }
        (CacheEngine::Memcached, Endpoint::Unix(path)) => {
            ("MEMCACHED_URL", format!("memcached://{}", path.display()))
        }
    }
}

/// Percent-encoded as a part of a URL (RFC 3986, unreserved characters stay).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut url, b| {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(b.into()),
            _ => url.push_str(&format!("%{b:02X}")),
        }
        url
    })
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
