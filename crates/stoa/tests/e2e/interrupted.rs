//! The daemon is killed at every step of a deployment: it comes to its end all the same, visitors lose nothing
//! and nothing is left over.

use crate::deploying::{Deploys, SOON};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Its keeper waits twice as long before each next one: with more, a test would wait for nothing else.
const KILLS: usize = 6;

/// Kills the daemon at every third new entry of the journal, from the entry `first` on; three tests have
/// all of them between them.
fn killed_at(first: usize, rules: &str) {
    let rules = format!("[deploy]\nchecks = 1\nwatch_after = \"1s\"\nkeep_warm = \"1s\"\n{rules}");
    let deploys = Deploys::up("", &rules);
    let site = &deploys.site;
    let load = deploys.visitors();
    deploys.code.write("static/release.txt", "second\n");
    deploys.code.commit("second");

    let before = deploys.events().last().and_then(|entry| entry["number"].as_u64()).expect("a journal");
    let mut deploy = deploys.begin(&["deploy"]);
    let (mut seen, mut kills) = (BTreeSet::new(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(90);
    while !deploy.is_over() {
        assert!(Instant::now() < deadline, "no end after {kills:#?}\n{}", site.story());
        for entry in new_entries(&deploys, before) {
            let told = ["kind", "subject", "text"].map(|key| entry[key].to_string()).join(" ");
            // What a daemon does anew after a kill is no other step.
            let is_new = entry["kind"] != "asked" && entry["kind"] != "seen" && seen.insert(told.clone());
            if is_new && seen.len() % 3 == first && kills.len() < KILLS {
                deploys.kill_the_daemon();
                kills.push(told);
                break;
            }
        }
    }
    let (code, said) = deploy.end();
    assert!(kills.len() >= 3, "killed at no more than {kills:#?} of {seen:#?}");
    site.wait("a daemon answers", SOON, || site.stoa(&["status"]).status.success());
    deploys.reaches("done");
    assert_eq!(code, Some(0), "{said}\n{kills:#?}\n{}", site.story());
    deploys.rests("2", 2);
    assert_eq!(deploys.file("/static/release.txt").1, "second");
    deploys.lost_nothing(load);
}

/// The journal after an entry; nothing while no daemon answers.
fn new_entries(deploys: &Deploys, after: u64) -> Vec<Value> {
    let output = deploys.site.stoa(&["events", "--json", "-n", "300"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let entries = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(|entry| entry["number"].as_u64().is_some_and(|number| number > after)).collect()
}

#[test]
fn rolling_outlives_its_daemon() {
    killed_at(0, "");
}

#[test]
fn blue_green_outlives_its_daemon() {
    killed_at(1, "strategy = \"blue-green\"\n");
}

#[test]
fn a_canary_outlives_its_daemon() {
    killed_at(2, "strategy = \"canary\"\nsteps = [25]\nhold = \"1s\"\nmin_requests = 10\n");
}
