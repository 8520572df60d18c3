//! Secrets: the application has them, and they stand nowhere that anybody else looks.

use crate::deploying::{Deploys, SOON, environment};
use crate::site::{TestSite, text};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

/// Sets a secret from standard input.
fn set(site: &TestSite, name: &str, value: &str) -> Output {
    let mut command = site.command(&["secrets", "set", name]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("stoa runs");
    writeln!(child.stdin.take().expect("its input"), "{value}").expect("the value is read");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{output:?}\n{}", site.story());
    output
}

/// Every file below a folder that holds this text, links not followed.
fn holding(folder: &Path, value: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("its type");
        let path = entry.path();
        if kind.is_dir() {
            found.extend(holding(&path, value));
        } else if kind.is_file() && contains(&std::fs::read(&path).unwrap_or_default(), value) {
            found.push(path);
        }
    }
    found
}

fn contains(bytes: &[u8], value: &str) -> bool {
    bytes.windows(value.len()).any(|window| window == value.as_bytes())
}

/// No argument of any process of this machine, no file of the site and no answer of Stoa holds a value.
#[track_caller]
fn stands_nowhere(site: &TestSite, value: &str) {
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!contains(&line, value), "in the arguments of {}", entry.path().display());
    }
    let found = holding(site.folder(), value);
    assert!(found.is_empty(), "it stands in {found:?}");
    let questions: [&[&str]; 9] = [
        &["plan", "--json"],
        &["status", "--json"],
        &["events", "--json", "-n", "500"],
        &["releases", "--json"],
        &["secrets", "list"],
        &["secrets", "list", "--json"],
        &["logs", "-n", "1000"],
        &["logs", "daemon", "-n", "1000"],
        &["logs", "build", "-n", "1000"],
    ];
    for words in questions {
        let answer = site.stoa(words);
        assert!(
            !contains(&answer.stdout, value) && !contains(&answer.stderr, value),
            "stoa {words:?} tells it"
        );
    }
}

#[test]
fn secrets_reach_the_application_and_nothing_else() {
    let deploys = Deploys::new("secrets = [\"STRIPE_KEY\"]\n", "[deploy]\nchecks = 1\n");
    let site = &deploys.site;
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("STRIPE_KEY") && said.contains("secrets set STRIPE_KEY"), "{said}");
    let values = ["first-value-6f1e5a", "second-value-c02b77"];
    for words in [vec!["set", "STRIPE_KEY", values[0]], vec!["set", "STRIPE_KEY=first-value-6f1e5a"]] {
        let said = site.fails(&[&["secrets"], &words[..]].concat(), 2);
        assert!(!said.contains(values[0]), "{said}");
    }
    let output = set(site, "STRIPE_KEY", values[0]);
    assert!(!(text(&output.stdout) + &text(&output.stderr)).contains(values[0]), "{output:?}");
    site.ok(&["up", "--yes"]);
    assert_eq!(environment(site)["STRIPE_KEY"], values[0]);
    let ran = site.ok(&["run", "--", "python3", "-c", "import os; print(len(os.environ['STRIPE_KEY']))"]);
    assert_eq!(ran.trim(), values[0].len().to_string());
    let listed = site.ok(&["secrets", "list"]);
    assert!(listed.contains("STRIPE_KEY"), "{listed}");
    stands_nowhere(site, values[0]);

    // Another value: every instance gets it, and visitors notice nothing.
    let load = deploys.visitors();
    let before: Vec<_> = site.instances("app").iter().map(|one| one["pid"].clone()).collect();
    set(site, "STRIPE_KEY", values[1]);
    site.wait("every instance is another one", SOON, || {
        let all = site.instances("app");
        all.len() == 2 && all.iter().all(|one| one["state"] == "serving" && !before.contains(&one["pid"]))
    });
    site.settles();
    for _ in 0..8 {
        assert_eq!(environment(site)["STRIPE_KEY"], values[1], "{}", site.story());
    }
    let said = site.fails(&["secrets", "unset", "STRIPE_KEY"], 1);
    assert!(said.contains("STRIPE_KEY"), "{said}");
    for value in values {
        stands_nowhere(site, value);
    }
    deploys.lost_nothing(load);
}
