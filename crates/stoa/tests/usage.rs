//! What the built program says where nothing of a site is needed: exit codes, errors, `init`.
#![allow(clippy::unwrap_used)] // A helper's panic is a test's failure.

use std::path::Path;
use std::process::{Command, Output};

/// Runs it in `folder`, with a home of its own.
fn stoa(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stoa"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("XDG_STATE_HOME")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asserts a refusal, and that it says `words` on standard error and nothing on standard output.
fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let output = stoa(folder, arguments);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    for word in words.iter().chain(&["error:", "next:"]) {
        assert!(told.contains(word), "{arguments:?} does not say {word:?}: {told}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["stats"], 2, &["stats", "status"]);
    refused(folder.path(), &["scale", "app=0"], 2, &["app=0", "stoa down"]);
    refused(folder.path(), &["restart", "app-1"], 2, &["app-1", "write app"]);
    refused(folder.path(), &["up", "/nowhere/at/all"], 2, &["/nowhere/at/all"]);
    refused(folder.path(), &["up", "a", "--config", "b"], 2, &["--config"]);
    let help = stoa(folder.path(), &["up", "--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("stoa up examples/foobar --yes"));
    let version = stoa(folder.path(), &["--version"]);
    assert_eq!(text(&version.stdout), format!("stoa {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn errors_are_json_on_standard_output_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), "[site]\nname = \"x; } server {\"\n").unwrap();
    for (arguments, code) in
        [(&["--json", "stats"][..], 2), (&["up", "--json"], 2), (&["scale", "--json", "app"], 2)]
    {
        let output = stoa(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for key in ["what", "why", "next"] {
            let told = value.pointer(&format!("/error/{key}")).and_then(|told| told.as_str());
            assert!(told.is_some_and(|told| !told.is_empty()), "{arguments:?}: {value}");
        }
    }
}

#[test]
fn every_mistake_of_the_file_is_shown_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[site]\nname = \"x; } server {\"\ndomain = \"shop.example\"\n[app]\nrun = \"x | y\"\ninstances = 0\n";
    std::fs::write(folder.path().join("stoa.toml"), file).unwrap();
    let output = stoa(folder.path(), &["plan"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for word in
        ["3 mistakes", "stoa.toml:2:8", "stoa.toml:5:7", "stoa.toml:6:13", "help:", "Nothing was changed."]
    {
        assert!(told.contains(word), "{word:?} is not in {told}");
    }
}

#[test]
fn a_site_that_is_not_running_says_so_and_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[site]\nname = \"shop\"\ndomain = \"shop.example\"\n[app]\nkind = \"static\"\n";
    std::fs::write(folder.path().join("stoa.toml"), file).unwrap();
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    for verb in [
        &["status"][..],
        &["scale", "web=3"],
        &["restart", "web"],
        &["events"],
        &["run", "--", "env"],
        &["logs"],
    ] {
        let arguments: Vec<&str> = ["--state", state].into_iter().chain(verb.iter().copied()).collect();
        refused(
            folder.path(),
            &arguments,
            1,
            &["stoa up", "--state"].map(|word| if word == "stoa up" { " up" } else { word }),
        );
    }
    let down = stoa(folder.path(), &["down", "--yes", "--state", state]);
    assert!(down.status.success() && text(&down.stdout).contains("was not running"), "{down:?}");
    refused(folder.path(), &["down", "--state", state], 2, &["--yes"]);
    assert!(!Path::new(state).exists(), "nothing was made by asking");
}

#[test]
fn down_never_removes_a_folder_that_is_no_state_of_a_site() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[site]\nname = \"shop\"\ndomain = \"shop.example\"\n[app]\nkind = \"static\"\n";
    std::fs::write(folder.path().join("stoa.toml"), file).unwrap();
    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("diary"), "dear").unwrap();
    let path = precious.to_str().unwrap();
    refused(folder.path(), &["down", "--destroy", "--yes", "--state", path], 1, &["no state.db"]);
    // One that holds the site's own file is refused even where it looks like a state.
    std::fs::write(folder.path().join("state.db"), "").unwrap();
    let here = folder.path().to_str().unwrap();
    refused(folder.path(), &["down", "--destroy", "--yes", "--state", here], 1, &["lies in it"]);
    std::fs::write(precious.join("state.db"), "").unwrap();
    let down = stoa(folder.path(), &["down", "--destroy", "--yes", "--state", path]);
    assert!(down.status.success() && !precious.exists(), "{down:?}");
    assert!(folder.path().join("stoa.toml").exists());
}

#[test]
fn init_writes_a_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("My Shop");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("index.html"), "hello").unwrap();
    let done = stoa(folder.path(), &["init", "My Shop"]);
    let told = text(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(
        told.contains("static files") && told.contains("my-shop") && told.contains("up 'My Shop'"),
        "{told}"
    );
    assert!(std::fs::read_to_string(app.join("stoa.toml")).unwrap().contains("name = \"my-shop\""));
    refused(folder.path(), &["init", "My Shop"], 1, &["is there already", "--force"]);
    assert!(stoa(folder.path(), &["init", "My Shop", "--force"]).status.success());
}
