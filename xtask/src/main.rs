//! The tasks of the house, run as `cargo xtask TASK`. Nothing here is part of the product.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who ran it")]

mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  tidy    the house rules: walls between rooms, sizes, banned calls";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // The workspace lies above this package; cargo says where that is.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("tidy"), None) => tidy::run(root),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
