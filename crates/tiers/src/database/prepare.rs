//! Makes an empty data folder with its accounts, for the first server of a site.

use super::accounts::{COLLATION, mysql_statements, statements};
use super::making::Making;
use super::{DatabaseError, Server};
use crate::host::files::{remove_file, write_atomic_owned};
use crate::host::programs;
use crate::tool::Identity;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use stoa_model::site::DatabaseEngine;

/// It takes a second or two; a slow disk may need more.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Prepares the data folder of a server, owned by `user`. One that is ready is left alone; one that holds
/// anything else is never touched.
pub async fn prepare(server: &Server<'_>, user: Option<Identity>) -> Result<(), DatabaseError> {
    let Some(making) = Making::begin(server, user).await? else { return Ok(()) };
    match server.spec.engine {
        DatabaseEngine::Mariadb => mariadb(server, &making).await?,
        DatabaseEngine::Mysql => mysql(server, &making, user).await?,
    }
    making.keep().await
}

async fn mariadb(server: &Server<'_>, making: &Making<'_>) -> Result<(), DatabaseError> {
    let sql = statements(&server.spec.name, server.credentials)?;
    let install = programs::find("mariadb-install-db")
        .ok_or(DatabaseError::Missing { program: "mariadb-install-db" })?;
    let mut datadir = OsString::from("--datadir=");
    datadir.push(making.part());
    let tables = making.tool(&install, TIMEOUT).arguments(["--no-defaults".into(), datadir]).arguments([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    making.judge("create its system tables", tables.run().await)?;
    making.bootstrap("create its accounts", sql).await
}

/// The server makes its tables itself, and the accounts from a file that only it can read. Nothing of it has
/// to survive a crash before the folder is moved to its place.
async fn mysql(
    server: &Server<'_>,
    making: &Making<'_>,
    user: Option<Identity>,
) -> Result<(), DatabaseError> {
    let sql = mysql_statements(&server.spec.name, server.credentials)?;
    let file = making.scratch().join("accounts.sql");
    write_atomic_owned(&file, sql.as_bytes(), 0o600, user)?;
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    let tool = making
        .tool(making.program(), TIMEOUT)
        .arguments(["--no-defaults", "--initialize-insecure"])
        .arguments([option("--datadir=", making.part()), option("--init-file=", &file)])
        .arguments(["--skip-innodb-doublewrite", "--innodb-flush-log-at-trx-commit=0"])
        .arguments(["--character-set-server=utf8mb4".to_owned(), format!("--collation-server={COLLATION}")]);
    making.judge("create its system tables", tool.run().await)?;
    Ok(remove_file(&file)?)
}
