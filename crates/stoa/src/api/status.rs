//! The site as it stands, put together for people from what is known and decided.

use super::types::{BuildStatus, DaemonStatus, InstanceState, InstanceStatus, Problem, Status, TierStatus};
use super::{State, deployment};
use crate::store::Store;
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;
use stoa_model::observed::{
    Detail, Health, HostObserved, InstanceObserved, ProcessState, ReleaseState, Running, SemiSync,
};
use stoa_model::roster::Assignment;
use stoa_model::site::{AppKind, CacheEngine, DatabaseEngine};
use stoa_model::{InstanceId, Intent, Millis, Observed, Roster, Routes, Tier};
use stoa_tiers::host::{clock, log};

/// How many lines of its log are shown of an instance that is not well.
const LAST_LINES: usize = 10;

/// The site as it stands.
pub(super) async fn status(state: &State, api: Option<SocketAddr>) -> Result<Status, Problem> {
    let known = Known::read(state).await?;
    let plan = state.store.plan().await.map_err(broken)?;
    let view = known.view(state);
    let Known { intent, roster, routes, .. } = &known;
    let tiers = Tier::ALL.into_iter().filter_map(|tier| view.tier(tier)).collect();
    let (settled, waiting) = match plan {
        // A plan made before the intent changed says nothing about it.
        Some(planned) => (planned.intent == *intent && planned.plan.settled(), planned.plan.waiting),
        None => (false, Vec::new()),
    };
    let deployment = deployment::deployment(intent, roster, routes, &waiting, clock::now());
    let trouble = state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Status {
        site: intent.site.name.clone(),
        power: intent.power,
        release: intent.release.clone(),
        live: roster.live.clone(),
        settled: settled && trouble.is_empty(),
        urls: urls(intent),
        api: api.map(|address| format!("http://{address}")),
        state: state.paths.root().to_owned(),
        tiers,
        build: view.build(),
        waiting,
        failures: view.failures(trouble),
        deployment,
        environment: intent.site.environment.clone(),
        term: roster.term,
        daemon: DaemonStatus {
            pid: std::process::id(),
            uptime: clock::now().since(state.gauges.began()),
            memory: state.gauges.own_memory(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    })
}

/// Where a browser finds it: the local address first, because it works before DNS does.
pub(crate) fn urls(intent: &Intent) -> Vec<String> {
    let listen = intent.site.balancer.listen;
    let port = if listen.port() == 80 { String::new() } else { format!(":{}", listen.port()) };
    let local = match listen.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let domains = intent.site.domains.iter().map(ToString::to_string);
    std::iter::once(local).chain(domains).map(|host| format!("http://{host}{port}")).collect()
}

fn broken(error: crate::store::StoreError) -> Problem {
    Problem::from_text("the site's state cannot be read", error.to_string(), "see that the disk is well")
}

/// What is known of a site at one moment.
pub(super) struct Known {
    intent: Intent,
    roster: Roster,
    routes: Routes,
    observed: Observed,
}

impl Known {
    /// Reads it; a problem where nothing was ever brought up.
    pub(super) async fn read(state: &State) -> Result<Self, Problem> {
        let intent = state.store.intent().await.map_err(broken)?.ok_or_else(|| {
            Problem::from_text(
                "nothing is up here",
                "no site was brought up in this state folder",
                "type: stoa up",
            )
        })?;
        let (roster, routes) = state.store.decided().await.map_err(broken)?;
        let observed = state.store.observed().await.map_err(broken)?;
        Ok(Known { intent, roster, routes, observed })
    }

    /// The same, to be asked.
    pub(super) fn view<'a>(&'a self, state: &'a State) -> View<'a> {
        let Known { intent, roster, routes, observed } = self;
        View { state, intent, roster, routes, observed }
    }
}

/// A site, to be asked how its parts are.
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) intent: &'a Intent,
    pub(super) roster: &'a Roster,
    pub(super) routes: &'a Routes,
    pub(super) observed: &'a Observed,
}

