//! A real site that is drilled: asked and changed through its own command line alone.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A site that does not come to rest within this is broken.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// The site.
pub(super) struct Site {
    /// The program.
    pub(super) stoa: PathBuf,
    /// Its state folder.
    pub(super) state: PathBuf,
    /// Where its visitors connect.
    pub(super) address: SocketAddr,
    /// In which folder its commands are typed; none: wherever this is.
    pub(super) folder: Option<PathBuf>,
}

/// How a command ended.
pub(super) struct Said {
    /// With exit code 0.
    pub(super) well: bool,
    /// What it printed.
    pub(super) text: String,
}

impl Site {
    /// Waits until nothing is left to do.
    pub(super) fn settles(&self) -> Result<(), String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        while Instant::now() < deadline {
            if self.status().is_ok_and(|status| status["settled"] == true) {
                return Ok(());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Err(format!("the site did not settle within {} s", SETTLES_WITHIN.as_secs()))
    }

    /// `stoa status`.
    pub(super) fn status(&self) -> Result<Value, String> {
        serde_json::from_str(&self.stoa(&["status", "--json"])?).map_err(|error| error.to_string())
    }

    /// Runs a command of it, which must succeed; what it printed.
    pub(super) fn stoa(&self, words: &[&str]) -> Result<String, String> {
        let said = self.try_stoa(words)?;
        if said.well { Ok(said.text) } else { Err(format!("stoa {}: {}", words.join(" "), said.text)) }
    }

    /// Runs a command of it, which may fail.
    pub(super) fn try_stoa(&self, words: &[&str]) -> Result<Said, String> {
        let mut command = Command::new(&self.stoa);
        command.args(words).arg("--state").arg(&self.state);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let Output { status, stdout, stderr } =
            command.output().map_err(|error| format!("{}: {error}", self.stoa.display()))?;
        let mut text = String::from_utf8_lossy(&stdout).into_owned();
        if !status.success() {
            text += &String::from_utf8_lossy(&stderr);
        }
        Ok(Said { well: status.success(), text })
    }

    /// The journal after an entry, oldest first; an error while no daemon answers.
    pub(super) fn events(&self, after: u64) -> Result<Vec<Value>, String> {
        let printed = self.stoa(&["events", "--json", "-n", "500"])?;
        let entries = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(entries.filter(|entry| entry["number"].as_u64().is_some_and(|number| number > after)).collect())
    }

    /// The number of the last entry of the journal.
    pub(super) fn last_event(&self) -> Result<u64, String> {
        Ok(self.events(0)?.last().and_then(|entry| entry["number"].as_u64()).unwrap_or_default())
    }

    /// Kills the daemon, if one answers.
    pub(super) fn kill_the_daemon(&self) -> Result<(), String> {
        let pid = self.status()?["daemon"]["pid"].as_u64().ok_or("the daemon has no pid")?;
        kill(pid)
    }
}

/// Ends a process that the site named.
pub(super) fn kill(pid: u64) -> Result<(), String> {
    signal("KILL", pid)
}

/// Sends a signal to a process that the site named.
pub(super) fn signal(name: &str, pid: u64) -> Result<(), String> {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("kill -{name} {pid}: {other:?}")),
    }
}
