//! Calls to the daemon from a command that people may interrupt.

use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, Outcome};

/// Waits for what a command does, and notices ctrl-C.
#[derive(Debug)]
pub(crate) struct Session {
    runtime: Runtime,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

/// Ctrl-C, or SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl Session {
    /// A session that ctrl-C ends as usual.
    pub(crate) fn new() -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
        Ok(Session { runtime, interrupt: None, terminate: None })
    }

    /// A session that is told of ctrl-C and SIGTERM, and ends by itself.
    pub(crate) fn catching() -> Outcome<Self> {
        let mut session = Session::new()?;
        let _inside = session.runtime.enter();
        let caught = |kind| signal(kind).map_err(no_runtime);
        session.interrupt = Some(caught(SignalKind::interrupt())?);
        session.terminate = Some(caught(SignalKind::terminate())?);
        drop(_inside);
        Ok(session)
    }

    /// The result of `work`, unless interrupted.
    pub(crate) fn wait<F: Future>(&mut self, work: F) -> Result<F::Output, Interrupted> {
        let (interrupt, terminate) = (&mut self.interrupt, &mut self.terminate);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = came(interrupt) => Err(Interrupted),
                () = came(terminate) => Err(Interrupted),
                result = work => Ok(result),
            }
        })
    }

    /// Lets `time` pass.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Interrupted> {
        self.wait(async move { tokio::time::sleep(time).await })
    }
}

async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn no_runtime(error: std::io::Error) -> Failure {
    Failure::failed(
        "the command cannot start",
        error.to_string(),
        "the machine may have run out of files or memory; look: ulimit -n, free -m",
    )
}