impl View<'_> {
    fn hosts(&self) -> impl Iterator<Item = &HostObserved> {
        self.observed.hosts.values()
    }

    fn tier(&self, tier: Tier) -> Option<TierStatus> {
        let wanted = self.roster.wanted(self.intent, tier);
        let instances: Vec<InstanceStatus> =
            self.roster.tier(tier).map(|(id, place)| self.instance(id, place)).collect();
        if wanted == 0 && instances.is_empty() {
            return None;
        }
        let ready = instances.iter().filter(|instance| instance.state == InstanceState::Serving).count();
        Some(TierStatus {
            tier,
            software: self.software(tier),
            wanted,
            ready: u16::try_from(ready).unwrap_or(u16::MAX),
            scaling: deployment::scaling(self.intent, self.roster, tier),
            instances,
        })
    }

    pub(super) fn software(&self, tier: Tier) -> String {
        let site = &self.intent.site;
        match tier {
            Tier::Balancer | Tier::Splitter => "stoa".to_owned(),
            Tier::Web => "nginx".to_owned(),
            Tier::App => match &site.app {
                Some(app) if app.kind == AppKind::Php => "php-fpm".to_owned(),
                Some(app) => app.run.as_ref().and_then(|run| run.words().first()).map_or_else(
                    || "app".to_owned(),
                    |program| program.rsplit('/').next().unwrap_or(program).to_owned(),
                ),
                None => "app".to_owned(),
            },
            Tier::Database => match site.database.as_ref().map(|database| database.engine) {
                Some(DatabaseEngine::Mysql) => "mysql".to_owned(),
                _ => "mariadb".to_owned(),
            },
            Tier::Cache => match site.cache.as_ref().map(|cache| cache.engine) {
                Some(CacheEngine::Memcached) => "memcached".to_owned(),
                _ => "redis".to_owned(),
            },
        }
    }

    pub(super) fn instance(&self, id: InstanceId, place: &Assignment) -> InstanceStatus {
        let seen = self.observed.hosts.get(&place.host).and_then(|host| host.instances.get(&id));
        let gauges = self.state.gauges.of(id);
        let (state, note) = self.state_of(id, place, seen);
        let running = seen.and_then(running_of);
        let exited = seen.and_then(|seen| match &seen.process {
            ProcessState::Exited(exited) => Some(exited),
            _ => None,
        });
        let last_lines = match (exited, state) {
            (Some(exited), _) => exited.last_lines.clone(),
            (None, InstanceState::Starting | InstanceState::Unhealthy) => self.printed(id),
            _ => Vec::new(),
        };
        let crashes = running.map(|r| r.crashes).or_else(|| exited.map(|exited| exited.crashes)).unwrap_or(0);
        InstanceStatus {
            id,
            state,
            note,
            endpoint: place.endpoint.clone(),
            role: self.role(id),
            release: place.release.clone(),
            pid: running.map(|running| running.pid),
            uptime: running.map(|running| clock::now().since(running.started)),
            crashes,
            last_lines,
            memory: running.and(gauges.memory),
            cpu_percent: running.and(gauges.cpu_percent),
            in_flight: self.in_flight(id),
            requests_per_second: gauges.requests_per_second,
        }
    }

    /// What an instance that runs but is not well printed last.
    fn printed(&self, id: InstanceId) -> Vec<String> {
        log::tail(&log::current(&self.state.paths.log(id)), LAST_LINES)
    }

    fn role(&self, id: InstanceId) -> Option<String> {
        let word = match id.tier {
            Tier::Database if self.roster.primary == Some(id) => "primary",
            Tier::Database => "replica",
            _ => return None,
        };
        Some(word.to_owned())
    }

    fn state_of(
        &self,
        id: InstanceId,
        place: &Assignment,
        seen: Option<&InstanceObserved>,
    ) -> (InstanceState, Option<String>) {
        let Some(seen) = seen else { return (InstanceState::Planned, None) };
        match &seen.process {
            ProcessState::Unknown => (InstanceState::Unknown, None),
            ProcessState::Absent => (InstanceState::Planned, None),
            ProcessState::Exited(exited) => (InstanceState::Crashed, Some(exited.how.clone())),
            ProcessState::Running(running) => {
                if running.stopping || place.retiring.is_some() {
                    return (InstanceState::Retiring, None);
                }
                match &running.health {
                    Health::Unproven(why) => (InstanceState::Starting, why.clone()),
                    // Waiting for room it may answer nothing; that is not what is to be mended.
                    Health::Failing { why, .. } => {
                        (InstanceState::Unhealthy, Some(seen.full.as_ref().unwrap_or(why).clone()))
                    }
                    Health::Healthy { .. } => self.serving(id, seen),
                }
            }
        }
    }

    /// A healthy instance serves once everything that has to point at it does.
    fn serving(&self, id: InstanceId, seen: &InstanceObserved) -> (InstanceState, Option<String>) {
        match id.tier {
            Tier::App | Tier::Web => match (self.routes.names(id), self.ejected(id)) {
                (true, None) => (InstanceState::Serving, None),
                (true, Some(why)) => (InstanceState::Unhealthy, Some(why)),
                (false, _) => (InstanceState::Starting, Some("not routed to yet".to_owned())),
            },
            Tier::Database => self.database(id, seen),
            Tier::Balancer | Tier::Splitter | Tier::Cache => (InstanceState::Serving, None),
        }
    }

    fn database(&self, id: InstanceId, seen: &InstanceObserved) -> (InstanceState, Option<String>) {
        let Detail::Database { status, .. } = &seen.detail else { return (InstanceState::Starting, None) };
        if self.roster.primary == Some(id) {
            let replicas = self.roster.tier(Tier::Database).count() > 1;
            return match status.writable {
                false => (InstanceState::Starting, Some("does not take writes yet".to_owned())),
                true => (InstanceState::Serving, unacknowledged(status.semi_sync).filter(|_| replicas)),
            };
        }
        match &status.replication {
            None => (InstanceState::Starting, Some("does not replicate yet".to_owned())),
            Some(replication) if replication.runs() => {
                let lag = replication.lag_seconds.filter(|lag| *lag > 0).map(|lag| format!("{lag} s behind"));
                let mute = replication.is_mute().then(|| "does not acknowledge what it gets".to_owned());
                let notes: Vec<_> = lag.into_iter().chain(mute).chain(seen.full.clone()).collect();
                (InstanceState::Serving, (!notes.is_empty()).then(|| notes.join("; ")))
            }
            Some(replication) => {
                let why = seen.full.clone().or_else(|| replication.error.clone());
                (
                    InstanceState::Unhealthy,
                    Some(why.unwrap_or_else(|| "replication is not connected".to_owned())),
                )
            }
        }
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = &stoa_model::control::Report> {
        self.hosts().flat_map(|host| host.instances.values()).filter_map(|seen| match &seen.detail {
            Detail::Role { report, .. } => Some(report),
            _ => None,
        })
    }

    fn ejected(&self, id: InstanceId) -> Option<String> {
        self.reports().find_map(|report| report.instances.get(&id)?.ejected.clone())
    }

    fn in_flight(&self, id: InstanceId) -> Option<u32> {
        let held = self.reports().filter_map(|report| report.instances.get(&id)).map(|u| u.in_flight);
        id.tier.routed_by().map(|_| held.sum())
    }

    fn build(&self) -> BuildStatus {
        let release = &self.intent.release;
        let building = self.hosts().flat_map(|host| &host.busy);
        if building.into_iter().any(|key| key.verb() == "build" && key.subject() == release.to_string()) {
            return BuildStatus::Building;
        }
        match self.hosts().find_map(|host| host.releases.get(release)) {
            None | Some(ReleaseState::Taken) => BuildStatus::Taken,
            Some(ReleaseState::Built) => BuildStatus::Built,
            Some(ReleaseState::Failed { why, last_lines }) => {
                BuildStatus::Failed { why: why.clone(), last_lines: last_lines.clone() }
            }
        }
    }

    fn failures(&self, trouble: String) -> Vec<String> {
        let all = self.hosts().flat_map(|host| &host.failures);
        let steps = all.map(|(key, failure)| format!("{key}: {}", failure.error));
        steps.chain(Some(trouble).filter(|trouble| !trouble.is_empty())).collect()
    }
}

