//! Drills against a real site: visitors ask, parts die or are replaced, and what visitors lost is told.
//!
//! It breaks things on purpose: the site must be one that may be broken. It ends only processes that
//! the site itself names.

#[path = "../../crates/stoa/tests/e2e/load.rs"]
#[allow(dead_code, clippy::expect_used, reason = "the tests that share it fetch single pages too")]
mod load;

use load::{Ask, Load};
use serde_json::Value;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const VISITORS: usize = 32;
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// One drill: what is done, and to what.
enum Drill {
    Kill(&'static str),
    KillDaemon,
    Command(&'static [&'static str]),
}

const DRILLS: [Drill; 10] = [
    Drill::Kill("app"),
    Drill::Kill("web"),
    Drill::Kill("balancer"),
    Drill::Kill("replica"),
    Drill::Kill("cache"),
    Drill::KillDaemon,
    Drill::Command(&["scale", "app=4"]),
    Drill::Command(&["scale", "app=2"]),
    Drill::Command(&["restart", "app"]),
    Drill::Command(&["restart", "web"]),
];

/// `cargo xtask drill STOA STATE ADDRESS`: the binary, the site's state folder and where it listens.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [stoa, state, address] = arguments else {
        eprintln!(
            "usage: cargo xtask drill STOA-BINARY STATE-FOLDER ADDRESS, such as ./target/release/stoa /var/lib/stoa/foobar 127.0.0.1:8080"
        );
        return ExitCode::from(2);
    };
    let Some(address) = address.to_socket_addrs().ok().and_then(|mut found| found.next()) else {
        eprintln!("{address} is not an address, such as 127.0.0.1:8080");
        return ExitCode::from(2);
    };
    let site = Site { stoa: PathBuf::from(stoa), state: PathBuf::from(state), address };
    println!(
        "{:<20} {:>9} {:>6} {:>6} {:>9} {:>10}  first loss",
        "drill", "answered", "GETs", "POSTs", "slowest", "settled in"
    );
    for drill in &DRILLS {
        if let Err(why) = site.drill(drill) {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

struct Site {
    stoa: PathBuf,
    state: PathBuf,
    address: SocketAddr,
}

impl Site {
    fn drill(&self, drill: &Drill) -> Result<(), String> {
        self.settles()?;
        let load = Load::start(self.address, "localhost", VISITORS, &asks());
        if !load.answers(300, SETTLES_WITHIN) {
            return Err("no load came up".to_owned());
        }
        let began = Instant::now();
        let name = self.strike(drill)?;
        // The daemon sees a death a moment later: some load first, then the state.
        load.answers(300, SETTLES_WITHIN);
        self.settles()?;
        let settled = began.elapsed();
        load.answers(300, SETTLES_WITHIN);
        let tally = load.finish();
        let lost = |method: &str| tally.lost.iter().filter(|lost| lost.what.starts_with(method)).count();
        let first =
            tally.lost.first().map_or_else(String::new, |lost| format!("{}: {}", lost.what, lost.why));
        println!(
            "{name:<20} {:>9} {:>6} {:>6} {:>6} ms {:>8.1} s  {first}",
            tally.answered,
            lost("GET"),
            lost("POST"),
            tally.slowest.as_millis(),
            settled.as_secs_f64()
        );
        Ok(())
    }

    fn strike(&self, drill: &Drill) -> Result<String, String> {
        let status = self.status()?;
        match drill {
            Drill::Command(words) => {
                self.stoa(words)?;
                Ok(words.join(" "))
            }
            Drill::KillDaemon => {
                let pid = status["daemon"]["pid"].as_u64().ok_or("the daemon has no pid")?;
                kill(pid)?;
                Ok("kill the daemon".to_owned())
            }
            Drill::Kill(what) => {
                let tiers = status["tiers"].as_array().ok_or("no tiers")?;
                let mut instances = tiers.iter().filter_map(|tier| tier["instances"].as_array()).flatten();
                let found = instances.find(|instance| {
                    let id = instance["id"].as_str().unwrap_or_default();
                    instance["role"] == *what || id.split('-').next() == Some(what)
                });
                let found = found.ok_or_else(|| format!("the site has no {what}"))?;
                kill(found["pid"].as_u64().ok_or("it has no pid")?)?;
                Ok(format!("kill {}", found["id"].as_str().unwrap_or(what)))
            }
        }
    }

    fn settles(&self) -> Result<(), String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        while Instant::now() < deadline {
            if self.status().is_ok_and(|status| status["settled"] == true) {
                return Ok(());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Err(format!("the site did not settle within {} s", SETTLES_WITHIN.as_secs()))
    }

    fn status(&self) -> Result<Value, String> {
        serde_json::from_str(&self.stoa(&["status", "--json"])?).map_err(|error| error.to_string())
    }

    fn stoa(&self, words: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.stoa).args(words).arg("--state").arg(&self.state).output();
        let output = output.map_err(|error| format!("{}: {error}", self.stoa.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => {
                Err(format!("stoa {}: {said}{}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
            }
        }
    }
}

/// Dynamic and static pages, reads and writes.
fn asks() -> Vec<Ask> {
    let get = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
    let entry = "{\"name\":\"drill\",\"message\":\"entry {n}\"}";
    let post =
        Ask { method: "POST", path: "/api/entries".to_owned(), body: Some(entry.to_owned()), status: 201 };
    vec![get("/"), get("/static/logo.svg"), get("/api/entries"), post]
}

fn kill(pid: u64) -> Result<(), String> {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("kill -KILL {pid}: {other:?}")),
    }
}
