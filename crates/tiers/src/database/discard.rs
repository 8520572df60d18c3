//! Removes the data folder of a server that is down, so that it is cloned anew.

use super::DatabaseError;
use super::making::beside;
use crate::app::remove_tree;
use crate::host::error::FileError;
use std::fs::{self, File};
use stoa_model::{InstanceId, Paths};

/// Removes the data folder; one that is gone is no error. The caller knows that no server runs on it.
///
/// It is moved aside first, so that what is cut short is no data folder any more.
pub async fn discard(instance: InstanceId, paths: &Paths) -> Result<(), DatabaseError> {
    let folder = paths.data(instance);
    let aside = beside(&folder, "discarded");
    let work = tokio::task::spawn_blocking(move || {
        remove_tree(&aside)?;
        match fs::rename(&folder, &aside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(FileError::at("move aside", &folder))?,
        }
        let above = folder.parent().unwrap_or(&folder);
        File::open(above).and_then(|above| above.sync_all()).map_err(FileError::at("sync", above))?;
        remove_tree(&aside)
    });
    let done = work.await;
    let folder = paths.data(instance);
    Ok(done.map_err(|error| FileError::new("remove", &folder, error))??)
}
