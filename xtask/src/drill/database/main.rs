//! Drills of a site's database: clients write and read through `DATABASE_URL` while servers, splitters, the
//! daemon and the network between them break, and what clients were told is held against what is there.
//!
//! A program beside the tasks, which are built without a database client. It breaks things on purpose: the
//! site must be one that may be broken. It signals only processes that the site itself names, and breaks the
//! network only in a namespace that is not the machine's.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a drill talks to the person who ran it")]

mod canary;
mod cluster;
mod connect;
mod fault;
mod history;
mod ledger;
mod ledger_drill;
mod linearizable;
mod network;
mod pause;
mod progress;
mod registers;
mod rounds;
mod servers;
#[path = "../site.rs"]
#[allow(dead_code, reason = "the other drills use the rest of it")]
mod site;
mod watch;
mod writable;
mod writers;

use fault::Fault;
use rounds::Drill;
use servers::Servers;
use site::Site;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::time::Instant;
use watch::Watch;

const USAGE: &str = "\
usage: cargo xtask drill ledger|registers STOA STATE [--rounds N] [--fault NAME]...

STOA is the binary, STATE the state folder of a site with a database that is up. Without --fault every fault is
made, those of the network only where it is not the machine's: bring the site up and drill it in one of its own,
  ip netns add drill && ip netns exec drill ip link set lo up
  ip netns exec drill STOA up DIR --state STATE --yes
  ip netns exec drill cargo xtask drill ledger STOA STATE";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((which, asked)) = Asked::of(&words) else {
        eprintln!("{USAGE}\n\nfaults:");
        for (_, name, meaning) in Fault::ALL {
            eprintln!("  {name:<15} {meaning}");
        }
        return ExitCode::from(2);
    };
    let kept = Drill::of(asked.stoa, asked.state).and_then(|drill| match which {
        Which::Ledger => ledger_drill::run(&drill, &asked.faults, asked.rounds),
        Which::Registers => registers::run(&drill, &asked.faults, asked.rounds),
    });
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a promise was broken");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Which drill.
#[derive(Clone, Copy)]
enum Which {
    Ledger,
    Registers,
}

/// What was asked for.
struct Asked<'a> {
    stoa: &'a str,
    state: &'a str,
    rounds: u32,
    faults: Vec<Fault>,
}

impl<'a> Asked<'a> {
    fn of(words: &[&'a str]) -> Option<(Which, Self)> {
        let (which, stoa, state, mut rest) = match words {
            ["ledger", stoa, state, rest @ ..] => (Which::Ledger, stoa, state, rest),
            ["registers", stoa, state, rest @ ..] => (Which::Registers, stoa, state, rest),
            _ => return None,
        };
        let mut asked = Asked { stoa, state, rounds: 30, faults: Vec::new() };
        loop {
            rest = match rest {
                [] => break,
                ["--rounds", count, rest @ ..] => {
                    asked.rounds = count.parse().ok()?;
                    rest
                }
                ["--fault", name, rest @ ..] => {
                    asked.faults.push(Fault::named(name)?);
                    rest
                }
                _ => return None,
            };
        }
        if asked.faults.is_empty() {
            asked.faults = Fault::usual();
        }
        Some((which, asked))
    }
}

/// What the site's application is told about its database.
fn database_url(site: &Site) -> Result<String, String> {
    let words = ["run", "--", "printenv", "DATABASE_URL"];
    let mut command = Command::new(&site.stoa);
    command.arg("--state").arg(&site.state).args(words);
    let output = command.output().map_err(|error| format!("{}: {error}", site.stoa.display()))?;
    let (value, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match value.trim() {
        value if output.status.success() && !value.is_empty() => Ok(value.to_owned()),
        _ => Err(format!("stoa {}: {said}", words.join(" "))),
    }
}

impl Drill {
    fn of(stoa: &str, state: &str) -> Result<Self, String> {
        let absolute = |path: &str| std::path::absolute(path).map_err(|error| format!("{path}: {error}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let site = Site { stoa: absolute(stoa)?, state: absolute(state)?, address, folder: None };
        let said = database_url(&site)?;
        let options = connect::url(&said)?;
        let schema = options.db_name().ok_or("DATABASE_URL names no database")?;
        let servers = Servers::of(&site.state, schema)?;
        let origin = Instant::now();
        let watch = Watch::begin(servers.clone(), origin)?;
        Ok(Drill { site, servers, watch, origin, options })
    }
}
