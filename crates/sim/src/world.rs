//! What is true: processes, data, releases, and what the store and the daemon's memory hold.

use crate::databases::Txn;
use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use stoa_model::deployment::{TaskState, Tasks};
use stoa_model::intent::Power;
use stoa_model::observed::{Detail, Exited, Health, Observed, ReleaseState, Salvaged, StepFailure};
use stoa_model::plan::TaskKind;
use stoa_model::site::{CommandLine, DeployRules, Strategy};
use stoa_model::{
    Action, Demand, Digest, Endpoint, Generation, InstanceId, Intent, Millis, Paths, ReleaseId, Roster,
    Routes, Site, Spec, StepKey, TaskId, Term, Tier, Time,
};

/// Everything.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) paths: Paths,
    pub(crate) intent: Intent,
    pub(crate) roster: Roster,
    pub(crate) routes: Routes,
    pub(crate) processes: BTreeMap<InstanceId, Process>,
    /// Records of processes that ended by themselves; they outlive the daemon.
    pub(crate) ended: BTreeMap<InstanceId, Exited>,
    pub(crate) disks: BTreeMap<InstanceId, Disk>,
    pub(crate) releases: BTreeMap<ReleaseId, ReleaseState>,
    /// The highest number that a release was given.
    pub(crate) last_number: u32,
    /// Releases whose build fails.
    pub(crate) bad_builds: BTreeSet<ReleaseId>,
    /// Releases whose instances never become healthy.
    pub(crate) sick_releases: BTreeSet<ReleaseId>,
    /// Releases whose instances turn sick a while after they became healthy.
    pub(crate) fading_releases: BTreeSet<ReleaseId>,
    /// Releases whose instances end by themselves a while after their start.
    pub(crate) crashing_releases: BTreeSet<ReleaseId>,
    /// Releases whose migration fails.
    pub(crate) stuck_migrations: BTreeSet<ReleaseId>,
    pub(crate) static_roots: Vec<ReleaseId>,
    /// What became of tasks of deployments.
    pub(crate) tasks: Tasks,
    /// Tasks that run, when they end, and for which release; they outlive the daemon.
    pub(crate) running_tasks: BTreeMap<TaskId, (Time, ReleaseId)>,
    /// What was asked of each tier.
    pub(crate) demand: BTreeMap<Tier, Demand>,
    /// Ports that somebody else listens on.
    pub(crate) squatters: BTreeSet<u16>,
    pub(crate) daemon: Option<Daemon>,
    /// When a dead daemon is started again.
    pub(crate) daemon_back: Time,
    /// Steps fail with this chance in a hundred.
    pub(crate) failing_steps: u64,
    /// The next start of this instance never becomes healthy, or only late.
    pub(crate) bad_starts: BTreeMap<InstanceId, Option<u64>>,
    /// Nothing happens by which visitors could lose anything: as many as are wanted can serve all the time.
    pub(crate) unnoticed: bool,
    /// Somebody set a server writable by hand, so that two may be for a while.
    pub(crate) meddled: bool,
    /// Writes that clients were told are safe.
    pub(crate) acknowledged: BTreeSet<u64>,
    pub(crate) last_write: u64,
    /// Until then a replica does not reach its primary.
    pub(crate) cut_until: BTreeMap<InstanceId, Time>,
    /// Until then the disk is full.
    pub(crate) full_until: Time,
    /// What was saved of former primaries.
    pub(crate) salvaged: BTreeMap<InstanceId, Salvaged>,
    /// Steps of a dead daemon that come to their end nevertheless.
    pub(crate) left_half_done: Vec<Action>,
    pub(crate) trace: Vec<String>,
    pub(crate) next_pid: u32,
}

