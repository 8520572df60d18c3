//! Takes the source of another environment's release as a release of this one: the same bytes, built anew with
//! this environment's own paths.

use super::source;
use crate::host::error::FileError;
use crate::host::files::remove_file;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use stoa_model::{Paths, ReleaseId};

/// A release could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// Its source is not there any more.
    #[error("release {release} has no source in {}; deploy it there again, then promote it", .from.display())]
    NoSource {
        /// Which.
        release: ReleaseId,
        /// Whose state folder.
        from: std::path::PathBuf,
    },
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Takes the source of `release` of the environment at `from` as release `number` of the one at `to`; where
/// that has a release of the very same source, the newest of those is returned instead. Blocks.
pub fn adopt(from: &Paths, release: &ReleaseId, number: u32, to: &Paths) -> Result<ReleaseId, PromoteError> {
    let origin = from.source(release);
    let mut archive = match File::open(&origin) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PromoteError::NoSource { release: release.clone(), from: from.root().to_owned() });
        }
        archive => archive.map_err(FileError::at("read", &origin))?,
    };
    let mut known: Vec<ReleaseId> = super::build::observe(to).into_keys().collect();
    known.retain(|one| one.commit() == release.commit());
    known.sort_by_key(ReleaseId::number);
    for one in known.into_iter().rev() {
        if same_bytes(&origin, &to.source(&one)).map_err(FileError::at("read", &origin))? {
            return Ok(one);
        }
    }
    // A commit's seven digits name any release of it.
    let adopted = ReleaseId::new(number, release.commit())
        .map_err(|error| FileError::new("name", &origin, io::Error::other(error)))?;
    copy(&mut archive, &to.source(&adopted))?;
    Ok(adopted)
}

/// A copy of its own: a link would let what happens to one environment's file happen to the other's.
fn copy(archive: &mut File, path: &Path) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    source::make_folder(folder)?;
    let part = path.with_extension("part");
    let written = (|| {
        let mut file = File::create(&part)?;
        io::copy(archive, &mut file)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = remove_file(&part);
    }
    written.map_err(FileError::at("write", path))
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = match (File::open(one), File::open(other)) {
        (Ok(one), Ok(other)) => (one, other),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let length = one.read(&mut left)?;
        let (Some(left), Some(right)) = (left.get(..length), right.get_mut(..length)) else {
            return Ok(false);
        };
        if other.read_exact(right).is_err() || left != right {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
#[path = "promote_tests.rs"]
mod tests;
