//! Takes a release away: what was built, its source, its log.
//!
//! Which one is not needed any more is decided elsewhere. Whatever moment it is interrupted at, the release
//! never counts as built again, and doing it once more finishes the work.

use super::build::{MARKER, failure_path, mark};
use super::seal::remove_tree;
use crate::host::error::FileError;
use crate::host::files::remove_file;
use crate::host::log::{KEEP, rotated};
use crate::tool;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use stoa_model::{Paths, ReleaseId};

/// Removes a release. One that is not there is no error.
pub async fn remove(release: &ReleaseId, paths: &Paths) -> Result<(), FileError> {
    // Commands of a build that outlived their daemon would go on writing into it.
    tool::sweep(&mark(paths, release)).await;
    let (gone, paths) = (release.clone(), paths.clone());
    let work = tokio::task::spawn_blocking(move || remove_files(&gone, &paths));
    work.await.map_err(|error| FileError::new("remove", Path::new(&release.to_string()), error))?
}

fn remove_files(release: &ReleaseId, paths: &Paths) -> Result<(), FileError> {
    let folder = paths.release(release);
    unmark(&folder)?;
    remove_tree(&folder)?;
    remove_file(&failure_path(paths, release))?;
    let log = paths.build_log(release);
    for old in (1..=KEEP).map(|number| rotated(&log, number)) {
        remove_file(&old)?;
    }
    remove_file(&log)?;
    // The source goes last: as long as it is there, the release is seen and removed again.
    remove_file(&paths.source(release))
}

/// First of all it stops counting as built.
fn unmark(folder: &Path) -> Result<(), FileError> {
    let marker = folder.join(MARKER);
    if fs::symlink_metadata(&marker).is_err() {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(FileError::at("open up", folder))?;
    remove_file(&marker)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::at("sync", folder))
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
