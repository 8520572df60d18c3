//! The secrets of a site, encrypted at rest: `secrets.age` holds them, `secrets.key` opens it.
//!
//! What it protects from is a copy of the state folder without the key (a backup of one file, a disk that
//! is given away), not from who may read both. A value is never part of an error or of what is printed.

use super::error::FileError;
use super::files;
use super::lock::Lock;
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::Paths;
use stoa_model::site::VariableName;

/// The longest value: the kernel takes no variable of 128 KB or more.
pub const VALUE_MAX: usize = 64 << 10;

/// All names and values together: they have to fit into one environment.
pub const ALL_MAX: usize = 1 << 20;

/// The largest file that is read; what is in it, its frame and JSON's escapes.
const FILE_MAX: u64 = 8 << 20;

/// Another writer is done in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The secrets of a site. Nothing is kept in memory: every call reads what is there then.
#[derive(Debug, Clone)]
pub struct Secrets {
    file: PathBuf,
    key: PathBuf,
}

/// The secrets could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Secrets that were never set.
    #[error("{} no value: {}", has(.names), .names.iter().map(|name| format!("stoa secrets set {name}")).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Which.
        names: Vec<VariableName>,
    },
    /// The key is gone.
    #[error(
        "the key {} is missing, and without it nobody can read {}: put the key back from a backup; or remove \
         {}, and set every secret again with `stoa secrets set NAME`", .key.display(), .file.display(), .file.display()
    )]
    KeyMissing {
        /// Where the key belongs.
        key: PathBuf,
        /// What it opens.
        file: PathBuf,
    },
    /// The key is no key.
    #[error("the key {} is damaged: put it back from a backup; it is one line that begins with AGE-SECRET-KEY-1", .key.display())]
    KeyDamaged {
        /// The file.
        key: PathBuf,
    },
    /// It was encrypted with another key.
    #[error("{} was not encrypted with the key in {}: put the two of one backup back together", .file.display(), .key.display())]
    OtherKey {
        /// The file.
        file: PathBuf,
        /// The key that does not open it.
        key: PathBuf,
    },
    /// It cannot be decrypted, or holds something else.
    #[error(
        "{} is damaged ({why}): put it back from a backup; or remove it, and set every secret again with \
         `stoa secrets set NAME`", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value that no process could be given.
    #[error("the value of {name} is refused: {why}")]
    Refused {
        /// Whose.
        name: VariableName,
        /// What is wrong with it, without saying any of it.
        why: &'static str,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

type Values = BTreeMap<VariableName, String>;

impl Secrets {
    /// Where the secrets of a site lie. Touches nothing.
    pub fn open(paths: &Paths) -> Self {
        Secrets { file: paths.secrets(), key: paths.secrets_key() }
    }

    /// Sets one; the key is made with the first.
    pub fn set(&self, name: &VariableName, value: &str) -> Result<(), SecretsError> {
        let refused = |why| SecretsError::Refused { name: name.clone(), why };
        if value.contains('\0') {
            return Err(refused("it holds a NUL, which no variable can"));
        }
        if value.len() > VALUE_MAX {
            return Err(refused("it has more than 64 KB; keep such a file in a folder of [app] persist"));
        }
        self.change(|values| {
            values.insert(name.clone(), value.to_owned());
            let all: usize = values.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            match all > ALL_MAX {
                true => {
                    Err(refused("all secrets together would have more than 1 MB; take others away first"))
                }
                false => Ok(true),
            }
        })
        .map(drop)
    }

    /// Takes one away; false where there was none.
    pub fn unset(&self, name: &VariableName) -> Result<bool, SecretsError> {
        self.change(|values| Ok(values.remove(name).is_some()))
    }

    /// Which there are, never their values.
    pub fn names(&self) -> Result<Vec<VariableName>, SecretsError> {
        Ok(self.read()?.into_keys().collect())
    }

    /// The values of these, by name; an error names those that were never set.
    pub fn values(&self, names: &[VariableName]) -> Result<BTreeMap<String, String>, SecretsError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut all = self.read()?;
        let missing: Vec<_> = names.iter().filter(|name| !all.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(SecretsError::Missing { names: missing });
        }
        Ok(names.iter().filter_map(|name| Some((name.to_string(), all.remove(name)?))).collect())
    }

    /// Reads, changes and writes under a lock, so that no writer overwrites what another one set.
    fn change(
        &self,
        change: impl FnOnce(&mut Values) -> Result<bool, SecretsError>,
    ) -> Result<bool, SecretsError> {
        let _lock = Lock::wait_for(&self.file.with_extension("lock"), PATIENCE)?;
        let mut values = self.read()?;
        let changed = change(&mut values)?;
        if changed {
            self.write(&values)?;
        }
        Ok(changed)
    }

    fn read(&self) -> Result<Values, SecretsError> {
        let Some(bytes) = read_bounded(&self.file)? else { return Ok(Values::new()) };
        let key = self.load_key()?.ok_or_else(|| {
            let (key, file) = (self.key.clone(), self.file.clone());
            SecretsError::KeyMissing { key, file }
        })?;
        let damaged = |why: String| SecretsError::Damaged { file: self.file.clone(), why };
        let plain = decrypt(&key, &bytes).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                SecretsError::OtherKey { file: self.file.clone(), key: self.key.clone() }
            }
            error => damaged(error.to_string().lines().next().unwrap_or_default().to_owned()),
        })?;
        // The parser's own words could quote a value.
        serde_json::from_slice(&plain).map_err(|_| damaged("what is in it is no list of secrets".to_owned()))
    }

    fn write(&self, values: &Values) -> Result<(), SecretsError> {
        let key = match self.load_key()? {
            Some(key) => key,
            None => {
                let key = Identity::generate();
                // The key first: a file that nothing opens would be worse than a key without a file.
                let line = format!("{}\n", key.to_string().expose_secret());
                files::write_atomic(&self.key, line.as_bytes(), 0o600)?;
                key
            }
        };
        let failed = |error: io::Error| FileError::new("encrypt", &self.file, error);
        let plain = serde_json::to_vec(values).map_err(|error| failed(error.into()))?;
        let bytes = encrypt(&key, &plain).map_err(failed)?;
        Ok(files::write_atomic(&self.file, &bytes, 0o600)?)
    }

    fn load_key(&self) -> Result<Option<Identity>, SecretsError> {
        let Some(bytes) = read_bounded(&self.key)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        // As age-keygen writes it: comments may stand above the key.
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let key = line.and_then(|line| line.parse().ok());
        key.map(Some).ok_or_else(|| SecretsError::KeyDamaged { key: self.key.clone() })
    }
}

fn encrypt(key: &Identity, plain: &[u8]) -> io::Result<Vec<u8>> {
    let recipient = key.to_public();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(bytes)
}

fn decrypt(key: &Identity, bytes: &[u8]) -> Result<Vec<u8>, age::DecryptError> {
    let decryptor = age::Decryptor::new(bytes)?;
    let mut reader = decryptor.decrypt(std::iter::once(key as &dyn age::Identity))?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain)?;
    Ok(plain)
}

/// A file that may be missing.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(FileError::at("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
    Ok(Some(bytes))
}

fn has(names: &[VariableName]) -> String {
    let all = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if names.len() == 1 { format!("the secret {all} has") } else { format!("the secrets {all} have") }
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
