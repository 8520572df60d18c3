//! A data folder in the making: beside its place, and moved there when it is whole, so that one that was cut
//! short is no data folder at all.

use super::{DatabaseError, Server, data};
use crate::app::remove_tree;
use crate::host::error::FileError;
use crate::host::files::ensure_folder;
use crate::host::programs;
use crate::tool::{Ended, Identity, Tool, ToolError};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::InstanceId;
use stoa_model::observed::DataState;

/// The server reads statements and ends; recovery of a large data folder may take a while.
const BOOTSTRAP: Duration = Duration::from_secs(600);

/// A data folder that is being filled. Dropped before [`Making::keep`], it is gone.
pub(super) struct Making<'a> {
    server: &'a Server<'a>,
    user: Option<Identity>,
    installed: data::Installed,
    part: PathBuf,
    scratch: PathBuf,
}

impl<'a> Making<'a> {
    /// Begins anew, empty and owned by `user`; nothing where a whole one is there. One that holds anything
    /// else is never touched.
    pub(super) async fn begin(
        server: &'a Server<'a>,
        user: Option<Identity>,
    ) -> Result<Option<Self>, DatabaseError> {
        let instance = server.instance;
        let installed = data::installed(instance, server.spec.engine).await?;
        let folder = server.paths.data(instance);
        match data::state(&folder, &installed) {
            DataState::Ready => return Ok(None),
            DataState::Foreign { found, installed } => {
                return Err(DatabaseError::Foreign { instance, found, installed });
            }
            DataState::Absent | DataState::Unknown => {}
        }
        // A folder of its own for temporary files: a server that starts removes what it takes for left-overs
        // of itself, and in a common folder that may be another server's table in use.
        let (part, scratch) = (beside(&folder, "part"), beside(&folder, "tmp"));
        let making = Making { server, user, installed, part, scratch };
        making.remove()?;
        if let Some(above) = folder.parent() {
            ensure_folder(above, 0o711, None)?;
        }
        ensure_folder(&making.part, 0o700, user)?;
        ensure_folder(&making.scratch, 0o700, user)?;
        Ok(Some(making))
    }

    /// What is being filled.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// The installed server.
    pub(super) fn program(&self) -> &Path {
        &self.installed.program
    }

    /// For temporary files.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A helper program, run as the server's user.
    pub(super) fn tool(&self, program: &Path, timeout: Duration) -> Tool {
        let mut environment = programs::environment();
        environment.insert("TMPDIR".into(), self.scratch.clone().into());
        let tool = Tool::new(program, &self.part).environment(environment).identity(self.user);
        tool.timeout(timeout).dies_with_parent()
    }

    /// Lets the installed server run statements on the folder, one a line, and end.
    pub(super) async fn bootstrap(&self, verb: &'static str, sql: String) -> Result<(), DatabaseError> {
        let mut datadir = std::ffi::OsString::from("--datadir=");
        datadir.push(&self.part);
        let collation = format!("--collation-server={}", super::accounts::COLLATION);
        let tool = self
            .tool(&self.installed.program, BOOTSTRAP)
            .arguments(["--no-defaults".into(), datadir])
            .arguments([
                "--bootstrap",
                "--skip-networking",
                "--skip-log-bin",
                "--innodb-buffer-pool-size=16M",
            ])
            .arguments(["--character-set-server=utf8mb4", &collation])
            .input(sql);
        let ended = self.judge(verb, tool.run().await)?;
        // --bootstrap goes on after a statement that fails, and ends well.
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        match said.lines().find(|line| line.starts_with("ERROR") || line.contains("[ERROR]")) {
            Some(line) => {
                let said = without_secrets(self.server, line);
                Err(DatabaseError::Failed { instance: self.server.instance, verb, said })
            }
            None => Ok(()),
        }
    }

    /// Whether a program did what it should.
    pub(super) fn judge(
        &self,
        verb: &'static str,
        ended: Result<Ended, ToolError>,
    ) -> Result<Ended, DatabaseError> {
        let folder = self.server.paths.data(self.server.instance);
        judge(self.server.instance, &folder, verb, ended, &|line| without_secrets(self.server, line))
    }

    /// Moves the whole folder to its place, durably.
    pub(super) async fn keep(self) -> Result<(), DatabaseError> {
        let folder = self.server.paths.data(self.server.instance);
        data::mark(&self.part, self.installed.engine, self.installed.version)?;
        let (part, place) = (self.part.clone(), folder.clone());
        // Gigabytes may have to reach the disk.
        let work = tokio::task::spawn_blocking(move || {
            let opened = File::open(&part).map_err(FileError::at("open", &part))?;
            rustix::fs::syncfs(&opened).map_err(|error| FileError::new("sync", &part, error))?;
            // An empty folder may stand there.
            fs::rename(&part, &place).map_err(FileError::at("rename into", &place))?;
            let above = place.parent().unwrap_or(&place);
            File::open(above).and_then(|above| above.sync_all()).map_err(FileError::at("sync", above))
        });
        Ok(work.await.map_err(|error| FileError::new("sync", &folder, error))??)
    }

    fn remove(&self) -> Result<(), FileError> {
        remove_tree(&self.part)?;
        remove_tree(&self.scratch)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

/// A hidden folder beside a data folder, which is no data folder itself.
pub(super) fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{what}"))
}

/// Whether a program did what it should; a full disk is told as such, other complaints as `shown`.
pub(super) fn judge(
    instance: InstanceId,
    folder: &Path,
    verb: &'static str,
    ended: Result<Ended, ToolError>,
    shown: &dyn Fn(&str) -> String,
) -> Result<Ended, DatabaseError> {
    let ended = ended.map_err(|error| DatabaseError::Tool { instance, error })?;
    if ended.status.success() {
        return Ok(ended);
    }
    let all = String::from_utf8_lossy(&ended.stderr);
    let full = ["error 28", "Errcode: 28", "No space left on device"];
    if full.iter().any(|sign| all.contains(sign)) {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Err(FileError::new("write", folder, full).into());
    }
    let said = shown(&ended.complaint());
    Err(DatabaseError::Failed { instance, verb, said })
}

fn without_secrets(server: &Server<'_>, text: &str) -> String {
    let all = server.credentials;
    let secrets = [all.app(), all.replication(), all.monitor(), all.admin()];
    let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
    secrets.fold(crate::tool::printable(text), |text, secret| text.replace(secret, "***"))
}
