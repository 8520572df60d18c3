//! Deployments and rollbacks under load, bad releases as canaries, and a deployment whose daemon is killed
//! at every step: what visitors lost, and how long it took.

use super::asks;
use super::copy::Copy;
use super::load::{Load, SLOW, Tally};
use super::site::{SETTLES_WITHIN, Site};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const VISITORS: usize = 64;
/// Between an answer and a visitor's next question: the load is then a rate, not all that the machine can.
const PAUSE: Duration = Duration::from_millis(200);

/// Releases that are taken back; what stands at the beginning of `app.py`, and at its end.
const BAD: [(&str, &str, &str); 4] = [
    ("crashes at its start", "raise RuntimeError('drill: it crashes')\n", ""),
    (
        "is never healthy",
        "",
        "\n@app.before_request\ndef drill():\n    if request.path == '/healthz':\n        abort(500)\n",
    ),
    (
        "5 % errors",
        "import random\n",
        "\n@app.before_request\ndef drill():\n    if request.path != '/healthz' and random.random() < 0.05:\n        \
         abort(500)\n",
    ),
    (
        "3 times slower",
        "",
        "\n@app.before_request\ndef drill():\n    request.environ['drill'] = time.monotonic()\n\n\
         @app.after_request\ndef drilled(response):\n    if request.path != '/healthz':\n        \
         time.sleep(max(2 * (time.monotonic() - request.environ['drill']), 0.02))\n    return response\n",
    ),
];

/// All of it. The site is taken down again, however it ends.
pub(super) fn run(site: &Site, copy: &Copy, count: usize) -> Result<(), String> {
    copy.configure(site.address, &[])?;
    site.stoa(&["up", "--yes"])?;
    let done = deployments(site, copy, count)
        .and_then(|()| canaries(site, copy))
        .and_then(|()| interrupted(site, copy));
    let down = site.stoa(&["down", "--destroy", "--yes"]);
    done.and(down.map(drop))
}

fn visitors(site: &Site) -> Result<Load, String> {
    let load = Load::paced(site.address, "localhost", VISITORS, &asks(), PAUSE);
    if load.answers(300, SETTLES_WITHIN) { Ok(load) } else { Err("no load came up".to_owned()) }
}

fn deployments(site: &Site, copy: &Copy, count: usize) -> Result<(), String> {
    if count == 0 {
        return Ok(());
    }
    let pause = PAUSE.as_millis();
    println!(
        "{count} deployments, one rollback after every fifth; {VISITORS} visitors who pause for {pause} ms"
    );
    let began = Instant::now();
    let load = visitors(site)?;
    let (mut deploys, mut rollbacks) = (Vec::new(), Vec::new());
    for number in 1..=count {
        copy.change(
            "static/drill.txt",
            &format!("{} {number}\n", if number % 2 == 0 { "even" } else { "odd" }),
        )?;
        deploys.push(timed(|| site.stoa(&["deploy"]))?);
        if number % 5 == 0 {
            rollbacks.push(timed(|| site.stoa(&["rollback"]))?);
        }
    }
    let (span, tally) = (began.elapsed(), load.finish());
    quantiles("deployments", deploys);
    quantiles("rollbacks", rollbacks);
    let rate = tally.answered as f64 / span.as_secs_f64();
    println!("  {} answers, {rate:.0} a second; slowest {} ms", tally.answered, tally.slowest.as_millis());
    losses(&tally);
    println!();
    Ok(())
}

fn timed<T>(act: impl FnOnce() -> Result<T, String>) -> Result<Duration, String> {
    let began = Instant::now();
    act()?;
    Ok(began.elapsed())
}

fn quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |q: usize| {
        let place = (times.len() * q).div_ceil(100).saturating_sub(1);
        times.get(place).map_or(0.0, Duration::as_secs_f64)
    };
    println!("  {} {what}: p50 {:.1} s, p90 {:.1} s, max {:.1} s", times.len(), at(50), at(90), at(100));
}

/// Failed requests by kind: the same but for its figures is the same kind.
fn losses(tally: &Tally) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for lost in &tally.lost {
        let why: String = lost.why.lines().next().unwrap_or_default().chars().take(100).collect();
        *kinds.entry(format!("{}: {why}", lost.what)).or_default() += 1;
    }
    println!("  {} failed", tally.lost.len());
    for (kind, count) in kinds {
        println!("    {count:>6} {kind}");
    }
}

