//! What a new user sees when something is wrong, and that the rest of the site does not care.

use crate::load::get;
use crate::site::{TestSite, text};
use std::net::TcpListener;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_port_that_is_taken_is_refused_with_its_owner() {
    let site = TestSite::python("");
    let _taken = TcpListener::bind(site.address).expect("the port");
    let said = site.fails(&["up", "--yes"], 1);
    let me = format!("pid {}", std::process::id());
    assert!(said.contains(&site.address.to_string()) && said.contains(&me), "{said}");
}

#[test]
fn an_app_that_dies_at_once_shows_its_last_words() {
    let site = TestSite::python("");
    site.write("app.py", "import sys\nprint('no such module: shoes')\nsys.exit(3)\n");
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("no such module: shoes") && said.contains("app-"), "{said}");
    let status = text(&site.stoa(&["status"]).stdout);
    assert!(status.contains("no such module: shoes"), "{status}");
    // The rest of the site does not care: nginx serves static files.
    let css = get(site.address, "localhost", "/static/site.css").expect("an answer");
    assert_eq!(css.status, 200, "{css:?}");
}

#[test]
fn an_app_that_never_turns_healthy_is_named() {
    let site = TestSite::python("");
    site.write("app.py", "import time\nprint('I never listen', flush=True)\ntime.sleep(1000)\n");
    let config = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    site.write("stoa.toml", &config.replace("[app]\n", "[app]\nstart_timeout = \"1s\"\n"));
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("I never listen"), "{said}");
}

#[test]
fn a_release_that_does_not_start_leaves_the_old_one_serving() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    site.write("app.py", "raise SystemExit('broken release')\n");
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("broken release"), "{said}");
    let page = get(site.address, "localhost", "/").expect("an answer");
    assert_eq!(page.header("x-app-release").map(|release| release.starts_with("1-")), Some(true), "{page:?}");
}

#[test]
fn a_build_that_fails_changes_nothing() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let before = site.instances("app");
    let config = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    let failing =
        "build = [\"python3 -c 'print(\\\"compiling\\\"); raise SystemExit(\\\"no compiler\\\")'\"]";
    site.write("stoa.toml", &config.replace("build = []", failing));
    site.write("app.py", "print('never run')\n");
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("no compiler"), "{said}");
    let pids = |list: &[serde_json::Value]| list.iter().map(|i| i["pid"].clone()).collect::<Vec<_>>();
    assert_eq!(pids(&before), pids(&site.instances("app")));
    assert_eq!(get(site.address, "localhost", "/").expect("an answer").status, 200);
}

#[test]
fn down_in_the_middle_of_up_leaves_nothing() {
    let site = TestSite::python("[database]\nmemory = \"64MB\"\n");
    let mut up = site
        .command(&["up", "--yes"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("stoa runs");
    site.wait("the daemon has begun", SOON, || site.stoa(&["status", "--json"]).status.success());
    site.ok(&["down", "--yes"]);
    let status = up.wait().expect("its end");
    assert!(!status.success(), "an up that was undone does not say it succeeded");
    site.wait("no process is left", SOON, || site.processes().is_empty());
}

#[test]
fn two_ups_at_once_end_in_one_site() {
    let site = TestSite::python("");
    let spawn = || {
        site.command(&["up", "--yes"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("stoa runs")
    };
    let both = [spawn(), spawn()].map(|child| child.wait_with_output().expect("its end"));
    assert!(both.iter().any(|output| output.status.success()), "{both:?}\n{}", site.story());
    for output in both.iter().filter(|output| !output.status.success()) {
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains("another command"), "{said}");
    }
    site.settles();
    assert_eq!(site.instances("app").len(), 2);
    assert_eq!(site.status()["release"].as_str().map(|release| release.starts_with("1-")), Some(true));
}

#[test]
fn hostile_refs_and_sources_are_refused() {
    let site = TestSite::python("");
    let config = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    for line in [
        "ref = \"--upload-pack=touch pwned\"",
        "source = \"ext::sh -c touch% pwned\"",
        "source = \"--upload-pack=touch\"",
        "ref = \"main; touch pwned\"",
    ] {
        site.write("stoa.toml", &config.replace("[app]\n", &format!("[app]\n{line}\n")));
        let said = site.fails(&["up", "--yes"], 2);
        assert!(said.contains("stoa.toml"), "{said}");
        assert!(!site.source().join("pwned").exists());
    }
    site.write("stoa.toml", &config.replace("name = \"test\"", "name = \"x; } server {\""));
    let said = site.fails(&["up", "--yes"], 2);
    assert!(said.contains("x; } server {"), "{said}");
}

#[test]
fn a_data_folder_of_another_version_is_left_alone() {
    let site = TestSite::python("[database]\nreplicas = 0\nmemory = \"64MB\"\n");
    site.ok(&["up", "--yes"]);
    site.ok(&["down", "--yes"]);
    let data = site.state().join("data/database-1");
    let info = ["mariadb_upgrade_info", "mysql_upgrade_info"].map(|name| data.join(name));
    let found = info.iter().find(|path| path.exists()).unwrap_or(&info[0]);
    std::fs::write(found, "99.1.2-MariaDB").expect("a version of the future");
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("99.1"), "{said}");
}
