//! What visitors lose when parts of the site die or are replaced: nothing, but for what a killed balancer
//! itself held.

use crate::load::{Ask, Load, Tally};
use crate::site::TestSite;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn asks() -> Vec<Ask> {
    let get = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
    let post = Ask { method: "POST", path: "/post".to_owned(), body: Some("n={n}".to_owned()), status: 200 };
    vec![get("/"), get("/static/site.css"), get("/slow/20"), post]
}

fn load(site: &TestSite) -> Load {
    let load = Load::start(site.address, "localhost", 16, &asks());
    assert!(load.answers(200, SOON), "no load came up\n{}", site.story());
    load
}

/// Lets some more be answered, ends the load and tells what was lost.
fn end(site: &TestSite, load: Load) -> Tally {
    assert!(load.answers(200, SOON), "the load stands still\n{}", site.story());
    load.finish()
}

fn lost_nothing(site: &TestSite, tally: &Tally) {
    assert!(
        tally.lost.is_empty(),
        "{} of {} lost: {:#?}\n{}",
        tally.lost.len(),
        tally.answered,
        tally.lost,
        site.story()
    );
}

fn replaced(site: &TestSite, instance: &str, old: u32) {
    let what = format!("{instance} serves again");
    site.wait(&what, SOON, || {
        let tier = instance.split('-').next().unwrap_or_default();
        site.instances(tier).iter().any(|i| i["id"] == instance && i["state"] == "serving" && i["pid"] != old)
    });
}

#[test]
fn kill_an_app_instance_and_an_nginx() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    for instance in ["app-1", "web-1", "app-2", "web-2"] {
        let pid = site.pid(instance).expect("its pid");
        site.kill(pid, "-KILL");
        replaced(&site, instance, pid);
        assert!(load.answers(50, SOON), "the load stands still");
    }
    let tally = end(&site, load);
    // A POST that the dead instance had taken may be lost: nobody can tell whether it was done.
    let idempotent: Vec<_> = tally.lost.iter().filter(|lost| lost.what.starts_with("GET")).collect();
    assert!(idempotent.is_empty(), "{idempotent:#?}\n{}", site.story());
}

#[test]
fn kill_a_balancer() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    let pid = site.pid("balancer-1").expect("its pid");
    site.kill(pid, "-KILL");
    replaced(&site, "balancer-1", pid);
    let tally = end(&site, load);
    // Only what it held: at most one request of each visitor, and no connection was refused.
    assert!(tally.lost.len() <= 16, "{:#?}", tally.lost);
    assert!(!tally.lost.iter().any(|lost| lost.why.contains("connecting")), "{:#?}", tally.lost);
}

#[test]
fn kill_the_daemon_then_another_part() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    let before: Vec<_> = ["app-1", "web-1", "balancer-1"].iter().map(|id| site.pid(id)).collect();
    let daemon = site.status()["daemon"]["pid"].as_u64().expect("its pid");
    site.kill(u32::try_from(daemon).expect("a pid"), "-KILL");
    site.wait("another daemon answers", SOON, || {
        site.stoa(&["status", "--json"]).status.success() && site.status()["daemon"]["pid"] != daemon
    });
    site.settles();
    let after: Vec<_> = ["app-1", "web-1", "balancer-1"].iter().map(|id| site.pid(id)).collect();
    assert_eq!(before, after, "what ran was adopted, not started anew");
    // What it adopted it still watches: a balancer, whose sockets it had to fetch back, is replaced.
    let pid = site.pid("app-1").expect("its pid");
    site.kill(pid, "-KILL");
    replaced(&site, "app-1", pid);
    let tally = end(&site, load);
    let idempotent: Vec<_> = tally.lost.iter().filter(|lost| lost.what.starts_with("GET")).collect();
    assert!(idempotent.is_empty(), "{idempotent:#?}\n{}", site.story());
    let pid = site.pid("balancer-2").expect("its pid");
    site.kill(pid, "-KILL");
    replaced(&site, "balancer-2", pid);
}

