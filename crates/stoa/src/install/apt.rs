//! Installing packages through apt-get, with one line of progress, and quieting what that started.

use super::command;
use super::policy::Policy;
use super::services::{self, Undo};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Package lists older than this are fetched anew first: packages they name may be gone from the mirrors.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many of the last lines an error shows.
const LINES: usize = 8;

/// An installation that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install {
    packages: Vec<&'static str>,
}

/// What an installation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Services that it had started or enabled, and that are now as before.
    pub(crate) quieted: Vec<Undo>,
    /// What could not be undone.
    pub(crate) problems: Vec<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// Another system than Debian or a child of it.
    #[error("this machine has no apt-get")]
    NoApt,
    /// apt-get failed.
    #[error("apt-get {verb} failed: {why}")]
    Apt {
        /// Of what.
        verb: &'static str,
        /// How it ended, or its own word.
        why: String,
        /// The last lines it printed.
        lines: Vec<String>,
    },
}

impl Install {
    /// Of `packages`.
    pub(crate) fn new(packages: Vec<&'static str>) -> Self {
        Install { packages }
    }

    /// The line that does it by hand; not everywhere where root works there is a sudo.
    pub(crate) fn line(&self, root: bool) -> String {
        let sudo = if root { "" } else { "sudo " };
        format!("{sudo}apt-get install -y --no-install-recommends {}", self.packages.join(" "))
    }

    /// Whether this machine can do it.
    pub(crate) fn possible() -> bool {
        stoa_tiers::host::programs::find("apt-get").is_some()
    }

    /// Does it. `progress` is told each step in a few words.
    pub(crate) fn run(&self, mut progress: impl FnMut(&str)) -> Result<Installed, InstallError> {
        if !Install::possible() {
            return Err(InstallError::NoApt);
        }
        let before = services::snapshot();
        let policy = Policy::hold();
        let done = self.fetch_and_install(&mut progress);
        drop(policy);
        // Even after a failure: half of the packages may be there and their services started.
        let quieted = services::undo(&before, &services::snapshot());
        let problems = services::quiet(&quieted);
        done.map(|()| Installed { quieted, problems })
    }

    fn fetch_and_install(&self, progress: &mut impl FnMut(&str)) -> Result<(), InstallError> {
        let fresh = !stale(Path::new("/var/lib/apt/lists"), SystemTime::now());
        if !fresh {
            update(progress)?;
        }
        match self.install(progress) {
            // The lists are old after all: once more with new ones.
            Err(InstallError::Apt { ref lines, .. }) if fresh && outdated(lines) => {
                update(progress)?;
                self.install(progress)
            }
            result => result,
        }
    }

    fn install(&self, progress: &mut impl FnMut(&str)) -> Result<(), InstallError> {
        let mut arguments =
            vec!["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "install", "--"];
        arguments.extend(&self.packages);
        apt("install", &arguments, progress)
    }
}

fn update(progress: &mut impl FnMut(&str)) -> Result<(), InstallError> {
    progress("reading the lists of packages");
    apt("update", &["-q", "-o", "DPkg::Lock::Timeout=120", "update"], &mut |_: &str| {})
}

fn apt(verb: &'static str, arguments: &[&str], progress: &mut impl FnMut(&str)) -> Result<(), InstallError> {
    let mut lines: Vec<String> = Vec::new();
    let ended = command::stream("apt-get", arguments, |line| {
        if let Some(step) = step(line) {
            progress(&step);
        }
        lines.push(line.to_owned());
    });
    let why = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => first_error(&lines).unwrap_or_else(|| status.to_string()),
        Err(error) => error.to_string(),
    };
    let lines = lines.split_off(lines.len().saturating_sub(LINES));
    Err(InstallError::Apt { verb, why, lines })
}

/// What a line of apt-get's says it does now, in few words.
pub(super) fn step(line: &str) -> Option<String> {
    let name = |rest: &str| rest.split([' ', ':']).next().unwrap_or_default().to_owned();
    if let Some(rest) = line.strip_prefix("Unpacking ") {
        return Some(format!("unpacking {}", name(rest)));
    }
    if let Some(rest) = line.strip_prefix("Setting up ") {
        return Some(format!("setting up {}", name(rest)));
    }
    line.starts_with("Get:").then(|| "downloading".to_owned())
}

/// Whether new lists of packages may help.
pub(super) fn outdated(lines: &[String]) -> bool {
    const SIGNS: [&str; 4] =
        ["Unable to locate package", "has no installation candidate", "404  Not Found", "Unable to fetch"];
    lines.iter().any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
}

fn first_error(lines: &[String]) -> Option<String> {
    lines.iter().find_map(|line| line.strip_prefix("E: ")).map(str::to_owned)
}

/// Whether the lists of packages in `folder` are absent or old.
pub(super) fn stale(folder: &Path, now: SystemTime) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = entries.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    let newest = lists.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
    newest.is_none_or(|newest| now.duration_since(newest).is_ok_and(|age| age > STALE))
}
