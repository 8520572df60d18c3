//! Where code comes from: repositories behind URLs and around folders, their references and their changes.

use crate::load::{ask, connect, get};
use crate::repository::Repository;
use crate::site::{TestSite, text};
use std::path::Path;

/// The site's `stoa.toml` with `lines` in its `[app]`.
fn configure(site: &TestSite, plain: &str, lines: &str) {
    site.write("stoa.toml", &plain.replace("[app]\n", &format!("[app]\n{lines}\n")));
}

fn config(site: &TestSite) -> String {
    std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config")
}

/// Everybody serves this release, which carries the commit and the mark in its file.
#[track_caller]
fn serves(site: &TestSite, number: u32, commit: &str, mark: &str) {
    let page = get(site.address, "localhost", "/").expect("an answer");
    let release = page.header("x-app-release").unwrap_or_default();
    let (first, hash) = release.split_once('-').expect("number-commit");
    assert_eq!(first, number.to_string(), "{page:?}");
    assert!(hash.len() >= 7 && commit.starts_with(hash), "{release} is not of {commit}");
    let file = get(site.address, "localhost", "/static/mark.txt").expect("an answer");
    assert_eq!((file.status, file.body.trim()), (200, mark), "{file:?}");
}

fn releases(site: &TestSite) -> Vec<String> {
    let entries = std::fs::read_dir(site.state().join("releases")).expect("the releases").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn pids(site: &TestSite) -> Vec<serde_json::Value> {
    site.instances("app").iter().map(|one| one["pid"].clone()).collect()
}

#[test]
fn a_url_gives_its_branches_tags_and_commits() {
    let site = TestSite::python("");
    let plain = config(&site);
    let origin = Repository::new(site.folder().join("origin"));
    let app = std::fs::read_to_string(site.source().join("app.py")).expect("the app");
    std::fs::remove_file(site.source().join("app.py")).expect("it comes from the repository alone");
    origin.write("app.py", &app);
    origin.write("static/mark.txt", "one\n");
    let one = origin.commit("one");
    origin.git(&["tag", "--annotate", "v1.0", "--message", "the first"]);
    origin.git(&["switch", "--quiet", "--create", "next"]);
    origin.write("static/mark.txt", "two\n");
    let two = origin.commit("two");
    origin.write("static/mark.txt", "three\n");
    let three = origin.commit("three");
    let url = format!("source = \"file://{}\"", origin.folder().display());

    configure(&site, &plain, &format!("{url}\nref = \"v1.0\""));
    site.ok(&["up", "--yes"]);
    serves(&site, 1, &one, "one");
    configure(&site, &plain, &format!("{url}\nref = \"next\""));
    site.ok(&["up", "--yes"]);
    serves(&site, 2, &three, "three");
    configure(&site, &plain, &format!("{url}\nref = \"{two}\""));
    site.ok(&["up", "--yes"]);
    serves(&site, 3, &two, "two");

    // The branch moves, and is fetched anew.
    configure(&site, &plain, &format!("{url}\nref = \"next\""));
    origin.write("static/mark.txt", "four\n");
    let four = origin.commit("four");
    site.ok(&["up", "--yes"]);
    serves(&site, 4, &four, "four");

    // Nothing has moved: nothing is built, nobody is replaced, also where the same commit has another name.
    let (built, running) = (releases(&site), pids(&site));
    site.ok(&["up", "--yes"]);
    configure(&site, &plain, &format!("{url}\nref = \"{four}\""));
    site.ok(&["up", "--yes"]);
    assert_eq!((releases(&site), pids(&site)), (built.clone(), running.clone()));
    serves(&site, 4, &four, "four");

    // A name that is not there is answered with those that are like it, and all goes on.
    configure(&site, &plain, &format!("{url}\nref = \"v1.1\""));
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("v1.1") && said.contains("v1.0"), "{said}");
    configure(&site, &plain, &format!("source = \"file://{}-gone\"", origin.folder().display()));
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("origin-gone"), "{said}");
    assert_eq!((releases(&site), pids(&site)), (built, running));
    serves(&site, 4, &four, "four");
}

#[test]
fn a_folder_of_a_repository_gives_what_is_committed_of_it() {
    let site = TestSite::python("");
    let plain = config(&site);
    let around = Repository::new(site.folder().to_owned());
    around.write(".git/info/exclude", "/state/\n");
    around.write("secret.txt", "not of the site\n");
    site.write("static/mark.txt", "one\n");
    let one = around.commit("one");
    let printed = site.ok(&["up", "--yes"]);
    assert!(!printed.contains("uncommitted"), "{printed}");
    serves(&site, 1, &one, "one");
    let release = site.state().join("releases").join(&releases(&site)[0]);
    assert!(release.join("app.py").exists() && !release.join("secret.txt").exists());
    assert!(!release.join("app").exists(), "the folder is the root of the release");

    // What is not committed is not taken, and that is said.
    site.write("static/mark.txt", "dirty\n");
    site.write("static/new.txt", "dirty\n");
    let output = site.stoa(&["up", "--yes"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("2 uncommitted changes"), "{said}");
    serves(&site, 1, &one, "one");
    assert_eq!(get(site.address, "localhost", "/static/new.txt").expect("an answer").status, 404);

    // A commit that changes nothing of the folder makes no release of it.
    around.write("secret.txt", "changed\n");
    around.git(&["add", "secret.txt"]);
    around.git(&["commit", "--quiet", "--message", "elsewhere"]);
    site.ok(&["up", "--yes"]);
    serves(&site, 1, &one, "one");

    let two = around.commit("two");
    site.ok(&["up", "--yes"]);
    serves(&site, 2, &two, "dirty");
    // Back to the first by its name: that release is still built.
    configure(&site, &plain, &format!("ref = \"{one}\""));
    site.ok(&["up", "--yes"]);
    serves(&site, 1, &one, "one");
}

#[test]
fn what_an_application_persists_outlives_its_releases() {
    let site = TestSite::python("");
    let plain = config(&site);
    configure(&site, &plain, "persist = [\"uploads\"]");
    site.write("uploads/shipped.txt", "came with the code\n");
    site.ok(&["up", "--yes"]);
    let send = |name: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /uploads/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = ask(&mut connect(site.address).expect("a connection"), request.as_bytes());
        assert_eq!(answer.expect("an answer").status, 200, "{}", site.story());
    };
    let read =
        |name: &str| get(site.address, "localhost", &format!("/uploads/{name}")).expect("an answer").body;
    send("a.txt", "from release 1");
    for number in 2..=3 {
        site.write("static/mark.txt", &format!("{number}\n"));
        site.ok(&["up", "--yes"]);
        assert_eq!(read("a.txt"), "from release 1", "in release {number}\n{}", site.story());
        // It stands in one place for all instances: each sees what any wrote.
        send("b.txt", &format!("from release {number}"));
        for _ in 0..8 {
            assert_eq!(read("b.txt"), format!("from release {number}"));
        }
    }
    assert!(persisted(&site.state(), "a.txt"));
    site.ok(&["down", "--yes"]);
    site.ok(&["up", "--yes"]);
    assert_eq!(read("a.txt"), "from release 1");
}

fn persisted(state: &Path, name: &str) -> bool {
    state.join("persist/uploads").join(name).exists()
}
