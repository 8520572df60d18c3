//! Follows growing log files through their rotation.

use super::log::{printable, rotated};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(100);

/// The most that is read of one file in one look.
const READ_MAX: u64 = 1 << 20;

/// The longest line that is put together before it is given out in pieces.
const PARTIAL_MAX: usize = 64 << 10;

/// Follows several log files.
pub struct Follower {
    files: Vec<Tail>,
    ready: VecDeque<Followed>,
}

/// A line that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Which of the files, by the name it was given.
    pub source: String,
    /// The line, fit to be shown on a terminal.
    pub line: String,
}

struct Tail {
    source: String,
    path: PathBuf,
    offset: u64,
    /// The newest old part, by its inode: another one means that the log was rotated.
    part: Option<u64>,
    partial: Vec<u8>,
}

impl Follower {
    /// Follows from the present end of each file; one that does not exist yet is read from its beginning.
    pub fn from_end(files: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut follower = Follower { files: Vec::new(), ready: VecDeque::new() };
        for (source, path) in files {
            let offset = std::fs::metadata(&path).map_or(0, |stat| stat.len());
            follower.push(source, path, offset);
        }
        follower
    }

    /// Follows one more file, which appeared meanwhile, from its beginning. One that is followed already
    /// is left as it is.
    pub fn add(&mut self, source: String, path: PathBuf) {
        if !self.files.iter().any(|tail| tail.path == path) {
            self.push(source, path, 0);
        }
    }

    /// The next line, whenever it comes. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Followed {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return line;
            }
            for tail in &mut self.files {
                tail.look(&mut self.ready);
            }
            if self.ready.is_empty() {
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    fn push(&mut self, source: String, path: PathBuf, offset: u64) {
        let part = inode(&rotated(&path, 1));
        self.files.push(Tail { source, path, offset, part, partial: Vec::new() });
    }
}

impl Tail {
    /// Reads what is new; a file that cannot be read now is looked at again later.
    fn look(&mut self, ready: &mut VecDeque<Followed>) {
        let Ok(file) = open(&self.path) else { return };
        // In the middle of a rotation nobody can tell what stands where.
        if flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
            return;
        }
        let parts = self.new_parts();
        for part in parts.iter().rev() {
            self.change_over(&rotated(&self.path, *part), ready);
        }
        if !parts.is_empty() {
            self.part = inode(&rotated(&self.path, 1));
        }
        let length = file.metadata().map_or(0, |stat| stat.len());
        if length < self.offset {
            // Cut by somebody else.
            self.offset = 0;
        }
        if let Ok(bytes) = read(&file, self.offset, (length - self.offset).min(READ_MAX)) {
            self.offset += bytes.len() as u64;
            self.take(&bytes, ready);
        }
    }

    /// The numbers of the parts that were cut off since the last look, the newest first.
    fn new_parts(&self) -> Vec<u32> {
        let parts = (1..).map_while(|number| Some((number, inode(&rotated(&self.path, number))?)));
        parts.take_while(|(_, inode)| Some(*inode) != self.part).map(|(number, _)| number).collect()
    }

    /// The log's front has become this part: what was not read of it is read there, and the rest now
    /// stands at the log's beginning, or in the next part.
    fn change_over(&mut self, part: &Path, ready: &mut VecDeque<Followed>) {
        let Ok(file) = open(part) else { return };
        let length = file.metadata().map_or(0, |stat| stat.len());
        while self.offset < length {
            let Ok(bytes) = read(&file, self.offset, (length - self.offset).min(READ_MAX)) else { break };
            if bytes.is_empty() {
                break;
            }
            self.offset += bytes.len() as u64;
            self.take(&bytes, ready);
        }
        self.offset = self.offset.saturating_sub(length);
    }

    fn take(&mut self, bytes: &[u8], ready: &mut VecDeque<Followed>) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            ready.push_back(self.followed(&line));
        }
        if self.partial.len() > PARTIAL_MAX {
            let line = std::mem::take(&mut self.partial);
            ready.push_back(self.followed(&line));
        }
    }

    fn followed(&self, line: &[u8]) -> Followed {
        Followed { source: self.source.clone(), line: printable(&String::from_utf8_lossy(line)) }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|stat| stat.ino())
}
