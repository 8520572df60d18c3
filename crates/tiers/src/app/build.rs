//! Builds a release: unpacks its source, links what outlives it, runs the build commands, seals it.
//!
//! A release is built where it will run, because a virtual environment holds absolute paths; a marker
//! written last tells a finished one. A build that fails leaves nothing but its log and a note of why.
//! Never runs anything of the release with the daemon's own rights where that is root.

use super::archive::{self, ArchiveError};
use super::detect;
use super::run::{self, RunError};
use super::seal::{self, remove_tree};
use crate::host::error::FileError;
use crate::host::files::{ensure_folder, write_atomic};
use crate::tool::{self, Identity, Log, Mark, Tool, ToolError, describe, printable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use stoa_model::observed::ReleaseState;
use stoa_model::site::{CommandLine, InnerPath};
use stoa_model::{Millis, Paths, ReleaseId, SiteName};
use tokio::time::Instant;

/// In a finished release.
pub(super) const MARKER: &str = ".stoa-built";

/// How many of the last lines are kept of a failed build.
const LAST_LINES: usize = 20;

/// How this machine reaches package registries; no other variable of the daemon is handed on.
const REGISTRY_NAMES: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
];
const REGISTRY_PREFIXES: [&str; 4] = ["PIP_", "npm_config_", "NPM_CONFIG_", "BUNDLE_"];

/// What is to be built.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The site, for `STOA_SITE`.
    pub site: &'a SiteName,
    /// Its source has been taken.
    pub release: &'a ReleaseId,
    /// The commands; `None` means what its files suggest.
    pub commands: Option<&'a [CommandLine]>,
    /// The folders that outlive it.
    pub persist: &'a [InnerPath],
    /// All of it may take this long.
    pub timeout: Millis,
    /// Whose rights the commands get; `None`: the caller's.
    pub user: Option<Identity>,
}

/// A release was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its own fault: recorded with the release and not tried again by itself.
    #[error("the build of release {release} failed: {why}{}; all of it is in {}", last(.last_lines), .log.display())]
    Failed {
        /// Which.
        release: ReleaseId,
        /// Which command, and how it ended.
        why: String,
        /// The last lines it printed.
        last_lines: Vec<String>,
        /// The whole output.
        log: PathBuf,
    },
    /// The machine's fault: may be tried again.
    #[error("release {release} could not be built: {error}")]
    Host {
        /// Which.
        release: ReleaseId,
        /// Why.
        error: FileError,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    why: String,
    last_lines: Vec<String>,
}

/// What went wrong, before it is told whose fault it was.
#[derive(Debug)]
pub(super) enum Trouble {
    Release(String),
    Host(FileError),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Release(why) => f.write_str(why),
            Trouble::Host(error) => error.fmt(f),
        }
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        Trouble::Host(error)
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        Trouble::Release(error.to_string())
    }
}

/// Builds a release; one that is built already is left alone.
pub async fn build(job: &Build<'_>, paths: &Paths) -> Result<(), BuildError> {
    let folder = paths.release(job.release);
    if folder.join(MARKER).exists() {
        return Ok(());
    }
    match in_place(job, paths, &folder).await {
        Ok(()) => Ok(()),
        Err(trouble) => Err(give_up(job.release, paths, folder, trouble).await),
    }
}

/// What there is of every release, from the disk.
pub fn observe(paths: &Paths) -> BTreeMap<ReleaseId, ReleaseState> {
    let mut states = BTreeMap::new();
    for name in names(&paths.mirror().with_file_name("")) {
        if let Some(release) = name.strip_suffix(".tar").and_then(|id| id.parse().ok()) {
            states.insert(release, ReleaseState::Taken);
        }
    }
    for name in names(&paths.releases()) {
        if let Some(release) = name.strip_suffix(".failed").and_then(|id| id.parse::<ReleaseId>().ok()) {
            let failure = read_failure(paths, &release);
            let state = ReleaseState::Failed { why: failure.why, last_lines: failure.last_lines };
            states.insert(release, state);
        } else if let Ok(release) = name.parse::<ReleaseId>()
            && paths.release(&release).join(MARKER).exists()
        {
            states.insert(release, ReleaseState::Built);
        }
    }
    states
}

