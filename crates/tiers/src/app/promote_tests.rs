use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn world() -> (TempDir, Paths, Paths) {
    let root = TempDir::new().unwrap();
    let (staging, production) =
        (Paths::new(root.path().join("staging")), Paths::new(root.path().join("site")));
    fs::create_dir_all(staging.root().join("sources")).unwrap();
    (root, staging, production)
}

fn release(text: &str) -> ReleaseId {
    text.parse().unwrap()
}

#[test]
fn the_very_source_becomes_a_release_here_and_the_same_one_is_found_again() {
    let (_root, staging, production) = world();
    let tested = release("9-3fa9c21");
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    fs::write(staging.source(&tested), &bytes).unwrap();
    let adopted = adopt(&staging, &tested, 4, &production).unwrap();
    assert_eq!(adopted, release("4-3fa9c21"));
    assert_eq!(fs::read(production.source(&adopted)).unwrap(), bytes);
    let folder = production.mirror().with_file_name("");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no part of it is left");
    // Again, as after a crash, and beside releases that are like it but not the same.
    for (number, other) in [(5, [&bytes[..], b"x"].concat()), (6, bytes[1..].to_vec()), (7, bytes.clone())] {
        fs::write(production.source(&ReleaseId::new(number, "3fa9c21").unwrap()), other).unwrap();
    }
    let mut flipped = bytes.clone();
    flipped[150_000] ^= 1;
    fs::write(production.source(&release("8-3fa9c21")), flipped).unwrap();
    assert_eq!(adopt(&staging, &tested, 9, &production).unwrap(), release("7-3fa9c21"));
    // Another commit whose bytes happen to be the same is another release.
    fs::write(staging.source(&release("10-bbbbbbb")), &bytes).unwrap();
    assert_eq!(adopt(&staging, &release("10-bbbbbbb"), 9, &production).unwrap(), release("9-bbbbbbb"));
    // What happens to staging's file does not happen to ours.
    fs::write(staging.source(&tested), "changed").unwrap();
    assert_eq!(fs::read(production.source(&adopted)).unwrap(), bytes);
}

#[test]
fn a_release_without_a_source_is_named() {
    let (_root, staging, production) = world();
    let error = adopt(&staging, &release("9-3fa9c21"), 4, &production).unwrap_err().to_string();
    assert!(error.contains("release 9-3fa9c21 has no source in") && error.contains("deploy it there again"));
    assert!(!production.root().exists());
}
