//! A crowd of ten times the load, on the site with auto-scaling, then with a fixed count: the fewest, the
//! most. How many instances there are by the second, and what visitors waited.

use super::arrivals::{Crowd, Visit};
use super::copy::Copy;
use super::site::Site;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The page sleeps so long and needs nearly no CPU: its service time is known, and two cores are enough for
/// many instances.
const SERVICE: Duration = Duration::from_millis(100);
/// Threads of one instance of the example: so many answers it works on at once, 40 a second.
const CONCURRENCY: usize = 4;
const MIN: usize = 1;
const MAX: usize = 5;
/// Visitors a second before and after, and ten times as many in between: 0.3 and 3 instances' worth.
const RATE: f64 = 12.0;
const CROWD: f64 = 10.0 * RATE;
/// The seconds at which the crowd comes, goes, and the drill ends.
const COMES: u64 = 15;
const GOES: u64 = 60;
const ENDS: u64 = 75;
/// A visitor who waits longer than this beyond the service time is over the target.
const TARGET: Duration = Duration::from_millis(500);

/// All three.
pub(super) fn run(site: &Site, copy: &Copy) -> Result<(), String> {
    println!(
        "GET /slow?ms={}: {CONCURRENCY} at once an instance, {:.0} a second each. {RATE:.0} visitors a second, {CROWD:.0} from \
         second {COMES} to {GOES}, at random (open loop, seeded).\nOver the target: no answer, a 503, or more than {} ms \
         beyond the {} ms of service. Load and site share this machine's {} cores; runs during which the machine was \
         busy with other things cannot be compared.",
        SERVICE.as_millis(),
        CONCURRENCY as f64 / SERVICE.as_secs_f64(),
        TARGET.as_millis(),
        SERVICE.as_millis(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let counts = [
        ("auto-scaled", format!("{{ min = {MIN}, max = {MAX} }}")),
        ("the fewest", MIN.to_string()),
        ("the most", MAX.to_string()),
    ];
    let mut lines = Vec::new();
    let mut done = Ok(());
    for (name, count) in counts {
        done = crowd(site, copy, name, &count).map(|line| lines.push(line));
        if done.is_err() {
            break;
        }
    }
    println!(
        "\n{:<14} {:>8} {:>10} {:>8} {:>6} {:>8} {:>16} {:>13}",
        "instances", "visitors", "over", "shed", "lost", "p99", "serving-seconds", "machine busy"
    );
    lines.iter().for_each(|line| println!("{line}"));
    // Where it never came up there is nothing to take down.
    let down =
        if site.state.exists() { site.stoa(&["down", "--destroy", "--yes"]).map(drop) } else { Ok(()) };
    done.and(down)
}

fn crowd(site: &Site, copy: &Copy, name: &str, count: &str) -> Result<String, String> {
    let app = format!("instances = {count}\nconcurrency = {CONCURRENCY}");
    copy.configure(site.address, &[("app", &app)])?;
    site.stoa(&["up", "--yes"])?;
    site.settles()?;
    println!("\n{name}");
    let before = site.last_event()?;
    let mut crowd = Crowd::of(site.address, &format!("/slow?ms={}", SERVICE.as_millis()));
    let (over, began) = (AtomicBool::new(false), Instant::now());
    let (visits, watched) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(site, began, &over));
        crowd.arrive(0, COMES, RATE);
        crowd.arrive(COMES, GOES, CROWD);
        crowd.arrive(GOES, ENDS, RATE);
        let visits = crowd.end();
        over.store(true, Ordering::Relaxed);
        (visits, watch.join())
    });
    let watched = watched.map_err(|_| "the watch panicked".to_owned())?;
    seconds(&visits, &watched);
    for entry in site.events(before)?.iter().filter(|entry| entry["kind"] == "decided") {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        println!("  decided: {} {} ({})", text("subject"), text("text"), text("because"));
    }
    Ok(summary(name, &visits, &watched))
}

