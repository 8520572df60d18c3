//! What is on this machine already.

use super::command;
use super::need::{Need, Thing};
use std::path::{Path, PathBuf};
use stoa_tiers::host::programs;

/// What was found of one need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there: the program, or the program whose module it is.
    At(PathBuf),
    /// It is not.
    Missing,
}

/// Looks for one thing.
pub(crate) fn look(need: &Need) -> Found {
    let found = match need.thing {
        Thing::Program("php-fpm") => programs::find_php_fpm(),
        Thing::Program(name) => programs::find(name),
        Thing::MysqlProgram(name) => programs::find_of_mysql(name),
        Thing::BuildTool(name) => build_tool(name),
        Thing::PythonModule(module) => python().filter(|python| imports(python, module)),
        Thing::PhpModule(module) => programs::find_php_fpm().filter(|php| extends(php, module)),
    };
    found.map_or(Found::Missing, Found::At)
}

/// The python3 that builds use.
fn python() -> Option<PathBuf> {
    build_tool("python3")
}

/// A program in the folders that a build sees; the caller's own `PATH` is not among them.
fn build_tool(name: &str) -> Option<PathBuf> {
    std::env::split_paths(programs::SERVER_PATH).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn imports(python: &Path, module: &str) -> bool {
    command::ask(python, &["-c", &format!("import {module}")]).is_some_and(|(well, _)| well)
}

fn extends(php: &Path, module: &str) -> bool {
    let listed = command::ask(php, &["-m"]);
    listed.is_some_and(|(_, text)| text.lines().any(|line| line.trim().eq_ignore_ascii_case(module)))
}
