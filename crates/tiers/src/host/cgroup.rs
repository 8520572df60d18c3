//! A control group an instance, where the machine allows it: it bounds memory, holds every descendant
//! whatever session it opened, and lies outside the daemon's own service, so that stopping that service
//! leaves the site standing.
//!
//! Everything here is a bonus: where it cannot be had, instances run without.

use std::path::{Path, PathBuf};
use stoa_model::{Digest, InstanceId, Paths};

/// The control groups of one site.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    site: Option<PathBuf>,
    memory: bool,
}

impl Cgroups {
    /// Finds the version 2 hierarchy and makes a group for the site with this state folder.
    pub(crate) fn find(paths: &Paths) -> Self {
        let none = Cgroups { site: None, memory: false };
        let Some(mount) = mount_point() else { return none };
        // Two sites of one name with different state folders must never share a group.
        let name = paths.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = Digest::of(paths.root().as_os_str().as_encoded_bytes());
        let all = mount.join("stoa");
        let site = all.join(format!("{name}-{digest}"));
        if let Err(error) = std::fs::create_dir_all(&site) {
            tracing::debug!(%error, "no control groups here: instances run without");
            return none;
        }
        let mut memory = true;
        for folder in [&mount, &all, &site] {
            memory &= std::fs::write(folder.join("cgroup.subtree_control"), "+memory").is_ok();
        }
        if !memory {
            tracing::info!("this machine cannot bound the memory of an instance: [app] memory has no effect");
        }
        Cgroups { site: Some(site), memory }
    }

    /// Removes the site's group when the last instance is gone.
    pub(crate) fn remove(&self) {
        if let Some(site) = &self.site {
            remove(site);
        }
    }

    /// Makes the group of an instance, with its bound on memory.
    pub(crate) fn make(&self, instance: InstanceId, memory: Option<u64>) -> Option<PathBuf> {
        let group = self.site.as_ref()?.join(instance.to_string());
        if let Err(error) = std::fs::create_dir_all(&group) {
            tracing::debug!(%error, %instance, "no control group");
            return None;
        }
        if self.memory {
            let bound = memory.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
            if let Err(error) = std::fs::write(group.join("memory.max"), bound) {
                tracing::warn!(%error, %instance, "its memory is not bounded");
            }
        }
        Some(group)
    }
}

/// Every process in a group.
pub(crate) fn members(group: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Kills every process in a group at once; kernels before 5.14 cannot, then they are killed one by one.
pub(crate) fn kill(group: &Path) {
    if let Err(error) = std::fs::write(group.join("cgroup.kill"), "1") {
        tracing::debug!(%error, group = %group.display(), "cannot be killed as one");
    }
}

/// Removes an empty group.
pub(crate) fn remove(group: &Path) {
    // Some process may still be on its way out; an empty group left behind costs nothing.
    let _ = std::fs::remove_dir(group);
}

fn mount_point() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found = lines.filter(|fields| fields.get(2) == Some(&"cgroup2"));
    found.find_map(|fields| fields.get(1).map(PathBuf::from))
}
