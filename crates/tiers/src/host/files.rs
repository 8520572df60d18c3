//! Files and folders of the state: written whole or not at all, each with its mode and owner.
//!
//! Folders of a tier belong to an unprivileged user who may put anything into them, links too; so what is
//! written there as root is made anew and renamed into place, and never opened through a link.

use super::error::FileError;
use super::users::{Identity, Users};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use stoa_model::Paths;

pub use super::publish::{publish, published};

/// Writes `bytes` to `path` by temp file, fsync and rename: after a crash there is the old or the new file.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write_atomic_owned(path, bytes, mode, None)
}

/// As [`write_atomic`], with an owner where one is given and the caller may give files away.
pub fn write_atomic_owned(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<Identity>,
) -> Result<(), FileError> {
    let temporary = Temporary::beside(path);
    let mut file = create_new(&temporary.0, mode)?;
    own(&file, owner).map_err(FileError::at("give away", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::at("write", path))?;
    temporary.rename_to(path)
}

/// Swaps the symbolic link `link` to point at `target`, at once for every reader.
pub fn swap_link(link: &Path, target: &Path) -> Result<(), FileError> {
    let temporary = Temporary::beside(link);
    std::os::unix::fs::symlink(target, &temporary.0).map_err(FileError::at("link", link))?;
    temporary.rename_to(link)
}

/// Makes `path` a folder of this mode and owner, and those above it where they are missing.
pub fn ensure_folder(path: &Path, mode: u32, owner: Option<Identity>) -> Result<(), FileError> {
    let error = |doing| FileError::at(doing, path);
    std::fs::create_dir_all(path).map_err(error("create the folder"))?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| FileError::new("open", path, e))?;
    let now = rustix::fs::fstat(&folder).map_err(|e| FileError::new("read", path, e))?;
    if now.st_mode & 0o7777 != mode {
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))
            .map_err(|e| FileError::new("set the mode of", path, e))?;
    }
    if owner.is_some_and(|owner| (owner.uid, owner.gid) != (now.st_uid, now.st_gid)) {
        own(&folder, owner).map_err(error("give away"))?;
    }
    Ok(())
}

/// Makes the folders of a site that every tier relies on. Who may read what: everybody may pass through
/// the state folder but not list it; `run` is for the group of all tiers; records are the daemon's alone.
pub fn ensure_state(paths: &Paths, users: &Users) -> Result<(), FileError> {
    let shared = users.root_and_group();
    ensure_folder(paths.root(), 0o711, None)?;
    ensure_folder(&paths.run(), 0o750, shared)?;
    ensure_folder(&paths.run().join("pid"), 0o700, None)?;
    ensure_folder(&paths.root().join("data"), 0o711, None)?;
    ensure_folder(&paths.root().join("log"), 0o711, None)?;
    ensure_folder(&paths.releases(), 0o755, None)?;
    ensure_folder(&paths.persist(), 0o755, None)
}

/// Opens a log file to append to, made anew where it is missing; never through a link, and never one that
/// has a second name elsewhere.
pub(crate) fn open_log(path: &Path, owner: Option<Identity>) -> Result<File, FileError> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags | OFlags::NONBLOCK, Mode::from_raw_mode(0o640))
        .map_err(|e| FileError::new("open", path, e))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| FileError::new("read", path, e))?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !regular || stat.st_nlink != 1 {
        let why = std::io::Error::other("it is no plain file of its own; remove it");
        return Err(FileError::new("write the log", path, why));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(|e| FileError::new("open", path, e))?;
    own(&file, owner).map_err(FileError::at("give away", path))?;
    Ok(File::from(file))
}

/// Removes a file that may be missing.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn own(fd: impl std::os::fd::AsFd, owner: Option<Identity>) -> std::io::Result<()> {
    let Some(owner) = owner.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let (uid, gid) = (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid));
    Ok(rustix::fs::fchown(fd, Some(uid), Some(gid))?)
}

fn create_new(path: &Path, mode: u32) -> Result<File, FileError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
        .map_err(|e| FileError::new("create", path, e))?;
    // Whatever the umask is.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
        .map_err(|e| FileError::new("set the mode of", path, e))?;
    Ok(File::from(file))
}

/// A name beside the file that is to be; what is there under it is removed unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        // One that a process of the same number left behind when it was killed.
        let _ = std::fs::remove_file(&temporary);
        Temporary(temporary)
    }

    fn rename_to(self, path: &Path) -> Result<(), FileError> {
        std::fs::rename(&self.0, path).map_err(FileError::at("rename into", path))?;
        std::mem::forget(self);
        // A rename is durable once the folder is.
        let folder = path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::at("sync", folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
