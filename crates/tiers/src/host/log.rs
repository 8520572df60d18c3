//! The log files of instances: bounded by rotation, read from the end, followed as they grow.
//!
//! A server keeps its log open for as long as it runs, so a log is never renamed away from its writer: the
//! old part is copied beside it and then taken out of it.

use super::error::FileError;
use super::files;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use stoa_model::Paths;

pub use super::follow::{Followed, Follower};

/// A log is rotated when it is larger than this.
pub const ROTATE_AT: u64 = 10 << 20;

/// How many old parts are kept.
pub const KEEP: u32 = 5;

/// How much of a log's end is read for its last lines.
const TAIL_MAX: u64 = 64 << 10;

/// The longest line that is shown.
const LINE_MAX: usize = 1000;

/// How many lines are told of a process that ended.
const LAST_WORDS: usize = 20;

/// What an instance prints, below its folder of logs.
pub fn current(folder: &Path) -> PathBuf {
    folder.join("current.log")
}

/// The newest old part of a log.
pub fn rotated(log: &Path, number: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Rotates every log of a site that has grown too large; returns those that were. Blocks.
pub fn rotate_all(paths: &Paths) -> Vec<PathBuf> {
    let Ok(folders) = std::fs::read_dir(paths.root().join("log")) else { return Vec::new() };
    let files =
        folders.flatten().filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten();
    let logs = files.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "log"));
    let daemon = std::iter::once(paths.daemon_log());
    let due = logs.chain(daemon).filter(|log| match rotate(log, ROTATE_AT, KEEP) {
        Ok(rotated) => rotated,
        Err(error) => {
            tracing::warn!(%error, "a log is not rotated");
            false
        }
    });
    due.collect()
}

/// Moves what is in a log over `limit` bytes into `LOG.1`, and older parts one number up. The writer, which
/// has to append, goes on in the same file.
pub fn rotate(log: &Path, limit: u64, keep: u32) -> Result<bool, FileError> {
    let file = match open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(FileError::at("open", log))?,
    };
    let stat = file.metadata().map_err(FileError::at("read", log))?;
    if !stat.is_file() || stat.len() <= limit {
        return Ok(false);
    }
    // Whoever follows the log looks at it between two rotations, or the next look rotates it.
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    for number in (1..keep).rev() {
        let (from, to) = (rotated(log, number), rotated(log, number + 1));
        match std::fs::rename(&from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::new("rename", &from, error));
            }
            _ => {}
        }
    }
    cut(&file, stat.len(), stat.blksize(), log)?;
    Ok(true)
}

/// Where the file system can take whole blocks out of the front of a file, nothing that is written
/// meanwhile is lost. Elsewhere the file is cut to nothing once the copy has caught up with the writer,
/// which loses what is written in the instant between.
fn cut(file: &File, length: u64, block: u64, log: &Path) -> Result<(), FileError> {
    let to = rotated(log, 1);
    let temporary = rotated(log, 0);
    let error = |doing| FileError::at(doing, log);
    let owner = file.metadata().map_err(error("read"))?;
    files::remove_file(&temporary)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = rustix::fs::open(&temporary, flags, Mode::from_raw_mode(0o640))
        .map_err(|e| FileError::new("create", &temporary, e))?;
    let mut copy = File::from(copy);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&copy, Some(owner.uid()), Some(owner.gid()))
            .map_err(error("give away the copy of"))?;
    }
    let whole = length - length % block.max(1);
    copy_range(file, &mut copy, 0, whole).map_err(FileError::at("write", &temporary))?;
    // The copy is in place before anything is taken away, so that no line is ever nowhere.
    std::fs::rename(&temporary, &to).map_err(FileError::at("rename into", &to))?;
    if whole > 0 && rustix::fs::fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, whole).is_ok() {
        return Ok(());
    }
    let mut copied = whole;
    loop {
        let now = file.metadata().map_err(error("read"))?.len();
        if now <= copied {
            break;
        }
        copy_range(file, &mut copy, copied, now - copied).map_err(FileError::at("write", &to))?;
        copied = now;
    }
    file.set_len(0).map_err(error("cut"))
}

fn copy_range(from: &File, to: &mut File, offset: u64, length: u64) -> io::Result<()> {
    let mut reader = ReadAt { file: from, offset };
    io::copy(&mut (&mut reader).take(length), to).map(|_| ())
}

struct ReadAt<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

/// Read and write, never through a link: the folder may belong to somebody less trusted.
fn open(log: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(log, flags, Mode::empty())?))
}

/// The last `count` lines of a log, oldest first, fit to be shown on a terminal. Looks into the newest
/// old part where the log itself holds too few.
pub fn tail(log: &Path, count: usize) -> Vec<String> {
    let mut lines = last_lines(log, count);
    if lines.len() < count {
        let mut older = last_lines(&rotated(log, 1), count - lines.len());
        older.append(&mut lines);
        return older;
    }
    lines
}

/// What a process printed last.
pub(crate) fn last_words(folder: &Path) -> Vec<String> {
    tail(&current(folder), LAST_WORDS)
}

fn last_lines(log: &Path, count: usize) -> Vec<String> {
    read_end(log).map(|text| lines_of(&text, count)).unwrap_or_default()
}

fn lines_of(text: &str, count: usize) -> Vec<String> {
    let mut kept = VecDeque::new();
    for line in text.lines() {
        if kept.len() == count {
            kept.pop_front();
        }
        kept.push_back(printable(line));
    }
    kept.into()
}

fn read_end(log: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::open(log, flags, Mode::empty())?);
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut bytes)?;
    if start > 0 {
        // Most likely the middle of a line.
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.drain(..first);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of foreign text as it may be shown on a terminal: no control characters, so that a log cannot
/// move the cursor or colour the screen, and bounded.
pub fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len().min(LINE_MAX));
    let mut characters = line.trim_end().chars();
    while let Some(character) = characters.next() {
        if text.len() >= LINE_MAX {
            text.push('…');
            break;
        }
        match character {
            // A colour or cursor sequence goes as a whole: `ESC [ … letter`.
            '\u{1b}' => skip_sequence(&mut characters),
            '\t' => text.push_str("    "),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

fn skip_sequence(characters: &mut std::str::Chars<'_>) {
    if characters.as_str().starts_with('[') {
        characters.find(|c| c.is_ascii_alphabetic() || *c == '~');
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
