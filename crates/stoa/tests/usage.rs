//! What the built program says where nothing of a site is needed: exit codes, errors, `init`.
#![allow(clippy::unwrap_used)] // A helper's panic is a test's failure.

use std::path::Path;
use std::process::{Command, Output};

/// It, in `folder`, with a home of its own.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    command.args(arguments).current_dir(folder);
    command.env("HOME", folder).env_remove("XDG_STATE_HOME").env("LC_ALL", "C.UTF-8");
    command
}

/// Runs it with nothing on its standard input.
fn stoa(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).stdin(std::process::Stdio::null()).output().unwrap()
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

const SHOP: &str = "[site]\nname = \"shop\"\ndomain = \"shop.example\"\n[app]\nrun = \"./serve\"\n\
    secrets = [\"MAIL_PASSWORD\"]\n[environments.staging]\n";

#[test]
fn what_is_no_environment_is_refused_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), SHOP).unwrap();
    for verb in [&["up"][..], &["plan"], &["status"], &["deploy"], &["secrets", "list"], &["down"]] {
        let arguments: Vec<&str> = ["-e", "stagin"].into_iter().chain(verb.iter().copied()).collect();
        refused(folder.path(), &arguments, 2, &["stagin", "staging"]);
    }
    refused(folder.path(), &["-e", "Staging", "status"], 2, &["a-z, 0-9"]);
    refused(folder.path(), &["-e", "", "status"], 2, &["a-z, 0-9"]);
    let state = folder.path().join("st@staging");
    let state = state.to_str().unwrap();
    refused(folder.path(), &["-e", "production", "--state", state, "status"], 2, &["do not go together"]);
    // What is to be typed next works for the environment that was meant.
    let next = &["is not running", "-e staging up"];
    refused(folder.path(), &["-e", "staging", "status"], 1, &[next[0], next[1], "shop@staging"]);
    refused(folder.path(), &["status", "--state", state], 1, &[next[0], next[1], "shop@staging"]);
    for verb in [&["deploy"][..], &["rollback"], &["releases"], &["scale", "app=2"], &["events"]] {
        let arguments: Vec<&str> = ["-e", "staging"].into_iter().chain(verb.iter().copied()).collect();
        refused(folder.path(), &arguments, 1, next);
    }
    refused(folder.path(), &["-e", "staging", "logs", "deploy"], 1, &["-e staging up"]);
    refused(folder.path(), &["promote", "production"], 2, &["to itself", "promote staging"]);
    refused(folder.path(), &["-e", "staging", "promote", "staging"], 2, &["to itself", "to production"]);
    refused(folder.path(), &["promote", "staging"], 1, &["staging runs no release", "-e staging up"]);
}

#[test]
fn a_secret_in_an_argument_is_refused_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), SHOP).unwrap();
    let typed = "a secret's value was typed as an argument";
    let odd = "arguments of `stoa secrets` were not understood";
    for (arguments, words) in [
        (&["secrets", "set", "STRIPE_KEY", "sk_live_1"][..], [typed, "secrets set NAME"]),
        (&["secrets", "set", "STRIPE_KEY=sk_live_1"], [typed, "secrets set NAME < FILE"]),
        (&["secrets", "set", "sk_live_1", "STRIPE_KEY"], [typed, "history"]),
        (&["secrets", "unset", "STRIPE_KEY", "sk_live_1"], [typed, "history"]),
        (&["secrets", "set", "sk_live_1"], ["cannot be the name", "such as STRIPE_KEY"]),
        (&["secrets", "set", "STRIPE_KEY", "--sk_live_1"], [odd, "may be a secret"]),
        (&["secrets", "sk_live_1"], [odd, "may be a secret"]),
        (&["-e", "staging", "secrets", "set", "STRIPE_KEY", "sk_live_1"], [typed, "secrets set NAME"]),
    ] {
        refused(folder.path(), arguments, 2, &words);
        let json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        for output in [stoa(folder.path(), arguments), stoa(folder.path(), &json)] {
            assert!(!format!("{output:?}").contains("sk_live_1"), "{output:?}");
        }
    }
    refused(folder.path(), &["secrets", "set", "PATH"], 2, &["cannot be the name", "PATH"]);
    refused(folder.path(), &["secrets", "set", "DATABASE_URL"], 2, &["DATABASE_URL is set by Stoa"]);
}

#[test]
fn a_secret_is_set_before_the_site_is_first_up() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), SHOP).unwrap();
    let state = folder.path().join("st");
    let state = state.to_str().unwrap();
    let run = |environment: &str, arguments: &[&str]| {
        let options = ["-e", environment, "--state", state];
        let mut child = command(folder.path(), &[&options, arguments].concat())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing has closed it.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hunter2\n");
        let output = child.wait_with_output().unwrap();
        assert!(!format!("{output:?}").contains("hunter2"), "{output:?}");
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let says = |(code, told): (Option<i32>, String), wanted: i32, words: &[&str]| {
        assert_eq!(code, Some(wanted), "{told}");
        words.iter().for_each(|word| assert!(told.contains(word), "{word:?} is not in {told}"));
    };
    says(
        run("staging", &["secrets", "list"]),
        0,
        &["MAIL_PASSWORD  missing", "-e staging secrets set MAIL_PASSWORD"],
    );
    assert!(!Path::new(state).exists(), "nothing was made by asking");
    says(run("staging", &["secrets", "set", "MAIL_PASSWORD"]), 0, &["MAIL_PASSWORD is set", "-e staging up"]);
    says(run("staging", &["secrets", "list"]), 0, &["MAIL_PASSWORD  set"]);
    says(run("production", &["secrets", "list"]), 0, &["MAIL_PASSWORD  missing"]);
    let kept = std::fs::read(format!("{state}@staging/secrets.age")).unwrap();
    assert!(!kept.windows(7).any(|part| part == b"hunter2"));
    says(run("staging", &["secrets", "unset", "MAIL_PASSWORD"]), 0, &["taken away"]);
    says(run("staging", &["secrets", "unset", "MAIL_PASSWORD"]), 1, &["there is no secret", "secrets list"]);
}

#[test]
fn a_destroyed_production_tells_which_environments_are_left() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), SHOP).unwrap();
    let state = |name: &str| folder.path().join(name);
    for name in ["st", "st@staging"] {
        std::fs::create_dir(state(name)).unwrap();
        std::fs::write(state(name).join("state.db"), "").unwrap();
    }
    let path = state("st");
    let down = stoa(folder.path(), &["down", "--destroy", "--yes", "--state", path.to_str().unwrap()]);
    let told = text(&down.stdout);
    assert!(down.status.success() && !state("st").exists() && state("st@staging").exists(), "{down:?}");
    assert!(
        told.contains("its environment staging is down") && told.contains("-e staging down --destroy"),
        "{told}"
    );
    let options = ["-e", "staging", "--state", path.to_str().unwrap()];
    let down = stoa(folder.path(), &[&options, &["down", "--destroy", "--yes"][..]].concat());
    assert!(down.status.success() && !state("st@staging").exists(), "{down:?}");
    assert!(text(&down.stdout).contains("shop@staging"), "{down:?}");
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