/// Forgets that the build of a release failed, so that it is tried again.
pub fn forgive(release: &ReleaseId, paths: &Paths) -> Result<(), FileError> {
    crate::host::files::remove_file(&failure_path(paths, release))
}

/// Where the failure of a build is noted.
pub(super) fn failure_path(paths: &Paths, release: &ReleaseId) -> PathBuf {
    paths.releases().join(format!("{release}.failed"))
}

/// What every process of a release's build carries.
pub(super) fn mark(paths: &Paths, release: &ReleaseId) -> Mark {
    Mark::new("STOA_BUILD", format!("{}:{release}", paths.root().display()))
}

async fn in_place(job: &Build<'_>, paths: &Paths, folder: &Path) -> Result<(), Trouble> {
    // What a daemon that was killed in the middle left behind: its commands first, then its files.
    let mark = mark(paths, job.release);
    tool::sweep(&mark).await;
    let (log_path, home) = (paths.build_log(job.release), run::home(paths));
    ensure_folder(&paths.releases(), 0o755, None)?;
    ensure_folder(log_path.parent().unwrap_or(paths.root()), 0o755, None)?;
    ensure_folder(&home, 0o700, job.user)?;
    let log = fs::File::create(&log_path).map_err(FileError::at("write", &log_path))?;
    let mut log = Log::new(log);
    let (source, to, user) = (paths.source(job.release), folder.to_owned(), job.user);
    let _ = crate::host::files::remove_file(&failure_path(paths, job.release));
    blocking(folder, move || {
        remove_tree(&to)?;
        archive::unpack(&source, &to, user).map_err(|error| trouble_of(error, &source))
    })
    .await?;
    let shared: Vec<PathBuf> = job.persist.iter().map(|inner| PathBuf::from(inner.as_str())).collect();
    let (kept, to) = (paths.persist(), folder.to_owned());
    blocking(folder, move || shared.iter().try_for_each(|inner| link(&kept, &to, inner, user))).await?;
    commands(job, paths, folder, &mark, &mut log).await?;
    let to = folder.to_owned();
    blocking(folder, move || Ok(seal::seal(&to, || write_atomic(&to.join(MARKER), b"", 0o444))?)).await
}

/// Runs the build commands one after the other.
async fn commands(
    job: &Build<'_>,
    paths: &Paths,
    folder: &Path,
    mark: &Mark,
    log: &mut Log,
) -> Result<(), Trouble> {
    let suggested;
    let commands = match job.commands {
        Some(commands) => commands,
        None => {
            suggested = detect::detect(folder).commands();
            &suggested
        }
    };
    let mut environment = run::basics(job.release, paths);
    environment.insert("STOA_SITE".to_owned(), job.site.to_string());
    // A bar is no line of a log.
    environment.insert("PIP_PROGRESS_BAR".to_owned(), "off".to_owned());
    let registry = |name: &str| {
        REGISTRY_NAMES.contains(&name) || REGISTRY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    environment.extend(std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        registry(&name).then_some((name, value))
    }));
    let deadline = Instant::now() + job.timeout.as_duration();
    for command in commands {
        let written = command.words().join(" ");
        let note = |error| FileError::new("write the log of the build of", folder, error);
        log.line(&format!("$ {written}")).map_err(note)?;
        let mut argv = run::resolve(command, &environment, folder)?.into_iter();
        let program = argv.next().unwrap_or_default();
        let left = deadline.saturating_duration_since(Instant::now());
        let given = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let tool = Tool::new(program, folder).arguments(argv).environment(given.collect());
        let ended = tool.identity(job.user).timeout(left).run_into(log, mark).await;
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(blame(folder, format!("`{written}` ended with {}", describe(status))));
            }
            Err(ToolError::TimedOut { .. }) => {
                let allowed = job.timeout;
                return Err(Trouble::Release(format!(
                    "`{written}` was killed: the build took longer than {allowed} ([app] build_timeout)"
                )));
            }
            Err(error) => return Err(blame(folder, format!("`{written}`: {error}"))),
        }
    }
    Ok(())
}

