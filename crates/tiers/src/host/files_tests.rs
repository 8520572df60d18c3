use super::*;
use std::os::unix::fs::{MetadataExt, symlink};

#[test]
fn a_file_is_replaced_whole_with_its_mode_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    write_atomic(&path, b"one", 0o644).unwrap();
    write_atomic(&path, b"two", 0o600).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_way_is_replaced_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (victim, path) = (folder.path().join("victim"), folder.path().join("config"));
    std::fs::write(&victim, "untouched").unwrap();
    symlink(&victim, &path).unwrap();
    write_atomic(&path, b"new", 0o644).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn a_log_is_never_opened_through_a_link_or_a_second_name() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    symlink(&victim, folder.path().join("link.log")).unwrap();
    std::fs::hard_link(&victim, folder.path().join("hard.log")).unwrap();
    assert!(open_log(&folder.path().join("link.log"), None).is_err());
    assert!(open_log(&folder.path().join("hard.log"), None).is_err());
    writeln!(open_log(&folder.path().join("own.log"), None).unwrap(), "line").unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
}

#[test]
fn a_full_disk_reads_well() {
    let error = FileError::new("write", Path::new("/x/y"), rustix::io::Errno::NOSPC);
    assert_eq!(
        error.to_string(),
        "cannot write /x/y: the disk is full; `df -h /x` shows it, make room and try again"
    );
    if let Ok(mut full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
        let why = full.write_all(b"x").unwrap_err();
        assert!(FileError::new("write", Path::new("/x"), why).to_string().contains("the disk is full"));
    }
}

#[test]
fn a_link_is_swapped_and_folders_get_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("current");
    swap_link(&link, Path::new("releases/1")).unwrap();
    swap_link(&link, Path::new("releases/2")).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("releases/2"));
    let deep = folder.path().join("a/b");
    ensure_folder(&deep, 0o750, None).unwrap();
    ensure_folder(&deep, 0o700, None).unwrap();
    assert_eq!(std::fs::metadata(&deep).unwrap().mode() & 0o7777, 0o700);
    symlink(&deep, folder.path().join("link")).unwrap();
    assert!(ensure_folder(&folder.path().join("link"), 0o700, None).is_err(), "not through a link");
}
