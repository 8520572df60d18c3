//! The generated credentials of a site: made once, kept in one file of mode 0600, never printed.

use super::error::FileError;
use super::files;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use stoa_model::Paths;

/// Digits of a secret; 64 of them are possible in each place: 192 bits.
const LENGTH: usize = 32;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The generated credentials of a site.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    app: String,
    replication: String,
    monitor: String,
    admin: String,
    cache: String,
}

impl Credentials {
    /// Reads them, or makes them where there are none yet. Two callers at once get the same ones.
    pub fn load_or_create(paths: &Paths) -> Result<Self, FileError> {
        let path = paths.credentials();
        match std::fs::read(&path) {
            Ok(bytes) => {
                let broken = |_| {
                    let why =
                        "it is damaged; without it the databases cannot be reached: restore it from a backup";
                    FileError::new("read", &path, io::Error::other(why))
                };
                serde_json::from_slice(&bytes).map_err(broken)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Credentials::generate().map_err(FileError::at("make", &path))?;
                let bytes = serde_json::to_vec_pretty(&made)
                    .map_err(|error| FileError::new("write", &path, io::Error::other(error)))?;
                files::write_atomic(&path, &bytes, 0o600)?;
                Ok(made)
            }
            Err(error) => Err(FileError::new("read", &path, error)),
        }
    }

    /// New ones.
    pub fn generate() -> io::Result<Self> {
        Ok(Credentials {
            app: secret()?,
            replication: secret()?,
            monitor: secret()?,
            admin: secret()?,
            cache: secret()?,
        })
    }

    /// The password of the database user that the application is given.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The password of the database user that replicas read the primary's log with.
    pub fn replication(&self) -> &str {
        &self.replication
    }

    /// The password of the database user that is only asked how it goes.
    pub fn monitor(&self) -> &str {
        &self.monitor
    }

    /// The password of the database user that changes roles.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The password of the cache.
    pub fn cache(&self) -> &str {
        &self.cache
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// Fit for a URL, an SQL string and a configuration file alike.
fn secret() -> io::Result<String> {
    let mut bytes = [0_u8; LENGTH];
    let length = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if length != LENGTH {
        return Err(io::Error::other("the system gave too little randomness"));
    }
    // 256 is a multiple of 64: every digit is as likely.
    let digit = |byte: &u8| DIGITS.get(usize::from(byte % 64)).map(|digit| char::from(*digit));
    Ok(bytes.iter().filter_map(digit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn they_are_made_once_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let first = Credentials::load_or_create(&paths).unwrap();
        assert_eq!(Credentials::load_or_create(&paths).unwrap(), first);
        assert_eq!(std::fs::metadata(paths.credentials()).unwrap().mode() & 0o777, 0o600);
        let all = [first.app(), first.replication(), first.monitor(), first.admin(), first.cache()];
        for (place, secret) in all.iter().enumerate() {
            assert_eq!(secret.len(), LENGTH);
            assert!(!all[..place].contains(secret));
            assert!(!format!("{first:?}").contains(secret));
        }
    }

    #[test]
    fn damaged_ones_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        std::fs::write(paths.credentials(), "{").unwrap();
        let error = Credentials::load_or_create(&paths).unwrap_err().to_string();
        assert!(error.contains("restore it from a backup"), "{error}");
        assert_eq!(std::fs::read_to_string(paths.credentials()).unwrap(), "{");
    }
}
