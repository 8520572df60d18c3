//! Makes an empty data folder with its accounts, for the first server of a site.

use super::accounts::statements;
use super::making::Making;
use super::{DatabaseError, Server};
use crate::host::programs;
use crate::tool::Identity;
use std::ffi::OsString;
use std::time::Duration;

/// It takes a second or two; a slow disk may need more.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Prepares the data folder of a server, owned by `user`. One that is ready is left alone; one that holds
/// anything else is never touched.
pub async fn prepare(server: &Server<'_>, user: Option<Identity>) -> Result<(), DatabaseError> {
    let Some(making) = Making::begin(server, user).await? else { return Ok(()) };
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
    making.bootstrap("create its accounts", sql).await?;
    making.keep().await
}
