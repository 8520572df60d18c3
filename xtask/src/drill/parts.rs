//! Parts of a running site die or are replaced, one after the other, and what visitors lost is told.

use super::asks;
use super::load::Load;
use super::site::{SETTLES_WITHIN, Site, kill};
use std::time::Instant;

const VISITORS: usize = 32;

/// One drill: what is done, and to what.
enum Drill {
    Kill(&'static str),
    KillDaemon,
    Command(&'static [&'static str]),
}

const DRILLS: [Drill; 10] = [
    Drill::Kill("app"),
    Drill::Kill("web"),
    Drill::Kill("balancer"),
    Drill::Kill("replica"),
    Drill::Kill("cache"),
    Drill::KillDaemon,
    Drill::Command(&["scale", "app=4"]),
    Drill::Command(&["scale", "app=2"]),
    Drill::Command(&["restart", "app"]),
    Drill::Command(&["restart", "web"]),
];

/// Every drill of the list.
pub(super) fn run(site: &Site) -> Result<(), String> {
    println!(
        "{:<20} {:>9} {:>6} {:>6} {:>9} {:>10}  first loss",
        "drill", "answered", "GETs", "POSTs", "slowest", "settled in"
    );
    DRILLS.iter().try_for_each(|drill| strike_under_load(site, drill))
}

fn strike_under_load(site: &Site, drill: &Drill) -> Result<(), String> {
    site.settles()?;
    let load = Load::start(site.address, "localhost", VISITORS, &asks());
    if !load.answers(300, SETTLES_WITHIN) {
        return Err("no load came up".to_owned());
    }
    let began = Instant::now();
    let name = strike(site, drill)?;
    // The daemon sees a death a moment later: some load first, then the state.
    load.answers(300, SETTLES_WITHIN);
    site.settles()?;
    let settled = began.elapsed();
    load.answers(300, SETTLES_WITHIN);
    let tally = load.finish();
    let lost = |method: &str| tally.lost.iter().filter(|lost| lost.what.starts_with(method)).count();
    let first = tally.lost.first().map_or_else(String::new, |lost| format!("{}: {}", lost.what, lost.why));
    println!(
        "{name:<20} {:>9} {:>6} {:>6} {:>6} ms {:>8.1} s  {first}",
        tally.answered,
        lost("GET"),
        lost("POST"),
        tally.slowest.as_millis(),
        settled.as_secs_f64()
    );
    Ok(())
}

fn strike(site: &Site, drill: &Drill) -> Result<String, String> {
    let status = site.status()?;
    match drill {
        Drill::Command(words) => {
            site.stoa(words)?;
            Ok(words.join(" "))
        }
        Drill::KillDaemon => {
            site.kill_the_daemon()?;
            Ok("kill the daemon".to_owned())
        }
        Drill::Kill(what) => {
            let tiers = status["tiers"].as_array().ok_or("no tiers")?;
            let mut instances = tiers.iter().filter_map(|tier| tier["instances"].as_array()).flatten();
            let found = instances.find(|instance| {
                let id = instance["id"].as_str().unwrap_or_default();
                instance["role"] == *what || id.split('-').next() == Some(what)
            });
            let found = found.ok_or_else(|| format!("the site has no {what}"))?;
            kill(found["pid"].as_u64().ok_or("it has no pid")?)?;
            Ok(format!("kill {}", found["id"].as_str().unwrap_or(what)))
        }
    }
}
