//! The plan while it is being made: adds steps and waiting, hands out places and ports.
//!
//! It decides nothing about a tier. It holds what is true of every step: none is issued while another
//! on the same instance is under way or in the same plan, and one that failed pauses before it is tried
//! again.

use crate::backoff;
use crate::sight::Sight;
use crate::{Input, spec};
use std::cell::RefCell;
use std::collections::BTreeMap;
use stoa_model::plan::WaitKind;
use stoa_model::roster::Assignment;
use stoa_model::site::AppKind;
use stoa_model::{
    Action, Digest, Endpoint, HostId, InstanceId, Plan, Port, ReleaseId, Roster, Routes, Spec, Step, Tier,
    Waiting,
};

/// The plan while it is being made.
pub(crate) struct Planner<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) roster: Roster,
    pub(crate) routes: Routes,
    steps: Vec<Step>,
    waiting: Vec<Waiting>,
    /// A digest costs the printing of a whole spec, and is asked for again and again.
    digests: RefCell<BTreeMap<InstanceId, (Assignment, Option<Digest>)>>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(input: &'a Input<'a>) -> Self {
        Planner {
            input,
            roster: input.roster.clone(),
            routes: input.routes.clone(),
            steps: Vec::new(),
            waiting: Vec::new(),
            digests: RefCell::default(),
        }
    }

    pub(crate) fn finish(self) -> Plan {
        Plan { roster: self.roster, routes: self.routes, steps: self.steps, waiting: self.waiting }
    }

    pub(crate) fn sight(&self) -> Sight<'a> {
        Sight { input: self.input }
    }

    /// Whether no host was heard of lately; says so.
    pub(crate) fn is_blind(&mut self) -> bool {
        if self.sight().hosts().next().is_some() {
            return false;
        }
        let hosts = self.input.observed.hosts.keys().map(ToString::to_string).collect::<Vec<_>>();
        let subject = if hosts.is_empty() { "local".to_owned() } else { hosts.join(", ") };
        let until = "the agent of this host says what it sees; until then everything is left as it is";
        self.wait(WaitKind::Progress, subject, until);
        true
    }

    /// How many instances of a tier should serve.
    pub(crate) fn wanted(&self, tier: Tier) -> u16 {
        match (tier, self.input.intent.site.count(tier).max) {
            (_, 0) => 0,
            (Tier::Cache, n) => n.min(1),
            (Tier::Database, _) => self.input.intent.count(tier).min.max(1),
            _ => self.roster.wanted(self.input.intent, tier),
        }
    }

    /// The instances of a tier that are not retiring.
    pub(crate) fn staying(&self, tier: Tier) -> Vec<InstanceId> {
        self.roster.tier(tier).filter(|(_, place)| place.retiring.is_none()).map(|(id, _)| id).collect()
    }

    /// What an instance is to run as; none where something it needs has no place yet.
    pub(crate) fn spec(&self, id: InstanceId) -> Option<Spec> {
        spec::of(self.input, &self.roster, id)
    }

    /// The fingerprint of what an instance is to run as.
    pub(crate) fn digest(&self, id: InstanceId) -> Option<Digest> {
        let place = self.roster.instances.get(&id)?;
        if let Some((of, digest)) = self.digests.borrow().get(&id)
            && of == place
        {
            return *digest;
        }
        let digest = self.spec(id).map(|spec| spec.digest());
        self.digests.borrow_mut().insert(id, (place.clone(), digest));
        digest
    }

    /// Whether an instance runs as something else than it is to run as.
    pub(crate) fn runs_outdated(&self, id: InstanceId) -> bool {
        let running = self.sight().running(id).map(|running| running.spec);
        matches!((running, self.digest(id)), (Some(is), Some(should)) if is != should)
    }

    /// Adds a step, unless one on the same subject is under way or planned or has just failed.
    /// Returns whether it was added.
    pub(crate) fn step(&mut self, action: Action, because: impl Into<String>) -> bool {
        let Some(host) = action.instance().map_or_else(|| self.home(), |id| self.host_for(id)) else {
            return false;
        };
        self.step_on(host, action, because)
    }

    /// Adds a step on a given host.
    pub(crate) fn step_on(&mut self, host: HostId, action: Action, because: impl Into<String>) -> bool {
        let subject = action.subject();
        if self.sight().host(&host).is_none() {
            self.wait(WaitKind::Progress, subject, format!("the host {host} is heard of again"));
            return false;
        }
        if let Some(key) = self.sight().busy(&host, &subject) {
            self.wait(WaitKind::Progress, subject, key.end());
            return false;
        }
        if self.steps.iter().any(|step| step.host == host && step.action.subject() == subject) {
            return false;
        }
        if let Some(failure) = self.sight().failure(&host, &action.key()) {
            let pause = backoff::after_failures(failure.attempts);
            let until = format!(
                "{} succeeds; it failed {} and is tried again after a pause of {pause}: {}",
                action.verb(),
                times(failure.attempts),
                failure.error
            );
            self.wait(WaitKind::Trouble, subject, until);
            if self.input.now.since(failure.at) < pause {
                return false;
            }
        }
        self.steps.push(Step { host, action, because: because.into() });
        true
    }

    /// Whether this plan has a step on an instance already.
    pub(crate) fn acts_on(&self, id: InstanceId) -> bool {
        self.steps.iter().any(|step| step.action.instance() == Some(id))
    }

    /// Says what is waited for.
    pub(crate) fn wait(&mut self, kind: WaitKind, subject: impl ToString, until: impl Into<String>) {
        let waiting = Waiting { subject: subject.to_string(), until: until.into(), kind };
        if !self.waiting.contains(&waiting) {
            self.waiting.push(waiting);
        }
    }

    /// The host for what has no place yet. With many hosts this is where they are chosen among.
    pub(crate) fn home(&self) -> Option<HostId> {
        self.sight().hosts().next().map(|(host, _)| host.clone())
    }

    fn host_for(&self, id: InstanceId) -> Option<HostId> {
        let place = self.roster.instances.get(&id).map(|place| place.host.clone());
        place.or_else(|| self.sight().host_of(id).cloned())
    }

    /// Gives a new instance its number, host and endpoint. Says so where no port is left.
    pub(crate) fn add(&mut self, tier: Tier, release: Option<ReleaseId>) -> Option<InstanceId> {
        let host = self.home()?;
        let id = InstanceId::new(tier, self.free_number(tier));
        let Some(endpoint) = self.new_endpoint(id, &host) else {
            self.wait(WaitKind::Trouble, id, format!("a loopback port is free on the host {host}"));
            return None;
        };
        let restart = self.input.intent.restarts(tier);
        let place =
            Assignment { host, endpoint, release, restart, retiring: None, proven: None, doubted: None };
        self.roster.instances.insert(id, place);
        self.digests.borrow_mut().clear();
        Some(id)
    }

    /// The lowest number nobody has. Data stays with its number, so a database takes it whatever is
    /// seen of it; of the others a process that is still there must not be mistaken for the new one.
    fn free_number(&self, tier: Tier) -> u16 {
        if matches!(tier, Tier::Database | Tier::Cache) {
            return self.roster.free_number(tier);
        }
        let free = |number: &u16| {
            let id = InstanceId::new(tier, *number);
            !self.roster.instances.contains_key(&id)
                && self.sight().is_down(id)
                && self.sight().busy_with(id).is_none()
        };
        (1..=u16::MAX).find(free).unwrap_or(u16::MAX)
    }

    /// Another endpoint for an instance that cannot have the one it has.
    pub(crate) fn move_endpoint(&mut self, id: InstanceId) -> bool {
        let Some(host) = self.host_for(id) else { return false };
        let Some(endpoint) = self.new_endpoint(id, &host) else {
            self.wait(WaitKind::Trouble, id, format!("a loopback port is free on the host {host}"));
            return false;
        };
        if let Some(place) = self.roster.instances.get_mut(&id) {
            place.endpoint = endpoint;
        }
        self.digests.borrow_mut().clear();
        true
    }

    fn new_endpoint(&self, id: InstanceId, host: &HostId) -> Option<Endpoint> {
        let paths = self.input.paths;
        match id.tier {
            Tier::Balancer | Tier::Splitter => Some(paths.control(id)),
            Tier::Web => Some(Endpoint::Unix(paths.socket(id))),
            Tier::App if self.app_kind() == Some(AppKind::Php) => Some(Endpoint::Unix(paths.socket(id))),
            Tier::App | Tier::Database | Tier::Cache => self.free_port(host).map(Endpoint::loopback),
        }
    }

    /// A port of its own for what all instances of a tier share.
    pub(crate) fn new_port(&self) -> Option<Port> {
        self.free_port(&self.home()?)
    }

    /// Where applications reach the database from now on.
    pub(crate) fn set_sql_face(&mut self, endpoint: Endpoint) {
        self.roster.sql_face = Some(endpoint);
        self.digests.borrow_mut().clear();
    }

    /// How the site's application is talked to.
    pub(crate) fn app_kind(&self) -> Option<AppKind> {
        self.input.intent.site.app.as_ref().map(|app| app.kind)
    }

    /// A port that nothing listens on and that no instance was given.
    fn free_port(&self, host: &HostId) -> Option<Port> {
        let endpoints = || self.roster.instances.values().map(|place| &place.endpoint);
        let given = |port: &Port| {
            endpoints().chain(&self.roster.sql_face).any(|endpoint| endpoint.port() == Some(*port))
        };
        self.sight().host(host)?.free_ports.iter().find(|port| !given(port)).copied()
    }
}

/// "once", "twice", "3 times in a row".
pub(crate) fn times(n: u32) -> String {
    match n {
        0 | 1 => "once".to_owned(),
        2 => "twice in a row".to_owned(),
        n => format!("{n} times in a row"),
    }
}
