//! The shape of a file: its head, its length, and what no file may hold.

use super::{Finding, Source};

const LINES: usize = 500;
const LINES_OF_TESTS: usize = 800;

const LENGTH: &str = "a file is one noun that is read in one sitting; split it by what its parts do";
const HEAD: &str = "a module begins with //! that says what it does or decides and what it never does";
const PATHS: &str = "a path of one developer's machine means nothing on another";

pub(super) fn judge(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let finding =
        |line: usize, what: String, reason| Finding { path: source.path.clone(), line, what, reason };
    if source.path.ends_with(".rs") {
        let lines = source.text.lines().count();
        let most = if source.is_test() { LINES_OF_TESTS } else { LINES };
        if lines > most {
            findings.push(finding(most, format!("{lines} lines, more than {most}"), LENGTH));
        }
        // What a file of tests holds is said by the names of its tests.
        if !source.is_test() && !source.text.starts_with("//!") {
            findings.push(finding(1, "no //! head".to_owned(), HEAD));
        }
    }
    if source.path.starts_with("xtask/src/tidy") {
        return findings;
    }
    for (at, line) in source.text.lines().enumerate() {
        for path in ["/work/", "/home/", "/Users/"] {
            let begins =
                |at: usize| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "._-}/".contains(c));
            if line.match_indices(path).any(|(at, _)| begins(at)) && !source.excused(at + 1) {
                findings.push(finding(at + 1, format!("the path {path}…"), PATHS));
            }
        }
    }
    findings
}
