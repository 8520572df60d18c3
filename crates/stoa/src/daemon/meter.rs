//! The meter: what is asked of the tiers that are scaled by demand, once a second, from the balancers'
//! reports. It measures and hands to the store; what follows is decided elsewhere.

use super::hands::Hands;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stoa_model::demand::Sample;
use stoa_model::intent::Power;
use stoa_model::{Demand, Millis, Tier, Time};
use stoa_tiers::host::{clock, usage};
use stoa_watch::demand::{MachineReader, Sampler};

/// How often it is measured.
const EVERY: Duration = Duration::from_secs(1);
/// How many minutes of past days are looked ahead: longer than any start-up.
const AHEAD_MINUTES: u32 = 10;
const MINUTE_MS: u64 = 60_000;

/// What one tier was measured as so far.
#[derive(Default)]
struct Measured {
    demand: Demand,
    /// The minute that is being measured, with the sum and the count of its samples.
    minute: Option<(i64, f64, u32)>,
}

/// Measures for as long as the daemon lives.
pub(super) async fn run<S: Store>(store: Arc<S>, hands: Arc<Hands>) {
    let mut sampler = Sampler::new();
    let mut machine = MachineReader::default();
    let mut tiers: BTreeMap<Tier, Measured> = BTreeMap::new();
    let mut nginx: Option<(Time, u64)> = None;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let intent = match store.intent().await {
            Ok(Some(intent)) if intent.power == Power::On => intent,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!("nothing is measured: {error}");
                continue;
            }
        };
        let scaled = |tier| !intent.count(tier).is_fixed();
        let cpu = web_cpu(&hands).await;
        let now = clock::now();
        let busy_cores = busy_cores(&mut nginx, now, cpu);
        let machine = machine.read(&text("/proc/stat"), &text("/proc/meminfo"));
        let Some(heard) = hands.heard() else { continue };
        let reports: Vec<_> = heard.iter().map(|(id, started, report)| (*id, *started, report)).collect();
        let (web_serving, app_serving) = serving(&*store).await;
        let app = sampler.app(now, &reports, app_serving, machine);
        let web = sampler.web(now, busy_cores, &reports, web_serving, machine);
        for (tier, sample) in [(Tier::App, app), (Tier::Web, web)] {
            if !scaled(tier) {
                if tiers.remove(&tier).is_some() {
                    note(store.put_demand(tier, None).await);
                }
                continue;
            }
            let measured = tiers.entry(tier).or_default();
            if let Some(sample) = sample {
                measured.demand.keep(sample);
                note(remember(&*store, tier, measured, &sample).await);
            }
            note(store.put_demand(tier, Some(measured.demand.clone())).await);
        }
    }
}

/// Adds a sample to its minute; a minute that is over is kept, and past days are looked up anew.
async fn remember(
    store: &impl Store,
    tier: Tier,
    measured: &mut Measured,
    sample: &Sample,
) -> Result<(), StoreError> {
    let minute = i64::try_from(clock::unix_ms() / MINUTE_MS).unwrap_or(i64::MAX);
    match &mut measured.minute {
        Some((current, sum, count)) if *current == minute => {
            *sum += sample.concurrency;
            *count += 1;
        }
        other => {
            let over = other.replace((minute, sample.concurrency, 1));
            if let Some((minute, sum, count)) = over {
                store.put_load(tier, minute, sum / f64::from(count)).await?;
            }
            measured.demand.same_hour = store.past_load(tier, minute, AHEAD_MINUTES).await?;
        }
    }
    Ok(())
}

/// The processor time of all nginx together, in milliseconds.
async fn web_cpu(hands: &Hands) -> Option<u64> {
    let running = hands.processes().running();
    let web = running.iter().filter(|subject| subject.instance.tier == Tier::Web);
    let pids: BTreeMap<_, _> = web.map(|subject| (subject.instance, subject.pid)).collect();
    let used = tokio::task::spawn_blocking(move || usage::of_instances(&pids)).await.ok()?;
    Some(used.values().map(|usage| usage.cpu.0).sum())
}

/// How many cores they used since the last reading; unknown where one of them ended meanwhile.
fn busy_cores(before: &mut Option<(Time, u64)>, now: Time, cpu: Option<u64>) -> Option<f64> {
    let was = std::mem::replace(before, cpu.map(|cpu| (now, cpu)))?;
    let Millis(span) = now.since(was.0);
    let grown = cpu?.checked_sub(was.1)?;
    (span > 0).then(|| grown as f64 / span as f64)
}

/// How many instances of web and of app are routed to.
async fn serving(store: &impl Store) -> (usize, usize) {
    let routes = store.decided().await.map(|(_, routes)| routes).unwrap_or_default();
    (routes.web.len(), routes.app.len())
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn note(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!("what was measured could not be kept: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_follow_from_two_readings_and_an_ended_process_gives_none() {
        let mut before = None;
        assert_eq!(busy_cores(&mut before, Time(1000), Some(500)), None);
        assert_eq!(busy_cores(&mut before, Time(2000), Some(1500)), Some(1.0));
        assert_eq!(busy_cores(&mut before, Time(3000), Some(100)), None, "counters went back");
        assert_eq!(busy_cores(&mut before, Time(3000), Some(100)), None, "no time has passed");
        assert_eq!(busy_cores(&mut before, Time(4000), None), None);
        assert_eq!(busy_cores(&mut before, Time(5000), Some(1)), None);
    }
}
