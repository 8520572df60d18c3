//! Drills against a real site: visitors ask, parts die or are replaced, releases come and go, and what
//! visitors lost is told.
//!
//! They break things on purpose: the site must be one that may be broken. They end only processes that
//! the site itself names.

#[path = "../../crates/stoa/tests/e2e/load.rs"]
#[allow(dead_code, clippy::expect_used, reason = "the tests that share it fetch single pages too")]
mod load;

mod arrivals;
mod copy;
mod deploys;
mod flash;
mod parts;
mod site;

use copy::Copy;
use load::Ask;
use site::Site;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask drill STOA STATE ADDRESS
         Parts of a running site die or are replaced, one after the other.
       cargo xtask drill deploys STOA DIR STATE ADDRESS [DEPLOYS]
         64 visitors, and 100 (or DEPLOYS) deployments of a new commit each, a fifth as many rollbacks, bad
         canaries, and a deployment whose daemon is killed at every entry of its journal; 0: only those.
       cargo xtask drill flash STOA DIR STATE ADDRESS
         A crowd of ten times the load: auto-scaled, then with the fewest and with the most instances.
       cargo xtask drill ledger|registers STOA STATE [--rounds N] [--fault NAME]...
         Clients of the database of a running site, and what they were told against what is there.

STOA is the binary, such as ./target/release/stoa. STATE is a state folder: for deploys and flash one that
does not exist yet. ADDRESS is where the site listens, such as 127.0.0.1:8080. DIR is an application like
examples/foobar: a Flask application `app` in app.py, with /static/logo.svg, /api/entries and /slow?ms=N.
deploys and flash work on a copy of DIR, in a repository of its own under the temporary folder, bring its site
up and take it down again; DIR itself is only read. The example has no WebSockets: their drill is among
the end-to-end tests.";

/// One of the drills.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["ledger" | "registers", ..] = words[..] {
        return super::bench::database_drill(root, arguments);
    }
    let done = match words[..] {
        ["deploys", stoa, dir, state, address] => {
            of_a_copy(stoa, dir, state, address).and_then(|(site, copy)| deploys::run(&site, &copy, 100))
        }
        ["deploys", stoa, dir, state, address, count] => count
            .parse()
            .map_err(|_| format!("{count} is no number of deployments"))
            .and_then(|count| Ok((count, of_a_copy(stoa, dir, state, address)?)))
            .and_then(|(count, (site, copy))| deploys::run(&site, &copy, count)),
        ["flash", stoa, dir, state, address] => {
            of_a_copy(stoa, dir, state, address).and_then(|(site, copy)| flash::run(&site, &copy))
        }
        [stoa, state, address] if !stoa.starts_with('-') => {
            site(stoa, state, address, None).and_then(|site| parts::run(&site))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn of_a_copy(stoa: &str, dir: &str, state: &str, address: &str) -> Result<(Site, Copy), String> {
    if Path::new(state).exists() {
        return Err(format!("{state} is there already: give a state folder that is the drill's own"));
    }
    let copy = Copy::of(Path::new(dir))?;
    let site = site(stoa, state, address, Some(copy.folder().to_owned()))?;
    Ok((site, copy))
}

fn site(stoa: &str, state: &str, address: &str, folder: Option<PathBuf>) -> Result<Site, String> {
    let found = address.to_socket_addrs().ok().and_then(|mut found| found.next());
    let address = found.ok_or_else(|| format!("{address} is not an address, such as 127.0.0.1:8080"))?;
    let absolute = |path: &str| std::path::absolute(path).map_err(|error| format!("{path}: {error}"));
    Ok(Site { stoa: absolute(stoa)?, state: absolute(state)?, address, folder })
}

/// Dynamic and static pages, reads and writes.
fn asks() -> Vec<Ask> {
    let get = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
    let entry = "{\"name\":\"drill\",\"message\":\"entry {n}\"}";
    let post =
        Ask { method: "POST", path: "/api/entries".to_owned(), body: Some(entry.to_owned()), status: 201 };
    vec![get("/"), get("/static/logo.svg"), get("/api/entries"), post]
}
