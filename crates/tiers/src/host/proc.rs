//! What the kernel tells of processes (proc(5)). Reads only.

use rustix::process::Pid;
use stoa_model::Time;

/// One process, from `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub pid: u32,
    /// Its program's name, as far as the kernel keeps it.
    pub name: String,
    /// One letter; `Z` is dead and waits for its parent to notice.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its session: the pid of the process that opened it.
    pub session: u32,
    /// Ticks of processor time, its own and that of the children it has waited for.
    pub ticks: u64,
    /// Threads.
    pub threads: u64,
    /// When it started.
    pub started: Time,
    /// Bytes of memory in core.
    pub resident: u64,
}

impl Stat {
    /// Parses the one line of `/proc/PID/stat`.
    pub fn parse(line: &str) -> Option<Self> {
        // The name stands in parentheses and may itself hold spaces and parentheses.
        let (head, tail) = line.rsplit_once(')')?;
        let (pid, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // proc(5) numbers from 1; the first field after the name is number 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let count = |number: usize| field(number)?.parse::<u64>().ok();
        let hertz = rustix::param::clock_ticks_per_second().max(1);
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Some(Stat {
            pid: pid.trim().parse().ok()?,
            name: name.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            ticks: count(14)? + count(15)? + count(16)? + count(17)?,
            threads: count(20)?,
            started: Time(count(22)?.saturating_mul(1000) / hertz),
            resident: count(24)?.saturating_mul(page),
        })
    }

    /// Whether it has ended and only waits to be reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// One process; `None` when there is none of that number.
pub fn stat(pid: u32) -> Option<Stat> {
    Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process that can be seen.
pub fn all() -> Vec<Stat> {
    pids().into_iter().filter_map(stat).collect()
}

/// The numbers of every process that can be seen.
pub fn pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The number as the type that system calls take.
pub fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let line = "42 (a) Z 1 (b) S 7 42 41 0 -1 4194560 1 2 3 4 10 20 5 6 20 0 3 0 1234 5000 17 1844 0 0\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, "a) Z 1 (b", 'S'));
        assert_eq!((stat.parent, stat.session, stat.ticks, stat.threads), (7, 41, 41, 3));
        assert_eq!(stat.started, Time(1234 * 1000 / rustix::param::clock_ticks_per_second()));
        assert_eq!(stat.resident, 17 * rustix::param::page_size() as u64);
    }

    #[test]
    fn what_is_no_stat_line_is_refused() {
        for line in ["", "42", "42 (x)", "42 (x) S 1", "x (y) S 1 1 1"] {
            assert_eq!(Stat::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let me = stat(std::process::id()).unwrap();
        assert_eq!(me.pid, std::process::id());
        assert!(!me.is_dead() && me.resident > 0 && me.threads > 0);
        assert!(me.started <= crate::host::clock::now());
        assert!(pids().contains(&me.pid));
    }
}
