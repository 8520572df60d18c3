//! One fault, made again and again while clients work, and what it cost each time. What the clients hold
//! against the database is compared by others.

use super::cluster::Cluster;
use super::fault::{Fault, Scene};
use super::pause::{longest, quantile};
use super::progress::Progress;
use super::servers::Servers;
use super::site::{Site, signal};
use super::watch::Watch;
use std::time::{Duration, Instant};

/// A site that does not come to rest within this is broken.
const HEALS_WITHIN: Duration = Duration::from_secs(90);
/// Acknowledged writes before a fault and behind it.
const CALM: usize = 200;
/// More of the journal is not told of one fault.
const MOST_ENTRIES: usize = 60;

/// What is drilled, and with what.
pub(crate) struct Drill {
    pub(crate) site: Site,
    pub(crate) servers: Servers,
    pub(crate) watch: Watch,
    pub(crate) origin: Instant,
    pub(crate) options: mysql_async::Opts,
}

/// What the rounds of a fault cost.
#[derive(Default)]
pub(crate) struct Cost {
    pub(crate) rounds: u32,
    pub(crate) pauses: Vec<Duration>,
    pub(crate) settled: Vec<Duration>,
    /// Rows that a canary was told to be written.
    pub(crate) canaries: Vec<u32>,
    /// Promises that were broken, in words.
    pub(crate) broken: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Drill {
    /// Waits until the site is as it should be.
    pub(crate) fn settles(&self) -> Result<Cluster, String> {
        self.heals(&[], None).map_err(|why| format!("the site does not settle: {why}"))
    }

    fn heals(&self, gone: &[u64], deposed: Option<&str>) -> Result<Cluster, String> {
        let deadline = Instant::now() + HEALS_WITHIN;
        loop {
            let found = Cluster::of(&self.site);
            let why = match found {
                Ok(cluster) => {
                    let still = cluster.primary().is_ok_and(|primary| Some(primary.id.as_str()) == deposed);
                    if cluster.settled && !cluster.names_any(gone) && !still {
                        return Ok(cluster);
                    }
                    cluster.amiss
                }
                Err(why) => why,
            };
            if Instant::now() > deadline {
                return Err(format!("not within {} s: {why}", HEALS_WITHIN.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the site wrote into its journal after an entry.
    fn journal(&self, after: Option<u64>) -> Vec<String> {
        let entries = after.and_then(|after| self.site.events(after).ok()).unwrap_or_default();
        entries.iter().take(MOST_ENTRIES).map(|entry| format!("journal: {entry}")).collect()
    }

    /// One round.
    pub(crate) fn round(
        &self,
        fault: Fault,
        round: u32,
        progress: &Progress,
        ledger: Option<&str>,
        cost: &mut Cost,
    ) -> Result<(), String> {
        if !progress.wait_for_more(CALM, HEALS_WITHIN) {
            return Err(format!("no load came up: {}", first(progress)));
        }
        let scene =
            Scene { site: &self.site, servers: &self.servers, watch: &self.watch, progress, ledger, round };
        // No daemon may answer; then the journal is not told.
        let journal = self.site.last_event().ok();
        let mut struck = scene.strike(fault)?;
        let healed = self.heals(&struck.gone, struck.deposed.as_deref());
        let settled = progress.now();
        if let Some(pid) = struck.stopped.filter(|_| healed.is_err()) {
            // It was not ended, so the next round would find it stopped.
            let _ = signal("CONT", pid);
        }
        if let Some(canary) = struck.canary.take() {
            let taken = canary.taken()?;
            if struck.too_late && !taken.is_empty() {
                cost.broken
                    .push(format!("round {round}: the old primary took a write after it was replaced"));
            }
            cost.canaries.extend(taken);
        }
        if !progress.wait_for_more(CALM, HEALS_WITHIN) {
            cost.broken.push(format!("round {round}: writes do not go on: {}", first(progress)));
        }
        let pause = longest(&progress.answers(), struck.at, settled);
        cost.rounds += 1;
        cost.pauses.push(pause);
        cost.settled.push(settled.saturating_sub(struck.at));
        cost.notes.push(format!(
            "round {round}: at {:.3} s, pause {:.0} ms, settled in {:.1} s {}",
            struck.at.as_secs_f64(),
            pause.as_secs_f64() * 1000.0,
            settled.saturating_sub(struck.at).as_secs_f64(),
            struck.note
        ));
        if let Err(why) = healed {
            cost.broken.push(format!("round {round}: the site did not heal, {why}"));
            cost.broken.extend(self.journal(journal));
            self.settles()?;
        }
        Ok(())
    }
}

impl Cost {
    /// The pauses and the times until all was settled, for a table.
    pub(crate) fn columns(&self) -> String {
        let ms = |percent| quantile(&self.pauses, percent).as_secs_f64() * 1000.0;
        let s = |percent| quantile(&self.settled, percent).as_secs_f64();
        format!("{:>7.0} {:>7.0} {:>7.0} {:>7.1} {:>7.1}", ms(50), ms(99), ms(100), s(50), s(100))
    }

    /// The heads of those columns.
    pub(crate) const HEADS: &str = "  pause     p99     max settled     max";
}

fn first(progress: &Progress) -> String {
    progress.kinds().into_keys().next().unwrap_or_else(|| "no statement failed".to_owned())
}