/// One second of the site.
#[derive(Debug, Clone, Copy)]
struct Second {
    /// How many instances of the application serve; none: the daemon did not answer.
    serving: Option<usize>,
    /// How busy the machine was since the second before, in percent, whoever made it so; none: not known.
    busy: Option<u64>,
}

/// The site and the machine, by the second.
fn watch(site: &Site, began: Instant, over: &AtomicBool) -> Vec<Second> {
    let mut seconds = Vec::new();
    let mut before = processors();
    while !over.load(Ordering::Relaxed) {
        let next = Duration::from_secs(seconds.len() as u64);
        std::thread::sleep(next.saturating_sub(began.elapsed()));
        let now = processors();
        let busy = before.zip(now).and_then(|((idle, all), (idle_now, all_now))| {
            let all = all_now.checked_sub(all).filter(|all| *all > 0)?;
            Some(100 - (100 * idle_now.saturating_sub(idle) / all).min(100))
        });
        before = now;
        seconds.push(Second { serving: site.status().ok().map(|status| count(&status)), busy });
    }
    seconds
}

/// The idle time of all processors and all of their time, in ticks.
fn processors() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
    // Time of guests is in that of users too; waiting for a disk is idle.
    Some((ticks.get(3)? + ticks.get(4)?, ticks.iter().take(8).sum()))
}

fn count(status: &Value) -> usize {
    let tiers = status["tiers"].as_array().into_iter().flatten();
    let app = tiers.filter(|tier| tier["tier"] == "app").filter_map(|tier| tier["ready"].as_u64()).next();
    app.and_then(|ready| usize::try_from(ready).ok()).unwrap_or_default()
}

fn is_over(visit: &Visit) -> bool {
    visit.status != Some(200) || visit.waited > SERVICE + TARGET
}

fn seconds(visits: &[Visit], watched: &[Second]) {
    println!(
        "{:>7} {:>9} {:>8} {:>9} {:>6} {:>6} {:>8}",
        "second", "instances", "machine", "arrived", "over", "shed", "slowest"
    );
    for second in 0..ENDS {
        let of_it: Vec<_> = visits.iter().filter(|visit| visit.at.as_secs() == second).collect();
        let slowest = of_it.iter().map(|visit| visit.waited).max().unwrap_or_default();
        let place = usize::try_from(second).unwrap_or_default();
        let of_site = watched.get(place);
        let serving = of_site.and_then(|it| it.serving).map_or("?".to_owned(), |n| n.to_string());
        let busy = of_site.and_then(|it| it.busy).map_or("?".to_owned(), |n| n.to_string());
        println!(
            "{second:>7} {serving:>9} {busy:>6} % {:>9} {:>6} {:>6} {:>5} ms",
            of_it.len(),
            of_it.iter().filter(|visit| is_over(visit)).count(),
            of_it.iter().filter(|visit| visit.status == Some(503)).count(),
            slowest.as_millis()
        );
    }
}

fn summary(name: &str, visits: &[Visit], watched: &[Second]) -> String {
    let mut waits: Vec<_> = visits.iter().map(|visit| visit.waited).collect();
    waits.sort();
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    let busy: Vec<u64> = watched.iter().filter_map(|second| second.busy).collect();
    let share = |count: usize| 100.0 * count as f64 / visits.len().max(1) as f64;
    format!(
        "{name:<14} {:>8} {:>8.1} % {:>6.1} % {:>6} {:>5} ms {:>16} {:>11} %",
        visits.len(),
        share(visits.iter().filter(|visit| is_over(visit)).count()),
        share(visits.iter().filter(|visit| visit.status == Some(503)).count()),
        visits.iter().filter(|visit| visit.status.is_none()).count(),
        p99.as_millis(),
        watched.iter().filter_map(|second| second.serving).sum::<usize>(),
        busy.iter().sum::<u64>() / (busy.len() as u64).max(1)
    )
}
