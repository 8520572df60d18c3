//! What processes and the host use: processor, memory, files, disk (utilisation and saturation).

use super::proc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use stoa_model::{InstanceId, Millis};

/// What an instance uses: its main process and everything in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time since it started, with that of children it has waited for.
    pub cpu: Millis,
    /// Bytes of memory in core; pages that its processes share count for each.
    pub resident: u64,
    /// Open files, where they may be counted.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
}

/// What the host has and uses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostUsage {
    /// Processors.
    pub cpus: u64,
    /// Processor time spent working since boot, all processors together.
    pub cpu_busy: Millis,
    /// Processor time spent waiting for work since boot, all processors together.
    pub cpu_idle: Millis,
    /// Processes that ran or waited to run, on average over the last minute.
    pub load: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of memory that could be had without swapping.
    pub memory_available: u64,
    /// Of 100, how long something waited over the last ten seconds; where the kernel tells.
    pub pressure: Option<Pressure>,
    /// Bytes of the disk that holds the state.
    pub disk: u64,
    /// Bytes of it that are free for us.
    pub disk_available: u64,
}

/// Pressure stall information (`some avg10`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pressure {
    /// Waited for a processor.
    pub cpu: f64,
    /// Waited for memory.
    pub memory: f64,
    /// Waited for a disk.
    pub io: f64,
}

/// What instances use, by the pid of their main process. Blocks for a few milliseconds.
pub fn of_instances(pids: &BTreeMap<InstanceId, u32>) -> BTreeMap<InstanceId, Usage> {
    let by_session: BTreeMap<u32, InstanceId> = pids.iter().map(|(id, pid)| (*pid, *id)).collect();
    let mut usages = BTreeMap::new();
    for stat in proc::all() {
        let Some(instance) = by_session.get(&stat.session).or_else(|| by_session.get(&stat.pid)) else {
            continue;
        };
        let usage: &mut Usage = usages.entry(*instance).or_default();
        usage.cpu.0 += ticks(stat.ticks);
        usage.resident += stat.resident;
        usage.threads += stat.threads;
        usage.processes += 1;
        usage.open_files += open_files(stat.pid);
    }
    usages
}

/// What one process uses, such as the daemon itself.
pub fn of_process(pid: u32) -> Option<Usage> {
    let stat = proc::stat(pid)?;
    Some(Usage {
        cpu: Millis(ticks(stat.ticks)),
        resident: stat.resident,
        open_files: open_files(pid),
        threads: stat.threads,
        processes: 1,
    })
}

/// What the host has and uses; `state` lies on the disk that is looked at. What cannot be read is zero.
pub fn of_host(state: &Path) -> HostUsage {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpus, cpu_busy, cpu_idle) = cpu(&read("/proc/stat"));
    let memory = read("/proc/meminfo");
    let load = read("/proc/loadavg");
    let disk = rustix::fs::statvfs(state).ok();
    HostUsage {
        cpus,
        cpu_busy,
        cpu_idle,
        load: load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default(),
        memory: kilobytes(&memory, "MemTotal:"),
        memory_available: kilobytes(&memory, "MemAvailable:"),
        pressure: pressure(),
        disk: disk.as_ref().map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
        disk_available: disk.as_ref().map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}

fn ticks(count: u64) -> u64 {
    count.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)
}

fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// Number of processors, time at work, time idle.
fn cpu(stat: &str) -> (u64, Millis, Millis) {
    let all = stat.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    let times: Vec<u64> = all.split_ascii_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let time = |place: usize| times.get(place).copied().unwrap_or_default();
    // user nice system idle iowait irq softirq steal (guest times are in user and nice).
    let busy = time(0) + time(1) + time(2) + time(5) + time(6) + time(7);
    let numbered = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = stat.lines().filter(numbered).count() as u64;
    (cpus, Millis(ticks(busy)), Millis(ticks(time(3) + time(4))))
}

fn kilobytes(meminfo: &str, key: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let number: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    number.saturating_mul(1024)
}

fn pressure() -> Option<Pressure> {
    let of = |what: &str| some_avg10(&std::fs::read_to_string(format!("/proc/pressure/{what}")).ok()?);
    Some(Pressure { cpu: of("cpu")?, memory: of("memory")?, io: of("io")? })
}

fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n";
        let (cpus, busy, idle) = cpu(stat);
        assert_eq!((cpus, busy, idle), (2, Millis(ticks(171)), Millis(ticks(4050))));
        assert_eq!(kilobytes("MemTotal:       2048 kB\nMemAvailable: 1 kB\n", "MemTotal:"), 2048 * 1024);
        assert_eq!(some_avg10("some avg10=1.50 avg60=0.00\nfull avg10=9.00\n"), Some(1.5));
        assert_eq!(some_avg10("nothing"), None);
    }

    #[test]
    fn this_host_is_measured() {
        let host = of_host(Path::new("/"));
        assert!(host.cpus > 0 && host.memory > host.memory_available && host.disk > host.disk_available);
        assert!(of_process(std::process::id()).unwrap().resident > 0);
    }
}
