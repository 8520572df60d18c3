//! The system's own services of the programs we install: which of them the installation started or
//! enabled, and how to undo that. Those that were there before are left alone.

use super::command;
use std::collections::BTreeMap;
use std::path::Path;

/// How one service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Service {
    /// It runs.
    pub(crate) active: bool,
    /// It starts with the machine.
    pub(crate) enabled: bool,
}

/// The services of our kinds of server that a machine has, by name.
pub(crate) type Services = BTreeMap<String, Service>;

/// What is to be undone of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undo {
    /// Which.
    pub(crate) name: String,
    /// It is to be stopped.
    pub(crate) stop: bool,
    /// It is not to start with the machine.
    pub(crate) disable: bool,
}

/// What an installation between `before` and `after` has to undo.
pub(crate) fn undo(before: &Services, after: &Services) -> Vec<Undo> {
    let step = |(name, now): (&String, &Service)| {
        let was = before.get(name).copied().unwrap_or_default();
        let undo = Undo {
            name: name.clone(),
            stop: now.active && !was.active,
            disable: now.enabled && !was.enabled,
        };
        (undo.stop || undo.disable).then_some(undo)
    };
    after.iter().filter_map(step).collect()
}

/// Whether a service is one of a server that we install.
pub(crate) fn of_ours(name: &str) -> bool {
    let php = name.strip_prefix("php").and_then(|rest| rest.strip_suffix("-fpm"));
    let version = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    matches!(name, "nginx" | "mariadb" | "mysql" | "mysqld" | "redis-server" | "redis" | "memcached")
        || php.is_some_and(version)
}

/// The services of this machine as they are.
pub(crate) fn snapshot() -> Services {
    if systemd() { units() } else { scripts() }
}

/// Does it. What could not be done is told as sentences.
pub(crate) fn quiet(undo: &[Undo]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut run = |program: &str, arguments: &[&str]| {
        if !command::ask(program, arguments).is_some_and(|(well, _)| well) {
            problems.push(format!("`{program} {}` failed", arguments.join(" ")));
        }
    };
    for Undo { name, stop, disable } in undo {
        if systemd() {
            if *stop {
                run("systemctl", &["stop", name]);
            }
            if *disable {
                run("systemctl", &["disable", "--quiet", name]);
            }
            continue;
        }
        if *stop {
            run("/usr/sbin/service", &[name, "stop"]);
        }
        if *disable {
            run("/usr/sbin/update-rc.d", &[name, "disable"]);
        }
    }
    problems
}

/// Whether systemd runs this machine (sd_booted(3)).
fn systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn units() -> Services {
    let list = ["list-unit-files", "--type=service", "--no-legend", "--no-pager"];
    let (_, text) = command::ask("systemctl", &list).unwrap_or_default();
    let mut services = unit_files(&text);
    let all: Vec<String> = services.keys().cloned().collect();
    for name in all {
        let asked = command::ask("systemctl", &["is-active", "--quiet", &name]);
        if let Some(service) = services.get_mut(&name) {
            service.active = asked.is_some_and(|(active, _)| active);
        }
    }
    services
}

/// From `systemctl list-unit-files`: name, state, preset.
pub(super) fn unit_files(text: &str) -> Services {
    let service = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.strip_suffix(".service")?;
        let enabled = words.next()? == "enabled";
        of_ours(name).then(|| (name.to_owned(), Service { active: false, enabled }))
    };
    text.lines().filter_map(service).collect()
}

/// Without systemd: the scripts of /etc/init.d, whose `status` looks at their own pid file and so never
/// takes one of our instances for theirs.
fn scripts() -> Services {
    let names = std::fs::read_dir("/etc/init.d").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| of_ours(name));
    let service = |name: String| {
        let status = command::ask("/usr/sbin/service", &[&name, "status"]);
        let active = status.is_some_and(|(running, _)| running);
        let enabled = starts_at_boot(&name);
        (name, Service { active, enabled })
    };
    names.map(service).collect()
}

/// Whether a start link of the usual run levels names the script.
fn starts_at_boot(name: &str) -> bool {
    let links = ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc5.d"]
        .into_iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut names = links.flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // S01nginx: S, two digits, the script.
    names.any(|link| link.starts_with('S') && link.get(3..) == Some(name))
}
