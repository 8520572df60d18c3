//! Stoa's balancer beside nginx and HAProxy: the same origin, the same load, one worker each, in one run
//! and by turns, so that what disturbs the machine disturbs all. It prints measures and their ratios and
//! judges nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the person who ran it")]

mod idle;
mod role;
mod servers;
#[path = "../shared/mod.rs"]
mod shared;
mod table;
mod wrk;

use servers::Server;
use shared::places::{allow_many_files, program};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Measure, Rounds};
use wrk::{Case, Wrk};

const CASES: [Case; 3] = [
    Case { name: "GET of 512 bytes", path: "/small", body: 0 },
    Case { name: "GET of 64 KiB", path: "/large", body: 0 },
    Case { name: "POST of 1 KiB, answer of 512 bytes", path: "/small", body: 1024 },
];
const CONNECTIONS: u32 = 64;
const ROUNDS: usize = 3;
/// How long each load lasts, where nothing else is said.
const SECONDS: u32 = 3;
/// How long it lasts with one connection.
const SECONDS_ALONE: u32 = 1;

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let seconds = match words.as_slice() {
        [] => Some(SECONDS),
        [seconds] => seconds.parse().ok().filter(|seconds| (1..=600).contains(seconds)),
        _ => None,
    };
    let Some(seconds) = seconds else {
        eprintln!("usage: cargo xtask bench balancer [SECONDS], 1 to 600 for each load");
        return ExitCode::from(2);
    };
    match bench(seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench balancer: {why}");
            ExitCode::FAILURE
        }
    }
}

fn bench(seconds: u32) -> Result<(), String> {
    allow_many_files();
    let nginx = program("nginx").ok_or("nginx is missing, and it is the origin too; install it")?;
    let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let origin = servers::origin(&nginx, folder.path())?;
    let proxies = proxies(&nginx, folder.path())?;
    let mut memory = Vec::new();
    for server in &proxies {
        memory.push((server.name, idle::memory(server)?));
    }
    print!("\n{}", shared::table::render_memory(idle::CONNECTIONS, &memory));
    let Some(wrk) = program("wrk") else {
        println!("\nwrk is missing: nothing else was measured");
        return Ok(());
    };
    let wrk = Wrk::new(wrk, folder.path());
    let servers: Vec<&Server> = std::iter::once(&origin).chain(&proxies).collect();
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').next().unwrap_or("?");
    println!(
        "\nMedians of {ROUNDS} rounds of {seconds} s; ratios are of the same round; \
              load average before: {busy}."
    );
    for case in CASES {
        let measured = measure(&wrk, case, &servers, seconds)?;
        if let Some((origin, proxies)) = measured.split_first() {
            table::print(case, CONNECTIONS, origin, proxies);
        }
    }
    Ok(())
}

/// The three, Stoa last; who is not installed is named and left out.
fn proxies(nginx: &Path, folder: &Path) -> Result<Vec<Server>, String> {
    let mut proxies = vec![servers::nginx(nginx, folder)?];
    match program("haproxy") {
        Some(haproxy) => proxies.push(servers::haproxy(&haproxy, folder)?),
        None => println!("haproxy is missing: left out"),
    }
    proxies.push(servers::stoa(&product()?, folder)?);
    Ok(proxies)
}

/// The product, built with the same optimisation beside this program.
fn product() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let stoa = here.ancestors().nth(2).map(|folder| folder.join("stoa"));
    let stoa = stoa.filter(|stoa| stoa.is_file());
    stoa.ok_or_else(|| {
        "target/release/stoa is missing; build it with cargo build --release -p stoa".to_owned()
    })
}

/// All rounds of one case. Every round begins with another server.
fn measure(wrk: &Wrk, case: Case, servers: &[&Server], seconds: u32) -> Result<Vec<Rounds>, String> {
    let named = |server: &&Server| Rounds { name: server.name, measures: Vec::new() };
    let mut all: Vec<Rounds> = servers.iter().map(named).collect();
    for round in 0..ROUNDS {
        eprintln!("{}, round {} of {ROUNDS}", case.name, round + 1);
        let mut turns: Vec<_> = servers.iter().zip(&mut all).collect();
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for (server, rounds) in turns {
            let before = server.process.cpu();
            let loaded = wrk.load(case, server.address, CONNECTIONS, seconds)?;
            let cpu = server.process.cpu().saturating_sub(before);
            let alone = wrk.load(case, server.address, 1, SECONDS_ALONE)?;
            rounds.measures.push(Measure { loaded, alone, cpu });
        }
    }
    Ok(all)
}
