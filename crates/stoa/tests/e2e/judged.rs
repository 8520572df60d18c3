//! Bad releases: each is taken back by itself, with the reason, and visitors lose no more than its share.

use crate::deploying::{Deploys, SOON};
use crate::load::{Ask, Load};
use crate::site::text;
use std::time::Duration;

#[test]
fn a_release_that_cannot_serve_is_taken_back() {
    let rules = "[deploy]\nchecks = 1\nwatch_after = \"20s\"\n";
    let deploys = Deploys::up("", rules);
    let site = &deploys.site;
    let load = deploys.visitors();
    for (how, reason) in [
        (r#"{"crash": "no such module: shoes"}"#, "no such module: shoes"),
        (r#"{"listens": false}"#, "did not become healthy within 3 s"),
        // It answers its visitors as well as ever, but what takes a sick one out must not find nobody left.
        (r#"{"healthy": 4}"#, "was sent requests and fails its checks now"),
    ] {
        deploys.behave(how);
        let said = site.fails(&["deploy", "--watch"], 1);
        deploys.failed(&said, reason, "1");
        let releases = deploys.releases();
        assert_eq!(releases[0].1, "failed", "{releases:?}");
    }
    deploys.behave("{}");
    site.ok(&["deploy"]);
    deploys.rests("5", 2);
    deploys.lost_nothing(load);
}

#[test]
fn a_canary_that_errs_or_is_slow_is_taken_back() {
    let rules = "[deploy]\nstrategy = \"canary\"\nsteps = [20]\nhold = \"60s\"\nchecks = 1\n";
    let deploys = Deploys::new("", rules);
    let site = &deploys.site;
    deploys.behave(r#"{"delay_ms": 10}"#);
    site.ok(&["up", "--yes"]);
    let ask = Ask { method: "GET", path: "/".to_owned(), body: None, status: 200 };
    let visitors =
        || Load::paced(site.address, "localhost", 8, std::slice::from_ref(&ask), Duration::from_millis(20));

    let load = visitors();
    assert!(load.answers(50, SOON), "no load came up\n{}", site.story());
    deploys.behave(r#"{"delay_ms": 10, "errors": 0.2}"#);
    let said = site.fails(&["deploy"], 1);
    deploys.failed(&said, " of the new release", "1");
    assert!(said.contains(" % "), "no figures in:\n{said}");
    let tally = load.finish();
    // A fifth of the requests went to a release of which every fifth answer is an error.
    let most = tally.answered / 10;
    assert!((tally.lost.len() as u64) < most, "{} of {} lost", tally.lost.len(), tally.answered);
    assert!(!tally.lost.is_empty(), "nobody saw the bad release");
    let other = tally.lost.iter().find(|lost| !lost.why.contains("a bad release"));
    assert!(other.is_none(), "lost in another way: {other:?}\n{}", site.story());

    let load = visitors();
    deploys.behave(r#"{"delay_ms": 60}"#);
    let said = site.fails(&["deploy"], 1);
    deploys.failed(&said, " ms", "1");
    deploys.lost_nothing(load);
    let shown = text(&site.stoa(&["releases"]).stdout);
    let failed = shown.lines().filter(|line| line.starts_with('✗')).count();
    assert_eq!(failed, 2, "{shown}");
}
