//! A scene: a site, what has been decided for it and what is seen, with an agent that does at once what
//! it is told. Scenarios change one thing in it and look at the plan.

use super::servers::restarted;
use crate::{Input, check, plan};
use std::collections::BTreeMap;
use stoa_model::control::{Report, UpstreamReport};
use stoa_model::deployment::TaskState;
use stoa_model::intent::Power;
use stoa_model::observed::{
    DataState, DatabaseStatus, Detail, Exited, Health, HostObserved, InstanceObserved, ProcessState,
    ReleaseState, Running,
};
use stoa_model::plan::WaitKind;
use stoa_model::{
    Action, Demand, Digest, Endpoint, Generation, HostId, InstanceId, Intent, Millis, Observed, Paths, Plan,
    Port, ReleaseId, Roster, Routes, Site, Spec, Tier, Time,
};

/// A site as it is meant to be, as it was decided and as it is seen.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) intent: Intent,
    pub(crate) roster: Roster,
    pub(crate) routes: Routes,
    pub(crate) host: HostObserved,
    pub(crate) demand: BTreeMap<Tier, Demand>,
    pub(crate) paths: Paths,
    pub(crate) now: Time,
    /// So many transactions are found on a lost primary that its successor has not.
    pub(crate) lost_alone: u64,
    /// What the last plan's steps were, for what a process runs as.
    specs: BTreeMap<InstanceId, Spec>,
}

pub(crate) fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub(crate) fn release(number: u32) -> ReleaseId {
    ReleaseId::new(number, "abcdef0").unwrap()
}

/// Two of everything, a database with one replica, a cache.
pub(crate) fn site() -> Site {
    let site = serde_json::json!({
        "name": "shop", "domains": ["www.shop.example"],
        "balancer": {"instances": 2, "listen": "0.0.0.0:8080"},
        "web": {"instances": 2, "files": {}, "max_body": 1, "timeout": 60_000},
        "app": {"kind": "http", "instances": 2, "run": ["serve"], "env": {}, "persist": [], "health": "/up",
                "start_timeout": 30_000, "stop_timeout": 20_000, "memory": null},
        "source": {"location": {"folder": "/code"}, "reference": "main", "build": null, "build_timeout": 60_000},
        "database": {"engine": "mariadb", "replicas": 1, "name": "shop", "memory": 1},
        "cache": {"engine": "redis", "memory": 1, "eviction": "allkeys-lru"},
    });
    serde_json::from_value(site).unwrap()
}

impl Scene {
    /// Nothing exists yet; the source of release 1 is there.
    pub(crate) fn new() -> Self {
        let now = Time(1_000_000);
        let host = HostObserved {
            at: now,
            instances: BTreeMap::new(),
            releases: [(release(1), ReleaseState::Taken)].into(),
            static_roots: Vec::new(),
            tasks: BTreeMap::new(),
            salvaged: BTreeMap::new(),
            free_ports: (20_001..20_030).map(|n| Port::try_from(n).unwrap()).collect(),
            busy: Vec::new(),
            failures: BTreeMap::new(),
        };
        let intent = Intent {
            site: site(),
            release: release(1),
            scale: BTreeMap::new(),
            restarts: BTreeMap::new(),
            power: Power::On,
            deploy: Default::default(),
            secrets: 0,
            switchover: None,
            built_from: 0,
        };
        Scene {
            intent,
            demand: BTreeMap::new(),
            roster: Roster::default(),
            routes: Routes::default(),
            host,
            paths: Paths::new("/s"),
            now,
            lost_alone: 0,
            specs: BTreeMap::new(),
        }
    }

    /// Everything stands.
    pub(crate) fn settled() -> Self {
        let mut scene = Scene::new();
        scene.settle();
        scene
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed { hosts: [(HostId::local(), self.host.clone())].into() }
    }

    /// The plan for the scene as it is; it is safe.
    pub(crate) fn plan(&self) -> Plan {
        let observed = self.observed();
        let input = self.input(&observed);
        let plan = plan(&input);
        assert_eq!(check(&input, &plan), Ok(()), "{plan:#?}");
        plan
    }

    pub(crate) fn input<'a>(&'a self, observed: &'a Observed) -> Input<'a> {
        Input {
            intent: &self.intent,
            roster: &self.roster,
            routes: &self.routes,
            demand: &self.demand,
            observed,
            paths: &self.paths,
            now: self.now,
        }
    }

