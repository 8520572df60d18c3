//! Makes a data folder of MySQL: the running server itself copies its data beside it, and goes on serving.
//!
//! The position in the history of transactions is part of the data; the binlogs and the server's identity are
//! not copied.

use super::accounts::{ADMIN, literal};
use super::client::Client;
use super::clone::{TIMEOUT, unless_stalled};
use super::making::Making;
use super::{DatabaseError, Server};
use crate::host::error::FileError;
use std::fs;
use std::time::Duration;

/// Ending what was cut short takes no longer.
const ASK: Duration = Duration::from_secs(5);

/// Fills the folder in the making of `server` with the data of `donor`, which runs on this host as the same user.
pub(super) async fn clone(
    server: &Server<'_>,
    donor: &Server<'_>,
    making: &Making<'_>,
    size: u64,
) -> Result<(), DatabaseError> {
    let verb = "copy the data of its source";
    // The server insists on making the folder itself.
    let folder = making.scratch().join("clone");
    let place = folder.to_str().ok_or_else(|| DatabaseError::Unwritable {
        instance: server.instance,
        value: folder.to_string_lossy().into_owned(),
    })?;
    let mut client = Client::connect(donor, ADMIN, donor.credentials.admin(), ASK).await?;
    let id: Option<u64> = client.first(verb, "SELECT CONNECTION_ID()").await?;
    client.extend(TIMEOUT);
    let copy = client.run(verb, format!("CLONE LOCAL DATA DIRECTORY = {}", literal(place)));
    let done = unless_stalled(server, donor, &folder, size, verb, copy).await;
    if done.is_err()
        && let Some(id) = id
    {
        // It would go on by itself. Where it has ended there is nobody to end.
        let mut other = Client::connect(donor, ADMIN, donor.credentials.admin(), ASK).await?;
        let _ = other.run(verb, format!("KILL CONNECTION {id}")).await;
        other.close().await;
    }
    done?;
    client.close().await;
    let (from, to) = (folder, making.part());
    fs::remove_dir(to).map_err(FileError::at("remove", to))?;
    Ok(fs::rename(&from, to).map_err(FileError::at("rename into", to))?)
}
