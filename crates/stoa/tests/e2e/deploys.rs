//! Deployments under load: each strategy, the way back, and two at once. Visitors lose nothing.

use crate::deploying::{Deploys, SOON, word};
use crate::websocket::Socket;
use std::time::{Duration, Instant};

/// A release takes over from another one and goes back again, while visitors ask, write and talk.
fn takes_over_and_back(rules: &str) {
    let rules = format!("[deploy]\nchecks = 1\nwatch_after = \"2s\"\nkeep_warm = \"2s\"\n{rules}");
    let deploys = Deploys::new("", &rules);
    let (site, code) = (&deploys.site, &deploys.code);
    code.write("static/one.css", "one\n");
    code.commit("an asset");
    site.ok(&["up", "--yes"]);
    let load = deploys.visitors();
    let talks: Vec<_> = (0..4)
        .map(|_| {
            let mut socket = Socket::open(site.address);
            assert!(socket.echoes("hello"), "{}", site.story());
            std::thread::spawn(move || socket.talk())
        })
        .collect();

    std::fs::remove_file(code.folder().join("static/one.css")).expect("it is replaced");
    code.write("static/two.css", "two\n");
    let commit = code.commit("another asset");
    let would = site.ok(&["deploy", "--dry-run"]);
    assert!(would.contains("2-") && deploys.answers() == "1", "{would}");
    let said = site.ok(&["deploy"]);
    assert!(said.contains("release 2-") && said.contains("serves"), "{said}");
    assert_eq!(deploys.answers(), "2", "{}", site.story());
    assert_eq!(deploys.file("/static/two.css"), (200, "two".to_owned()));
    assert_eq!(deploys.file("/static/one.css"), (200, "one".to_owned()), "a page may still name it");
    for talk in talks {
        let code = talk.join().expect("a talk panicked");
        assert_eq!(code, Some(1001), "\"going away\": the client comes again\n{}", site.story());
    }
    deploys.reaches("done");
    deploys.rests("2", 2);
    let [(new, live), (old, built)] = &deploys.releases()[..] else { panic!("{:?}", deploys.releases()) };
    assert_eq!((live.as_str(), built.as_str()), ("live", "built"));
    assert!(new.strip_prefix("2-").is_some_and(|hash| commit.starts_with(hash)), "{new} is not of {commit}");
    let again = site.ok(&["deploy"]);
    assert!(again.contains("nothing to do"), "{again}");

    let began = Instant::now();
    let said = site.ok(&["rollback"]);
    assert!(said.contains(old.as_str()), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10), "back after {:?}", began.elapsed());
    assert_eq!(deploys.answers(), "1", "{}", site.story());
    assert_eq!(deploys.file("/static/two.css"), (200, "two".to_owned()));
    deploys.rests("1", 2);
    deploys.lost_nothing(load);
}

#[test]
fn rolling() {
    takes_over_and_back("");
}

#[test]
fn blue_green() {
    takes_over_and_back("strategy = \"blue-green\"\n");
}

#[test]
fn canary() {
    takes_over_and_back("strategy = \"canary\"\nsteps = [10, 50]\nhold = \"2s\"\nmin_requests = 20\n");
}

#[test]
fn one_at_a_time_and_back_from_a_canary() {
    let deploys = Deploys::up(
        "",
        "[deploy]\nstrategy = \"canary\"\nsteps = [50]\nhold = \"10m\"\nchecks = 1\nwatch_after = \"2s\"\n",
    );
    let site = &deploys.site;
    let load = deploys.visitors();
    deploys.behave("{}");
    let first = deploys.begin(&["deploy", "main"]);
    site.wait("the canary is sent its share", SOON, || deploys.deployment()["percent"] == 50);
    assert_eq!(word(&deploys.deployment()["phase"]), "canary");
    let (mut old, mut new) = (0, 0);
    for _ in 0..100 {
        match deploys.answers().as_str() {
            "1" => old += 1,
            "2" => new += 1,
            other => panic!("release {other:?} answered"),
        }
    }
    // Of 100 fair tosses, fewer than 25 on one side come once in ten million.
    assert!(old.min(new) >= 25, "{old} to {new}");

    let me = deploys.deployment()["by"].as_str().expect("who").to_owned();
    assert!(me.contains('@'), "{me}");
    for again in [&["deploy"][..], &["deploy", "HEAD", "--dry-run"]] {
        let said = site.fails(again, 1);
        assert!(said.contains(&me) && said.contains("release 2-") && said.contains("canary"), "{said}");
    }
    site.ok(&["rollback"]);
    let (code, said) = first.end();
    assert!(code == Some(1) && said.contains("rollback"), "{code:?} {said}");
    deploys.rests("1", 2);
    deploys.lost_nothing(load);
}
