//! Gauges: what processes use and what goes through them, over the last seconds. For people and their
//! monitoring; nothing is decided by it.

use super::hands::Hands;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stoa_model::control::Report;
use stoa_model::{InstanceId, Paths, Time};
use stoa_tiers::host::clock;
use stoa_tiers::host::usage::{self, HostUsage, Usage};

/// How often it is measured.
const EVERY: Duration = Duration::from_secs(2);

/// What was measured last.
#[derive(Debug)]
pub(crate) struct Gauges {
    began: Time,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default, Clone)]
struct Latest {
    at: Time,
    usage: BTreeMap<InstanceId, Usage>,
    /// Answered requests by instance, over all balancers, since those started.
    answered: BTreeMap<InstanceId, u64>,
    instances: BTreeMap<InstanceId, InstanceGauges>,
    host: HostUsage,
    daemon: Usage,
}

/// What one instance uses and answers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct InstanceGauges {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Of one core.
    pub(crate) cpu_percent: Option<f64>,
    /// Over all balancers.
    pub(crate) requests_per_second: Option<f64>,
}

impl Gauges {
    /// Nothing measured yet.
    pub(crate) fn new() -> Self {
        Gauges { began: clock::now(), latest: Mutex::default() }
    }

    /// When the daemon began.
    pub(crate) fn began(&self) -> Time {
        self.began
    }

    /// What an instance uses and answers; nothing where it was not measured yet.
    pub(crate) fn of(&self, id: InstanceId) -> InstanceGauges {
        self.latest().instances.get(&id).copied().unwrap_or_default()
    }

    /// The daemon's own memory, bytes.
    pub(crate) fn own_memory(&self) -> u64 {
        self.latest().daemon.resident
    }

    /// What every instance, the host and the daemon use.
    pub(crate) fn usage(&self) -> (BTreeMap<InstanceId, Usage>, HostUsage, Usage) {
        let latest = self.latest();
        (latest.usage.clone(), latest.host.clone(), latest.daemon)
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures for as long as the daemon lives.
pub(super) async fn run(gauges: Arc<Gauges>, hands: Arc<Hands>, paths: Paths) {
    loop {
        let pids: BTreeMap<_, _> =
            hands.processes().running().iter().map(|subject| (subject.instance, subject.pid)).collect();
        let answered = answered(&hands.reports());
        let state = paths.root().to_owned();
        let measured = tokio::task::spawn_blocking(move || {
            (usage::of_instances(&pids), usage::of_host(&state), usage::of_process(std::process::id()))
        });
        if let Ok((usage, host, daemon)) = measured.await {
            let before = gauges.latest().clone();
            let now = clock::now();
            let daemon = daemon.unwrap_or_default();
            let mut latest = Latest { at: now, usage, answered, instances: BTreeMap::new(), host, daemon };
            latest.instances = latest.usage.keys().map(|id| (*id, instance(*id, &before, &latest))).collect();
            *gauges.latest() = latest;
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn instance(id: InstanceId, before: &Latest, now: &Latest) -> InstanceGauges {
    let span = now.at.since(before.at).0 as f64;
    let rate = |earlier: Option<u64>, later: Option<u64>| {
        let grown = later?.checked_sub(earlier?)?;
        (span > 0.0).then(|| grown as f64 / span)
    };
    let used = now.usage.get(&id);
    let cpu = rate(before.usage.get(&id).map(|u| u.cpu.0), used.map(|u| u.cpu.0));
    let requests = rate(before.answered.get(&id).copied(), now.answered.get(&id).copied());
    InstanceGauges {
        memory: used.map(|usage| usage.resident),
        cpu_percent: cpu.map(|share| share * 100.0),
        requests_per_second: requests.map(|per_ms| per_ms * 1000.0),
    }
}

fn answered(reports: &[Report]) -> BTreeMap<InstanceId, u64> {
    let mut sums = BTreeMap::new();
    for (id, upstream) in reports.iter().flat_map(|report| &report.instances) {
        *sums.entry(*id).or_default() += upstream.traffic.status.iter().sum::<u64>();
    }
    sums
}
