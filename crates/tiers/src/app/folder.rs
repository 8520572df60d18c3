//! Copies a folder that git does not know into a tar, with a digest of its content.
//!
//! The same content gives the same digest, whatever its times and owners. What a build makes anew
//! (`node_modules`, `.venv`, …) is left out, and so are links that lead out of the folder.

use super::archive::stays_inside;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What was copied.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Sixteen hexadecimal digits.
    pub(crate) digest: String,
    /// What was left out and would be missed.
    pub(crate) warnings: Vec<String>,
}

/// Copies `folder` but for `except` (our own state, where it lies inside) to `out`.
pub(crate) fn copy(folder: &Path, except: &Path, out: File) -> Result<Copied, (PathBuf, io::Error)> {
    let tar = tar::Builder::new(BufWriter::new(out));
    let except = except.canonicalize().unwrap_or_else(|_| except.to_owned());
    let mut copy = Copy { tar, digest: Fnv::default(), warnings: Vec::new(), except };
    copy.folder(folder, Path::new(""))?;
    let at = |error: io::Error| (folder.to_owned(), error);
    let file = copy.tar.into_inner().map_err(at)?.into_inner().map_err(|error| at(error.into_error()))?;
    file.sync_all().map_err(at)?;
    Ok(Copied { digest: format!("{:016x}", copy.digest.0), warnings: copy.warnings })
}

struct Copy {
    tar: tar::Builder<BufWriter<File>>,
    digest: Fnv,
    warnings: Vec<String>,
    except: PathBuf,
}

impl Copy {
    fn folder(&mut self, from: &Path, inner: &Path) -> Result<(), (PathBuf, io::Error)> {
        let at = |error: io::Error| (from.to_owned(), error);
        let mut names = Vec::new();
        for entry in fs::read_dir(from).map_err(at)? {
            names.push(entry.map_err(at)?.file_name());
        }
        names.sort();
        for name in names {
            let (path, inner) = (from.join(&name), inner.join(&name));
            let found = fs::symlink_metadata(&path).map_err(|error| (path.clone(), error))?;
            let ours = || found.is_dir() && path.canonicalize().is_ok_and(|real| real == self.except);
            if made_by_a_build(&path, &found) || ours() {
                continue;
            }
            self.entry(&path, &inner, &found).map_err(|error| (path.clone(), error))?;
            if found.is_dir() {
                self.folder(&path, &inner)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, inner: &Path, found: &Metadata) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        let time = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        header.set_mtime(time.map_or(0, |time| time.as_secs()));
        if found.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            self.digest.entry(b'd', inner);
            self.tar.append_data(&mut header, inner, io::empty())
        } else if found.is_symlink() {
            let target = fs::read_link(path)?;
            if !stays_inside(inner, &target) {
                self.left_out(inner, "it is a link that leads out of the folder");
                return Ok(());
            }
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            self.digest.entry(b'l', inner);
            self.digest.bytes(target.as_os_str().as_bytes());
            self.tar.append_link(&mut header, inner, &target)
        } else if found.is_file() {
            let executable = found.permissions().mode() & 0o111 != 0;
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(found.len());
            self.digest.entry(if executable { b'x' } else { b'f' }, inner);
            self.file(path, inner, header, found.len())
        } else {
            self.left_out(inner, "it is neither a file nor a folder");
            Ok(())
        }
    }

    fn file(&mut self, path: &Path, inner: &Path, mut header: tar::Header, size: u64) -> io::Result<()> {
        let mut reader = Hashed { from: File::open(path)?, digest: &mut self.digest, left: size };
        self.tar.append_data(&mut header, inner, &mut reader)?;
        if reader.left > 0 {
            return Err(io::Error::other("it became shorter while it was copied; try again"));
        }
        Ok(())
    }

    fn left_out(&mut self, inner: &Path, why: &str) {
        self.warnings.push(format!("{} is not part of the release: {why}", inner.display()));
    }
}

/// Told by what lies beside it, because a folder of such a name may also be the user's own.
fn made_by_a_build(path: &Path, found: &Metadata) -> bool {
    let beside = |name: &str| path.with_file_name(name).is_file();
    match path.file_name().and_then(|name| name.to_str()) {
        Some(".git") => true,
        Some("__pycache__") => found.is_dir(),
        Some(".venv" | "venv") => found.is_dir() && path.join("pyvenv.cfg").is_file(),
        Some("node_modules") => found.is_dir() && beside("package.json"),
        Some("target") => found.is_dir() && beside("Cargo.toml"),
        _ => false,
    }
}

/// FNV-1a over 64 bits: it tells one content from another, not a forgery.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        self.0 = bytes.iter().fold(self.0, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(PRIME));
    }

    /// A NUL cannot be part of a path, so that no two different folders read the same.
    fn entry(&mut self, kind: u8, inner: &Path) {
        self.bytes(&[0, kind]);
        self.bytes(inner.as_os_str().as_bytes());
        self.bytes(&[0]);
    }
}

/// Reads at most the size that the header promised.
struct Hashed<'a> {
    from: File,
    digest: &'a mut Fnv,
    left: u64,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..most) else { return Ok(0) };
        let read = self.from.read(room)?;
        self.digest.bytes(room.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}
