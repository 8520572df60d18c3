//! The binary: one process per role, and the command line to them.

mod api;
mod cli;
mod client;
mod cycle;
mod daemon;
mod install;
mod roles;
mod store;

fn main() -> std::process::ExitCode {
    cli::main()
}
