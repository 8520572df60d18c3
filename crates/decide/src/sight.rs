//! What can be seen: questions to [`Input`], answered so that what is not known reads as unknown.

use crate::Input;
use stoa_model::control::Report;
use stoa_model::observed::{
    DataState, DatabaseStatus, Detail, Health, HostObserved, InstanceObserved, ProcessState, Running,
    StepFailure,
};
use stoa_model::{HostId, InstanceId, Millis, StepKey};

/// A host that was not heard of for longer is unknown.
pub(crate) const HOST_FRESH: Millis = Millis::from_secs(10);
/// A role's report that is older says nothing of now.
pub(crate) const REPORT_FRESH: Millis = Millis::from_secs(5);
/// A database server's answer that is older says nothing of now.
pub(crate) const ANSWER_FRESH: Millis = Millis::from_secs(10);
/// So many checks failed in a row take an instance out of the routes.
pub(crate) const FAILING_STREAK: u32 = 3;
/// A process that an earlier daemon had seen healthy fails when no check passes for this long.
const DOUBT: Millis = Millis::from_secs(5);

const UNKNOWN: &ProcessState = &ProcessState::Unknown;
const ABSENT: &ProcessState = &ProcessState::Absent;

/// What can be seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) input: &'a Input<'a>,
}

/// How a running process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// The last check passed.
    Healthy,
    /// Proven; the last one or two checks failed.
    Wavering(&'a str),
    /// Proven; too many checks failed in a row.
    Failing(&'a str),
    /// Proven under an earlier daemon; this one has not seen a check pass yet.
    Unchecked,
    /// Nothing is proven of it; why, where a check was answered badly.
    Unproven(Option<&'a str>),
}

impl<'a> Sight<'a> {
    /// A host that was heard of lately.
    pub(crate) fn host(self, host: &HostId) -> Option<&'a HostObserved> {
        self.input.observed.hosts.get(host).filter(|seen| self.input.now.since(seen.at) <= HOST_FRESH)
    }

    /// All hosts that were heard of lately.
    pub(crate) fn hosts(self) -> impl Iterator<Item = (&'a HostId, &'a HostObserved)> {
        let now = self.input.now;
        self.input.observed.hosts.iter().filter(move |(_, seen)| now.since(seen.at) <= HOST_FRESH)
    }

    /// Where an instance is: its place in the roster, else where a trace of it was seen.
    pub(crate) fn host_of(self, id: InstanceId) -> Option<&'a HostId> {
        let place = self.input.roster.instances.get(&id).map(|place| &place.host);
        place.or_else(|| {
            let mut hosts = self.input.observed.hosts.iter();
            hosts.find(|(_, seen)| seen.instances.contains_key(&id)).map(|(host, _)| host)
        })
    }

    fn instance(self, id: InstanceId) -> Option<&'a InstanceObserved> {
        self.host(self.host_of(id)?)?.instances.get(&id)
    }

    /// Its process; no trace of it on a host that was heard of means that there is none.
    pub(crate) fn process(self, id: InstanceId) -> &'a ProcessState {
        match self.host_of(id) {
            Some(host) if self.host(host).is_none() => UNKNOWN,
            _ => self.instance(id).map_or(ABSENT, |seen| &seen.process),
        }
    }

    /// Its process, where it is known to run.
    pub(crate) fn running(self, id: InstanceId) -> Option<&'a Running> {
        match self.process(id) {
            ProcessState::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Whether it is known that no process of it runs.
    pub(crate) fn is_down(self, id: InstanceId) -> bool {
        matches!(self.process(id), ProcessState::Absent | ProcessState::Exited(_))
    }

    /// Its data folder.
    pub(crate) fn data(self, id: InstanceId) -> &'a DataState {
        match self.host_of(id) {
            Some(host) if self.host(host).is_none() => &DataState::Unknown,
            _ => self.instance(id).map_or(&DataState::Absent, |seen| &seen.data),
        }
    }

    /// Why nothing more can be written where its data lies.
    pub(crate) fn full(self, id: InstanceId) -> Option<&'a str> {
        self.instance(id)?.full.as_deref()
    }

    /// How a running process stands.
    pub(crate) fn standing(self, id: InstanceId, running: &'a Running) -> Standing<'a> {
        match &running.health {
            Health::Healthy { .. } => Standing::Healthy,
            Health::Failing { streak, why, .. } if *streak < FAILING_STREAK => Standing::Wavering(why),
            Health::Failing { why, .. } => Standing::Failing(why),
            Health::Unproven(why) => match (self.proven_before(id, running), why) {
                (false, why) => Standing::Unproven(why.as_deref()),
                (true, Some(why)) if self.doubted_for(id) > DOUBT => Standing::Failing(why),
                (true, _) => Standing::Unchecked,
            },
        }
    }

    fn proven_before(self, id: InstanceId, running: &Running) -> bool {
        self.input.roster.instances.get(&id).is_some_and(|place| place.proven == Some(running.started))
    }

    fn doubted_for(self, id: InstanceId) -> Millis {
        let since = self.input.roster.instances.get(&id).and_then(|place| place.doubted);
        since.map_or(Millis(0), |since| self.input.now.since(since))
    }

    /// Whether it runs, is not being stopped and passed its last check.
    pub(crate) fn is_healthy(self, id: InstanceId) -> bool {
        self.running(id).is_some_and(|r| !r.stopping && matches!(r.health, Health::Healthy { .. }))
    }

    /// Whether it is healthy and was given something to do: routed to, or, a balancer, serving by routes.
    pub(crate) fn serves(self, id: InstanceId) -> bool {
        self.is_healthy(id)
            && match id.tier {
                stoa_model::Tier::App | stoa_model::Tier::Web => self.input.routes.names(id),
                stoa_model::Tier::Balancer | stoa_model::Tier::Splitter => {
                    self.report(id).is_some_and(|report| report.serving.0 > 0)
                }
                _ => true,
            }
    }

    /// A role's report, where there is one of this process and of now.
    pub(crate) fn report(self, id: InstanceId) -> Option<&'a Report> {
        let running = self.running(id)?;
        match &self.instance(id)?.detail {
            Detail::Role { at, report }
                if *at >= running.started && self.input.now.since(*at) <= REPORT_FRESH =>
            {
                Some(report)
            }
            _ => None,
        }
    }

    /// A database server's answer, where there is one of this process and of now.
    pub(crate) fn answer(self, id: InstanceId) -> Option<&'a DatabaseStatus> {
        let running = self.running(id)?;
        match &self.instance(id)?.detail {
            Detail::Database { at, status }
                if *at >= running.started && self.input.now.since(*at) <= ANSWER_FRESH =>
            {
                Some(status)
            }
            _ => None,
        }
    }

    /// Its answer, and when it came.
    pub(crate) fn told(self, id: InstanceId) -> Option<(stoa_model::Time, &'a DatabaseStatus)> {
        let status = self.answer(id)?;
        match &self.instance(id)?.detail {
            Detail::Database { at, .. } => Some((*at, status)),
            _ => None,
        }
    }

    /// When a database server that runs last answered, however long ago; else since when every check fails.
    pub(crate) fn silent_since(self, id: InstanceId) -> Option<stoa_model::Time> {
        let running = self.running(id)?;
        match self.instance(id).map(|seen| &seen.detail) {
            Some(Detail::Database { at, .. }) if *at >= running.started => Some(*at),
            _ => self.input.roster.instances.get(&id).and_then(|place| place.doubted),
        }
    }

    /// A step under way whose subject is `subject`.
    pub(crate) fn busy(self, host: &HostId, subject: &str) -> Option<&'a StepKey> {
        self.host(host)?.busy.iter().find(|key| key.subject() == subject)
    }

    /// A step under way on an instance.
    pub(crate) fn busy_with(self, id: InstanceId) -> Option<&'a StepKey> {
        self.busy(self.host_of(id)?, &id.to_string())
    }

    /// The last failure of a step.
    pub(crate) fn failure(self, host: &HostId, key: &StepKey) -> Option<&'a StepFailure> {
        self.host(host)?.failures.get(key)
    }

    /// Every instance of a tier that is assigned or of which a trace was seen.
    pub(crate) fn known_of(self, tier: stoa_model::Tier) -> Vec<InstanceId> {
        let seen = self.input.observed.hosts.values().flat_map(|host| host.instances.keys());
        let mut all: Vec<_> = self.input.roster.instances.keys().chain(seen).copied().collect();
        all.retain(|id| id.tier == tier);
        all.sort_unstable();
        all.dedup();
        all
    }
}
