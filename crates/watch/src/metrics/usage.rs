//! Utilisation, saturation and errors of hosts and processes. What is not known is left out: a missing
//! answer is not zero.

use super::Exposition;
use stoa_model::{HostId, InstanceId};

/// What one process of an instance has used, or holds now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUse {
    /// Processor time since its start, its children's included.
    pub cpu_seconds: Option<f64>,
    /// Memory that is its alone or shared (RSS), in bytes.
    pub resident_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_files: Option<u64>,
    /// The most it may open.
    pub open_files_limit: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// What a host has used, or holds now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostUse {
    /// Processors.
    pub cpus: Option<u64>,
    /// Processor time of all of them since the boot, idle time left out.
    pub cpu_busy_seconds: Option<f64>,
    /// Runnable and waiting tasks, over one minute.
    pub load1: Option<f64>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory that programs could still have.
    pub memory_available_bytes: Option<u64>,
    /// The file system that holds the state folder.
    pub disk_bytes: Option<u64>,
    /// What an unprivileged user could still write to it.
    pub disk_available_bytes: Option<u64>,
    /// How saturated it is, where the kernel tells.
    pub pressure: Option<HostPressure>,
}

/// Of 100, how long something waited over the last ten seconds (pressure stall information).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostPressure {
    /// For a processor.
    pub cpu: f64,
    /// For memory.
    pub memory: f64,
    /// For a disk.
    pub io: f64,
}

impl Exposition {
    /// Adds what the process of `instance` uses; `stoa` itself goes by the name `daemon`.
    pub fn process(&mut self, instance: Option<InstanceId>, usage: &ProcessUse) {
        let id = instance.map_or("daemon".to_owned(), |instance| instance.to_string());
        let tier = instance.map_or("daemon", |instance| instance.tier.word());
        let labels = [("tier", tier), ("id", id.as_str())];
        if let Some(seconds) = usage.cpu_seconds {
            let help = "Processor time of the process and its children.";
            self.counter("stoa_process_cpu_seconds_total", help, &labels, seconds);
        }
        for (name, help, value) in [
            ("stoa_process_resident_bytes", "Resident memory of the process.", usage.resident_bytes),
            ("stoa_process_open_files", "Open files and sockets of the process.", usage.open_files),
            ("stoa_process_open_files_limit", "The most files it may open.", usage.open_files_limit),
            ("stoa_process_threads", "Threads of the process.", usage.threads),
        ] {
            if let Some(value) = value {
                self.gauge(name, help, &labels, value);
            }
        }
    }

    /// Adds what `host` uses.
    pub fn host(&mut self, host: &HostId, usage: &HostUse) {
        let name = host.to_string();
        let labels = [("host", name.as_str())];
        if let Some(seconds) = usage.cpu_busy_seconds {
            let help = "Processor time of all processors, idle time left out.";
            self.counter("stoa_host_cpu_busy_seconds_total", help, &labels, seconds);
        }
        if let Some(load) = usage.load1 {
            self.gauge("stoa_host_load1", "Runnable and waiting tasks over one minute.", &labels, load);
        }
        let pressure = usage.pressure.map(|p| [("cpu", p.cpu), ("memory", p.memory), ("io", p.io)]);
        for (resource, percent) in pressure.into_iter().flatten() {
            let labels = [("host", name.as_str()), ("resource", resource)];
            let help = "Of 100, how long something waited for it over the last ten seconds.";
            self.gauge("stoa_host_pressure_percent", help, &labels, percent);
        }
        for (name, help, value) in [
            ("stoa_host_cpus", "Processors.", usage.cpus),
            ("stoa_host_memory_bytes", "Memory.", usage.memory_bytes),
            (
                "stoa_host_memory_available_bytes",
                "Memory that programs could have.",
                usage.memory_available_bytes,
            ),
            ("stoa_host_disk_bytes", "Size of the file system of the state folder.", usage.disk_bytes),
            (
                "stoa_host_disk_available_bytes",
                "What can still be written to it.",
                usage.disk_available_bytes,
            ),
        ] {
            if let Some(value) = value {
                self.gauge(name, help, &labels, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::Tier;

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut metrics = Exposition::new();
        let known = ProcessUse { resident_bytes: Some(1 << 20), ..ProcessUse::default() };
        metrics.process(Some(InstanceId::new(Tier::App, 3)), &known);
        let known = ProcessUse { cpu_seconds: Some(0.25), threads: Some(4), ..ProcessUse::default() };
        metrics.process(None, &known);
        let pressure = Some(HostPressure { cpu: 1.5, ..HostPressure::default() });
        let known = HostUse { load1: Some(0.5), cpus: Some(2), pressure, ..HostUse::default() };
        metrics.host(&HostId::local(), &known);
        insta::assert_snapshot!(metrics.finish());
    }
}