/// A command that fails on a full disk is not at fault itself.
pub(super) fn blame(folder: &Path, why: String) -> Trouble {
    const LITTLE: u64 = 1 << 20;
    let free = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if free.is_ok_and(|free| free < LITTLE) {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Trouble::Host(FileError::new("build in", folder, full));
    }
    Trouble::Release(why)
}

fn trouble_of(error: ArchiveError, source: &Path) -> Trouble {
    match error {
        ArchiveError::Refused { .. } => Trouble::Release(format!("its source cannot be unpacked: {error}")),
        ArchiveError::Io { path, error } => {
            let doing = if path == source { "read" } else { "write" };
            Trouble::Host(FileError::new(doing, &path, error))
        }
    }
}

/// Puts a link to the folder that outlives releases at its place in this one. What the first release has
/// there becomes its content.
fn link(kept: &Path, folder: &Path, inner: &Path, user: Option<Identity>) -> Result<(), Trouble> {
    let (target, place) = (kept.join(inner), folder.join(inner));
    ensure_folder(kept, 0o755, None)?;
    for (root, path) in [(kept, &target), (folder, &place)] {
        let mut above = root.to_owned();
        for part in inner.parent().into_iter().flat_map(Path::components) {
            above.push(part);
            let owner = if root == folder { user } else { None };
            match fs::symlink_metadata(&above) {
                Ok(found) if found.is_dir() => {}
                Err(_) => ensure_folder(&above, 0o755, owner)?,
                Ok(_) => {
                    let what = path.display();
                    return Err(Trouble::Release(format!(
                        "[app] persist: {what} lies behind something that is no folder"
                    )));
                }
            }
        }
    }
    let seed = fs::symlink_metadata(&place);
    match fs::symlink_metadata(&target) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let why = format!("[app] persist: {} is no folder; remove it", target.display());
            return Err(Trouble::Release(why));
        }
        Err(_) if seed.as_ref().is_ok_and(fs::Metadata::is_dir) => {
            fs::rename(&place, &target).map_err(FileError::at("rename into", &target))?;
        }
        Err(_) => ensure_folder(&target, 0o755, user)?,
    }
    match fs::symlink_metadata(&place) {
        Ok(found) if found.is_dir() => remove_tree(&place)?,
        Ok(_) => crate::host::files::remove_file(&place)?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(&target, &place).map_err(FileError::at("link", &place))?;
    Ok(())
}

/// Removes what there is of the release; notes why, where it is its own fault.
async fn give_up(release: &ReleaseId, paths: &Paths, folder: PathBuf, trouble: Trouble) -> BuildError {
    let path = folder.clone();
    let removed = blocking(&folder, move || Ok(remove_tree(&path)?)).await;
    if let Err(Trouble::Host(error)) = removed {
        tracing::warn!("what is left of release {release}: {error}");
    }
    let release = release.clone();
    match trouble {
        Trouble::Host(error) => BuildError::Host { release, error },
        Trouble::Release(why) => {
            let log = paths.build_log(&release);
            let failure = Failure { why, last_lines: last_lines(&log) };
            let noted = serde_json::to_vec(&failure).unwrap_or_default();
            if let Err(error) = write_atomic(&failure_path(paths, &release), &noted, 0o644) {
                return BuildError::Host { release, error };
            }
            BuildError::Failed { release, why: failure.why, last_lines: failure.last_lines, log }
        }
    }
}

async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Trouble::Host(FileError::new("build in", folder, error)))?
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn read_failure(paths: &Paths, release: &ReleaseId) -> Failure {
    let unreadable = Failure { why: "the build failed".to_owned(), last_lines: Vec::new() };
    let bytes = fs::read(failure_path(paths, release)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(unreadable)
}

/// The last lines of a log, from its last few kilobytes.
pub(super) fn last_lines(log: &Path) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    const TAIL: u64 = 16 << 10;
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).cloned().collect()
}

fn last(lines: &[String]) -> String {
    lines.last().map(|line| format!(": {line}")).unwrap_or_default()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
