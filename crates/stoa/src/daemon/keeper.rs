//! The keeper: the daemon's small parent, which starts it again when it dies.
//!
//! It holds nothing and decides nothing. As the child subreaper (prctl(2)) it becomes the parent of every
//! process whose daemon died, and reaps it when it ends, so that no zombie is left on a machine without
//! an init.

use super::start::own_program;
use rustix::process::{Signal, WaitOptions, WaitStatus};
use std::process::Command;
use std::time::{Duration, Instant};
use stoa_model::Paths;

/// The daemon's exit code for "another daemon of this site runs"; the keeper then ends too.
pub(crate) const ALREADY_RUNS: u8 = 17;

/// A daemon that lived this long had no part in its own death's cause at start.
const LIVED: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// While there is no daemon nobody replaces a primary that dies: it is not long in coming, however often it died.
const LAST_DELAY: Duration = Duration::from_secs(2);
/// One that has never lived is given up after so many starts.
const STARTS: u32 = 15;

/// Keeps a daemon of the site running until one ends by itself.
pub(crate) fn keep(paths: &Paths) -> std::io::Result<()> {
    // A session of its own: it outlives the terminal it was started from. Fails where it leads one already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let program = own_program();
    let (mut delay, mut starts, mut lived) = (FIRST_DELAY, 0, false);
    loop {
        let began = Instant::now();
        starts += 1;
        // A newer version that was put in its place is taken, but no file at all is no reason to end.
        let file = if program.exists() { program.clone() } else { own_program() };
        let child =
            Command::new(file).arg("daemon").arg("--kept").arg("--state").arg(paths.root()).spawn()?;
        let status = reap_until(child.id())?;
        if status.exit_status().is_some_and(|code| code == 0 || code == i32::from(ALREADY_RUNS)) {
            return Ok(());
        }
        if began.elapsed() > LIVED {
            (delay, lived) = (FIRST_DELAY, true);
        }
        // One that was killed, by hand or by the kernel for want of memory, did not end by a fault of its own.
        lived |= status.terminating_signal() == Some(Signal::KILL.as_raw());
        // One that never lived has been given up by the command that wanted it, and a site whose folder
        // is gone wants none: either would otherwise be tried for as long as the machine is up.
        if !paths.run().exists() || (starts >= STARTS && !lived) {
            tracing::error!(?status, "the daemon cannot be started; the keeper ends too");
            return Ok(());
        }
        tracing::warn!(?status, "the daemon ended; it is started again in {} ms", delay.as_millis());
        std::thread::sleep(delay);
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// Reaps whatever ends until `daemon` did.
fn reap_until(daemon: u32) -> std::io::Result<WaitStatus> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == daemon => {
                return Ok(status);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
