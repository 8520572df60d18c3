//! Makes a data folder: beside its place, and moved there when it is whole, so that one that was cut
//! short is no data folder at all.

use super::accounts::{COLLATION, statements};
use super::{DatabaseError, Server, data};
use crate::app::remove_tree;
use crate::host::error::FileError;
use crate::host::files::ensure_folder;
use crate::host::programs;
use crate::tool::{Ended, Identity, Tool, ToolError};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use stoa_model::observed::DataState;

/// It takes a second or two; a slow disk may need more.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Prepares the data folder of a server, owned by `user`. One that is ready is left alone; one that holds
/// anything else is never touched.
pub async fn prepare(server: &Server<'_>, user: Option<Identity>) -> Result<(), DatabaseError> {
    let instance = server.instance;
    let installed = data::installed(instance, server.spec.engine).await?;
    let folder = server.paths.data(instance);
    match data::state(&folder, &installed) {
        DataState::Ready => return Ok(()),
        DataState::Foreign { found, installed } => {
            return Err(DatabaseError::Foreign { instance, found, installed });
        }
        DataState::Absent | DataState::Unknown => {}
    }
    let sql = statements(&server.spec.name, server.credentials)?;
    let part = folder.with_file_name(format!(".{instance}.part"));
    remove_tree(&part)?;
    if let Some(above) = folder.parent() {
        ensure_folder(above, 0o711, None)?;
    }
    ensure_folder(&part, 0o700, user)?;
    // A folder of its own for temporary files: a server that starts removes what it takes for left-overs of
    // itself, and in a common folder that may be another server's table in use.
    let scratch = folder.with_file_name(format!(".{instance}.tmp"));
    remove_tree(&scratch)?;
    ensure_folder(&scratch, 0o700, user)?;
    let made = fill(server, &installed, &part, &scratch, sql, user).await;
    let _ = remove_tree(&scratch);
    if let Err(error) = made.and_then(|()| keep(&part, &folder, installed.version)) {
        let _ = remove_tree(&part);
        return Err(error);
    }
    Ok(())
}

async fn fill(
    server: &Server<'_>,
    installed: &data::Installed,
    part: &Path,
    scratch: &Path,
    sql: String,
    user: Option<Identity>,
) -> Result<(), DatabaseError> {
    let instance = server.instance;
    let install = programs::find("mariadb-install-db")
        .ok_or(DatabaseError::Missing { program: "mariadb-install-db" })?;
    let mut datadir = OsString::from("--datadir=");
    datadir.push(part);
    let common: [OsString; 2] = ["--no-defaults".into(), datadir];
    let mut environment = programs::environment();
    environment.insert("TMPDIR".into(), scratch.into());
    let tool = |program: &Path| {
        let tool = Tool::new(program, part).arguments(common.clone()).environment(environment.clone());
        tool.identity(user).timeout(TIMEOUT)
    };
    let tables = tool(&install).arguments([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    judge(server, "create its system tables", tables.run().await)?;
    let collation = format!("--collation-server={COLLATION}");
    let accounts = tool(&installed.program)
        .arguments(["--bootstrap", "--skip-networking", "--skip-log-bin", "--innodb-buffer-pool-size=16M"])
        .arguments(["--character-set-server=utf8mb4", &collation])
        .input(sql);
    let ended = judge(server, "create its accounts", accounts.run().await)?;
    // --bootstrap goes on after a statement that fails, and ends well.
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    match said.lines().find(|line| line.starts_with("ERROR") || line.contains("[ERROR]")) {
        Some(line) => {
            let said = without_secrets(server, line);
            Err(DatabaseError::Failed { instance, verb: "create its accounts", said })
        }
        None => Ok(()),
    }
}

/// Moves the whole folder to its place, durably.
fn keep(part: &Path, folder: &Path, version: data::Version) -> Result<(), DatabaseError> {
    data::mark(part, version)?;
    let opened = File::open(part).map_err(FileError::at("open", part))?;
    rustix::fs::syncfs(&opened).map_err(|error| FileError::new("sync", part, error))?;
    // An empty folder may stand there.
    fs::rename(part, folder).map_err(FileError::at("rename into", folder))?;
    let above = folder.parent().unwrap_or(folder);
    File::open(above).and_then(|above| above.sync_all()).map_err(FileError::at("sync", above))?;
    Ok(())
}

fn judge(
    server: &Server<'_>,
    verb: &'static str,
    ended: Result<Ended, ToolError>,
) -> Result<Ended, DatabaseError> {
    let instance = server.instance;
    let ended = ended.map_err(|error| DatabaseError::Tool { instance, error })?;
    if ended.status.success() {
        return Ok(ended);
    }
    let all = String::from_utf8_lossy(&ended.stderr);
    if all.contains("error 28") || all.contains("No space left on device") {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Err(FileError::new("write", &server.paths.data(instance), full).into());
    }
    let said = without_secrets(server, &ended.complaint());
    Err(DatabaseError::Failed { instance, verb, said })
}

fn without_secrets(server: &Server<'_>, text: &str) -> String {
    let all = server.credentials;
    let secrets = [all.app(), all.replication(), all.monitor(), all.admin()];
    let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
    secrets.fold(crate::tool::printable(text), |text, secret| text.replace(secret, "***"))
}
