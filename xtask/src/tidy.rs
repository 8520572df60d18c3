//! The house rules, each with its reason. Rules judge texts that they are given; only [`run`] reads files.
//!
//! A line that has to break a rule says why: `// tidy: REASON` on it or on the line above.

mod calls;
mod lexer;
mod shape;
mod walls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// A file of the tree, its path from the root with `/`.
struct Source {
    path: String,
    text: String,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    reason: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.what, self.reason)
    }
}

/// Judges the tree below `root` and prints what is wrong.
pub(crate) fn run(root: &Path) -> ExitCode {
    let mut sources = Vec::new();
    if let Err(error) = collect(root, root, &mut sources) {
        eprintln!("tidy: {error}");
        return ExitCode::from(2);
    }
    let findings = judge(&sources);
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn judge(sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources
        .iter()
        .flat_map(|source| {
            let found = [walls::judge(source), shape::judge(source), calls::judge(source)];
            found.into_iter().flatten()
        })
        .collect();
    findings.sort();
    findings
}

impl Source {
    /// Whether the whole file is only for tests.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("tests.rs")
            || self.path.starts_with("crates/sim/")
    }

    /// The line, counted from 1, from which on the file is only for tests: the house puts
    /// `#[cfg(test)] mod … {` last.
    fn tests_begin(&self) -> usize {
        if self.is_test() {
            return 1;
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let opens = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        lines.windows(2).position(opens).map_or(usize::MAX, |at| at + 1)
    }

    /// Whether line `number`, counted from 1, says why it breaks a rule.
    fn excused(&self, number: usize) -> bool {
        let lines = self.text.lines().skip(number.saturating_sub(2)).take(if number == 1 { 1 } else { 2 });
        lines.into_iter().any(|line| line.contains("// tidy: "))
    }
}

/// The texts that rules look at, without what is built, fetched or generated.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(
                name.as_str(),
                "target" | ".git" | "snapshots" | ".venv" | "node_modules" | "__pycache__"
            ) {
                collect(root, &path, sources)?;
            }
        } else if matches!(
            path.extension().and_then(|end| end.to_str()),
            Some("rs" | "toml" | "md" | "py" | "php")
        ) || matches!(name.as_str(), "check" | "run")
        {
            let inner = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push(Source { path: inner, text: fs::read_to_string(&path)? });
        }
    }
    Ok(())
}