/// A living process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) started: Time,
    pub(crate) digest: Digest,
    pub(crate) spec: Spec,
    pub(crate) endpoint: Endpoint,
    /// When it becomes healthy; never, where none.
    pub(crate) healthy_from: Option<Time>,
    pub(crate) ever_healthy: bool,
    pub(crate) hangs_until: Time,
    /// From then on it answers no check any more.
    pub(crate) fades: Option<Time>,
    /// When it ends by itself, where it does.
    pub(crate) crashes_at: Option<Time>,
    /// It was asked to end and will have by then.
    pub(crate) ends: Option<Time>,
    pub(crate) crashes: u32,
    pub(crate) failed_starts: u32,
    pub(crate) served: Option<Served>,
    pub(crate) database: Option<Database>,
    /// A balancer was silent for long when this was started: it may be sent requests early.
    pub(crate) excused: bool,
}

/// What a balancer goes by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    pub(crate) routes: Routes,
    pub(crate) coming: Vec<(Time, Routes)>,
    pub(crate) in_flight: BTreeMap<InstanceId, Vec<Time>>,
    pub(crate) acknowledged: Generation,
}

/// What a database server is in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    pub(crate) writable: bool,
    pub(crate) broken: Option<String>,
    /// Commits wait until a replica has them.
    pub(crate) waits: bool,
    /// Writes that were committed and are not yet acknowledged.
    pub(crate) pending: Vec<u64>,
    /// It was told to replicate since it started.
    pub(crate) fetches: bool,
    /// When it last heard from its primary.
    pub(crate) heard: Time,
    /// When it last got something that its primary wrote.
    pub(crate) got: Time,
    /// Since then it has acknowledged nothing of what it gets.
    pub(crate) mute: Option<Time>,
    /// It sends nothing to any replica, whoever is connected to it.
    pub(crate) wedged: bool,
    /// When its log last grew by a write.
    pub(crate) moved: Time,
}

/// A data folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) ready: bool,
    pub(crate) term: Term,
    pub(crate) follows: Option<Endpoint>,
    /// It connects there inside TLS.
    pub(crate) tls: bool,
    /// What it has executed, in order.
    pub(crate) log: Vec<Txn>,
    /// What it has received and not executed.
    pub(crate) relay: Vec<Txn>,
    /// So much of the log was committed when its process ended.
    pub(crate) committed: usize,
    /// The next start takes back what is beyond.
    pub(crate) rewinds_to: Option<usize>,
    /// What it replicates cannot be applied to it, however often it is tried.
    pub(crate) corrupt: bool,
    /// No server comes up on it.
    pub(crate) ruined: bool,
}

/// What the daemon holds in memory, gone when it dies.
#[derive(Debug, Default)]
pub(crate) struct Daemon {
    pub(crate) since: Time,
    pub(crate) health: BTreeMap<InstanceId, (Time, Health)>,
    pub(crate) details: BTreeMap<InstanceId, Detail>,
    /// Until then it cannot tell of the process.
    pub(crate) unknown_until: BTreeMap<InstanceId, Time>,
    /// Until then it gets no answer from the instance.
    pub(crate) silent_until: BTreeMap<InstanceId, Time>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) failures: BTreeMap<StepKey, StepFailure>,
    /// Until then the controller sees only this.
    pub(crate) frozen: Option<(Time, Observed)>,
    pub(crate) pushed: BTreeMap<InstanceId, (u32, Generation)>,
}

