//! The agent's hands: carries steps out in the world, late, and not always with success.

use crate::truth;
use crate::world::{Daemon, Disk, Job, Process, Served, World};
use stoa_model::deployment::TaskState;
use stoa_model::observed::{ReleaseState, StepFailure};
use stoa_model::{Action, InstanceId, Plan, Spec, Time};

impl World {
    /// Puts a plan in force: stored first, then routes are sent and steps begun.
    pub(crate) fn adopt(&mut self, plan: &Plan, dies_between: bool) -> Result<(), String> {
        truth::may_be_forgotten(self, &plan.roster)?;
        self.roster = plan.roster.clone();
        self.routes = plan.routes.clone();
        if dies_between {
            self.kill_daemon("after it stored a plan");
            return Ok(());
        }
        for step in &plan.steps {
            self.tell(format!("step {}, because {}", step.action.key(), step.because));
            self.begin(step.action.clone())?;
        }
        Ok(())
    }

    fn begin(&mut self, action: Action) -> Result<(), String> {
        let fails = self.rng.chance(self.failing_steps);
        if let Action::Run { task, .. } = &action {
            truth::may_be_run(self, *task)?;
        }
        let takes = match &action {
            Action::Build { .. } => self.rng.within(1_000, 9_000),
            Action::Prepare { .. } | Action::Clone { .. } => self.rng.within(500, 4_000),
            _ => self.rng.within(20, 900),
        };
        if let Action::Stop { instance, grace } = &action
            && !fails
        {
            truth::may_be_stopped(self, *instance)?;
            let lasts = if grace.0 == 0 || self.rng.chance(5) { grace.0 } else { self.rng.within(10, 1_500) };
            let now = self.now;
            if let Some(process) = self.processes.get_mut(instance) {
                process.ends.get_or_insert(Time(now.0 + lasts));
            }
        }
        let due = Time(self.now.0 + takes);
        if let Some(daemon) = &mut self.daemon {
            daemon.jobs.push(Job { action, due, fails });
        }
        Ok(())
    }

    /// Steps whose time has come do what they do.
    pub(crate) fn work(&mut self) -> Result<(), String> {
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        let now = self.now;
        let processes = &self.processes;
        let over = |job: &Job| match &job.action {
            Action::Stop { instance, .. } if !job.fails => !processes.contains_key(instance),
            _ => job.due <= now,
        };
        let (done, left): (Vec<Job>, Vec<Job>) = daemon.jobs.drain(..).partition(over);
        daemon.jobs = left;
        for job in done {
            let key = job.action.key();
            let outcome =
                if job.fails { Err("no space left on device".to_owned()) } else { self.effect(&job.action) };
            if let Err(error) = &outcome {
                if let Some(violation) = error.strip_prefix("violation: ") {
                    return Err(violation.to_owned());
                }
                self.tell(format!("{key} failed: {error}"));
            }
            let Some(daemon) = &mut self.daemon else { continue };
            match outcome {
                Ok(()) => {
                    daemon.failures.remove(&key);
                }
                Err(error) => {
                    let attempts = daemon.failures.get(&key).map_or(0, |failure| failure.attempts) + 1;
                    daemon.failures.insert(key, StepFailure { at: now, attempts, error });
                }
            }
        }
        Ok(())
    }

    /// A step that a dead daemon had begun comes to its end, or does not.
    pub(crate) fn half_done(&mut self, action: &Action) -> Result<(), String> {
        match self.effect(action) {
            Err(error) if error.starts_with("violation: ") => Err(error),
            _ => Ok(()),
        }
    }

