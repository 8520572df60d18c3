//! Stoa's splitter beside HAProxy and MySQL Router: the same MariaDB servers, the same load, one thread each, in
//! one run and by turns, so that what disturbs the machine disturbs all. HAProxy and Router pass bytes on to
//! the primary and know nothing of them; the splitter reads every statement and sends reads to the replicas. It
//! prints measures and their ratios and judges nothing.
#![cfg_attr(
    test,
    allow(unused_imports, dead_code, reason = "a bench has no harness: its tests are run with the tasks")
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the person who ran it")]

mod idle;
mod mariadb;
mod measure;
mod proxies;
#[path = "../shared/mod.rs"]
mod shared;
mod sysbench;
mod wish;

use mariadb::Cluster;
use measure::{COLUMNS, Measure};
use proxies::Proxy;
use shared::places::allow_many_files;
use shared::table::{Row, render, render_memory};
use std::process::ExitCode;
use sysbench::{Case, Sysbench};
use wish::{USAGE, Wish};

/// How many clients are kept without a statement.
const IDLE: usize = 512;

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let wish = match Wish::read(words) {
        Ok(wish) => wish,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match bench(&wish) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench splitter: {why}");
            ExitCode::FAILURE
        }
    }
}

fn bench(wish: &Wish) -> Result<(), String> {
    allow_many_files();
    let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let cluster = Cluster::start(folder.path(), wish.replicas)?;
    let sysbench = Sysbench::find(folder.path())?;
    sysbench.prepare(cluster.primary.address)?;
    cluster.wait_level()?;
    let proxies = proxies::start(&cluster, folder.path())?;
    let (memory, held) = idle(&cluster, &proxies)?;
    print!("\n{}", render_memory(IDLE, &memory));
    println!("Connections to the servers that {IDLE} idle clients hold");
    for (name, held) in held {
        println!("{name:<16}  {held:>10}");
    }
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').next().unwrap_or("?");
    println!(
        "\nMedians of {} rounds of {} s; ratios are of the same round; load average before: {busy}.",
        wish.rounds, wish.seconds
    );
    for case in wish.cases() {
        let rows = measure(&sysbench, case, &cluster, &proxies, wish)?;
        println!("\n{case}\n{}", render(&COLUMNS, &rows).trim_end());
    }
    Ok(())
}

/// A figure of each proxy.
type Each<T> = Vec<(&'static str, T)>;

/// What clients cost that do nothing. To be measured before any load: memory that a load left behind would
/// be used again and not be seen.
fn idle(cluster: &Cluster, proxies: &[Proxy]) -> Result<(Each<f64>, Each<usize>), String> {
    let (mut memory, mut held) = (Vec::new(), Vec::new());
    for proxy in proxies {
        let seen = idle::measure(proxy, cluster, IDLE)?;
        memory.push((proxy.name, seen.bytes));
        held.push((proxy.name, seen.held));
    }
    Ok((memory, held))
}

/// All rounds of one case, the direct way first in the table. Every round begins with another server.
fn measure(
    sysbench: &Sysbench,
    case: Case,
    cluster: &Cluster,
    proxies: &[Proxy],
    wish: &Wish,
) -> Result<Vec<Row>, String> {
    let mut ways: Vec<Option<&Proxy>> = std::iter::once(None).chain(proxies.iter().map(Some)).collect();
    let mut rounds: Vec<Vec<Measure>> = Vec::new();
    for round in 0..wish.rounds {
        eprintln!("{case}, round {} of {}", round + 1, wish.rounds);
        let mut measures = vec![Measure::default(); ways.len()];
        let mut turns: Vec<_> = ways.iter_mut().zip(&mut measures).collect();
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for (way, measure) in turns {
            let address = way.map_or(cluster.primary.address, |proxy| proxy.address);
            let cpu = || (way.map_or(0, |proxy| proxy.process.cpu()), cluster.cpu());
            let (proxy, (primary, replicas)) = cpu();
            let seen = sysbench.load(case, address, wish.seconds)?;
            let (proxy_after, (primary_after, replicas_after)) = cpu();
            *measure = Measure {
                seen,
                proxy: proxy_after.saturating_sub(proxy),
                primary: primary_after.saturating_sub(primary),
                replicas: replicas_after.saturating_sub(replicas),
            };
            // What a round has written is not another's lag.
            cluster.wait_level()?;
        }
        rounds.push(measures);
    }
    Ok(measure::rows(&ways, &rounds))
}