    /// The steps of the plan, as text.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.plan().steps.iter().map(|step| step.action.key().to_string()).collect()
    }

    /// What of `kind` is waited for by `subject`.
    pub(crate) fn waits(&self, kind: WaitKind, subject: &str) -> String {
        let plan = self.plan();
        let found: Vec<_> = plan.waiting.iter().filter(|w| w.kind == kind && w.subject == subject).collect();
        assert!(!found.is_empty(), "nothing {kind:?} about {subject} in {:#?}", plan.waiting);
        found.iter().map(|waiting| waiting.until.clone()).collect::<Vec<_>>().join("\n")
    }

    /// Makes one plan and does all of it; a second passes.
    pub(crate) fn turn(&mut self) -> Plan {
        let plan = self.plan();
        self.adopt(&plan, |_| true);
        plan
    }

    /// Stores a plan and does those of its steps that `wanted` picks.
    pub(crate) fn adopt(&mut self, plan: &Plan, mut wanted: impl FnMut(usize) -> bool) {
        self.roster = plan.roster.clone();
        self.routes = plan.routes.clone();
        for (index, step) in plan.steps.iter().enumerate() {
            if wanted(index) {
                self.carry_out(&step.action);
            }
        }
        self.pass(1_000);
    }

    /// Turns until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..80 {
            if self.turn().settled() {
                return;
            }
        }
        let plan = self.plan();
        panic!("it does not settle: {:#?} {:#?}", plan.steps, plan.waiting);
    }

    /// Time passes; who runs is asked again, balancers have the routes.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = self.now + Millis(millis);
        self.host.at = self.now;
        let (now, generation) = (self.now, self.routes.generation);
        for seen in self.host.instances.values_mut() {
            let ProcessState::Running(running) = &mut seen.process else { continue };
            match &mut running.health {
                Health::Healthy { last, .. } => *last = now,
                Health::Unproven(None) if running.started < now => {
                    running.health = Health::Healthy { since: now, last: now, passes: 9 };
                }
                _ => {}
            }
            let healthy = matches!(running.health, Health::Healthy { .. });
            match &mut seen.detail {
                Detail::Role { at, report } if healthy => {
                    *at = now;
                    report.serving = generation;
                }
                Detail::Database { at, .. } if healthy => *at = now,
                _ => {}
            }
        }
        self.replicate();
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Build { release, .. } => {
                self.host.releases.insert(release.clone(), ReleaseState::Built);
            }
            Action::Publish { releases } => self.host.static_roots = releases.clone(),
            Action::Run { task, .. } => {
                self.host.tasks.insert(*task, TaskState::Done);
            }
            Action::Remove { release } => {
                self.host.releases.remove(release);
            }
            Action::Prepare { instance, .. } => self.trace(*instance).data = DataState::Ready,
            Action::Start { instance, spec } => self.start(*instance, spec),
            Action::Reload { instance, spec } => self.running(*instance).spec = spec.digest(),
            Action::Stop { instance, .. } => self.trace(*instance).process = ProcessState::Absent,
            other => self.change_database(other),
        }
    }

    fn start(&mut self, instance: InstanceId, spec: &Spec) {
        let now = self.now;
        let place = &self.roster.instances[&instance];
        let (endpoint, release) = (place.endpoint.clone(), place.release.clone());
        self.specs.insert(instance, spec.clone());
        let seen = self.trace(instance);
        let remembered = match &seen.detail {
            Detail::Database { status, .. } => Some(status.clone()),
            _ => None,
        };
        let crashes = match &seen.process {
            ProcessState::Exited(exited) => exited.crashes,
            _ => 0,
        };
        let (health, digest) = (Health::Unproven(None), spec.digest());
        seen.process = ProcessState::Running(Running {
            pid: 1,
            started: now,
            spec: digest,
            endpoint,
            tls: spec.tls(),
            release,
            health,
            stopping: false,
            crashes,
        });
        let old = Time(0);
        seen.detail = match instance.tier {
            stoa_model::Tier::Balancer | stoa_model::Tier::Splitter => {
                Detail::Role { at: old, report: Report::default() }
            }
            stoa_model::Tier::Database => {
                let status = restarted(instance, remembered);
                Detail::Database { at: old, status }
            }
            _ => Detail::None,
        };
    }

    pub(super) fn trace(&mut self, instance: InstanceId) -> &mut InstanceObserved {
        let nothing = InstanceObserved {
            process: ProcessState::Absent,
            data: DataState::Absent,
            full: None,
            detail: Detail::None,
        };
        self.host.instances.entry(instance).or_insert(nothing)
    }

    pub(crate) fn seen(&mut self, instance: &str) -> &mut InstanceObserved {
        self.host.instances.get_mut(&id(instance)).unwrap()
    }

    pub(crate) fn running(&mut self, instance: InstanceId) -> &mut Running {
        match &mut self.trace(instance).process {
            ProcessState::Running(running) => running,
            other => panic!("{instance} does not run: {other:?}"),
        }
    }

    pub(crate) fn status(&mut self, instance: InstanceId) -> &mut DatabaseStatus {
        match &mut self.trace(instance).detail {
            Detail::Database { status, .. } => status,
            other => panic!("{instance} says nothing of a database: {other:?}"),
        }
    }

    pub(crate) fn report(&mut self, instance: &str) -> &mut Report {
        match &mut self.seen(instance).detail {
            Detail::Role { report, .. } => report,
            other => panic!("{instance} says nothing of routes: {other:?}"),
        }
    }

    /// Requests of one balancer that an instance still has.
    pub(crate) fn in_flight(&mut self, balancer: &str, instance: &str, count: u32) {
        let upstream = UpstreamReport { in_flight: count, ..UpstreamReport::default() };
        self.report(balancer).instances.insert(id(instance), upstream);
    }

    /// A process was killed just now, `crashes` times in a row and never healthy between.
    pub(crate) fn died(&mut self, instance: &str, crashes: u32) {
        let at = self.now;
        let spec: Digest = self.running(id(instance)).spec;
        let last_lines = vec!["Traceback:".to_owned(), "KeyError: 'HOME'".to_owned()];
        let how = "killed by signal 9".to_owned();
        let failed_starts = crashes;
        self.seen(instance).process =
            ProcessState::Exited(Exited { at, how, spec, crashes, failed_starts, last_lines });
    }

    /// Its checks fail.
    pub(crate) fn fails(&mut self, instance: &str, streak: u32, since_millis: u64) {
        let since = self.now - Millis(since_millis);
        self.running(id(instance)).health =
            Health::Failing { since, streak, why: "GET /up timed out".to_owned() };
    }

    /// The instances that a tier's routes name.
    pub(crate) fn routed(&self, plan: &Plan) -> String {
        let all = plan.routes.web.iter().chain(&plan.routes.app);
        all.map(|route| route.instance.to_string()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn endpoint(&self, instance: &str) -> Endpoint {
        self.roster.instances[&id(instance)].endpoint.clone()
    }

    pub(crate) fn generation(&self) -> Generation {
        self.routes.generation
    }
}
