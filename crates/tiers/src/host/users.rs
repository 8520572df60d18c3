//! The unprivileged users that the tiers run as where the daemon is root: `stoa-web`, `stoa-app`, …, all
//! of the one group `stoa`, without a login. Without root everything runs as the caller.

use super::error::HostError;
use super::launch::RunAs;
use super::programs;
use crate::tool::Tool;
use std::collections::BTreeMap;
use std::time::Duration;
use stoa_model::Tier;

pub use crate::tool::Identity;

/// The group of every tier's user: who may pass through `run`.
pub const GROUP: &str = "stoa";

/// Who runs what on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    tiers: BTreeMap<Tier, Identity>,
    group: Option<u32>,
}

/// The name of a tier's user.
pub fn name(tier: Tier) -> String {
    format!("{GROUP}-{tier}")
}

/// Creates what is missing of the users and the group, where this is root; without root there is nothing
/// to create and everything runs as the caller.
pub async fn ensure() -> Result<Users, HostError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Users::caller());
    }
    if lookup_group(GROUP)?.is_none() {
        create("groupadd", &["--system", GROUP], || lookup_group(GROUP)).await?;
    }
    for tier in Tier::ALL {
        let name = name(tier);
        if lookup_user(&name)?.is_some() {
            continue;
        }
        let shell = programs::find("nologin").unwrap_or_else(|| "/usr/sbin/nologin".into());
        let shell = shell.to_string_lossy().into_owned();
        let comment = format!("Stoa {tier}");
        let arguments = [
            "--system",
            "--gid",
            GROUP,
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            &shell,
            "--comment",
            &comment,
            &name,
        ];
        create("useradd", &arguments, || lookup_user(&name)).await?;
    }
    Users::installed()
}

impl Users {
    /// Everything runs as the caller.
    pub fn caller() -> Self {
        Users { tiers: BTreeMap::new(), group: None }
    }

    /// Every tier runs as this one user (and group), which tests as root need: most servers refuse root.
    pub fn everyone(identity: Identity) -> Self {
        let tiers = Tier::ALL.into_iter().map(|tier| (tier, identity)).collect();
        Users { tiers, group: Some(identity.gid) }
    }

    /// The users as they were created before; the caller where this is not root.
    pub fn installed() -> Result<Self, HostError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Users::caller());
        }
        let missing = |what: String| HostError::Users {
            what,
            why: "there is none; `stoa up` creates it as root".to_owned(),
        };
        let group = lookup_group(GROUP)?.ok_or_else(|| missing(format!("group {GROUP}")))?;
        let mut tiers = BTreeMap::new();
        for tier in Tier::ALL {
            let name = name(tier);
            let user = lookup_user(&name)?.ok_or_else(|| missing(format!("user {name}")))?;
            if user.uid == 0 {
                let why = "it has the user id 0, which is root's; remove it".to_owned();
                return Err(HostError::Users { what: format!("user {name}"), why });
            }
            tiers.insert(tier, user);
        }
        Ok(Users { tiers, group: Some(group) })
    }

    /// Whose rights a process gets; `None` keeps the daemon's own.
    pub fn of(&self, run_as: RunAs) -> Option<Identity> {
        match run_as {
            RunAs::Tier(tier) => self.tiers.get(&tier).copied(),
            RunAs::Daemon => None,
        }
    }

    /// The tier's user with the common group: the owner of what its instances keep.
    pub fn tier(&self, tier: Tier) -> Option<Identity> {
        self.of(RunAs::Tier(tier))
    }

    /// Root with the common group, for what every tier may pass through or read; `None` without root.
    pub fn root_and_group(&self) -> Option<Identity> {
        self.group.map(|gid| Identity { uid: 0, gid })
    }
}

/// A user of the system, by name.
pub fn lookup_user(name: &str) -> Result<Option<Identity>, HostError> {
    Ok(find_user(&read("/etc/passwd")?, name))
}

/// The id of a group of the system, by name.
pub fn lookup_group(name: &str) -> Result<Option<u32>, HostError> {
    Ok(find_group(&read("/etc/group")?, name))
}

fn find_user(passwd: &str, name: &str) -> Option<Identity> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(Identity { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

fn find_group(group: &str, name: &str) -> Option<u32> {
    let line = group.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

fn read(path: &'static str) -> Result<String, HostError> {
    let error = |why: std::io::Error| HostError::Users { what: path.to_owned(), why: why.to_string() };
    // A name that is not UTF-8 is none of ours.
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(error)
}

/// Runs groupadd or useradd. Another command may have created it at the same time, so that what is there
/// afterwards counts, not how the program ended.
async fn create<T>(
    program: &str,
    arguments: &[&str],
    lookup: impl Fn() -> Result<Option<T>, HostError>,
) -> Result<(), HostError> {
    let missing = || HostError::ProgramMissing { program: program.to_owned() };
    let path = programs::find(program).ok_or_else(missing)?;
    let tool = Tool::new(path, "/").arguments(arguments).environment(programs::environment());
    let ended = tool.timeout(Duration::from_secs(30)).run().await;
    if lookup()?.is_some() {
        return Ok(());
    }
    let name = arguments.last().copied().unwrap_or_default();
    let why = ended.map_or_else(|error| error.to_string(), |ended| ended.complaint());
    Err(HostError::Users { what: format!("{program} {name}"), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nstoa-web:x:990:985:Stoa web:/nonexistent:/x\n\
                          broken\nstoa-webx:x:1:1::/:/x\n";

    #[test]
    fn users_and_groups_are_found_by_their_whole_name() {
        assert_eq!(find_user(PASSWD, "stoa-web"), Some(Identity { uid: 990, gid: 985 }));
        assert_eq!(find_user(PASSWD, "stoa"), None);
        assert_eq!(find_user(PASSWD, "broken"), None);
        assert_eq!(find_group("root:x:0:\nstoa:x:985:\n", "stoa"), Some(985));
        assert_eq!(find_group("stoax:x:985:\n", "stoa"), None);
    }

    #[test]
    fn without_users_everything_is_the_callers() {
        let users = Users::caller();
        assert_eq!(users.of(RunAs::Tier(Tier::Web)), None);
        assert_eq!(users.root_and_group(), None);
        let nobody = Identity { uid: 65534, gid: 65534 };
        assert_eq!(Users::everyone(nobody).of(RunAs::Daemon), None);
        assert_eq!(Users::everyone(nobody).tier(Tier::App), Some(nobody));
    }
}
