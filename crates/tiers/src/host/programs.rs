//! Where the programs of the field are on this machine, and which package holds each.

use crate::tool::{Tool, look_up};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where servers are looked for besides the caller's `PATH`: they often stand in the `sbin` folders,
/// which an ordinary user's path does not name.
pub const SERVER_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs by name, with the Debian package that holds each.
const PACKAGES: &[(&str, &str)] = &[
    ("nginx", "nginx"),
    ("mariadbd", "mariadb-server-core"),
    ("mariadb-install-db", "mariadb-server-core"),
    ("mariadb", "mariadb-client-core"),
    ("mariadb-binlog", "mariadb-client"),
    ("mariabackup", "mariadb-backup"),
    ("mbstream", "mariadb-backup"),
    ("redis-server", "redis-server"),
    ("memcached", "memcached"),
    ("php-fpm", "php-fpm"),
    ("git", "git"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("composer", "composer"),
    ("bundle", "ruby-bundler"),
    ("cargo", "cargo"),
    ("useradd", "passwd"),
    ("groupadd", "passwd"),
    ("userdel", "passwd"),
    ("groupdel", "passwd"),
];

/// Names MySQL's server where it is not on `PATH`.
pub const MYSQLD: &str = "STOA_MYSQLD";

/// Where MySQL is to be had: Debian's stable release has no package of it.
pub const MYSQL_SOURCE: &str = "get MySQL 8.4 or newer from https://dev.mysql.com/downloads/mysql, and put its \
     mysqld on PATH or name it in STOA_MYSQLD; or write [database] engine = \"mariadb\"";

/// The environment of a helper program that needs none of the caller's.
pub fn environment() -> BTreeMap<OsString, OsString> {
    [("PATH", SERVER_PATH), ("LC_ALL", "C.UTF-8")].map(|(k, v)| (k.into(), v.into())).into()
}

/// A program on the caller's `PATH` or in the folders of servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let caller = std::env::var_os("PATH").unwrap_or_default();
    look_up(program, &caller, Path::new("/")).or_else(|| find_on(program, OsStr::new(SERVER_PATH)))
}

/// A program in the folders of `path`, or at its own absolute path.
pub(crate) fn find_on(program: &str, path: &OsStr) -> Option<PathBuf> {
    look_up(program, path, Path::new("/"))
}

/// A program of MySQL's: the server that [`MYSQLD`] names and what lies beside it, otherwise on `PATH` or in the
/// folders of servers. MariaDB's packages have links of these names to their own, which are passed over.
pub fn find_of_mysql(program: &str) -> Option<PathBuf> {
    of_mysql(program, std::env::var_os(MYSQLD), &std::env::var_os("PATH").unwrap_or_default())
}

fn of_mysql(program: &str, named: Option<OsString>, caller: &OsStr) -> Option<PathBuf> {
    let named = named.filter(|named| !named.is_empty()).map(PathBuf::from);
    if let Some(named) = &named
        && program == "mysqld"
    {
        // What somebody names is not replaced by something else.
        return (named.is_absolute() && named.is_file()).then(|| named.clone());
    }
    let beside = named.as_deref().and_then(Path::parent).map(Path::to_owned);
    let folders = std::env::split_paths(caller).chain(std::env::split_paths(SERVER_PATH));
    let mut programs =
        beside.into_iter().chain(folders).filter_map(|folder| find_on(program, folder.as_os_str()));
    programs.find(|program| {
        let real = std::fs::canonicalize(program);
        real.is_ok_and(|real| {
            !real.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"mariadb"))
        })
    })
}

/// PHP's process manager, whose name holds its version; the newest where there are several.
pub fn find_php_fpm() -> Option<PathBuf> {
    if let Some(plain) = find("php-fpm") {
        return Some(plain);
    }
    let folders = std::env::split_paths(SERVER_PATH);
    let names = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let versioned = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (major, minor) = name.strip_prefix("php-fpm")?.split_once('.')?;
        let version: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        Some((version, entry.path()))
    });
    versioned.max_by_key(|(version, _)| *version).map(|(_, path)| path)
}

