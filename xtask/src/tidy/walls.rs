//! The walls between the rooms: which crate may depend on which.

use super::{Finding, Source};
use toml::Table;

/// One room's doors.
struct Room {
    manifest: &'static str,
    /// The rooms it may depend on.
    rooms: &'static [&'static str],
    /// What it may take from outside: only these, or anything but these.
    outside: Outside,
    reason: &'static str,
}

enum Outside {
    Only(&'static [&'static str]),
    AnythingBut(&'static [&'static str]),
}

const ROOMS: [Room; 8] = [
    Room {
        manifest: "crates/model/Cargo.toml",
        rooms: &[],
        outside: Outside::Only(&["serde", "serde_json", "strsim", "thiserror", "toml"]),
        reason: "model is plain data that every room shares, so it knows no other room and no runtime",
    },
    Room {
        manifest: "crates/decide/Cargo.toml",
        rooms: &["stoa-model"],
        outside: Outside::Only(&["serde", "thiserror"]),
        reason: "decide is pure: the same facts give the same plan, in a test, a dry run and production",
    },
    Room {
        manifest: "crates/tiers/Cargo.toml",
        rooms: &["stoa-model"],
        outside: Outside::AnythingBut(&["axum", "clap", "hyper", "miette", "rusqlite"]),
        reason: "tiers are eyes and hands: they neither decide, nor serve visitors, nor keep state",
    },
    Room {
        manifest: "crates/traffic/Cargo.toml",
        rooms: &["stoa-model"],
        outside: Outside::AnythingBut(&["axum", "clap", "miette", "mysql_async", "rusqlite", "toml"]),
        reason: "traffic serves from its last routes when all else is dead, so it leans on nothing else",
    },
    Room {
        manifest: "crates/watch/Cargo.toml",
        rooms: &["stoa-model"],
        outside: Outside::AnythingBut(&[
            "axum",
            "clap",
            "hyper",
            "miette",
            "mysql_async",
            "rusqlite",
            "tokio",
        ]),
        reason: "watch says what was measured; it neither measures nor serves it",
    },
    Room {
        manifest: "crates/stoa/Cargo.toml",
        rooms: &["stoa-model", "stoa-decide", "stoa-tiers", "stoa-traffic", "stoa-watch"],
        outside: Outside::AnythingBut(&[]),
        reason: "the binary joins the rooms; the simulator is for tests of decide only",
    },
    Room {
        manifest: "crates/sim/Cargo.toml",
        rooms: &["stoa-model", "stoa-decide"],
        outside: Outside::AnythingBut(&["tokio", "rusqlite"]),
        reason: "sim is a fake world with its own clock; a real one in it would make seeds worthless",
    },
    Room {
        manifest: "xtask/Cargo.toml",
        rooms: &[],
        outside: Outside::AnythingBut(&["tokio"]),
        reason: "tasks are built before anything else and must not wait for the product",
    },
];

const UNKNOWN: &str =
    "every crate is a room of DESIGN.md and has its doors written down in xtask/src/tidy/walls.rs";
const LINTS: &str = "one crate with other lints is one crate with other habits";

pub(super) fn judge(source: &Source) -> Vec<Finding> {
    // A fuzz target is a workspace of its own, and nothing depends on it.
    if !source.path.ends_with("/Cargo.toml") || source.path.ends_with("/fuzz/Cargo.toml") {
        return Vec::new();
    }
    let finding =
        |line: usize, what: String, reason| Finding { path: source.path.clone(), line, what, reason };
    let Some(room) = ROOMS.iter().find(|room| room.manifest == source.path) else {
        return vec![finding(1, "a crate that is in no room".to_owned(), UNKNOWN)];
    };
    let Ok(manifest) = source.text.parse::<Table>() else {
        return vec![finding(1, "it is no TOML".to_owned(), UNKNOWN)];
    };
    let mut findings = Vec::new();
    for (kind, name) in dependencies(&manifest) {
        let line = source.text.lines().position(|line| line.starts_with(&name)).map_or(1, |at| at + 1);
        let allowed = match (name.strip_prefix("stoa-"), &room.outside) {
            // Its benches know what they measure; they are built apart from the tasks, which wait for nothing.
            (Some(_), _) if source.path == "xtask/Cargo.toml" && kind == "dev-dependencies" => true,
            (Some(_), _) => room.rooms.contains(&name.as_str()),
            // What only tests use does not reach the product.
            (None, _) if kind == "dev-dependencies" => true,
            (None, Outside::Only(names)) => names.contains(&name.as_str()),
            (None, Outside::AnythingBut(names)) => !names.contains(&name.as_str()),
        };
        if !allowed {
            findings.push(finding(line, format!("{kind} on {name}"), room.reason));
        }
    }
    let inherits =
        manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if inherits != Some(true) {
        findings.push(finding(1, "no `[lints] workspace = true`".to_owned(), LINTS));
    }
    findings
}

/// Every dependency with the kind of table it stands in, those of a target or an alias included.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter();
    let tables =
        targets.flat_map(|targets| targets.values().filter_map(toml::Value::as_table)).chain([manifest]);
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
                found.push((kind.to_owned(), package.to_owned()));
            }
        }
    }
    found
}