    fn effect(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Build { release, .. } => {
                let failed =
                    ReleaseState::Failed { why: "`make` ended with 2".to_owned(), last_lines: Vec::new() };
                let state = if self.bad_builds.contains(release) { failed } else { ReleaseState::Built };
                self.releases.insert(release.clone(), state);
            }
            Action::Publish { releases } => self.static_roots = releases.clone(),
            Action::Run { task, spec, .. } => {
                // What has a record is never run again, whoever asks.
                if self.tasks.contains_key(task) {
                    return Ok(());
                }
                let ends = Time(self.now.0 + self.rng.within(50, 20_000));
                self.running_tasks.insert(*task, (ends, spec.release.clone()));
                self.tasks.insert(*task, TaskState::Running { since: self.now });
            }
            Action::Remove { release } => {
                truth::may_be_removed(self, release)?;
                self.releases.remove(release);
            }
            Action::Prepare { instance, .. } => {
                self.disks.insert(*instance, Disk { ready: true, ..Disk::default() });
            }
            Action::Start { instance, spec } => return self.spawn(*instance, spec),
            Action::Reload { instance, spec } => {
                let process = self.processes.get_mut(instance).ok_or("it does not run")?;
                process.spec = spec.clone();
                process.digest = spec.digest();
            }
            Action::Stop { .. } => {}
            other => return self.change_database(other),
        }
        Ok(())
    }

    fn spawn(&mut self, id: InstanceId, spec: &Spec) -> Result<(), String> {
        if let Some(process) = self.processes.get(&id) {
            let same = process.digest == spec.digest();
            return if same { Ok(()) } else { Err("it runs as something else".to_owned()) };
        }
        let endpoint = endpoint_of(spec);
        if endpoint.port().is_some_and(|port| self.squatters.contains(&port.get())) {
            return Err(format!("{endpoint} is taken by another process"));
        }
        if let Some((other, _)) = self.listening(&endpoint) {
            return Err(format!("violation: {id} is started at {endpoint}, where {other} listens"));
        }
        if id.tier == stoa_model::Tier::Database && self.disks.get(&id).is_none_or(|disk| !disk.ready) {
            return Err("violation: a database is started on an unprepared data folder".to_owned());
        }
        let sick = matches!(spec, Spec::App(app) if self.sick_releases.contains(&app.release));
        let delay = match self.bad_starts.remove(&id) {
            Some(late) => late,
            None => Some(self.rng.within(50, 2_500)),
        };
        let fades = matches!(spec, Spec::App(app) if self.fading_releases.contains(&app.release));
        let fades = fades.then(|| Time(self.now.0 + self.rng.within(3_000, 15_000)));
        let ruined =
            id.tier == stoa_model::Tier::Database && self.disks.get(&id).is_some_and(|disk| disk.ruined);
        let healthy_from = delay.filter(|_| !sick && !ruined).map(|delay| Time(self.now.0 + delay));
        let database = (id.tier == stoa_model::Tier::Database).then(|| self.database_starts(id));
        let served = id.tier.is_role().then(Served::default);
        let before = self.ended.remove(&id);
        self.next_pid += 1;
        let process = Process {
            pid: self.next_pid,
            started: self.now,
            digest: spec.digest(),
            spec: spec.clone(),
            endpoint,
            healthy_from,
            ever_healthy: false,
            hangs_until: Time(0),
            crashes_at: self.own_end(spec, ruined),
            fades,
            ends: None,
            crashes: before.as_ref().map_or(0, |exited| exited.crashes),
            failed_starts: before.map_or(0, |exited| exited.failed_starts),
            served,
            database,
            excused: truth::some_balancer_is_silent(self, id),
        };
        self.tell(format!("{id} runs at {}, healthy after {delay:?} ms, sick {sick}", process.endpoint));
        self.processes.insert(id, process);
        Ok(())
    }

    /// When a process of a release that crashes, or on a disk that is ruined, ends by itself.
    fn own_end(&mut self, spec: &Spec, ruined: bool) -> Option<Time> {
        let crashes =
            ruined || matches!(spec, Spec::App(app) if self.crashing_releases.contains(&app.release));
        let at = Time(self.now.0 + self.rng.within(100, 4_000));
        crashes.then_some(at)
    }

    /// Sends the routes in force to every balancer that has not been sent them by this daemon.
    pub(crate) fn push_routes(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        for (id, process) in &mut self.processes {
            let Some(served) = &mut process.served else { continue };
            if daemon.silent_until.get(id).is_some_and(|until| *until > self.now) {
                continue;
            }
            let as_sent = (process.pid, self.routes.generation);
            if daemon.pushed.get(id) != Some(&as_sent) {
                daemon.pushed.insert(*id, as_sent);
                let arrives = Time(self.now.0 + self.rng.within(1, 700));
                served.coming.push((arrives, self.routes.clone()));
            }
        }
    }

    /// The daemon dies: what it had begun is left half done.
    pub(crate) fn kill_daemon(&mut self, when: &str) {
        let Some(daemon) = self.daemon.take() else { return };
        self.tell(format!("the daemon dies {when}, {} steps are left half done", daemon.jobs.len()));
        self.daemon_back = Time(self.now.0 + self.rng.within(100, 15_000));
        for job in daemon.jobs {
            let lasting = matches!(
                job.action,
                Action::Start { .. } | Action::Publish { .. } | Action::Reload { .. } | Action::Run { .. }
            ) || matches!(job.action.instance(), Some(id) if id.tier == stoa_model::Tier::Database);
            if lasting && !job.fails && self.rng.chance(50) {
                self.left_half_done.push(job.action);
            }
        }
        // A stop that nobody waits for any more is not seen as asked for, and a SIGKILL does not follow.
        for process in self.processes.values_mut().filter(|process| process.ends.is_some()) {
            if self.rng.chance(30) {
                process.ends = None;
            }
        }
    }

    /// A new daemon finds what is there; what it needs a moment to tell is unknown until then.
    pub(crate) fn start_daemon(&mut self) {
        self.tell("the daemon starts");
        let mut daemon = Daemon { since: self.now, ..Daemon::default() };
        for id in self.processes.keys().chain(self.ended.keys()) {
            daemon.unknown_until.insert(*id, Time(self.now.0 + self.rng.within(0, 2_000)));
        }
        self.daemon = Some(daemon);
    }
}

fn endpoint_of(spec: &Spec) -> stoa_model::Endpoint {
    match spec {
        Spec::Balancer(spec) => spec.control.clone(),
        Spec::Splitter(spec) => spec.control.clone(),
        Spec::Web(spec) => spec.endpoint.clone(),
        Spec::App(spec) => spec.endpoint.clone(),
        Spec::Database(spec) => spec.endpoint.clone(),
        Spec::Cache(spec) => spec.endpoint.clone(),
    }
}
