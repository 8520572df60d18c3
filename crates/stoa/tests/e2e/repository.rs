//! A git repository of a test: what is committed here is deployed there.

use crate::site::text;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository in a test's folder.
pub(crate) struct Repository(PathBuf);

impl Repository {
    /// A new one in `folder`, whatever lies there already.
    pub(crate) fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("its folder");
        let repository = Repository(folder);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Runs git in it; what it printed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git")
            .args(who)
            .args(arguments)
            .current_dir(&self.0)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Writes a file of it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        std::fs::write(path, text).expect("the file");
    }

    /// Commits everything; the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}
