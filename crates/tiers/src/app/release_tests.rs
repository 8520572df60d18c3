use super::*;
use crate::app::build;
use std::collections::BTreeMap;
use stoa_model::observed::ReleaseState;
use tempfile::TempDir;

fn built(paths: &Paths, release: &ReleaseId) {
    let folder = paths.release(release);
    fs::create_dir_all(folder.join("a/b")).unwrap();
    for file in ["a/b/file", "index.html", MARKER] {
        fs::write(folder.join(file), "x").unwrap();
    }
    std::os::unix::fs::symlink(paths.persist(), folder.join("uploads")).unwrap();
    super::super::seal::seal(&folder, || Ok(())).unwrap();
    let log = paths.build_log(release);
    for file in [paths.source(release), failure_path(paths, release), rotated(&log, 1), log] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
}

fn everything(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        }
        found.push(entry.file_name().into_string().unwrap());
    }
    found
}

#[tokio::test]
async fn a_release_is_removed_wholly_and_what_outlives_it_stays() {
    let root = TempDir::new().unwrap();
    let paths = Paths::new(root.path());
    let (old, kept): (ReleaseId, ReleaseId) = ("7-3fa9c21".parse().unwrap(), "8-aaaaaaa".parse().unwrap());
    fs::create_dir_all(paths.persist()).unwrap();
    fs::write(paths.persist().join("photo"), "visitor's").unwrap();
    built(&paths, &old);
    built(&paths, &kept);
    remove(&old, &paths).await.unwrap();
    let left = everything(root.path());
    assert!(!left.iter().any(|name| name.contains("7-3fa9c21")), "{left:?}");
    assert!(left.iter().any(|name| name == "photo"));
    fs::remove_file(failure_path(&paths, &kept)).unwrap();
    assert_eq!(build::observe(&paths), BTreeMap::from([(kept.clone(), ReleaseState::Built)]));
    remove(&old, &paths).await.unwrap();
    remove_tree(&paths.release(&kept)).unwrap();
}

/// A removal that ended after each of its moves: the release never counts as built, is still seen until it is
/// gone, and the next removal finishes.
#[tokio::test]
async fn a_removal_that_was_interrupted_is_finished_by_the_next() {
    let release: ReleaseId = "7-3fa9c21".parse().unwrap();
    for moves in 0..4 {
        let root = TempDir::new().unwrap();
        let paths = Paths::new(root.path());
        built(&paths, &release);
        fs::remove_file(failure_path(&paths, &release)).unwrap();
        let folder = paths.release(&release);
        unmark(&folder).unwrap();
        if moves > 0 {
            fs::remove_file(folder.join("index.html")).unwrap();
        }
        if moves > 1 {
            remove_tree(&folder).unwrap();
        }
        if moves > 2 {
            fs::remove_file(paths.build_log(&release)).unwrap();
        }
        assert_eq!(build::observe(&paths), BTreeMap::from([(release.clone(), ReleaseState::Taken)]));
        remove(&release, &paths).await.unwrap();
        assert_eq!(build::observe(&paths), BTreeMap::new());
        let left = everything(root.path());
        assert!(!left.iter().any(|name| name.contains("7-3fa9c21")), "{left:?}");
    }
}
