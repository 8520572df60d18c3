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
         beyond the {} ms of service. Load and site share this machine's {} cores.",
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
        "\n{:<14} {:>8} {:>10} {:>8} {:>6} {:>8} {:>16}",
        "instances", "visitors", "over", "shed", "lost", "p99", "instance-seconds"
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
    let (visits, serving) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(site, began, &over));
        crowd.arrive(0, COMES, RATE);
        crowd.arrive(COMES, GOES, CROWD);
        crowd.arrive(GOES, ENDS, RATE);
        let visits = crowd.end();
        over.store(true, Ordering::Relaxed);
        (visits, watch.join())
    });
    let serving = serving.map_err(|_| "the watch panicked".to_owned())?;
    seconds(&visits, &serving);
    for entry in site.events(before)?.iter().filter(|entry| entry["kind"] == "decided") {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        println!("  decided: {} {} ({})", text("subject"), text("text"), text("because"));
    }
    Ok(summary(name, &visits, &serving))
}

/// How many instances of the application serve, by the second.
fn watch(site: &Site, began: Instant, over: &AtomicBool) -> Vec<Option<usize>> {
    let mut serving = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let next = Duration::from_secs(serving.len() as u64);
        std::thread::sleep(next.saturating_sub(began.elapsed()));
        serving.push(site.status().ok().map(|status| count(&status)));
    }
    serving
}

fn count(status: &Value) -> usize {
    let tiers = status["tiers"].as_array().into_iter().flatten();
    let app = tiers.filter(|tier| tier["tier"] == "app").filter_map(|tier| tier["ready"].as_u64()).next();
    app.and_then(|ready| usize::try_from(ready).ok()).unwrap_or_default()
}

fn is_over(visit: &Visit) -> bool {
    visit.status != Some(200) || visit.waited > SERVICE + TARGET
}

fn seconds(visits: &[Visit], serving: &[Option<usize>]) {
    println!(
        "{:>7} {:>9} {:>9} {:>6} {:>6} {:>8}",
        "second", "instances", "arrived", "over", "shed", "slowest"
    );
    for second in 0..ENDS {
        let of_it: Vec<_> = visits.iter().filter(|visit| visit.at.as_secs() == second).collect();
        let slowest = of_it.iter().map(|visit| visit.waited).max().unwrap_or_default();
        let place = usize::try_from(second).unwrap_or_default();
        let serving = serving.get(place).copied().flatten().map_or("?".to_owned(), |n| n.to_string());
        println!(
            "{second:>7} {serving:>9} {:>9} {:>6} {:>6} {:>5} ms",
            of_it.len(),
            of_it.iter().filter(|visit| is_over(visit)).count(),
            of_it.iter().filter(|visit| visit.status == Some(503)).count(),
            slowest.as_millis()
        );
    }
}

fn summary(name: &str, visits: &[Visit], serving: &[Option<usize>]) -> String {
    let mut waits: Vec<_> = visits.iter().map(|visit| visit.waited).collect();
    waits.sort();
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    let share = |count: usize| 100.0 * count as f64 / visits.len().max(1) as f64;
    format!(
        "{name:<14} {:>8} {:>8.1} % {:>6.1} % {:>6} {:>5} ms {:>16}",
        visits.len(),
        share(visits.iter().filter(|visit| is_over(visit)).count()),
        share(visits.iter().filter(|visit| visit.status == Some(503)).count()),
        visits.iter().filter(|visit| visit.status.is_none()).count(),
        p99.as_millis(),
        serving.iter().flatten().sum::<usize>()
    )
}
