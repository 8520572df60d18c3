//! wrk, the load: closed loops of keep-alive connections. It tells what it saw through a script, because
//! its own words are rounded.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// The path, which the origin knows.
    pub(crate) path: &'static str,
    /// Bytes of the body that is posted; a GET where there are none.
    pub(crate) body: usize,
}

/// What one load saw.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Answers.
    pub(crate) requests: u64,
    /// Microseconds that it took.
    pub(crate) micros: u64,
    /// Microseconds within which half of them came.
    pub(crate) p50: u64,
    /// Microseconds within which 99 of 100 came.
    pub(crate) p99: u64,
    /// Connections and answers that failed.
    pub(crate) errors: u64,
}

/// wrk and where its scripts lie.
pub(crate) struct Wrk {
    program: PathBuf,
    folder: PathBuf,
}

impl Wrk {
    pub(crate) fn new(program: PathBuf, folder: &Path) -> Wrk {
        Wrk { program, folder: folder.to_owned() }
    }

    /// Loads `address` for some seconds.
    pub(crate) fn load(
        &self,
        case: Case,
        address: SocketAddr,
        connections: u32,
        seconds: u32,
    ) -> Result<Seen, String> {
        let script = self.folder.join("load.lua");
        fs::write(&script, script_of(case)).map_err(|error| format!("{}: {error}", script.display()))?;
        let mut command = Command::new(&self.program);
        command.args(["--threads", "1", "--timeout", "10s"]);
        command.arg("--connections").arg(connections.to_string());
        command.arg("--duration").arg(format!("{seconds}s"));
        command.arg("--script").arg(&script).arg(format!("http://{address}{}", case.path));
        let output = command.output().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        read(&said)
            .ok_or_else(|| format!("wrk did not tell: {said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn script_of(case: Case) -> String {
    let posted = match case.body {
        0 => String::new(),
        bytes => format!(
            "wrk.method = 'POST'\nwrk.body = string.rep('x', {bytes})\n\
             wrk.headers['Content-Type'] = 'application/octet-stream'\n"
        ),
    };
    format!(
        "{posted}function done(summary, latency)\n\
         local e = summary.errors\n\
         local errors = e.connect + e.read + e.write + e.status + e.timeout\n\
         io.write(string.format('\\nseen %d %d %d %d %d\\n', summary.requests, summary.duration,\n\
         latency:percentile(50), latency:percentile(99), errors))\n\
         end\n"
    )
}

fn read(said: &str) -> Option<Seen> {
    let line = said.lines().find_map(|line| line.strip_prefix("seen "))?;
    let mut numbers = line.split(' ').map_while(|number| number.parse().ok());
    let mut next = || numbers.next();
    Some(Seen { requests: next()?, micros: next()?, p50: next()?, p99: next()?, errors: next()? })
}
