//! What deciding costs: `plan` and `check` for sites of several sizes, settled and in the middle of a
//! replacement. It prints what it measured and judges nothing; times mean something only beside others of
//! the same machine, allocations are the same everywhere.
#![allow(clippy::print_stdout, reason = "a bench talks to the person who ran it")]

mod counting;
mod scenes;

use scenes::scene::Scene;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;
use stoa_decide::{Input, check, plan};
use stoa_model::observed::ProcessState;
use stoa_model::{Port, Tier, Time};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const SIZES: [u16; 3] = [2, 8, 50];
const SAMPLES: usize = 1001;
/// A replacement that is not half way after so many turns of the cycle never will be.
const TURNS_MAX: usize = 2000;

fn main() -> ExitCode {
    println!("One turn of the cycle: N instances of the application, two of everything else.");
    println!("Medians of {SAMPLES}; allocations are of plan and check together.\n");
    println!(
        "{:<34} {:>6} {:>6} {:>10} {:>10} {:>12} {:>10}",
        "site", "steps", "waits", "plan", "check", "allocations", "allocated"
    );
    for size in SIZES {
        let mut scene = standing(size);
        row(&format!("{size} instances, settled"), &scene);
        if !half_replaced(&mut scene) {
            println!("{size} instances: the replacement did not get half way in {TURNS_MAX} turns");
            continue;
        }
        row(&format!("{size} instances, half replaced"), &scene);
    }
    ExitCode::SUCCESS
}

/// A site that has settled.
fn standing(size: u16) -> Scene {
    let mut scene = Scene::new();
    scene.host.free_ports = (20_001..20_300).filter_map(|number| Port::try_from(number).ok()).collect();
    scene.intent.scale.insert(Tier::App, size);
    scene.settle();
    scene
}

/// Asks for new instances of the application and stops when half of them run.
fn half_replaced(scene: &mut Scene) -> bool {
    let wanted = usize::from(scene.intent.count(Tier::App).min) / 2;
    let asked = scene.now;
    scene.intent.restarts.insert(Tier::App, 1);
    for _ in 0..TURNS_MAX {
        let plan = scene.turn();
        if renewed(scene, asked) >= wanted && !plan.settled() {
            return true;
        }
    }
    false
}

/// How many instances of the application were started since.
fn renewed(scene: &Scene, since: Time) -> usize {
    let apps = scene.host.instances.iter().filter(|(id, _)| id.tier == Tier::App);
    apps.filter(|(_, seen)| matches!(&seen.process, ProcessState::Running(r) if r.started >= since)).count()
}

fn row(name: &str, scene: &Scene) {
    let observed = scene.observed();
    let input = scene.input(&observed);
    let made = plan(&input);
    let (allocations, bytes) = allocated(&input);
    let (planning, checking) = times(&input);
    println!(
        "{name:<34} {:>6} {:>6} {:>7.1} µs {:>7.1} µs {allocations:>12} {:>6.1} KiB",
        made.steps.len(),
        made.waiting.len(),
        planning as f64 / 1000.0,
        checking as f64 / 1000.0,
        bytes as f64 / 1024.0
    );
}

/// The allocations of one turn, and their bytes.
fn allocated(input: &Input<'_>) -> (u64, u64) {
    let before = counting::so_far();
    let made = plan(input);
    black_box(check(input, &made).is_ok());
    let after = counting::so_far();
    (after.0 - before.0, after.1 - before.1)
}

/// The median nanoseconds of a plan and of its check.
fn times(input: &Input<'_>) -> (u64, u64) {
    let mut planning = Vec::with_capacity(SAMPLES);
    let mut checking = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = Instant::now();
        let made = black_box(plan(black_box(input)));
        let planned = Instant::now();
        black_box(check(input, &made).is_ok());
        checking.push(planned.elapsed().as_nanos() as u64);
        planning.push((planned - began).as_nanos() as u64);
    }
    (median(planning), median(checking))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
