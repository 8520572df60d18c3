//! What Prometheus is told: rate, errors and duration of the balancer's faces, of the splitters and of every
//! instance behind them; use, saturation and errors of the host and the processes.

use super::State;
use crate::store::Store;
use stoa_model::observed::Detail;
use stoa_model::{HostId, Tier};
use stoa_tiers::host::usage::{HostUsage, Usage};
use stoa_watch::metrics::{Exposition, HostPressure, HostUse, ProcessUse};

/// The text of `/metrics`. What cannot be read now is left out, never told as zero.
pub(super) async fn exposition(state: &State) -> String {
    let mut text = Exposition::new();
    if let (Ok((roster, _)), Ok(observed)) = (state.store.decided().await, state.store.observed().await) {
        text.site(&roster, &observed);
        for (id, seen) in observed.hosts.values().flat_map(|host| &host.instances) {
            let Detail::Role { report, .. } = &seen.detail else { continue };
            match id.tier {
                Tier::Balancer => text.balancer(*id, report),
                Tier::Splitter => text.splitter(*id, report),
                _ => {}
            }
        }
    }
    let (instances, host, daemon) = state.gauges.usage();
    for (id, usage) in &instances {
        text.process(Some(*id), &process(usage));
    }
    text.process(None, &process(&daemon));
    text.host(&HostId::local(), &host_use(&host));
    text.finish()
}

fn process(usage: &Usage) -> ProcessUse {
    ProcessUse {
        cpu_seconds: Some(usage.cpu.0 as f64 / 1000.0),
        resident_bytes: Some(usage.resident),
        open_files: Some(usage.open_files),
        open_files_limit: None,
        threads: Some(usage.threads),
    }
}

/// What could not be read is zero in `usage`, and no machine has none of these.
fn host_use(usage: &HostUsage) -> HostUse {
    let known = |number: u64| (number > 0).then_some(number);
    HostUse {
        cpus: known(usage.cpus),
        cpu_busy_seconds: known(usage.cpu_busy.0).map(|ms| ms as f64 / 1000.0),
        load1: known(usage.cpus).map(|_| usage.load),
        memory_bytes: known(usage.memory),
        memory_available_bytes: known(usage.memory_available),
        disk_bytes: known(usage.disk),
        disk_available_bytes: known(usage.disk).map(|_| usage.disk_available),
        pressure: usage.pressure.map(|p| HostPressure { cpu: p.cpu, memory: p.memory, io: p.io }),
    }
}
