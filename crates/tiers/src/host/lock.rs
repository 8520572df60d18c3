//! A file that one process at a time holds (flock(2)); the kernel gives it back when its holder dies.

use super::error::FileError;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(20);

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting no longer than `patience`. Blocks.
    pub(crate) fn wait_for(path: &Path, patience: Duration) -> Result<Self, FileError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = Lock::attempt(path)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                let why = format!("another process has held it for {} s", patience.as_secs());
                return Err(FileError::new("lock", path, io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Takes the lock where nobody holds it.
    pub(crate) fn attempt(path: &Path) -> Result<Option<Self>, FileError> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| FileError::new("open", path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: File::from(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(FileError::new("lock", path, error)),
        }
    }
}
