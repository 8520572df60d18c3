//! The roles: processes of this binary that outlive its daemon and know nothing of decisions.

use miette::{IntoDiagnostic, WrapErr};
use rustix::process::{Gid, Uid};
use stoa_traffic::http::role;

/// The user a role gives its rights up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoleUser {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl std::str::FromStr for RoleUser {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once(':')
            .and_then(|(uid, gid)| Some(RoleUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? }));
        parsed.ok_or_else(|| format!("{text:?} is not UID:GID, such as 998:998"))
    }
}

/// Serves as a balancer until SIGTERM and the last request. The sockets are inherited.
pub(crate) fn balancer(user: Option<RoleUser>, threads: usize) -> miette::Result<()> {
    let config = role::inherited_sockets(threads).into_diagnostic().wrap_err("the inherited sockets")?;
    if let Some(user) = user {
        give_up_rights(user).into_diagnostic().wrap_err("changing to the balancer's user")?;
    }
    role::run(config).into_diagnostic()
}

/// Watches over one task of a deployment, which it is told through its standard input, until that is over.
pub(crate) fn task() -> miette::Result<()> {
    stoa_tiers::app::task::carry_out().into_diagnostic()
}

/// From root to an unprivileged user, for good. Called while the process has one thread: these calls are
/// the kernel's own, which change the calling thread only; threads made later inherit the change.
fn give_up_rights(user: RoleUser) -> Result<(), rustix::io::Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)
}
