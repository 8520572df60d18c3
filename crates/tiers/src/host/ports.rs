//! Loopback ports that nothing listens on, and who listens on one that is taken.

use super::proc;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use stoa_model::Port;

/// Where ports for instances come from: above the well-known ones, below what the kernel usually gives
/// to outgoing connections.
const RANGE: RangeInclusive<u16> = 20_000..=32_767;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub program: String,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.program, self.pid)
    }
}

/// Up to `count` loopback ports that nothing listens on, none of them in the kernel's range of ephemeral
/// ports. `seed` says where the search begins, so that two sites of one machine rarely meet.
pub fn free_ports(count: usize, seed: u64) -> Vec<Port> {
    let ephemeral = ephemeral();
    let all: Vec<u16> = RANGE.filter(|port| !ephemeral.contains(port)).collect();
    let start = usize::try_from(seed % all.len().max(1) as u64).unwrap_or_default();
    let rotated = all.iter().skip(start).chain(all.iter().take(start));
    rotated.filter_map(|number| Port::try_from(*number).ok()).filter(|p| is_free(*p)).take(count).collect()
}

/// Whether a server could listen on this port of the loopback interface now.
pub fn is_free(port: Port) -> bool {
    can_bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.get())))
}

/// Whether nobody listens at this address. Nothing is ever accepted on it, even for an instant.
pub(crate) fn can_bind(address: SocketAddr) -> bool {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let Ok(socket) = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None) else {
        return false;
    };
    // Closed connections of the past do not count, listeners do.
    set_socket_reuseaddr(&socket, true).is_ok() && bind(&socket, &address).is_ok()
}

/// Whether anybody listens on this TCP port, whatever the address.
pub fn is_listened_on(port: Port) -> bool {
    !listening_inodes(port).is_empty()
}

/// Who listens on this TCP port, where that can be seen: only root sees into other users' processes.
pub fn who_listens(port: Port) -> Option<Listener> {
    let inodes = listening_inodes(port);
    if inodes.is_empty() {
        return None;
    }
    // The oldest first: workers share what their parent listens on, and the parent is who to name.
    let mut holders: Vec<proc::Stat> =
        proc::pids().into_iter().filter(|pid| holds(*pid, &inodes)).filter_map(proc::stat).collect();
    holders.sort_by_key(|stat| (stat.started, stat.pid));
    holders.into_iter().next().map(|stat| Listener { pid: stat.pid, program: stat.name })
}

fn listening_inodes(port: Port) -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|t| std::fs::read_to_string(t).unwrap_or_default());
    tables.iter().flat_map(|table| inodes_in(table, port)).collect()
}

/// The socket inodes of the lines in state LISTEN (0A) with this local port.
fn inodes_in(table: &str, port: Port) -> Vec<String> {
    let suffix = format!(":{:04X}", port.get());
    let lines = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| {
            fields.get(1).is_some_and(|local| local.ends_with(&suffix)) && fields.get(3) == Some(&"0A")
        })
        .filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

fn holds(pid: u32, inodes: &BTreeSet<String>) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| {
        let text = target.to_string_lossy();
        let inode = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.contains(inode))
    })
}

fn ephemeral() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_ascii_whitespace().filter_map(|bound| bound.parse().ok());
    match (bounds.next(), bounds.next()) {
        // A machine that gives nearly everything to outgoing connections leaves us nothing to avoid.
        (Some(low), Some(high)) if low > *RANGE.start() + 1000 => low..=high,
        (Some(_), Some(high)) if high < *RANGE.end() - 1000 => *RANGE.start()..=high,
        _ => 32_768..=60_999,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn free_ports_are_free_distinct_and_rotate() {
        let ports = free_ports(20, 7);
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(ports.iter().all(|port| is_free(*port) && !is_listened_on(*port)));
        let others = free_ports(20, 5000);
        assert!(ports.iter().all(|port| !others.contains(port)));
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0].get())).unwrap();
        assert!(!free_ports(20, 7).contains(&ports[0]));
        drop(taken);
    }

    #[test]
    fn the_owner_of_a_port_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = Port::try_from(listener.local_addr().unwrap().port()).unwrap();
        let owner = who_listens(port).unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(is_listened_on(port));
        drop(listener);
        assert_eq!(who_listens(port), None);
    }

    #[test]
    fn only_listening_lines_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx rx tr tm retr uid timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 0 0 111 1 x\n\
            1: 0100007F:1F90 0100007F:9999 01 0:0 00:0 0 0 0 222 1 x\n\
            2: 0100007F:1F91 00000000:0000 0A 0:0 00:0 0 0 0 333 1 x\n";
        assert_eq!(inodes_in(table, Port::try_from(8080).unwrap()), ["111"]);
    }
}
