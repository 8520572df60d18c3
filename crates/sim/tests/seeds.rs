//! Stories from seeds. `STOA_SIM_SEED=n` replays one with its whole trace, `STOA_SIM_SEEDS=n` sets how many
//! are played, `STOA_SIM_FROM=n` where they begin.

use std::error::Error;
use std::fmt::Write;
use stoa_sim::{Failure, Summary};

#[test]
fn every_story_keeps_the_rules_and_settles() -> Result<(), Box<dyn Error>> {
    play(stoa_sim::run, 300)
}

#[test]
fn no_visitor_notices_a_deployment() -> Result<(), Box<dyn Error>> {
    play(stoa_sim::run_deployments, 100)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[allow(clippy::print_stdout, reason = "the test's summary")]
fn play(run: fn(u64) -> Result<Summary, Box<Failure>>, usual: u64) -> Result<(), Box<dyn Error>> {
    if let Some(seed) = number("STOA_SIM_SEED") {
        run(seed).map_err(|failure| told(&failure, usize::MAX))?;
        return Ok(());
    }
    let from = number("STOA_SIM_FROM").unwrap_or(0);
    let count = number("STOA_SIM_SEEDS").unwrap_or(usual);
    let all_failures = std::env::var_os("STOA_SIM_GO_ON").is_some();
    let mut failed = String::new();
    let (mut plans, mut slowest) = (0, (0, 0));
    for seed in from..from + count {
        match run(seed) {
            Ok(summary) => {
                plans += summary.plans;
                slowest = slowest.max((summary.settled_after, seed));
            }
            Err(failure) if all_failures => writeln!(failed, "{}: {}", failure.seed, failure.what)?,
            Err(failure) => return Err(told(&failure, 60).into()),
        }
    }
    println!(
        "{count} stories, {plans} plans; the slowest to settle took {} s: seed {}",
        slowest.0, slowest.1
    );
    if failed.is_empty() { Ok(()) } else { Err(failed.into()) }
}

/// The end of its story, and how to hear all of it.
fn told(failure: &Failure, lines: usize) -> String {
    let from = failure.trace.len().saturating_sub(lines);
    let trace = failure.trace.get(from..).unwrap_or_default().join("\n");
    let (seed, what) = (failure.seed, &failure.what);
    format!("seed {seed}\n{trace}\n{what}\nthe whole story: STOA_SIM_SEED={seed} cargo test -p stoa-sim")
}
