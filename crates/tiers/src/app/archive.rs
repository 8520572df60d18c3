//! Unpacks the source of a release.
//!
//! Writes below its folder and nowhere else: plain relative paths, no device, no hard link, no link that
//! leads out, nothing through a link, nothing twice.

use crate::tool::Identity;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tar::EntryType;

/// An archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// An entry that must not be written.
    #[error("{path:?} is refused: {why}")]
    Refused {
        /// As it stands in the archive.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The archive could not be read, or the disk not written.
    #[error("{path}: {error}")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Whether a link at `inner` to `target` leads to a place inside the folder, whatever other links are
/// in it: `..` only at the beginning, where the parents are real folders, and not too often.
pub(crate) fn stays_inside(inner: &Path, target: &Path) -> bool {
    let depth = inner.components().count().saturating_sub(1);
    let mut up = 0;
    let mut down = false;
    for part in target.components() {
        match part {
            Component::ParentDir if !down => up += 1,
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    up <= depth && target.as_os_str() != ""
}

/// Unpacks `archive` into the new folder `to`, owned by `owner` where one is given.
pub(crate) fn unpack(archive: &Path, to: &Path, owner: Option<Identity>) -> Result<(), ArchiveError> {
    let unreadable = |error| ArchiveError::Io { path: archive.to_owned(), error };
    let mut tar = tar::Archive::new(io::BufReader::new(File::open(archive).map_err(unreadable)?));
    let unpack = Unpack { to, owner };
    unpack.folder(to).map_err(|error| ArchiveError::Io { path: to.to_owned(), error })?;
    for entry in tar.entries().map_err(unreadable)? {
        unpack.entry(entry.map_err(unreadable)?)?;
    }
    Ok(())
}

struct Unpack<'a> {
    to: &'a Path,
    owner: Option<Identity>,
}

impl Unpack<'_> {
    fn entry(&self, mut entry: tar::Entry<'_, impl io::Read>) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let inner = entry.path().map_err(|error| ArchiveError::Io { path: self.to.to_owned(), error })?;
        let inner = inner.into_owned();
        let refuse = |why| ArchiveError::Refused { path: inner.clone(), why };
        let Some(clean) = plain(&inner) else { return Err(refuse("it is no plain path inside the release")) };
        if clean.as_os_str().is_empty() {
            return Ok(());
        }
        let path = self.to.join(&clean);
        let io = |error| ArchiveError::Io { path: path.clone(), error };
        if !self.parents(&clean).map_err(io)? {
            return Err(refuse("one of its parents is not a folder"));
        }
        match kind {
            EntryType::Directory => match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => Err(refuse("it stands in the archive twice")),
                Err(_) => self.folder(&path).map_err(io),
            },
            EntryType::Symlink => {
                let target = entry.link_name().map_err(io)?.unwrap_or_default().into_owned();
                if !stays_inside(&clean, &target) {
                    return Err(refuse(
                        "it is a link that leads out of the release; replace it by what it means",
                    ));
                }
                std::os::unix::fs::symlink(&target, &path).map_err(io)?;
                self.own(&path).map_err(io)
            }
            EntryType::Regular | EntryType::Continuous => match self.file(&path, &mut entry) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(refuse("it stands in the archive twice"))
                }
                other => other.map_err(io),
            },
            _ => Err(refuse("it is neither a file nor a folder nor a symbolic link")),
        }
    }

    /// Makes what is missing above `inner`; false where something else than a folder stands there.
    fn parents(&self, inner: &Path) -> io::Result<bool> {
        let mut path = self.to.to_owned();
        for part in inner.parent().into_iter().flat_map(Path::components) {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.folder(&path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        self.own(path)
    }

    fn file(&self, path: &Path, entry: &mut tar::Entry<'_, impl io::Read>) -> io::Result<()> {
        let executable = entry.header().mode()? & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        io::copy(entry, &mut file)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        let time = entry.header().mtime().ok().and_then(|t| UNIX_EPOCH.checked_add(Duration::from_secs(t)));
        if let Some(time) = time {
            file.set_modified(time)?;
        }
        self.own(path)
    }

    fn own(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(owner) => std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid)),
            None => Ok(()),
        }
    }
}

/// The path without `.` parts; `None` where it is absolute or climbs.
fn plain(inner: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in inner.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}