/// A step under way.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) action: Action,
    pub(crate) due: Time,
    pub(crate) fails: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let site = sample_site(&mut rng);
        let release = release(1);
        World {
            now: Time(1_000_000),
            paths: Paths::new("/s"),
            intent: Intent {
                site,
                release: release.clone(),
                scale: BTreeMap::new(),
                restarts: BTreeMap::new(),
                power: Power::On,
                deploy: Default::default(),
                secrets: 0,
                switchover: None,
                built_from: 0,
            },
            roster: Roster::default(),
            routes: Routes::default(),
            processes: BTreeMap::new(),
            ended: BTreeMap::new(),
            disks: BTreeMap::new(),
            releases: [(release, ReleaseState::Taken)].into(),
            last_number: 1,
            bad_builds: BTreeSet::new(),
            sick_releases: BTreeSet::new(),
            fading_releases: BTreeSet::new(),
            crashing_releases: BTreeSet::new(),
            stuck_migrations: BTreeSet::new(),
            static_roots: Vec::new(),
            tasks: Tasks::new(),
            running_tasks: BTreeMap::new(),
            demand: BTreeMap::new(),
            squatters: BTreeSet::new(),
            daemon: Some(Daemon { since: Time(1_000_000), ..Daemon::default() }),
            daemon_back: Time(0),
            failing_steps: 0,
            bad_starts: BTreeMap::new(),
            unnoticed: false,
            meddled: false,
            acknowledged: BTreeSet::new(),
            last_write: 0,
            cut_until: BTreeMap::new(),
            full_until: Time(0),
            salvaged: BTreeMap::new(),
            left_half_done: Vec::new(),
            trace: Vec::new(),
            next_pid: 100,
            rng,
        }
    }

    /// A line of the story.
    pub(crate) fn tell(&mut self, what: impl AsRef<str>) {
        let at = self.now.0 - 1_000_000;
        self.trace.push(format!("{:>4}.{:03} {}", at / 1000, at % 1000, what.as_ref()));
    }

    /// Time passes in the world: what was to happen until now happens.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = Time(self.now.0 + millis);
        let now = self.now;
        let ending: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, p)| p.ends.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in ending {
            self.take_process(id);
            self.ended.remove(&id);
            self.tell(format!("{id} has ended as asked"));
        }
        let crashing: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, p)| p.crashes_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in crashing {
            self.die(id, "exit status 1");
        }
        self.end_tasks();
        for (id, process) in &mut self.processes {
            process.ever_healthy |= process.healthy_from.is_some_and(|at| at <= now);
            if let Some(served) = &mut process.served {
                served.arrive(id.tier, now, &mut self.rng);
            }
        }
    }

    /// Tasks whose time has come end, whether a daemon lives or not.
    fn end_tasks(&mut self) {
        let now = self.now;
        let over: Vec<_> =
            self.running_tasks.iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| *id).collect();
        for task in over {
            let Some((_, release)) = self.running_tasks.remove(&task) else { continue };
            let fails = task.kind == TaskKind::Migrate && self.stuck_migrations.contains(&release);
            let why = "exit status 1".to_owned();
            let state =
                if fails { TaskState::Failed { why, last_lines: Vec::new() } } else { TaskState::Done };
            self.tell(format!("{task} has ended: {state:?}"));
            self.tasks.insert(task, state);
        }
    }

    fn take_process(&mut self, id: InstanceId) -> Option<Process> {
        let process = self.processes.remove(&id)?;
        if let Some(database) = &process.database {
            self.database_ends(id, database);
        }
        Some(process)
    }

    /// A process ends by itself or is killed.
    pub(crate) fn die(&mut self, id: InstanceId, how: &str) {
        let Some(process) = self.take_process(id) else { return };
        let lived =
            process.healthy_from.filter(|_| process.ever_healthy).map_or(0, |at| self.now.since(at).0);
        let crashes = if lived > 10_000 { 0 } else { process.crashes + 1 };
        let failed_starts = if process.ever_healthy { 0 } else { process.failed_starts + 1 };
        let last_lines = vec![format!("last words of {id}")];
        let exited = Exited {
            at: self.now,
            how: how.to_owned(),
            spec: process.digest,
            crashes,
            failed_starts,
            last_lines,
        };
        self.ended.insert(id, exited);
        self.tell(format!("{id} died: {how}, {crashes} crashes"));
    }

    pub(crate) fn is_well(&self, id: InstanceId) -> bool {
        self.processes.get(&id).is_some_and(|p| {
            p.healthy_from.is_some_and(|at| at <= self.now)
                && p.hangs_until <= self.now
                && p.fades.is_none_or(|at| at > self.now)
                && p.ends.is_none()
        })
    }

    /// The living process that listens at `endpoint`.
    pub(crate) fn listening(&self, endpoint: &Endpoint) -> Option<(InstanceId, &Process)> {
        self.processes.iter().find(|(_, p)| p.endpoint == *endpoint).map(|(id, p)| (*id, p))
    }
}

