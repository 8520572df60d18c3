//! The unprivileged users that the tiers of one site run as where the daemon is root, all of the site's own
//! group, without a login: `stoa-1a2b3c4d-web`, … of the group `stoa-1a2b3c4d`, named after the state folder, so
//! that no site of this machine can read what another one keeps. Without root everything runs as the caller.
//!
//! What they are called stands in `users.json`; a site from before that keeps the users `stoa-web`, … that
//! its files belong to.

use super::error::{FileError, HostError};
use super::files;
use super::launch::RunAs;
use super::programs;
use crate::tool::Tool;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use stoa_model::{Digest, Paths, Tier};

pub use crate::tool::Identity;

/// The group that sites shared before each had its own.
const SHARED: &str = "stoa";

/// How long groupadd and its like may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who runs what of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    tiers: BTreeMap<Tier, Identity>,
    group: Option<u32>,
}

/// What the users of a site are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    group: String,
}

/// The name of a tier's user. For people; where it cannot be told, the one that a new site would have.
pub fn name(paths: &Paths, tier: Tier) -> String {
    Names::of(paths).unwrap_or_else(|_| Names::new(paths)).user(tier)
}

/// Creates what is missing of a site's users and their group, where this is root; without root there is
/// nothing to create and everything runs as the caller.
pub async fn ensure(paths: &Paths) -> Result<Users, HostError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Users::caller());
    }
    let names = Names::settled(paths)?;
    let group = names.group();
    if lookup_group(group)?.is_none() {
        change("groupadd", &["--system", group], || Ok(lookup_group(group)?.is_some())).await?;
    }
    for tier in Tier::ALL {
        let name = names.user(tier);
        if lookup_user(&name)?.is_some() {
            continue;
        }
        let shell = programs::find("nologin").unwrap_or_else(|| "/usr/sbin/nologin".into());
        let shell = shell.to_string_lossy().into_owned();
        let comment = format!("Stoa {tier}");
        let arguments = [
            "--system",
            "--gid",
            group,
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            &shell,
            "--comment",
            &comment,
            &name,
        ];
        change("useradd", &arguments, || Ok(lookup_user(&name)?.is_some())).await?;
    }
    Users::installed(paths)
}

/// Removes a site's own users and their group, once nothing of the site is left that belongs to them. Users
/// that other sites may share stay, and so do those that a process still runs as: then it fails, and may be
/// repeated. Without root there is nothing to remove.
pub async fn remove(names: &Names) -> Result<(), HostError> {
    if !rustix::process::geteuid().is_root() || names.group() == SHARED {
        return Ok(());
    }
    for tier in Tier::ALL {
        let name = names.user(tier);
        let Some(user) = lookup_user(&name)? else { continue };
        let busy = processes_of(user.uid);
        if !busy.is_empty() {
            let why = format!("processes still run as it: pid {busy:?}; end them and try again");
            return Err(HostError::Users { what: format!("user {name}"), why });
        }
        change("userdel", &[&name], || Ok(lookup_user(&name)?.is_none())).await?;
    }
    let group = names.group();
    if lookup_group(group)?.is_some() {
        change("groupdel", &[group], || Ok(lookup_group(group)?.is_none())).await?;
    }
    Ok(())
}

