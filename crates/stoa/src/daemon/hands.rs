//! What the agent sees with and acts with on this host: the tiers' functions, put together.
//!
//! It looks and it does; what is to be done is told to it to the last port. A check runs beside the cycle
//! and never holds it up: what is not answered yet keeps its age.

use super::checks::Checks;
use super::faces::Faces;
use super::links::Links;
use crate::api::types::{Environment, Problem};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use stoa_model::control::{Report, socket_names};
use stoa_model::deployment::Tasks;
use stoa_model::observed::{DataState, Detail, InstanceObserved, ProcessState, ReleaseState};
use stoa_model::plan::STATIC_ROOTS;
use stoa_model::spec::{BalancerSpec, DatabaseSpec};
use stoa_model::{
    Action, Digest, Endpoint, InstanceId, Paths, Port, ReleaseId, Roster, Routes, Site, Spec, Tier,
};
use stoa_tiers::app::{self, Build};
use stoa_tiers::host::credentials::Credentials;
use stoa_tiers::host::launch::{Launch, Limits, RunAs, StopSignal};
use stoa_tiers::host::processes::Processes;
use stoa_tiers::host::users::Users;
use stoa_tiers::host::{files, listeners, ports, programs};
use stoa_tiers::{cache, database, nginx};
use tokio::sync::Notify;

/// Ports that a plan may hand out; more than any plan needs at once.
const FREE_PORTS: usize = 48;

/// This host's eyes and hands.
pub(crate) struct Hands {
    paths: Paths,
    users: Users,
    credentials: Credentials,
    processes: Processes,
    checks: Checks,
    links: Links,
    faces: Faces,
    /// Ports that instances were given: whether they are still free is looked at too.
    given: Mutex<Vec<Port>>,
}

/// What there is on this host now.
pub(crate) struct Look {
    /// Every instance there is a trace of.
    pub(crate) instances: BTreeMap<InstanceId, InstanceObserved>,
    /// Every release there is a trace of.
    pub(crate) releases: BTreeMap<ReleaseId, ReleaseState>,
    /// The releases that nginx looks for static files in.
    pub(crate) static_roots: Vec<ReleaseId>,
    /// Tasks of deployments.
    pub(crate) tasks: Tasks,
    /// Ports that nothing listens on.
    pub(crate) free_ports: Vec<Port>,
}

/// A source as it was taken for a release.
pub(crate) struct TakenRelease {
    /// Which.
    pub(crate) release: ReleaseId,
    /// What the user may miss in it.
    pub(crate) warnings: Vec<String>,
}

impl Hands {
    /// Takes over what runs on this host.
    pub(crate) async fn open(paths: Paths, wake: Arc<Notify>) -> Result<Self, String> {
        let told = |error: &dyn std::error::Error| error.to_string();
        let users = Users::installed().map_err(|error| told(&error))?;
        files::ensure_state(&paths, &users).map_err(|error| told(&error))?;
        let credentials = Credentials::load_or_create(&paths).map_err(|error| told(&error))?;
        let processes = Processes::new(paths.clone(), users.clone());
        processes.adopt().await.map_err(|error| told(&error))?;
        let events = (processes.clone(), wake.clone());
        tokio::spawn(async move {
            loop {
                events.0.wait_event().await;
                events.1.notify_one();
            }
        });
        let faces = Faces::default();
        let living = balancers(&processes);
        faces.fetch_back(living.values().map(|(_, endpoint)| endpoint)).await;
        Ok(Hands {
            checks: Checks::new(processes.clone(), paths.clone(), credentials.clone(), wake.clone()),
            links: Links::new(wake),
            paths,
            users,
            credentials,
            processes,
            faces,
            given: Mutex::default(),
        })
    }

