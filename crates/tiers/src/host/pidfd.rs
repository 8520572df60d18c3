//! A handle of a process that stays with it when its number becomes another's (pidfd_open(2)).
#![allow(unsafe_code)]

use super::proc;
use super::record::Identity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use stoa_model::observed::Exited;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A handle of one process, whoever its parent is.
#[derive(Debug, Clone)]
pub(crate) struct PidFd(Arc<OwnedFd>);

impl PidFd {
    /// The handle of this very process, `NotFound` when it is gone.
    pub(crate) fn open(identity: Identity) -> io::Result<Self> {
        let pid = proc::raw(identity.pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        // The number may have become another's before the handle was made; not after.
        match proc::stat(identity.pid) {
            Some(stat) if identity.names(&stat) => Ok(PidFd(Arc::new(pidfd))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Sends it a signal; one that is gone is no error, that is what a signal is mostly for.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        rustix::process::pidfd_send_signal(&self.0, signal).is_ok()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        // SAFETY: the value registered owns the descriptor, never closes or replaces it, and lives as
        // long as the registration.
        let ready = unsafe { AsyncFd::register_with_interest(self.0.clone(), Interest::READABLE) };
        match ready {
            Ok(ready) => drop(ready.readable().await.map(|mut guard| guard.retain_ready())),
            Err(error) => tracing::warn!(%error, "a process' end is looked for instead of being told"),
        }
        while !self.has_ended() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lets the kernel forget a process that has ended, and says how it ended; of one that is another's
    /// child nobody tells us.
    pub(crate) fn reap(&self) -> String {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::PidFd(self.0.as_fd()), options).ok().flatten();
        let Some(status) = status else { return Exited::UNTOLD.to_owned() };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => Exited::UNTOLD.to_owned(),
        }
    }

    fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}
