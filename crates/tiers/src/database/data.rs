//! Whose data a folder holds: never is a server started on data that it does not understand.

use super::DatabaseError;
use crate::host::error::FileError;
use crate::host::files::{remove_file, write_atomic_owned};
use crate::host::programs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use stoa_model::InstanceId;
use stoa_model::observed::DataState;
use stoa_model::site::DatabaseEngine;

/// In a data folder that was prepared to its end; names the last server that ran on it.
const MARKER: &str = "stoa.json";

/// In a data folder whose next start takes back what the server had not committed.
const REWIND: &str = "stoa-rewind";

/// With less room than this, a disk counts as full: the server may not be able to note what it does.
const FULL: u64 = 16 << 20;

/// The installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Of which engine.
    pub engine: DatabaseEngine,
    /// Where it is.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
}

/// The part of a version that decides whether data can be read: a server reads what an older one wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    engine: DatabaseEngine,
    version: Version,
}

/// The server that is installed for `engine`.
pub async fn installed(instance: InstanceId, engine: DatabaseEngine) -> Result<Installed, DatabaseError> {
    let (name, found) = match engine {
        DatabaseEngine::Mariadb => ("mariadbd", programs::find("mariadbd")),
        DatabaseEngine::Mysql => ("mysqld", programs::find_of_mysql("mysqld")),
    };
    let program = found.ok_or(DatabaseError::Missing { program: name })?;
    let text = programs::version(&program).await.unwrap_or_default();
    let version = Version::parse(&text).ok_or_else(|| DatabaseError::Failed {
        instance,
        verb: "read the version of the installed server",
        said: format!("it says {text:?}"),
    })?;
    Ok(Installed { engine, program, version })
}

/// Why nothing more can be written where `folder` lies; none where there is room, or it cannot be told.
pub fn full(folder: &Path) -> Option<String> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    (free < FULL).then(|| format!("the disk of {} is full: {} MB are left", folder.display(), free >> 20))
}

/// What lies in `folder`, and whether the installed server may be started on it.
pub fn state(folder: &Path, installed: &Installed) -> DataState {
    let names: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return DataState::Absent,
        Err(_) => return DataState::Unknown,
    };
    if names.is_empty() {
        return DataState::Absent;
    }
    let foreign = |found: String| DataState::Foreign {
        found,
        installed: format!("{} {}", product(installed.engine), installed.version),
    };
    let has = |name: &str| names.iter().any(|found| found == name);
    let marker = read_marker(folder);
    // The dictionary of MySQL 8 and later.
    if has("mysql.ibd") && marker.as_ref().is_none_or(|marker| marker.engine != DatabaseEngine::Mysql) {
        return foreign("MySQL, not made by Stoa".to_owned());
    }
    let Some(marker) = marker else {
        return foreign(match upgrade_info(folder) {
            Some(version) => format!("MariaDB {version}, not made by Stoa"),
            None => "something else".to_owned(),
        });
    };
    let newest = match marker.engine {
        DatabaseEngine::Mariadb => {
            upgrade_info(folder).map_or(marker.version, |version| version.max(marker.version))
        }
        DatabaseEngine::Mysql => marker.version,
    };
    if marker.engine != installed.engine || newest > installed.version {
        return foreign(format!("{} {newest}", product(marker.engine)));
    }
    DataState::Ready
}

/// Notes that a server of this version runs on the folder: an older one must not be, from now on.
pub(super) fn mark(folder: &Path, engine: DatabaseEngine, version: Version) -> Result<(), DatabaseError> {
    if read_marker(folder).is_some_and(|marker| marker.version == version) {
        return Ok(());
    }
    let marker = Marker { engine, version };
    let text = serde_json::to_vec(&marker).unwrap_or_default();
    Ok(write_atomic_owned(&folder.join(MARKER), &text, 0o644, None)?)
}

/// Whose data a folder that Stoa made holds.
pub(super) fn engine(folder: &Path) -> Option<DatabaseEngine> {
    read_marker(folder).map(|marker| marker.engine)
}

const fn product(engine: DatabaseEngine) -> &'static str {
    match engine {
        DatabaseEngine::Mariadb => "MariaDB",
        DatabaseEngine::Mysql => "MySQL",
    }
}

/// Lets the next start take back what is in the binlog and was not committed.
pub(super) fn order_rewind(folder: &Path) -> Result<(), FileError> {
    write_atomic_owned(&folder.join(REWIND), b"", 0o644, None)
}

/// Whether the next start takes that back.
pub(super) fn rewinds(folder: &Path) -> bool {
    folder.join(REWIND).exists()
}

/// From now on a start keeps all that is in the binlog.
pub(super) fn forget_rewind(folder: &Path) -> Result<(), FileError> {
    remove_file(&folder.join(REWIND))
}

fn read_marker(folder: &Path) -> Option<Marker> {
    serde_json::from_slice(&fs::read(folder.join(MARKER)).ok()?).ok()
}

/// What mariadb-install-db or mariadb-upgrade noted; the name of the file changed in MariaDB 11.
fn upgrade_info(folder: &Path) -> Option<Version> {
    let texts = ["mariadb_upgrade_info", "mysql_upgrade_info"].map(|name| fs::read(folder.join(name)).ok());
    texts.into_iter().flatten().find_map(|text| Version::parse(&String::from_utf8_lossy(&text)))
}

impl Version {
    /// The first two numbers of a text such as `10.11.14-MariaDB`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit());
        Some(Version { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
