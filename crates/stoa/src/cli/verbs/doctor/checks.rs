//! What a machine is asked besides its programs: the address, the state folder, the disk, its rights.

use crate::cli::locate::Loaded;
use crate::cli::render::doctor::{Row, Verdict};
use crate::cli::render::units;
use crate::cli::session::Session;
use crate::client::Client;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use stoa_model::Port;
use stoa_tiers::host::ports;

/// A release, its packages and a database's first files take a few hundred MB.
const DISK_MIN: u64 = 1 << 30;

/// All of them; those of a site only where one is known.
pub(super) fn rows(loaded: Option<&Loaded>, session: &mut Session) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(loaded) = loaded {
        rows.push(address(loaded, session));
        rows.push(state(loaded.paths.root()));
    }
    let root = loaded.map_or(Path::new("/"), |loaded| loaded.paths.root());
    rows.push(disk(root));
    rows.push(rights());
    rows.push(cgroup());
    rows
}

fn address(loaded: &Loaded, session: &mut Session) -> Row {
    let listen = loaded.site.balancer.listen;
    let row = |verdict, text| Row {
        what: listen.to_string(),
        verdict,
        text,
        why: "where visitors connect".to_owned(),
    };
    let ours = session.wait(Client::new(&loaded.paths).status()).is_ok_and(|status| status.is_ok());
    if ours {
        return row(Verdict::Good, "held by this site, which runs".to_owned());
    }
    match taken(listen) {
        None => row(Verdict::Good, "free".to_owned()),
        Some(why) => row(Verdict::Missing, format!("{why}; stop it, or set [balancer] listen")),
    }
}

fn taken(listen: SocketAddr) -> Option<String> {
    // Bound and let go at once; std sets SO_REUSEADDR, so that closed connections do not count.
    let error = TcpListener::bind(listen).err()?;
    let owner = Port::try_from(listen.port()).ok().and_then(ports::who_listens);
    Some(owner.map_or_else(|| error.to_string(), |owner| format!("taken by {owner}")))
}

fn state(root: &Path) -> Row {
    let row = |verdict, text| Row {
        what: "state folder".to_owned(),
        verdict,
        text,
        why: root.display().to_string(),
    };
    let Some(there) = root.ancestors().find(|folder| folder.exists()) else {
        return row(Verdict::Missing, "no folder above it exists".to_owned());
    };
    let writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
    match (there.is_dir(), writable) {
        (true, true) => row(Verdict::Good, "can be written".to_owned()),
        (true, false) => row(
            Verdict::Missing,
            format!("{} may not be written by this user; give --state DIR", there.display()),
        ),
        (false, _) => row(Verdict::Missing, format!("{} is a file", there.display())),
    }
}

fn disk(root: &Path) -> Row {
    let row = |verdict, text| Row {
        what: "disk".to_owned(),
        verdict,
        text,
        why: "room for releases and data".to_owned(),
    };
    let there = root.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let text = format!("{} free at {}", units::bytes(free), there.display());
            row(if free < DISK_MIN { Verdict::Note } else { Verdict::Good }, text)
        }
        Err(error) => row(Verdict::Note, format!("could not be told: {error}")),
    }
}

fn rights() -> Row {
    let root = rustix::process::geteuid().is_root();
    let (verdict, text) = if root {
        (Verdict::Good, "root: every tier runs as a user of its own")
    } else {
        (Verdict::Note, "not root: every tier runs as you; packages need sudo")
    };
    Row { what: "user".to_owned(), verdict, text: text.to_owned(), why: "rights of the tiers".to_owned() }
}

fn cgroup() -> Row {
    let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().map(Path::new);
    let mount = mount.into_iter().find(|mount| mount.join("cgroup.controllers").is_file());
    let writable =
        |mount: &Path| rustix::fs::access(mount.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok();
    let has_memory = |mount: &Path| {
        std::fs::read_to_string(mount.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|one| one == "memory"))
    };
    let (verdict, text) = match mount {
        Some(mount) if writable(mount) && has_memory(mount) => {
            (Verdict::Good, "version 2: [app] memory is enforced")
        }
        Some(mount) if writable(mount) => {
            (Verdict::Note, "version 2 without memory: [app] memory has no effect")
        }
        Some(_) => (Verdict::Note, "not writable for this user: [app] memory has no effect"),
        None => (Verdict::Note, "no version 2 here: [app] memory has no effect"),
    };
    Row { what: "cgroup".to_owned(), verdict, text: text.to_owned(), why: "bounds on instances".to_owned() }
}
