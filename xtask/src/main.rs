//! The tasks of the house, run as `cargo xtask TASK`. Nothing here is part of the product.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who ran it")]

mod bench;
mod drill;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  tidy    the house rules: walls between rooms, sizes, banned calls
  drill   break parts of a running site under load and tell what visitors lost
  bench   what the balancer and the cycle cost and how auto-scaling does, beside others on the same work";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The workspace lies above this package; cargo says where that is.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match arguments.split_first() {
        Some((task, [])) if task == "tidy" => tidy::run(root),
        Some((task, rest)) if task == "drill" => drill::run(root, rest),
        Some((task, rest)) if task == "bench" => bench::run(root, rest),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
