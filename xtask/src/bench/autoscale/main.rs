//! Auto-scaling beside others: Stoa's controller, the published rules of Kubernetes' HPA and Knative's KPA, an
//! oracle and fixed counts lead the same simulated fleet through the same traces. It prints what it counted
//! and judges nothing but who was better. No clock is read: the same seed gives the same table.
//!
//! The controller's figures were chosen with seeds 1 to 5. On seeds 11 to 15, with `concurrency` configured, it has
//! fewer late requests and fewer instance-hours than both others on most seeds of 8 of 12 traces where HPA stands
//! at 70 %, and of 3 of 12 where it stands at its API's 80 %. Where not, and why:
//! - steady: what is late is late while the first instances start, and KPA starts several times as many as needed;
//! - flash crowd with a start-up of a minute: likewise, the first of 40 that start are there seconds earlier;
//! - on/off with a start-up of a minute: HPA at 70 % is later and has a few hundredths fewer hours;
//! - diurnal and access log where HPA stands at 80 %: it has fewer hours than an oracle that is as seldom late as
//!   KPA, or nearly so.
#![cfg_attr(
    test,
    allow(unused_imports, dead_code, reason = "a bench has no harness: its tests are run with the tasks")
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the person who ran it")]

mod access_log;
mod controller;
mod fleet;
mod hpa;
mod kpa;
mod oracle;
mod ours;
mod rng;
mod score;
mod table;
mod trace;

use controller::{Controller, Fixed};
use fleet::World;
use score::Score;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use trace::Trace;

const USAGE: &str = "\
usage: cargo xtask bench autoscale [--seed N|N-M] [--why TRACE] [ACCESS.LOG]

  ACCESS.LOG   a log in the Common or Combined Log Format instead of the traces that are made here
  --seed N-M   other traces of the same kinds, or several of each; 1 where it is not said
  --why TRACE  the decisions of Stoa's controller on one trace, with their reasons";

/// The start-ups that every trace is run with, in seconds.
const START_UPS: [f64; 2] = [10.0, 60.0];

fn world(start_up: f64) -> World {
    World { concurrency: 4, min: 2, max: 40, start_up, service: 0.2, variation: 1.0, target: 0.1 }
}

struct Wish {
    seeds: RangeInclusive<u64>,
    why: Option<String>,
    log: Option<String>,
}

fn main() -> ExitCode {
    let Some(wish) = wish(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let traces = match wish.seeds.clone().map(|seed| traces(&wish, seed)).collect::<Result<Vec<_>, _>>() {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let world = world(0.0);
    println!(
        "A fleet of {} to {} instances, each with {} workers; a request takes {:.0} ms in the mean (lognormal, Cs² {});\n\
         late: it waited longer than {:.0} ms or was refused. Seeds {} to {}.",
        world.min,
        world.max,
        world.concurrency,
        world.service * 1000.0,
        world.variation,
        world.target * 1000.0,
        wish.seeds.start(),
        wish.seeds.end()
    );
    match &wish.why {
        Some(name) => traces.iter().for_each(|traces| tell_why(traces, name)),
        None => compare(&traces),
    }
    ExitCode::SUCCESS
}

fn wish(mut words: impl Iterator<Item = String>) -> Option<Wish> {
    let mut wish = Wish { seeds: 1..=1, why: None, log: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--seed" => wish.seeds = seeds(&words.next()?)?,
            "--why" => wish.why = Some(words.next()?),
            path if !path.starts_with('-') && wish.log.is_none() => wish.log = Some(word),
            _ => return None,
        }
    }
    Some(wish)
}

/// `7` or `11-15`.
fn seeds(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let seeds = first.parse().ok()?..=last.parse().ok()?;
    (!seeds.is_empty()).then_some(seeds)
}

fn traces(wish: &Wish, seed: u64) -> Result<Vec<Trace>, String> {
    let read = |name: &str, lines: &mut dyn std::io::BufRead| {
        let log = access_log::read(name, lines, seed).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: {} requests over {} s; {} bad lines", log.good, log.trace.counts.len(), log.bad);
        if let Some(cut) = log.cut {
            println!("{name}: {cut}; the rest is left out");
        }
        if log.good == 0 {
            return Err(format!("{name}: no line of the Common or Combined Log Format in it"));
        }
        Ok(log.trace)
    };
    match &wish.log {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| format!("{path}: {error}"))?;
            Ok(vec![read(path, &mut std::io::BufReader::new(file))?])
        }
        None => {
            let mut traces = trace::all(seed);
            traces.push(read("access log", &mut access_log::sample(seed).as_bytes())?);
            Ok(traces)
        }
    }
}

/// The traces of each seed: one table for each trace of a single seed, and what came of all of them.
fn compare(seeds: &[Vec<Trace>]) {
    let kinds = seeds.first().map_or(0, Vec::len);
    let mut cases = Vec::new();
    for start_up in START_UPS {
        for kind in 0..kinds {
            cases.extend(seeds.iter().filter_map(|traces| Some((world(start_up), traces.get(kind)?))));
        }
    }
    let scores = all(&cases);
    let mut rows = Vec::new();
    for (cases, scores) in cases.chunks(seeds.len()).zip(scores.chunks(seeds.len())) {
        let Some((world, trace)) = cases.first() else { continue };
        let title = format!("{}, start-up {:.0} s", trace.name, world.start_up);
        if let [scores] = scores {
            table::print(&title, scores);
        }
        rows.push((title, scores.to_vec()));
    }
    for hpa in hpa::TARGETS.map(hpa::name) {
        for ours in ["stoa", "stoa, learning"] {
            table::summary(&rows, ours, &hpa);
        }
    }
}

/// Every controller in every case, on two threads: the longest first.
fn all(cases: &[(World, &Trace)]) -> Vec<Vec<Score>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(vec![Vec::new(); cases.len()]);
    let mut order: Vec<_> = (0..cases.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(cases[*at].1.counts.len()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(at) = order.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let (world, trace) = &cases[*at];
                    let scores = one(world, trace);
                    if let Ok(mut done) = done.lock() {
                        done[*at] = scores;
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default()
}

fn one(world: &World, trace: &Trace) -> Vec<Score> {
    let needed = oracle::needed(world, trace);
    let mut all: Vec<Box<dyn Controller>> = vec![
        Box::new(ours::Ours::new(world, trace, false)),
        Box::new(ours::Ours::new(world, trace, true)),
        Box::new(hpa::Hpa::new(world, hpa::TARGETS[0])),
        Box::new(hpa::Hpa::new(world, hpa::TARGETS[1])),
        Box::new(kpa::Kpa::new(world)),
        Box::new(oracle::Oracle::new(world, &needed)),
        Box::new(Fixed("fewest", world.min)),
        Box::new(Fixed("most", world.max)),
    ];
    all.extend(oracle::Oracle::careful(world, trace).into_iter().map(|oracle| Box::new(oracle) as _));
    all.iter_mut().map(|controller| score::run(world, trace, &needed, controller.as_mut())).collect()
}

fn tell_why(traces: &[Trace], name: &str) {
    for start_up in START_UPS {
        for learns in [false, true] {
            for trace in traces.iter().filter(|trace| trace.name.contains(name)) {
                let world = world(start_up);
                let mut ours = ours::Ours::new(&world, trace, learns);
                ours.tells = true;
                let score = score::run(&world, trace, &[], &mut ours);
                println!("\n{}, start-up {start_up} s, {}", trace.name, score.name);
                ours.told.iter().for_each(|line| println!("{line}"));
            }
        }
    }
}
