//! The certificate of a site's database servers: all of them show the same one, which nobody but the site's own
//! splitters and replicas believes. Made once; who connects trusts it and nothing else, so that no other
//! authority, and no clock, decides whether a site's servers talk to each other.

use crate::host::error::FileError;
use crate::host::files::write_atomic;
use std::fmt;
use std::io;
use std::path::Path;
use stoa_model::Paths;
use stoa_model::routes::DATABASE_CERTIFICATE;

/// The certificate and its key, each in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    /// Reads it, or makes it where there is none yet: two files, of which servers and who connects read the first
    /// where it lies, and nobody but the daemon the second.
    pub fn load_or_create(paths: &Paths) -> Result<Self, FileError> {
        let (shown, key) = (paths.database_certificate(), paths.database_key());
        let read = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new("read", path, error)),
        };
        match (read(&shown)?, read(&key)?) {
            (Some(certificate), Some(key)) => Ok(Certificate { certificate, key }),
            // The certificate is written last: without it nobody has ever seen the key.
            (None, _) => {
                let made = Certificate::generate().map_err(FileError::at("make", &shown))?;
                write_atomic(&key, made.key.as_bytes(), 0o600)?;
                write_atomic(&shown, made.certificate.as_bytes(), 0o644)?;
                Ok(made)
            }
            (Some(_), None) => {
                let why = format!(
                    "it is missing: restore it from a backup; or remove {}, and run `stoa restart splitter` and \
                     `stoa restart database`",
                    shown.display()
                );
                Err(FileError::new("read", &key, io::Error::other(why)))
            }
        }
    }

    /// A new one.
    pub fn generate() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([DATABASE_CERTIFICATE.to_owned()])
            .map_err(io::Error::other)?;
        Ok(Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    /// What who connects trusts, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What only servers have, in PEM.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_is_made_once_never_shown_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let first = Certificate::load_or_create(&paths).unwrap();
        assert!(Certificate::load_or_create(&paths).unwrap() == first);
        assert_eq!(std::fs::metadata(paths.database_key()).unwrap().mode() & 0o777, 0o600);
        assert!(first.certificate().starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(first.key().contains("PRIVATE KEY") && !first.certificate().contains("PRIVATE"));
        assert!(!format!("{first:?}").contains("BEGIN"));
        std::fs::remove_file(paths.database_key()).unwrap();
        let error = Certificate::load_or_create(&paths).unwrap_err().to_string();
        assert!(error.contains("restore it from a backup"), "{error}");
        assert_eq!(std::fs::read_to_string(paths.database_certificate()).unwrap(), first.certificate());
    }
}
