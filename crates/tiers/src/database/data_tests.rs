use super::*;
use tempfile::TempDir;

fn installed() -> Installed {
    Installed {
        engine: DatabaseEngine::Mariadb,
        program: "/usr/sbin/mariadbd".into(),
        version: Version { major: 10, minor: 11 },
    }
}

fn foreign(found: &str) -> DataState {
    DataState::Foreign { found: found.to_owned(), installed: "MariaDB 10.11".to_owned() }
}

#[test]
fn a_folder_is_told_by_what_lies_in_it() {
    let marker = |engine: &str, major: u16, minor: u16| {
        format!("{{\"engine\":\"{engine}\",\"version\":{{\"major\":{major},\"minor\":{minor}}}}}")
    };
    let own = marker("mariadb", 10, 11);
    let cases: &[(&[(&str, &str)], DataState)] = &[
        (&[], DataState::Absent),
        (&[(MARKER, &own), ("ibdata1", "")], DataState::Ready),
        (&[(MARKER, &marker("mariadb", 10, 6))], DataState::Ready),
        (&[(MARKER, &marker("mariadb", 11, 4))], foreign("MariaDB 11.4")),
        (&[(MARKER, &own), ("mariadb_upgrade_info", "11.8.1-MariaDB")], foreign("MariaDB 11.8")),
        (&[(MARKER, &own), ("mysql_upgrade_info", "10.11.14-MariaDB")], DataState::Ready),
        (&[(MARKER, &marker("mysql", 8, 4))], foreign("MySQL 8.4")),
        (&[("mysql.ibd", ""), ("ibdata1", "")], foreign("MySQL, not made by Stoa")),
        (
            &[("mysql_upgrade_info", "10.5.2-MariaDB"), ("ibdata1", "")],
            foreign("MariaDB 10.5, not made by Stoa"),
        ),
        (&[("holiday.jpg", "")], foreign("something else")),
        (&[(MARKER, "{")], foreign("something else")),
    ];
    for (files, state_wanted) in cases {
        let folder = TempDir::new().unwrap();
        for (name, text) in *files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(state(folder.path(), &installed()), *state_wanted, "{files:?}");
    }
    assert_eq!(state(Path::new("/nowhere/at/all"), &installed()), DataState::Absent);
}

#[test]
fn a_newer_server_is_remembered() {
    let folder = TempDir::new().unwrap();
    mark(folder.path(), DatabaseEngine::Mariadb, Version { major: 10, minor: 11 }).unwrap();
    assert_eq!(state(folder.path(), &installed()), DataState::Ready);
    mark(folder.path(), DatabaseEngine::Mariadb, Version { major: 11, minor: 4 }).unwrap();
    assert_eq!(state(folder.path(), &installed()), foreign("MariaDB 11.4"));
}

#[test]
fn versions_compare_as_numbers() {
    let parse = |text| Version::parse(text).unwrap();
    assert!(parse("10.11.14-MariaDB-0+deb12u2") > parse("10.6.1"));
    assert!(parse("11.4") > parse("10.11"));
    assert_eq!(Version::parse("x"), None);
}

#[test]
fn a_disk_without_room_is_known() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(full(folder.path()), None);
    assert_eq!(full(&folder.path().join("not-made-yet")), None);
    // The kernel's own file system has room for nothing.
    assert_eq!(full(Path::new("/proc")), Some("the disk of /proc is full: 0 MB are left".to_owned()));
}