    /// What runs here.
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// What the balancers said last.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let roles = balancers(&self.processes);
        roles.keys().filter_map(|id| Some(self.links.heard(*id)?.report)).collect()
    }

    /// Looks at everything, and has checked what is due.
    pub(crate) async fn look(&self) -> Look {
        self.links.keep(&balancers(&self.processes));
        self.hear_balancers();
        self.close_unused_faces();
        self.checks.run_due();
        let mut instances = BTreeMap::new();
        for (id, process) in self.processes.observe() {
            let detail = self.detail(id, &process);
            let data = DataState::Unknown;
            instances.insert(id, InstanceObserved { process, data, detail });
        }
        for id in self.data_folders() {
            let absent = InstanceObserved {
                process: ProcessState::Absent,
                data: DataState::Unknown,
                detail: Detail::None,
            };
            instances.entry(id).or_insert(absent);
        }
        for (id, seen) in instances.iter_mut().filter(|(id, _)| id.tier == Tier::Database) {
            seen.data = self.checks.data_state(*id).await;
        }
        Look {
            releases: app::build::observe(&self.paths),
            static_roots: self.static_roots(),
            tasks: Tasks::new(),
            free_ports: self.free_ports(&instances),
            instances,
        }
    }

    /// Lets every balancer serve by these routes.
    pub(crate) fn publish(&self, routes: &Routes, roster: &Roster) {
        self.links.publish(routes);
        let given = roster.instances.values().filter_map(|place| place.endpoint.port()).collect();
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = given;
    }

    /// Does one thing; what was done, or why not, in one sentence.
    pub(crate) async fn act(&self, action: &Action) -> Result<String, String> {
        let done = match action {
            Action::Build { site, release, commands, persist, timeout } => {
                let user = self.users.of(RunAs::Tier(Tier::App));
                let commands = commands.as_deref();
                let job = Build { site, release, commands, persist, timeout: *timeout, user };
                app::build(&job, &self.paths).await.map_err(|error| error.to_string())?;
                format!("release {release} is built")
            }
            Action::Publish { releases } => {
                for (place, release) in releases.iter().enumerate() {
                    files::swap_link(&self.paths.static_root(place), &self.paths.release(release))
                        .map_err(|error| error.to_string())?;
                }
                let first = releases.first().map(ToString::to_string).unwrap_or_default();
                format!("static files come from release {first}")
            }
            Action::Run { task, .. } => return Err(format!("{task} cannot be run yet")),
            Action::Remove { release } => return Err(format!("{release} cannot be removed yet")),
            Action::Prepare { instance, spec } => {
                let Spec::Database(spec) = spec else { return Err("nothing to prepare".to_owned()) };
                let user = self.users.of(RunAs::Tier(Tier::Database));
                let server = self.server(*instance, spec);
                database::prepare(&server, user).await.map_err(|error| error.to_string())?;
                format!("{instance} has a data folder")
            }
            Action::Start { instance, spec } => self.start(*instance, spec).await?,
            Action::Reload { instance, spec } => self.reload(*instance, spec).await?,
            Action::Stop { instance, grace } => {
                self.processes.stop(*instance, *grace).await.map_err(|error| error.to_string())?;
                format!("{instance} has stopped")
            }
            Action::Fence { instance } => {
                let spec = self.database_spec(*instance)?;
                database::fence(&self.server(*instance, &spec)).await.map_err(|error| error.to_string())?;
                self.checks.ask_now(*instance).await;
                format!("{instance} refuses writes")
            }
            Action::Promote { instance, term } => {
                let spec = self.database_spec(*instance)?;
                database::promote(&self.server(*instance, &spec), *term)
                    .await
                    .map_err(|error| error.to_string())?;
                self.checks.ask_now(*instance).await;
                format!("{instance} takes writes in term {term}")
            }
            Action::Follow { instance, primary, endpoint, term } => {
                let spec = self.database_spec(*instance)?;
                database::follow(&self.server(*instance, &spec), endpoint, *term)
                    .await
                    .map_err(|error| error.to_string())?;
                self.checks.ask_now(*instance).await;
                format!("{instance} replicates from {primary}")
            }
        };
        Ok(done)
    }

    /// Listens where visitors are to connect, before anything else is asked of the machine.
    pub(crate) async fn claim_faces(&self, site: &Site) -> Result<(), String> {
        listeners::check_socket_path(&self.paths.app_face()).map_err(|error| error.to_string())?;
        self.faces.web(site.balancer.listen).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Takes the source as it is now.
    pub(crate) async fn take_source(&self, site: &Site, anew: bool) -> Result<TakenRelease, Box<Problem>> {
        let releases = app::build::observe(&self.paths);
        let (known, number) = known_releases(&self.paths, anew);
        let taken = app::take(&site.source, number, &known, &self.paths).await.map_err(source_problem)?;
        // The operator asks again: a build that failed is tried again.
        if matches!(releases.get(&taken.release), Some(ReleaseState::Failed { .. })) {
            app::build::forgive(&taken.release, &self.paths).map_err(|error| {
                Box::new(Problem::from_text(
                    "the failed build cannot be removed",
                    error.to_string(),
                    "see that the state folder can be written",
                ))
            })?;
        }
        Ok(TakenRelease { release: taken.release, warnings: taken.warnings })
    }

    /// The release that `take_source` would name now; nothing is kept of it.
    pub(crate) async fn would_take(&self, site: &Site, anew: bool) -> Result<ReleaseId, Box<Problem>> {
        would_take(&self.paths, site, anew).await
    }

    /// The variables, folder and user of a command beside the application.
    pub(crate) fn environment(
        &self,
        spec: Option<&Spec>,
        release: &ReleaseId,
    ) -> Result<Environment, String> {
        let Some(Spec::App(spec)) = spec else {
            return Err("no instance of its application has a place yet".to_owned());
        };
        let user = self.users.of(RunAs::Tier(Tier::App)).map(|user| (user.uid, user.gid));
        Ok(Environment { spec: spec.clone(), directory: self.paths.release(release), user })
    }

    async fn start(&self, instance: InstanceId, spec: &Spec) -> Result<String, String> {
        let (paths, credentials) = (&self.paths, &self.credentials);
        let (launch, inherited) = match spec {
            Spec::Balancer(balancer) => self.balancer_launch(instance, balancer)?,
            Spec::Web(web) => (nginx::launch(instance, web, paths).map_err(|e| e.to_string())?, Vec::new()),
            Spec::App(app) => {
                (app::run::launch(instance, app, paths, credentials).map_err(|e| e.to_string())?, Vec::new())
            }
            Spec::Database(database) => (
                database::launch(instance, database, paths, credentials).map_err(|e| e.to_string())?,
                Vec::new(),
            ),
            Spec::Cache(cache) => {
                (cache::launch(instance, cache, paths, credentials).map_err(|e| e.to_string())?, Vec::new())
            }
        };
        let started = self.processes.start(launch, inherited).await.map_err(|error| error.to_string())?;
        Ok(format!("{instance} started as pid {}", started.pid))
    }

    fn balancer_launch(
        &self,
        instance: InstanceId,
        spec: &BalancerSpec,
    ) -> Result<(Launch, Vec<(String, OwnedFd)>), String> {
        let told = |error: stoa_tiers::host::HostError| error.to_string();
        let web = self.faces.web(spec.web_face).map_err(told)?;
        let app = self.faces.app(&self.paths.app_face(), &self.users).map_err(told)?;
        let Endpoint::Unix(control) = &spec.control else {
            return Err("a role needs a control socket".to_owned());
        };
        let folder = self.paths.instance(instance);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let control = listeners::unix_listener(control, 0o600, &self.users).map_err(told)?;
        let mut argv = vec![
            super::start::own_program().into_os_string(),
            "role".into(),
            "balancer".into(),
            "--name".into(),
            instance.to_string().into(),
        ];
        if let Some(user) = self.users.of(RunAs::Tier(Tier::Balancer)) {
            argv.extend(["--user".into(), format!("{}:{}", user.uid, user.gid).into()]);
        }
        let launch = Launch {
            instance,
            argv,
            environment: programs::environment(),
            directory: "/".into(),
            user: RunAs::Daemon,
            limits: Limits::default(),
            stop_signal: StopSignal::Term,
            spec: Spec::Balancer(spec.clone()),
            release: None,
            files: Vec::new(),
            folders: Vec::new(),
        };
        let inherited =
            [(socket_names::WEB_FACE, web), (socket_names::APP_FACE, app), (socket_names::CONTROL, control)];
        Ok((launch, inherited.map(|(name, socket)| (name.to_owned(), socket)).into()))
    }

    async fn reload(&self, instance: InstanceId, spec: &Spec) -> Result<String, String> {
        let Spec::Web(web) = spec else {
            return Err(format!("{instance} cannot be reloaded, only restarted"));
        };
        nginx::reload(&self.processes, instance, web).await.map_err(|error| error.to_string())?;
        Ok(format!("{instance} has re-read its configuration"))
    }

    fn server<'a>(&'a self, instance: InstanceId, spec: &'a DatabaseSpec) -> database::Server<'a> {
        database::Server { instance, spec, paths: &self.paths, credentials: &self.credentials }
    }

    fn database_spec(&self, instance: InstanceId) -> Result<DatabaseSpec, String> {
        match self.processes.subject(instance).and_then(|subject| subject.spec) {
            Some(Spec::Database(spec)) => Ok(spec),
            _ => Err(format!("{instance} does not run as a database")),
        }
    }

    fn close_unused_faces(&self) {
        let running = self.processes.running();
        self.faces.close_unused(|address| {
            running.iter().any(|subject| match &subject.spec {
                Some(Spec::Balancer(spec)) => spec.web_face == address,
                // What it serves is not known, so it may serve this.
                other => subject.instance.tier == Tier::Balancer && other.is_none(),
            })
        });
    }

    /// A balancer that reports is healthy: it serves by the routes it names.
    fn hear_balancers(&self) {
        for subject in self.processes.running().iter().filter(|s| s.instance.tier == Tier::Balancer) {
            if let Some(heard) = self.links.heard(subject.instance).filter(|h| h.started == subject.started) {
                let silent = stoa_tiers::host::clock::now().since(heard.at) > super::checks::SILENT;
                let result = if silent { Err("it has not reported for a while".to_owned()) } else { Ok(()) };
                self.processes.record_check(subject.instance, subject.started, result);
            }
        }
    }

    fn detail(&self, id: InstanceId, process: &ProcessState) -> Detail {
        let ProcessState::Running(running) = process else { return Detail::None };
        match id.tier {
            Tier::Balancer => match self.links.heard(id).filter(|heard| heard.started == running.started) {
                Some(heard) => Detail::Balancer { at: heard.at, report: heard.report },
                None => Detail::None,
            },
            Tier::Database => self.checks.database(id, running.started),
            _ => Detail::None,
        }
    }

    /// Databases that left data here, whether they run or not.
    fn data_folders(&self) -> Vec<InstanceId> {
        let Ok(entries) = std::fs::read_dir(self.paths.root().join("data")) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        names.filter(|id: &InstanceId| id.tier == Tier::Database).collect()
    }

    /// Two sites of one machine look for free ports from different ends.
    fn seed(&self) -> u64 {
        Digest::of(self.paths.root().as_os_str().as_encoded_bytes()).get()
    }

    fn static_roots(&self) -> Vec<ReleaseId> {
        let at = |place| {
            let target = std::fs::read_link(self.paths.static_root(place)).ok()?;
            target.file_name()?.to_str()?.parse().ok()
        };
        (0..STATIC_ROOTS).map_while(at).collect()
    }

    fn free_ports(&self, instances: &BTreeMap<InstanceId, InstanceObserved>) -> Vec<Port> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_use = |port: &Port| {
            instances.values().any(|seen| match &seen.process {
                ProcessState::Running(running) => running.endpoint.port() == Some(*port),
                _ => false,
            })
        };
        let mut free = ports::free_ports(FREE_PORTS, self.seed());
        for port in given {
            if !free.contains(&port) && !in_use(&port) && ports::is_free(port) {
                free.push(port);
            }
        }
        free
    }
}

