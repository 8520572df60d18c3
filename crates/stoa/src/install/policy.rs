//! Keeps the packages being installed from starting their services (invoke-rc.d and deb-systemd-invoke
//! ask `/usr/sbin/policy-rc.d` whether they may).
//!
//! The policy is a link to this very program, which says no only to what an installation of ours runs:
//! a link left behind by a `kill -9` forbids nothing. One that is there already is left alone.

use super::command::MARK;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the question is asked.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const NAME: &str = "policy-rc.d";
/// "Action forbidden by policy" (invoke-rc.d's interface).
const FORBIDDEN: u8 = 101;

/// The policy, as long as it is held.
#[derive(Debug)]
pub(crate) struct Policy {
    link: Option<PathBuf>,
}

impl Policy {
    /// Puts it in place, unless one is there or it cannot be put there: then the services that start
    /// are stopped afterwards.
    pub(crate) fn hold() -> Self {
        match std::env::current_exe() {
            Ok(program) => Policy::hold_at(Path::new(POLICY), &program),
            Err(_) => Policy { link: None },
        }
    }

    pub(super) fn hold_at(link: &Path, program: &Path) -> Self {
        if ours(link) {
            // An earlier installation was killed. Another one running now has lost nothing: the link is back at once.
            let _ = fs::remove_file(link);
        }
        let made = std::os::unix::fs::symlink(program, link).is_ok();
        Policy { link: made.then(|| link.to_owned()) }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(link) = self.link.take().filter(|link| ours(link)) {
            let _ = fs::remove_file(link);
        }
    }
}

/// Whether this process was started as the policy.
pub(crate) fn is_policy(program: &std::ffi::OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// The policy's answer, as an exit code.
pub(crate) fn answer() -> u8 {
    if std::env::var_os(MARK).is_some() { FORBIDDEN } else { 0 }
}

/// Whether the policy in place is a link to a `stoa`.
fn ours(link: &Path) -> bool {
    fs::read_link(link)
        .is_ok_and(|target| target.file_name().is_some_and(|name| name.to_string_lossy().starts_with("stoa")))
}