fn canaries(site: &Site, copy: &Copy) -> Result<(), String> {
    let rules = "strategy = \"canary\"\nsteps = [5, 25, 50]\nhold = \"60s\"";
    println!("Bad releases as canaries at 5, 25 and 50 %, each held for 60 s");
    println!(
        "{:<22} {:>9} {:>7} {:>8} {:>9} {:>17}  reason",
        "it", "answered", "failed", "> 1 s", "slowest", "routed for"
    );
    assert_eq!(SLOW, Duration::from_secs(1), "the head of the table says so");
    copy.configure(site.address, &[("deploy", rules)])?;
    // The code is the same: only the rules change.
    site.stoa(&["up", "--yes"])?;
    let good = copy.read("app.py")?;
    for (name, first, last) in BAD {
        site.settles()?;
        let before = site.last_event()?;
        let load = visitors(site)?;
        copy.change("app.py", &bad(&good, first, last))?;
        let said = site.try_stoa(&["deploy", "--watch"])?;
        let tally = load.finish();
        if said.well {
            println!("{name:<22} was not taken back");
            site.stoa(&["rollback"])?;
            continue;
        }
        let (span, why) = taken_back(&site.events(before)?);
        let span = span.map_or_else(|| "never".to_owned(), |span| format!("{:.1} s", span.as_secs_f64()));
        println!(
            "{name:<22} {:>9} {:>7} {:>8} {:>6} ms {span:>17}  {why}",
            tally.answered,
            tally.lost.len(),
            tally.slow,
            tally.slowest.as_millis()
        );
    }
    println!();
    copy.change("app.py", &good)
}

/// `from __future__` and the docstring stand first in a module: what is added stands after its imports.
fn bad(good: &str, first: &str, last: &str) -> String {
    good.replacen("\nimport os\n", &format!("\nimport os\n{first}"), 1) + last
}

/// From the first routes with an instance of the new release to those without, and why it was taken back.
fn taken_back(events: &[Value]) -> (Option<Duration>, String) {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let at = |entry: &Value| entry["at_unix_ms"].as_u64().unwrap_or_default();
    let begun = events.iter().rposition(|entry| {
        let text = text(entry, "text");
        text.starts_with("deployment ") && text.ends_with(" begins")
    });
    let events = events.get(begun.unwrap_or_default()..).unwrap_or_default();
    let routed =
        events.iter().find(|entry| entry["kind"] == "routes" && text(entry, "text").contains("added"));
    let back = events.iter().rfind(|entry| entry["kind"] == "failed");
    let span = routed.zip(back).map(|(from, to)| Duration::from_millis(at(to).saturating_sub(at(from))));
    (span, back.map(|entry| text(entry, "because")).unwrap_or_default())
}

fn interrupted(site: &Site, copy: &Copy) -> Result<(), String> {
    println!("One rolling deployment, its daemon killed at every entry of the journal");
    copy.configure(site.address, &[])?;
    site.stoa(&["up", "--yes"])?;
    site.settles()?;
    let before = site.last_event()?;
    let load = visitors(site)?;
    copy.change("static/drill.txt", "interrupted\n")?;
    let began = Instant::now();
    let (kills, said) = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| site.try_stoa(&["deploy"]));
        let mut seen = BTreeSet::new();
        let mut kills = 0;
        while !deploy.is_finished() {
            // No answer: the keeper has not brought another one yet.
            for entry in site.events(before).unwrap_or_default() {
                let told = ["kind", "subject", "text"].map(|key| entry[key].to_string()).join(" ");
                // What a daemon does anew after a kill is no other step.
                let counts = entry["kind"] != "asked" && entry["kind"] != "seen";
                if counts && seen.insert(told) && site.kill_the_daemon().is_ok() {
                    kills += 1;
                    break;
                }
            }
        }
        (kills, deploy.join())
    });
    let said = said.map_err(|_| "the deployment's thread panicked".to_owned())??;
    site.settles()?;
    let tally = load.finish();
    let status = site.status()?;
    let phase = status["deployment"]["phase"].to_string();
    println!(
        "  {kills} kills, {:.0} s; {} serves, the deployment is {phase}",
        began.elapsed().as_secs_f64(),
        status["live"]
    );
    if !said.well {
        let words = said.text.lines().filter(|line| line.contains("error:") || line.contains("why:"));
        println!("  the command gave up: {}", words.map(str::trim).collect::<Vec<_>>().join("; "));
    }
    println!("  {} answers, slowest {} ms", tally.answered, tally.slowest.as_millis());
    losses(&tally);
    Ok(())
}