fn balancers(processes: &Processes) -> BTreeMap<InstanceId, (stoa_model::Time, Endpoint)> {
    let running = processes.running();
    let roles = running.into_iter().filter_map(|subject| match subject.spec {
        Some(Spec::Balancer(spec)) => Some((subject.instance, (subject.started, spec.control))),
        _ => None,
    });
    roles.collect()
}

/// The release that taking the source would name now; it is taken to a scratch folder.
pub(crate) async fn would_take(paths: &Paths, site: &Site, anew: bool) -> Result<ReleaseId, Box<Problem>> {
    let scratch = tempfile::tempdir().map_err(|error| {
        Box::new(Problem::from_text(
            "the source cannot be looked at",
            error.to_string(),
            "make room in the folder for temporary files",
        ))
    })?;
    let (known, number) = known_releases(paths, anew);
    let taken = app::take(&site.source, number, &known, &Paths::new(scratch.path())).await;
    Ok(taken.map_err(source_problem)?.release)
}

fn known_releases(paths: &Paths, anew: bool) -> (Vec<ReleaseId>, u32) {
    let releases = app::build::observe(paths);
    let number = releases.keys().map(ReleaseId::number).max().unwrap_or(0) + 1;
    (if anew { Vec::new() } else { releases.into_keys().collect() }, number)
}

fn source_problem(error: app::SourceError) -> Box<Problem> {
    let next = match &error {
        app::SourceError::Write(_) => "mend it, then run: stoa up",
        _ => "correct source or ref under [app] in stoa.toml, then run: stoa up",
    };
    Box::new(Problem::from_text("the source cannot be taken", error.to_string(), next))
}