/// What a primary's replicas do not confirm, if anything.
fn unacknowledged(semi_sync: SemiSync) -> Option<String> {
    const LONG: Millis = Millis::from_secs(3);
    let SemiSync { enabled, acknowledging, unmoved, .. } = semi_sync;
    match (enabled, acknowledging) {
        (false, _) => Some("writes are on one server only".to_owned()),
        (true, 0) => Some("no replica acknowledges: writes wait for one".to_owned()),
        (true, _) if unmoved > LONG => Some(format!("its commits have waited {unmoved} for a replica")),
        (true, _) => None,
    }
}

fn running_of(seen: &InstanceObserved) -> Option<&Running> {
    match &seen.process {
        ProcessState::Running(running) => Some(running),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_told() {
        let table = [
            ((true, 2, 0), ""),
            ((true, 2, 2_000), ""),
            ((true, 2, 4_000), "its commits have waited 4 s for a replica"),
            ((true, 0, 4_000), "no replica acknowledges: writes wait for one"),
            ((false, 0, 0), "writes are on one server only"),
        ];
        for ((enabled, acknowledging, unmoved), told) in table {
            let waiting = u32::from(unmoved > 0);
            let semi_sync = SemiSync { enabled, acknowledging, waiting, unmoved: Millis(unmoved) };
            assert_eq!(unacknowledged(semi_sync).unwrap_or_default(), told, "{semi_sync:?}");
        }
    }
}
