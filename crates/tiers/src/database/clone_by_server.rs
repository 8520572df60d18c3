//! Makes a data folder of MySQL: the running server itself copies its data beside it, and goes on serving.
//!
//! The position in the history of transactions is part of the data; the binlogs and the server's identity are
//! not copied. A server makes one clone at a time: who comes second waits for its turn. What was cut short, by
//! whatever, is ended: the server alone would go on with it.

use super::accounts::{ADMIN, literal};
use super::client::Door;
use super::clone::{TIMEOUT, unless_stalled};
use super::making::Making;
use super::{DatabaseError, Server};
use crate::host::error::FileError;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Ending what was cut short takes no longer.
const ASK: Duration = Duration::from_secs(5);

/// Whether it is its turn is looked at this often.
const PAUSE: Duration = Duration::from_millis(200);

/// ER_CLONE_TOO_MANY_CONCURRENT_CLONES.
const ONE_AT_A_TIME: u16 = 3634;

const VERB: &str = "copy the data of its source";

/// Fills the folder in the making of `server` with the data of `donor`, which runs on this host as the same user.
pub(super) async fn clone(
    server: &Server<'_>,
    donor: &Server<'_>,
    making: &Making<'_>,
    size: u64,
) -> Result<(), DatabaseError> {
    // The server insists on making the folder itself.
    let folder = making.scratch().join("clone");
    let place = folder.to_str().ok_or_else(|| DatabaseError::Unwritable {
        instance: server.instance,
        value: folder.to_string_lossy().into_owned(),
    })?;
    let statement = format!("CLONE LOCAL DATA DIRECTORY = {}", literal(place));
    let deadline = Instant::now() + TIMEOUT;
    while let Err(error) = run(server, donor, &folder, size, &statement).await {
        if error.server_code() != Some(ONE_AT_A_TIME) || Instant::now() > deadline {
            return Err(error);
        }
        // Into this folder it can only be one whose daemon is gone.
        end(&Door::of(donor, ADMIN, donor.credentials.admin())?, &statement).await?;
        tokio::time::sleep(PAUSE).await;
    }
    let (from, to) = (folder, making.part());
    fs::remove_dir(to).map_err(FileError::at("remove", to))?;
    Ok(fs::rename(&from, to).map_err(FileError::at("rename into", to))?)
}

async fn run(
    server: &Server<'_>,
    donor: &Server<'_>,
    folder: &Path,
    size: u64,
    statement: &str,
) -> Result<(), DatabaseError> {
    let door = Door::of(donor, ADMIN, donor.credentials.admin())?;
    let mut client = door.open(ASK).await?;
    client.extend(TIMEOUT);
    let mut running = Running { door, statement: Some(statement.to_owned()) };
    let copied = unless_stalled(server, donor, folder, size, VERB, client.run(VERB, statement)).await;
    match &copied {
        // What the server answered is over.
        Ok(()) => running.statement = None,
        Err(error) if error.server_code().is_some() => running.statement = None,
        Err(_) => {}
    }
    client.close().await;
    copied
}

/// Ends every session of the server that runs exactly this statement.
async fn end(door: &Door, statement: &str) -> Result<(), DatabaseError> {
    let mut client = door.open(ASK).await?;
    let running = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info = ";
    let ids: Vec<u64> = client.all(VERB, format!("{running}{}", literal(statement))).await?;
    for id in ids {
        // Where it has ended by itself there is nobody to end.
        let _ = client.run(VERB, format!("KILL CONNECTION {id}")).await;
    }
    client.close().await;
    Ok(())
}

/// A copy under way. Dropped before it is over, it is ended at the server.
struct Running {
    door: Door,
    statement: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(statement), Ok(runtime)) = (self.statement.take(), Handle::try_current()) {
            let door = self.door.clone();
            runtime.spawn(async move {
                if let Err(error) = end(&door, &statement).await {
                    tracing::warn!("a copy that is not needed any more goes on: {error}");
                }
            });
        }
    }
}
