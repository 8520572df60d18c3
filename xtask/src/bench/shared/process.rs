//! A process that the bench started, with its children: what the kernel says it cost, and its end.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server asked to end gets so long.
const GRACE: Duration = Duration::from_secs(3);
/// Memory that has not changed for so long changes no more.
const STEADY_FOR: Duration = Duration::from_millis(300);
/// It is waited for that for so long.
const STEADY_WITHIN: Duration = Duration::from_secs(10);

/// Ended when dropped, its children with it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` in the foreground, silent but for its errors. It reads `input`.
    pub(crate) fn start(command: &mut Command, input: Stdio) -> Result<Process, String> {
        let started = command.stdin(input).stdout(Stdio::null()).spawn();
        let child = started.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Process { child })
    }

    /// How it ended, where it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Microseconds of CPU that it and its children used since they started, in the kernel and outside.
    pub(crate) fn cpu(&self) -> u64 {
        // The fields 14 and 15 of proc_pid_stat(5); the list begins with the third.
        let used = |fields: &[u64]| fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
        let ticks: u64 = self.all().iter().filter_map(|pid| stat(*pid)).map(|fields| used(&fields)).sum();
        ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
    }

    /// Bytes of memory that are its own and its children's: what is shared is counted in parts.
    pub(crate) fn memory(&self) -> u64 {
        let of = |pid: &u32| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
        };
        self.all().iter().filter_map(of).sum::<u64>() * 1024
    }

    /// The memory once it has not changed for a moment.
    pub(crate) fn steady_memory(&self) -> u64 {
        let deadline = Instant::now() + STEADY_WITHIN;
        let (mut since, mut memory) = (Instant::now(), self.memory());
        while since.elapsed() < STEADY_FOR && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.memory();
            if now != memory {
                (since, memory) = (Instant::now(), now);
            }
        }
        memory
    }

    /// Itself and all that descend from it.
    fn all(&self) -> BTreeSet<u32> {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let parents: Vec<(u32, u64)> = pids.filter_map(|pid| Some((pid, *stat(pid)?.get(1)?))).collect();
        let mut family = BTreeSet::from([self.child.id()]);
        loop {
            let born = parents.iter().filter(|(_, parent)| family.contains(&(*parent as u32)));
            let born: Vec<u32> = born.map(|(pid, _)| *pid).filter(|pid| !family.contains(pid)).collect();
            if born.is_empty() {
                return family;
            }
            family.extend(born);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        // Read before the end: an orphan is no longer found by its parent.
        let family = self.all();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.ended().is_none() {
            for pid in family {
                signal(pid, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile, which is what is wanted.
        let _ = kill_process(pid, signal);
    }
}

/// The numbers of a process' stat file after its name; the letter of its state reads as zero.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}