impl Served {
    /// Routes that were sent arrive, requests come in and are answered.
    fn arrive(&mut self, role: Tier, now: Time, rng: &mut Rng) {
        let (here, later) = self.coming.drain(..).partition(|(at, _)| *at <= now);
        self.coming = later;
        let here: Vec<(Time, Routes)> = here;
        for (_, routes) in here {
            if routes.generation >= self.routes.generation {
                self.routes = routes;
            }
        }
        self.acknowledged = self.routes.generation;
        for requests in self.in_flight.values_mut() {
            requests.retain(|ends| *ends > now);
        }
        self.in_flight.retain(|_, requests| !requests.is_empty());
        for route in self.routes.sent_by(role) {
            let lasts = if rng.chance(2) { 20_000 } else { 400 };
            let ends = Time(now.0 + rng.within(1, lasts));
            self.in_flight.entry(route.instance).or_default().push(ends);
        }
    }
}

/// The release `number`.
#[allow(clippy::expect_used, reason = "a constant of seven digits")]
pub(crate) fn release(number: u32) -> ReleaseId {
    ReleaseId::new(number, "abcdef0").expect("seven hexadecimal digits")
}

#[allow(clippy::expect_used, reason = "a constant that a test reads")]
fn sample_site(rng: &mut Rng) -> Site {
    let replicas = rng.within(0, 3);
    let database =
        serde_json::json!({"engine": "mariadb", "replicas": replicas, "name": "shop", "memory": 1});
    let cache = serde_json::json!({"engine": "redis", "memory": 1, "eviction": "allkeys-lru"});
    let app = serde_json::json!({
        "kind": if rng.chance(20) { "php" } else { "http" }, "instances": rng.within(1, 4), "run": ["serve"],
        "env": {}, "persist": [], "health": "/", "start_timeout": 15_000, "stop_timeout": 10_000, "memory": null,
    });
    let nothing = serde_json::Value::Null;
    let (has_app, has_database, has_cache) = (rng.chance(90), rng.chance(80), rng.chance(70));
    let deploy = sample_rules(rng);
    let site = serde_json::json!({
        "deploy": deploy,
        "name": "shop", "domains": ["www.shop.example"],
        "balancer": {"instances": rng.within(1, 4), "listen": "0.0.0.0:8080"},
        "web": {"instances": rng.within(1, 4), "files": {}, "max_body": 1, "timeout": 60_000},
        "app": if has_app { app } else { nothing.clone() },
        "source": {"location": {"folder": "/code"}, "reference": "main", "build": null, "build_timeout": 60_000},
        "database": if has_database { database } else { nothing.clone() },
        "cache": if has_cache { cache } else { nothing },
    });
    serde_json::from_value(site).expect("a site as the model has it")
}

/// How releases follow one another: short holds, so that a story sees the end of them.
#[allow(clippy::expect_used, reason = "constants that a test reads")]
pub(crate) fn sample_rules(rng: &mut Rng) -> DeployRules {
    let strategies = [Strategy::Rolling, Strategy::BlueGreen, Strategy::Canary];
    let task = |words: &str| Some(CommandLine::parse(words).expect("two plain words"));
    let batch = u16::try_from(rng.within(1, 4)).unwrap_or(1);
    DeployRules {
        strategy: rng.pick(&strategies).unwrap_or(Strategy::Rolling),
        batch,
        max_surge: batch + u16::from(rng.chance(50)),
        checks: u32::try_from(rng.within(1, 4)).unwrap_or(1),
        steps: if rng.chance(50) { vec![5, 50] } else { vec![25] },
        hold: Millis(rng.within(0, 8_000)),
        keep_warm: Millis(rng.within(0, 20_000)),
        watch_after: Millis(rng.within(0, 20_000)),
        min_requests: 5,
        keep_releases: u16::try_from(rng.within(1, 4)).unwrap_or(1),
        migrate: task("migrate all").filter(|_| rng.chance(50)),
        before_deploy: task("check all").filter(|_| rng.chance(30)),
        after_deploy: task("tell all").filter(|_| rng.chance(30)),
        task_timeout: Millis(60_000),
    }
}