#[test]
fn scale_and_restart_lose_nothing() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    site.ok(&["scale", "app=4"]);
    site.settles();
    assert_eq!(site.instances("app").len(), 4);
    site.ok(&["scale", "app=2"]);
    site.settles();
    assert_eq!(site.instances("app").len(), 2);
    for tier in ["app", "web", "balancer"] {
        let before: Vec<_> = site.instances(tier).iter().map(|i| i["pid"].clone()).collect();
        site.ok(&["restart", tier]);
        site.settles();
        let after: Vec<_> = site.instances(tier).iter().map(|i| i["pid"].clone()).collect();
        assert!(before.iter().all(|pid| !after.contains(pid)), "{tier}: {before:?} -> {after:?}");
        assert!(load.answers(50, SOON), "the load stands still");
    }
    lost_nothing(&site, &end(&site, load));
}

#[test]
fn another_config_and_another_release_lose_nothing() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    let web: Vec<_> = site.instances("web").iter().map(|i| i["pid"].clone()).collect();
    let text = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    site.write("stoa.toml", &text.replace("domain = ", "aliases = [\"example.com\"]\ndomain = "));
    site.ok(&["up", "--yes"]);
    let now: Vec<_> = site.instances("web").iter().map(|i| i["pid"].clone()).collect();
    assert_eq!(web, now, "nginx was reloaded, not replaced");
    let page = crate::load::get(site.address, "example.com", "/").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
    site.write("static/new.css", "body { color: blue }\n");
    site.ok(&["up", "--yes"]);
    let page = crate::load::get(site.address, "localhost", "/static/new.css").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
    let app = site.instances("app");
    assert!(app.iter().all(|i| i["release"].as_str().is_some_and(|r| r.starts_with("3-"))), "{app:?}");
    lost_nothing(&site, &end(&site, load));
}

#[test]
fn kill_a_replica_and_the_cache() {
    let site = TestSite::python("[database]\nmemory = \"64MB\"\n[cache]\n");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    for instance in ["database-2", "cache-1"] {
        let pid = site.pid(instance).expect("its pid");
        site.kill(pid, "-KILL");
        replaced(&site, instance, pid);
    }
    lost_nothing(&site, &end(&site, load));
}

#[test]
fn everything_killed_at_once_comes_back() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    for pid in site.processes() {
        // One may be gone already with its parent.
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).output();
    }
    site.wait("nothing runs", SOON, || site.processes().is_empty());
    site.ok(&["up", "--yes"]);
    let page = crate::load::get(site.address, "localhost", "/").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
}

#[test]
fn another_address_is_served_and_the_old_one_let_go() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let reserved = crate::reserved::Reserved::new();
    let other = reserved.address;
    let text = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    site.write("stoa.toml", &text.replace(&site.address.to_string(), &other.to_string()));
    site.ok(&["up", "--yes"]);
    let page = crate::load::get(other, "localhost", "/").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
    site.wait("the old address refuses", SOON, || std::net::TcpStream::connect(site.address).is_err());
}

#[test]
fn another_program_takes_the_site_over_and_loses_nothing() {
    let mut site = TestSite::python("");
    let old = site.folder().join("stoa-of-yesterday");
    std::fs::copy(env!("CARGO_BIN_EXE_stoa"), &old).expect("a copy of the program");
    site.run_program(&old);
    site.ok(&["up", "--yes"]);
    let daemon = site.status()["daemon"]["pid"].clone();
    let before: Vec<_> = ["app-1", "web-1", "balancer-1"].iter().map(|id| site.pid(id)).collect();
    let load = load(&site);
    site.run_program(std::path::Path::new(env!("CARGO_BIN_EXE_stoa")));
    site.ok(&["up", "--yes"]);
    assert_ne!(site.status()["daemon"]["pid"], daemon, "the daemon is the new program's");
    let after: Vec<_> = ["app-1", "web-1", "balancer-1"].iter().map(|id| site.pid(id)).collect();
    assert_eq!(before, after, "what ran was taken over");
    std::fs::remove_file(&old).expect("the old program goes");
    site.ok(&["restart", "balancer"]);
    lost_nothing(&site, &end(&site, load));
}
