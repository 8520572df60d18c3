//! The `git` command, argv only.
//!
//! Never runs a hook, a file-system monitor or a remote helper that executes what a URL says, never asks
//! at the terminal, and as root reads a repository with the rights of its owner, so that nothing its
//! configuration names runs with ours.

use crate::tool::{Ended, Identity, Tool, ToolError};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For what only reads this machine's disk.
const LOCAL: Duration = Duration::from_secs(120);

/// Variables of the caller that git, curl and ssh need to reach a repository. None of git's own: they
/// would point it at another repository or switch off what is set here.
const KEPT: [&str; 12] = [
    "HOME",
    "USER",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
];

/// Git, run in one folder.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    directory: PathBuf,
    identity: Option<Identity>,
}

impl Git {
    /// In a repository of our own making.
    pub(crate) fn own(directory: impl Into<PathBuf>) -> Self {
        Git { directory: directory.into(), identity: None }
    }

    /// In the repository that holds `folder`; `None` where there is none.
    pub(crate) fn of_folder(folder: &Path) -> Option<Self> {
        let bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        let marker = || folder.ancestors().map(|above| above.join(".git")).find(|git| git.exists());
        let repository = if bare { folder.to_owned() } else { marker()? };
        Some(Git { directory: folder.to_owned(), identity: owner(&repository) })
    }

    /// Runs it on files of this machine.
    pub(crate) async fn run<const N: usize>(&self, arguments: [&str; N]) -> Result<Ended, ToolError> {
        self.tool(arguments.map(OsString::from)).timeout(LOCAL).run().await
    }

    /// Writes what it prints to `file`.
    pub(crate) async fn run_to<const N: usize>(
        &self,
        file: File,
        arguments: [&str; N],
    ) -> Result<Ended, ToolError> {
        self.tool(arguments.map(OsString::from)).stdout(file).timeout(LOCAL).run().await
    }

    /// Runs it against another machine.
    pub(crate) async fn run_remote(
        &self,
        arguments: Vec<OsString>,
        timeout: Duration,
    ) -> Result<Ended, ToolError> {
        self.tool(arguments).timeout(timeout).run().await
    }

    /// The full hash of the commit that `revision` names.
    pub(crate) async fn commit(&self, revision: &str) -> Result<Option<String>, ToolError> {
        let peeled = format!("{revision}^{{commit}}");
        let ended = self.run(["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled]).await?;
        let text = ended.text();
        let hash = text.lines().last().unwrap_or_default();
        let whole = hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        Ok((ended.status.success() && whole).then(|| hash.to_owned()))
    }

    /// Whether `commit` holds `path`, which is relative to the repository.
    pub(crate) async fn holds(&self, commit: &str, path: &str) -> Result<bool, ToolError> {
        let object = format!("{commit}:{path}");
        let ended = self.run(["rev-parse", "--verify", "--quiet", "--end-of-options", &object]).await?;
        Ok(ended.status.success())
    }

    /// The last commit up to `commit` that changed this folder.
    pub(crate) async fn last_change(&self, commit: &str) -> Result<Option<String>, ToolError> {
        let ended = self.run(["rev-list", "--max-count=1", "--end-of-options", commit, "--", "."]).await?;
        let text = ended.text();
        let hash = text.trim();
        let whole = hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        Ok((ended.status.success() && whole).then(|| hash.to_owned()))
    }

    fn tool(&self, arguments: impl IntoIterator<Item = OsString>) -> Tool {
        const SAFE: [&str; 13] = [
            "--no-pager",
            "--no-optional-locks",
            "--literal-pathspecs",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "gc.autoDetach=false",
            "-c",
            "tar.umask=0022",
        ];
        Tool::new("git", &self.directory)
            .arguments(SAFE)
            .arguments(arguments)
            .environment(environment(self.identity.is_some()))
            .identity(self.identity)
    }
}

/// The owner, where we are root and it is somebody else.
fn owner(path: &Path) -> Option<Identity> {
    let found = path.metadata().ok()?;
    let other = rustix::process::geteuid().is_root() && found.uid() != 0;
    other.then(|| Identity { uid: found.uid(), gid: found.gid() })
}

fn environment(foreign: bool) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        // Our hints are found in its messages.
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", ""),
        ("SSH_ASKPASS", ""),
        ("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.into()))
    .collect();
    for name in KEPT {
        // Another user's git must not read the settings of root's home.
        let personal = matches!(name, "HOME" | "USER" | "XDG_CONFIG_HOME" | "SSH_AUTH_SOCK");
        if let Some(value) = std::env::var_os(name).filter(|_| !(foreign && personal)) {
            environment.insert(name.into(), value);
        }
    }
    environment
}
