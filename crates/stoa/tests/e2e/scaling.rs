//! Auto-scaling of a real application: it grows within seconds, says why, and keeps what was decided.

use crate::deploying::{Deploys, SOON};
use crate::load::{Ask, Load};
use std::time::{Duration, Instant};

#[test]
fn an_application_grows_with_its_load() {
    let deploys = Deploys::up(
        "instances = { min = 1, max = 3 }\nconcurrency = 1\ntarget_wait = \"50ms\"\n",
        "[deploy]\nchecks = 1\n",
    );
    let site = &deploys.site;
    assert_eq!(site.instances("app").len(), 1, "{}", site.story());
    let began = Instant::now();
    let ask = Ask { method: "GET", path: "/slow/150".to_owned(), body: None, status: 200 };
    let load = Load::paced(site.address, "localhost", 4, &[ask], Duration::from_millis(20));
    site.wait("three instances serve", SOON, || {
        site.instances("app").iter().filter(|one| one["state"] == "serving").count() == 3
    });
    assert!(began.elapsed() < Duration::from_secs(30), "after {:?}", began.elapsed());
    let decided = deploys.events().into_iter().filter(|entry| entry["kind"] == "decided");
    let decided: Vec<_> = decided.filter(|entry| entry["subject"] == "app").collect();
    let told = decided.iter().any(|entry| {
        let because = entry["because"].as_str().unwrap_or_default();
        because.contains("requests at once") && because.contains("/s")
    });
    assert!(told, "the journal does not tell the figures: {decided:#?}");
    let status = site.status();
    let tier = status["tiers"].as_array().and_then(|tiers| tiers.iter().find(|tier| tier["tier"] == "app"));
    let tier = tier.expect("the app");
    assert_eq!((&tier["scaling"]["min"], &tier["scaling"]["max"]), (&1.into(), &3.into()), "{tier}");
    assert!(site.ok(&["status"]).contains("1 to 3 by demand"), "{}", site.story());

    // Whoever decides next knows what was decided.
    let before: Vec<_> = site.instances("app").iter().map(|one| one["pid"].clone()).collect();
    deploys.kill_the_daemon();
    site.wait("another daemon answers", SOON, || site.stoa(&["status"]).status.success());
    site.wait("they are the same three", SOON, || {
        let now: Vec<_> = site.instances("app").iter().map(|one| one["pid"].clone()).collect();
        now == before
    });
    deploys.lost_nothing(load);
}
