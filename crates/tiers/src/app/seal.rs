//! Makes a built release unchangeable, and takes one away again.
//!
//! As root it walks a tree that another user has written, so every entry is taken over before it is
//! looked at, from the top down: then nobody can swap it for a link while it is worked on.

use crate::host::error::FileError;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Takes the write permission away from everything in `folder`; as root also the ownership. `finish`
/// runs when all of it is on the disk, before the folder itself is closed.
pub(super) fn seal(folder: &Path, finish: impl FnOnce() -> Result<(), FileError>) -> Result<(), FileError> {
    take_over(folder)?;
    seal_inside(folder)?;
    let sync = FileError::at("sync", folder);
    let opened = File::open(folder).map_err(FileError::at("open", folder))?;
    rustix::fs::syncfs(&opened).map_err(|error| sync(error.into()))?;
    finish()?;
    close(folder, 0o555)?;
    opened.sync_all().map_err(FileError::at("sync", folder))
}

/// Removes a tree, sealed or not, that may be missing. A link is removed, never followed.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.is_dir() {
        return fs::remove_file(path).map_err(FileError::at("remove", path));
    }
    // Root needs no permission; for anybody else the tree is his own.
    if !rustix::process::geteuid().is_root() {
        open_up(path);
    }
    fs::remove_dir_all(path).map_err(FileError::at("remove", path))
}

fn seal_inside(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let path = entry.map_err(FileError::at("read", folder))?.path();
        take_over(&path)?;
        let found = fs::symlink_metadata(&path).map_err(FileError::at("read", &path))?;
        if found.is_dir() {
            seal_inside(&path)?;
            close(&path, 0o555)?;
        } else if found.is_file() {
            let executable = found.permissions().mode() & 0o111 != 0;
            close(&path, if executable { 0o555 } else { 0o444 })?;
        } else if !found.is_symlink() {
            // A pipe, a socket or a device has no place in a release.
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
    }
    Ok(())
}

/// Root's from now on. This also clears set-user-id bits.
fn take_over(path: &Path) -> Result<(), FileError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(0), Some(0)).map_err(FileError::at("take over", path))
}

fn close(path: &Path, mode: u32) -> Result<(), FileError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(FileError::at("seal", path))
}

fn open_up(folder: &Path) {
    // What cannot be opened fails the removal, which says so.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o755));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