/// The Debian package that holds a program.
pub fn package_of(program: &str) -> Option<&'static str> {
    let program = if program.starts_with("php-fpm") { "php-fpm" } else { program };
    PACKAGES.iter().find(|(name, _)| *name == program).map(|(_, package)| *package)
}

/// What to type to get a program.
pub fn how_to_install(program: &str) -> String {
    match package_of(program) {
        None if matches!(program, "mysqld" | "mysqlbinlog") => MYSQL_SOURCE.to_owned(),
        Some(package) => format!("apt-get install {package}"),
        None => "install it, or correct the name".to_owned(),
    }
}

/// The version that a program tells of itself, such as `1.22.1`.
pub async fn version(program: &Path) -> Option<String> {
    let name = program.file_name()?.to_str()?;
    let flag = match name {
        "nginx" => "-v",
        "memcached" => "-V",
        _ => "--version",
    };
    let tool = Tool::new(program, "/").arguments([flag]).environment(environment());
    let ended = tool.timeout(Duration::from_secs(5)).run().await.ok()?;
    let text = [ended.stdout, ended.stderr].concat();
    version_in(&String::from_utf8_lossy(&text))
}

/// The first word that looks like a version: digits, a dot, digits.
fn version_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '=' | ',' | '(' | ')'));
    let mut numbers = words.filter_map(|word| {
        let word = word.strip_prefix('v').unwrap_or(word);
        let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
        let number = word.get(..end)?.trim_end_matches('.');
        (number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')).then(|| number.to_owned())
    });
    numbers.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, version) in [
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu", "10.11.14"),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
            ("memcached 1.6.18", "1.6.18"),
            ("PHP 8.2.29 (fpm-fcgi) (built: Jul  3 2025)", "8.2.29"),
            ("git version 2.39.5", "2.39.5"),
            ("v20.1.0", "20.1.0"),
        ] {
            assert_eq!(version_in(text).as_deref(), Some(version), "{text}");
        }
        assert_eq!(version_in("no version here"), None);
    }

    #[test]
    fn a_link_to_mariadb_is_no_mysql_and_what_is_named_is_taken_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = |at: &str| folder.path().join(at);
        let make = |at: &str| {
            std::fs::create_dir_all(place(at).parent().unwrap()).unwrap();
            std::fs::write(place(at), "").unwrap();
            std::fs::set_permissions(place(at), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        ["a/mariadbd", "b/mysqld", "c/mysqld", "c/mysqlbinlog"].iter().for_each(|at| make(at));
        std::os::unix::fs::symlink("mariadbd", place("a/mysqld")).unwrap();
        let caller = std::env::join_paths([place("a"), place("b")]).unwrap();
        assert_eq!(of_mysql("mysqld", None, &caller), Some(place("b/mysqld")));
        let named = |at: &str| Some(place(at).into_os_string());
        assert_eq!(of_mysql("mysqld", named("c/mysqld"), &caller), Some(place("c/mysqld")));
        assert_eq!(of_mysql("mysqlbinlog", named("c/mysqld"), &caller), Some(place("c/mysqlbinlog")));
        assert_eq!(of_mysql("mysqld", named("c/none"), &caller), None);
        assert_eq!(of_mysql("mysqld", Some("mysqld".into()), &caller), None, "a relative path is nobody's");
    }

    #[test]
    fn a_missing_program_says_what_to_type() {
        assert!(how_to_install("mysqld").contains("STOA_MYSQLD"), "Debian has no package of it");
        assert_eq!(how_to_install("nginx"), "apt-get install nginx");
        assert_eq!(package_of("php-fpm8.2"), Some("php-fpm"));
        assert!(find("surely-no-such-program").is_none());
        assert!(find("env").is_some());
    }
}
