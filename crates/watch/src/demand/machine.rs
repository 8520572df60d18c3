//! How busy and how full a machine is, from the text of `/proc/stat` and `/proc/meminfo` (proc_stat(5),
//! proc_meminfo(5)). The caller reads the files.

/// How busy and how full a machine is; what is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Machine {
    /// The share of its processors' time that was used, 0 to 1.
    pub cpu: Option<f64>,
    /// The share of its memory that is not available, 0 to 1.
    pub memory: Option<f64>,
}

/// Makes a [`Machine`] of each text, with the one before in mind: processor time is told by differences.
#[derive(Debug, Clone, Default)]
pub struct MachineReader {
    before: Option<Ticks>,
}

/// Processor time since the boot, in clock ticks.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    busy: u64,
    idle: u64,
}

impl MachineReader {
    /// One that has read nothing: its first reading tells no processor time.
    pub fn new() -> Self {
        Self::default()
    }

    /// The machine between the last reading and this one.
    pub fn read(&mut self, stat: &str, meminfo: &str) -> Machine {
        let now = ticks(stat);
        let before = std::mem::replace(&mut self.before, now);
        let cpu = before.zip(now).and_then(|(before, now)| {
            let busy = now.busy.checked_sub(before.busy)? as f64;
            let idle = now.idle.checked_sub(before.idle)? as f64;
            (busy + idle > 0.0).then(|| busy / (busy + idle))
        });
        Machine { cpu, memory: memory(meminfo) }
    }
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal; the guests' time behind that is
/// in user and nice already. Time that was stolen was not there to be used, so it counts as used.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Result<Vec<u64>, _> = line.split_ascii_whitespace().map(str::parse).collect();
    match *fields.ok()?.as_slice() {
        [user, nice, system, idle, ref more @ ..] => {
            let of = |place: usize| more.get(place).copied().unwrap_or(0);
            let busy = [user, nice, system, of(1), of(2), of(3)];
            Some(Ticks {
                busy: busy.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks)),
                idle: idle.saturating_add(of(0)),
            })
        }
        _ => None,
    }
}

fn memory(meminfo: &str) -> Option<f64> {
    let kilobytes = |key: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        value.split_ascii_whitespace().next()?.parse::<f64>().ok().filter(|value| value.is_finite())
    };
    let (total, available) = (kilobytes("MemTotal")?, kilobytes("MemAvailable")?);
    (total > 0.0).then(|| (1.0 - available / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal:       8000000 kB\nMemFree:         100 kB\nMemAvailable:    6000000 kB\n";

    #[test]
    fn processors_and_memory() {
        let rows: [(&str, Option<f64>); 8] = [
            // The first reading only begins.
            ("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1\n", None),
            // 30 busy (one of them stolen, the guest's within user) and 70 idle (20 of them waiting for a disk).
            ("cpu  115 2 60 850 70 1 1 1 10 0\n", Some(0.3)),
            // No time has passed.
            ("cpu  115 2 60 850 70 1 1 1 10 0\n", None),
            ("cpu  125 2 60 850 70 1 1 1 10 0\n", Some(1.0)),
            // Not readable: neither this nor the next one is known.
            ("", None),
            ("cpu  125 2 60 860 70 1 1 1\n", None),
            // Waiting for a disk may be taken back (proc_stat(5)).
            ("cpu  125 2 60 860 60 1 1 1\n", None),
            ("cpu  125 2 60 870 60 1 1 1\n", Some(0.0)),
        ];
        let mut reader = MachineReader::new();
        for (n, (stat, cpu)) in rows.iter().enumerate() {
            let machine = reader.read(stat, MEMINFO);
            assert_eq!((machine.cpu, machine.memory), (*cpu, Some(0.25)), "{n}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_zero() {
        for (stat, meminfo) in [
            ("", ""),
            ("cpu  x 0 0 0\n", "MemTotal: x kB\nMemAvailable: 1 kB\n"),
            ("cpu  1 2\n", "MemTotal: 100 kB\n"),
            ("cpu0 1 2 3 4\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"),
            ("cpu  18446744073709551616 0 0 0\n", "MemAvailable: 5 kB\nMemTotalX: 7 kB\n"),
        ] {
            let mut reader = MachineReader::new();
            reader.read(stat, meminfo);
            assert_eq!(reader.read(stat, meminfo), Machine::default(), "{stat:?} {meminfo:?}");
        }
        // An old kernel tells four fields.
        let mut reader = MachineReader::new();
        reader.read("cpu  0 0 0 0", "");
        assert_eq!(reader.read("cpu  1 0 0 3", "").cpu, Some(0.25));
    }
}