impl Names {
    /// What the users of the site with this state folder are called. To remove them, ask before the folder is
    /// gone.
    pub fn of(paths: &Paths) -> Result<Self, HostError> {
        let path = file(paths);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let names = serde_json::from_slice(&bytes).ok();
                // These names are given to programs that create and remove users.
                names.filter(Names::are_ours).ok_or_else(|| HostError::Users {
                    what: path.display().to_string(),
                    why: format!(
                        "it is damaged: it should hold {{\"group\":\"stoa-…\"}}, the group that {} belongs to",
                        paths.run().display()
                    ),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(match paths.credentials().exists() {
                // It was made when sites shared their users, and its files belong to those.
                true => Names { group: SHARED.to_owned() },
                false => Names::new(paths),
            }),
            Err(error) => Err(FileError::new("read", &path, error).into()),
        }
    }

    fn new(paths: &Paths) -> Self {
        let digest = Digest::of(paths.root().as_os_str().as_encoded_bytes());
        Names { group: format!("{SHARED}-{:08x}", digest.get() >> 32) }
    }

    /// As [`Names::of`], and from now on so, whatever else comes into the folder.
    fn settled(paths: &Paths) -> Result<Self, HostError> {
        let names = Names::of(paths)?;
        let path = file(paths);
        if !path.exists() {
            files::ensure_folder(paths.root(), 0o711, None)?;
            let bytes = serde_json::to_vec(&names)
                .map_err(|error| FileError::new("write", &path, io::Error::other(error)))?;
            files::write_atomic(&path, &bytes, 0o644)?;
        }
        Ok(names)
    }

    /// The group that all of them are in.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The user of a tier.
    pub fn user(&self, tier: Tier) -> String {
        format!("{}-{tier}", self.group)
    }

    fn are_ours(&self) -> bool {
        let digits =
            |text: &str| text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        self.group == SHARED || self.group.strip_prefix("stoa-").is_some_and(digits)
    }
}

fn file(paths: &Paths) -> PathBuf {
    paths.root().join("users.json")
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

    /// The users of a site as they were created before; the caller where this is not root.
    pub fn installed(paths: &Paths) -> Result<Self, HostError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Users::caller());
        }
        let names = Names::settled(paths)?;
        let missing = |what: String| HostError::Users {
            what,
            why: "there is none; `stoa up` creates it as root".to_owned(),
        };
        let group = lookup_group(names.group())?;
        let group = group.ok_or_else(|| missing(format!("group {}", names.group())))?;
        let mut tiers = BTreeMap::new();
        for tier in Tier::ALL {
            let name = names.user(tier);
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

/// Runs groupadd or its like. Another command may have done the same at the same time, so that what is there
/// afterwards counts, not how the program ended.
async fn change(
    program: &str,
    arguments: &[&str],
    done: impl Fn() -> Result<bool, HostError>,
) -> Result<(), HostError> {
    let missing = || HostError::ProgramMissing { program: program.to_owned() };
    let path = programs::find(program).ok_or_else(missing)?;
    let tool = Tool::new(path, "/").arguments(arguments).environment(programs::environment());
    let ended = tool.timeout(PATIENCE).run().await;
    if done()? {
        return Ok(());
    }
    let name = arguments.last().copied().unwrap_or_default();
    let why = ended.map_or_else(|error| error.to_string(), |ended| ended.complaint());
    Err(HostError::Users { what: format!("{program} {name}"), why })
}

/// Every process that has this user as any of its own.
fn processes_of(uid: u32) -> Vec<u32> {
    let runs_as = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        line.split_ascii_whitespace().any(|id| id.parse() == Ok(uid))
    };
    super::proc::pids().into_iter().filter(runs_as).collect()
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

    #[test]
    fn each_state_folder_has_its_own_names_and_an_earlier_site_keeps_the_shared_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Paths::new(folder.path().join("one")), Paths::new(folder.path().join("other")));
        let names = Names::of(&one).unwrap();
        assert_ne!(names, Names::of(&other).unwrap());
        assert!(names.are_ours() && names.group().len() == 13, "{names:?}");
        assert!(names.user(Tier::Database).len() <= 32);
        assert_eq!(name(&one, Tier::App), format!("{}-app", names.group()));
        // Once it is written down, it stays, whatever comes into the folder or wherever that is moved.
        assert_eq!(Names::settled(&one).unwrap(), names);
        std::fs::write(one.credentials(), "{}").unwrap();
        assert_eq!(Names::settled(&one).unwrap(), names);
        std::fs::create_dir(other.root()).unwrap();
        std::fs::write(other.credentials(), "{}").unwrap();
        assert_eq!(Names::settled(&other).unwrap().user(Tier::Web), "stoa-web");
        std::fs::remove_file(other.credentials()).unwrap();
        assert_eq!(Names::of(&other).unwrap().group(), SHARED);
        for damaged in
            ["", "{", r#"{"group":"root"}"#, r#"{"group":"stoa-../x"}"#, r#"{"group":"stoa-ABCDEF01"}"#]
        {
            std::fs::write(file(&other), damaged).unwrap();
            let error = Names::of(&other).unwrap_err().to_string();
            assert!(error.contains("users.json: it is damaged"), "{error}");
        }
    }

    #[tokio::test]
    async fn as_root_a_sites_users_are_made_once_and_removed_when_nothing_runs_as_them() {
        if !rustix::process::geteuid().is_root() {
            let paths = Paths::new("/nonexistent");
            assert_eq!(ensure(&paths).await.unwrap(), Users::caller());
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("s"));
        let names = Names::of(&paths).unwrap();
        let made = ensure(&paths).await;
        let cleared = async { remove(&names).await.and(Ok(())) };
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let _ = cleared.await;
                panic!("{error}");
            }
        };
        let again = ensure(&paths).await;
        let app = made.tier(Tier::App).unwrap();
        let mut child = std::process::Command::new("sleep");
        std::os::unix::process::CommandExt::uid(&mut child, app.uid);
        let mut child = child.arg("60").spawn().unwrap();
        let busy = remove(&names).await;
        child.kill().unwrap();
        child.wait().unwrap();
        cleared.await.unwrap();
        assert_eq!(again.unwrap(), made);
        assert_eq!(app.gid, made.root_and_group().unwrap().gid);
        assert!(busy.unwrap_err().to_string().contains("processes still run as it"));
        assert_eq!(lookup_group(names.group()).unwrap(), None);
        assert!(Tier::ALL.into_iter().all(|tier| lookup_user(&names.user(tier)).unwrap().is_none()));
        remove(&names).await.unwrap();
        assert!(Users::installed(&paths).unwrap_err().to_string().contains("there is none; `stoa up`"));
    }
}
