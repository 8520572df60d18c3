//! Staging beside production: each has what is its own, and production gets the very release of staging.

use crate::deploying::{Deploys, environment};
use crate::load::get;
use crate::reserved::Reserved;
use crate::site::TestSite;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn configured(more: &str) -> (Deploys, Reserved) {
    let reserved = Reserved::new();
    let staging = reserved.address;
    let more = format!(
        "[deploy]\nchecks = 1\nwatch_after = \"1s\"\n{more}\n[environments.staging]\n\
         balancer = {{ listen = \"{staging}\" }}\napp = {{ instances = 1 }}\n"
    );
    (Deploys::new("", &more), reserved)
}

/// The release that answers here, as `number-commit`.
fn release(address: SocketAddr) -> String {
    let page = get(address, "localhost", "/").expect("an answer");
    page.header("x-app-release").unwrap_or_else(|| panic!("{page:?}")).to_owned()
}

/// Who owns the processes of the application of this state folder alone.
fn owners(site: &TestSite, state: &str) -> BTreeSet<u32> {
    let inside = format!("{state}/");
    let is_of = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        line.ends_with(b"\0app.py\0") && folder.to_string_lossy().starts_with(&inside)
    };
    let pids = site.processes().into_iter().filter(is_of);
    pids.filter_map(|pid| Some(std::fs::metadata(format!("/proc/{pid}")).ok()?.uid())).collect()
}

#[test]
fn staging_stands_beside_production_and_is_promoted() {
    let (deploys, reserved) = configured("[database]\nreplicas = 0\nmemory = \"64MB\"\n");
    let staging = reserved.address;
    let (site, code) = (&deploys.site, &deploys.code);
    site.ok(&["up", "--yes"]);
    let early = site.fails(&["promote", "staging"], 1);
    assert!(early.contains("-e staging up"), "{early}");
    let up = site.ok(&["-e", "staging", "up", "--yes"]);
    assert!(up.contains(&staging.port().to_string()), "{up}");
    let load = deploys.visitors();

    // Each has what is its own.
    let read = |address: SocketAddr| {
        let page = get(address, "localhost", "/environment").expect("an answer");
        serde_json::from_str::<serde_json::Value>(&page.body).expect("JSON")
    };
    let (theirs, ours) = (read(staging), environment(site));
    assert_eq!(theirs["STOA_ENVIRONMENT"], "staging", "{theirs}");
    assert_eq!(ours["STOA_ENVIRONMENT"], "production", "{ours:?}");
    assert_ne!(theirs["DATABASE_URL"], ours["DATABASE_URL"].as_str());
    let shown = site.ok(&["-e", "staging", "status", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["environment"], "staging", "{shown}");
    let state = site.state().display().to_string();
    let (here, there) = (owners(site, &state), owners(site, &format!("{state}@staging")));
    assert!(!here.is_empty() && !there.is_empty(), "{here:?} {there:?}");
    let root = std::fs::metadata("/proc/self").expect("/proc").uid() == 0;
    if root {
        assert!(here.is_disjoint(&there) && !here.contains(&0) && !there.contains(&0), "{here:?} {there:?}");
    }

    // What is tried there is promoted here: the same commit, built from the same source.
    code.write("static/release.txt", "second\n");
    let commit = code.commit("second");
    site.ok(&["-e", "staging", "deploy"]);
    code.write("static/release.txt", "third\n");
    code.commit("third");
    assert!(release(site.address).starts_with("1-"), "production is not touched\n{}", site.story());
    site.ok(&["promote", "staging", "--watch"]);
    let promoted = release(site.address);
    let hash = promoted.split_once('-').expect("number-commit").1;
    assert!(commit.starts_with(hash), "{promoted} is not of {commit}");
    assert_eq!(deploys.file("/static/release.txt"), (200, "second".to_owned()));
    let again = site.ok(&["promote", "staging"]);
    assert!(again.contains("nothing to do"), "{again}");

    site.ok(&["-e", "staging", "down", "--destroy", "--yes"]);
    site.wait("staging is gone", SOON, || std::net::TcpStream::connect(staging).is_err());
    assert!(!std::path::Path::new(&format!("{state}@staging")).exists());
    deploys.lost_nothing(load);
}

#[test]
fn environments_that_confuse_are_refused() {
    let (deploys, _) = configured("");
    let site = &deploys.site;
    let said = site.fails(&["-e", "stagin", "up", "--yes"], 2);
    assert!(said.contains("stagin") && said.contains("staging"), "{said}");
    let said = site.fails(&["promote", "production"], 2);
    assert!(said.contains("itself"), "{said}");
    let text = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    for name in ["production", "prod", "Production"] {
        site.write("stoa.toml", &text.replace("environments.staging", &format!("environments.{name}")));
        let said = site.fails(&["up", "--yes"], 2);
        assert!(said.contains(name), "{said}");
    }
    assert!(!site.state().exists() || site.processes().is_empty(), "nothing was begun");
}
