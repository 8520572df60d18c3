//! Banned calls by room.

use super::lexer::{self, Line};
use super::{Finding, Source};

/// A call that some rooms must not make.
struct Ban {
    /// What the code must not contain.
    code: &'static [&'static str],
    /// The beginnings of the paths it holds for; all where empty.
    rooms: &'static [&'static str],
    /// The beginnings of the paths that may.
    homes: &'static [&'static str],
    /// Whether tests may.
    tests_may: bool,
    reason: &'static str,
}

const BANS: [Ban; 5] = [
    Ban {
        code: &[
            "Instant::now",
            "SystemTime",
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "std::process",
            "std::env",
            "std::thread",
            "tokio::",
            "rand::",
        ],
        rooms: &["crates/model/src/", "crates/decide/src/"],
        homes: &[],
        tests_may: false,
        reason: "model and decide are pure: time, seed and facts are arguments, so that a plan can be replayed",
    },
    Ban {
        code: &[
            "Instant::now",
            "SystemTime",
            "std::fs",
            "std::net::Tcp",
            "TcpStream",
            "std::process",
            "std::env",
            "rand::",
        ],
        rooms: &["crates/watch/src/", "crates/sim/src/"],
        homes: &[],
        tests_may: true,
        reason: "watch and sim are told what was measured; a clock or a file of their own would make them differ by run",
    },
    Ban {
        code: &["Command::new"],
        rooms: &[],
        homes: &[
            "crates/tiers/src/",
            "crates/stoa/src/daemon/start.rs",
            "crates/stoa/src/daemon/keeper.rs",
            "crates/stoa/src/install/command.rs",
            // The command that `stoa run` becomes is the operator's own.
            "crates/stoa/src/cli/verbs/run.rs",
            // So is the shell that `stoa db shell` becomes.
            "crates/stoa/src/cli/verbs/db.rs",
            "xtask/src/",
        ],
        tests_may: true,
        reason: "programs are started by the hands (crates/tiers), the daemon and its keeper by their one home each",
    },
    Ban {
        code: &["todo!", "unimplemented!", "#[ignore", "dbg!"],
        rooms: &[],
        homes: &[],
        tests_may: false,
        reason: "what is not done stands in an issue, not in the tree",
    },
    Ban {
        code: &["process::exit"],
        rooms: &[],
        // The reader of a pipe that was closed early (`stoa logs | head`).
        homes: &["crates/stoa/src/main.rs", "crates/stoa/src/cli/screen.rs", "xtask/src/main.rs"],
        tests_may: true,
        reason: "leaving by the back door runs no guard; return an exit code from main",
    },
];

const SHELLS: [&str; 6] = ["sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/env", "zsh"];
const SHELL: &str = "no shell is ever run: user values reach a program as one argument";
const SLEEP: &str = "a test waits on a condition with a deadline; a pause belongs in a function named wait_… or \
                     until_…, or is the slow peer itself and says so";

pub(super) fn judge(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with(".rs") || source.path.starts_with("xtask/src/tidy") {
        return Vec::new();
    }
    let tests_begin = source.tests_begin();
    let mut findings = Vec::new();
    let mut function = String::new();
    for (at, line) in lexer::lines(&source.text).iter().enumerate() {
        let number = at + 1;
        let in_tests = number >= tests_begin;
        if let Some(name) = function_name(&line.code) {
            function = name.to_owned();
        }
        if source.excused(number) {
            continue;
        }
        let mut found = |what: String, reason| {
            findings.push(Finding { path: source.path.clone(), line: number, what, reason });
        };
        for ban in BANS.iter().filter(|ban| ban.holds(&source.path, in_tests)) {
            if let Some(code) = ban.code.iter().find(|code| contains_word(&line.code, code)) {
                found(format!("`{code}`"), ban.reason);
            }
        }
        if let Some(shell) = shell(line, in_tests) {
            found(format!("the shell {shell:?}"), SHELL);
        }
        let pauses = contains_word(&line.code, "sleep(");
        if in_tests && pauses && !function.starts_with("wait") && !function.starts_with("until") {
            found("a fixed pause in a test".to_owned(), SLEEP);
        }
    }
    findings
}

impl Ban {
    fn holds(&self, path: &str, in_tests: bool) -> bool {
        let among = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        (self.rooms.is_empty() || among(self.rooms)) && !among(self.homes) && !(in_tests && self.tests_may)
    }
}

/// Whether `code` contains `wanted` where a word begins.
fn contains_word(code: &str, wanted: &str) -> bool {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(wanted).any(|(at, _)| begins(at))
}

/// A shell that the line would run. In tests a string may hold its name; to run it is still wrong.
fn shell(line: &Line, in_tests: bool) -> Option<&str> {
    let runs = !in_tests || contains_word(&line.code, "Command::new");
    line.strings.iter().map(String::as_str).find(|text| runs && SHELLS.contains(text))
}

fn function_name(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let declares = before.is_empty() || before.ends_with(' ');
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    after.get(..end).filter(|name| declares && !name.is_empty())
}
