//! A copy of an application in a repository of its own, which a drill may commit to; it goes with the drill.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::{Table, Value};

/// The copy.
pub(super) struct Copy {
    folder: PathBuf,
    file: Table,
}

impl Copy {
    /// Of an application's folder; its `stoa.toml` is no part of the repository.
    pub(super) fn of(dir: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(dir.join("stoa.toml"))
            .map_err(|error| format!("{}: {error}", dir.join("stoa.toml").display()))?;
        let file = text.parse().map_err(|error| format!("{}: {error}", dir.display()))?;
        let folder = std::env::temp_dir().join(format!("stoa-drill-{}", std::process::id()));
        let copy = Copy { folder, file };
        run(Command::new("cp").arg("-r").arg("--").arg(dir.join(".")).arg(&copy.folder))?;
        for old in [".git", ".venv"] {
            // It need not be there.
            let _ = std::fs::remove_dir_all(copy.folder.join(old));
        }
        copy.git(&["init", "--quiet", "--initial-branch=main"])?;
        std::fs::write(copy.folder.join(".git/info/exclude"), "/stoa.toml\n").map_err(unwritten)?;
        copy.commit("as it was found")?;
        Ok(copy)
    }

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the site's file: that of the application with another address, without its environments, and
    /// with `keys` laid over each of these tables.
    pub(super) fn configure(&self, address: SocketAddr, tables: &[(&str, &str)]) -> Result<(), String> {
        let mut file = self.file.clone();
        file.remove("environments");
        let listen = format!("listen = \"{address}\"");
        for (name, keys) in [("balancer", listen.as_str())].iter().chain(tables) {
            let keys: Table = keys.parse().map_err(|error| format!("{keys}: {error}"))?;
            let table = file.entry(*name).or_insert_with(|| Value::Table(Table::new()));
            table.as_table_mut().ok_or_else(|| format!("{name} is no table"))?.extend(keys);
        }
        std::fs::write(self.folder.join("stoa.toml"), file.to_string()).map_err(unwritten)
    }

    /// A file of it.
    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.folder.join(path)).map_err(|error| format!("{path}: {error}"))
    }

    /// Writes a file of it and commits that.
    pub(super) fn change(&self, path: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join(path), text).map_err(unwritten)?;
        self.commit(path)
    }

    fn commit(&self, message: &str) -> Result<(), String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
    }

    fn git(&self, words: &[&str]) -> Result<(), String> {
        let who =
            ["-c", "user.name=Drill", "-c", "user.email=drill@example.com", "-c", "commit.gpgsign=false"];
        run(Command::new("git").args(who).args(words).current_dir(&self.folder))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn unwritten(error: std::io::Error) -> String {
    format!("the copy cannot be written: {error}")
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
}
