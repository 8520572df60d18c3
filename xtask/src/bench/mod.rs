//! Starts the benches: programs of their own beside the tasks, so that the tasks are built without the
//! product and the benches with all optimisation. It measures nothing and judges nothing.

use std::path::Path;
use std::process::{Command, ExitCode};

/// A bench has no harness that would run its tests, so they are built with those of the tasks.
#[cfg(test)]
#[path = "autoscale/main.rs"]
mod autoscale;

#[cfg(test)]
#[path = "splitter/main.rs"]
mod splitter;

/// `cargo xtask bench autoscale|balancer|cycle|splitter [ARGUMENT…]`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) if ["autoscale", "balancer", "cycle", "splitter"].contains(&name.as_str()) => {
            (name, rest)
        }
        _ => {
            eprintln!(
                "usage: cargo xtask bench autoscale [--seed N|N-M] [ACCESS.LOG]   Stoa's controller beside HPA, KPA and an oracle\n\
                 \x20      cargo xtask bench balancer [SECONDS]   Stoa's balancer beside nginx and HAProxy, each load so long\n\
                 \x20      cargo xtask bench cycle                what deciding costs\n\
                 \x20      cargo xtask bench splitter [FLAG…]     Stoa's splitter beside HAProxy and MySQL Router"
            );
            return ExitCode::from(2);
        }
    };
    let product: &[&str] = match name.as_str() {
        "balancer" => &["build", "--release", "--package", "stoa"],
        "splitter" => &["build", "--release", "--package", "stoa-traffic", "--example", "splitter"],
        _ => &[],
    };
    if !product.is_empty() && !cargo(root, product) {
        return ExitCode::FAILURE;
    }
    let mut words = vec!["bench", "--quiet", "--package", "xtask", "--bench", name, "--"];
    words.extend(rest.iter().map(String::as_str));
    if cargo(root, &words) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The drills that need a client of the database are a program of their own too.
pub(crate) fn database_drill(root: &Path, arguments: &[String]) -> ExitCode {
    let mut words = vec!["run", "--quiet", "--package", "xtask", "--example", "database-drill", "--"];
    words.extend(arguments.iter().map(String::as_str));
    if cargo(root, &words) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(root: &Path, words: &[&str]) -> bool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(&cargo).args(words).current_dir(root).status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cargo {}: {error}", words.join(" "));
            false
        }
    }
}
