//! What the agent sees with and acts with on this host: the tiers' functions, put together.
//!
//! It looks and it does; what is to be done is told to it to the last port. A check runs beside the cycle
//! and never holds it up: what is not answered yet keeps its age.

mod act;
mod cluster;
mod role;
mod source;

pub(crate) use source::{Numbering, TakenRelease, would_take};

use super::checks::Checks;
use super::faces::Faces;
use super::links::Links;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use stoa_model::control::Report;
use stoa_model::deployment::Tasks;
use stoa_model::observed::{DataState, Detail, InstanceObserved, ProcessState, ReleaseState, Salvaged};
use stoa_model::{
    Digest, Endpoint, InstanceId, Intent, Millis, Paths, Port, ReleaseId, Roster, Routes, Spec, Tier, Time,
};
use stoa_tiers::host::credentials::Credentials;
use stoa_tiers::host::processes::Processes;
use stoa_tiers::host::users::Users;
use stoa_tiers::host::{clock, files, ports};
use stoa_tiers::{app, database};
use tokio::sync::Notify;

/// Ports that a plan may hand out; more than any plan needs at once.
const FREE_PORTS: usize = 48;

/// A balancer reports once a second; a report that is older says nothing of now.
const HEARD_FRESH: Millis = Millis(2500);

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
    /// What was saved of former primaries.
    pub(crate) salvaged: BTreeMap<InstanceId, Salvaged>,
    /// Ports that nothing listens on.
    pub(crate) free_ports: Vec<Port>,
}

impl Hands {
    /// Takes over what runs on this host.
    pub(crate) async fn open(paths: Paths, wake: Arc<Notify>) -> Result<Self, String> {
        let told = |error: &dyn std::error::Error| error.to_string();
        let users = Users::installed(&paths).map_err(|error| told(&error))?;
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
        let living = roles(&processes);
        faces.fetch_back(living.iter().map(|(id, (_, endpoint))| (id.tier, endpoint))).await;
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

    /// Ends what was begun for a deployment: the site is taken down.
    pub(crate) async fn stop_tasks(&self) {
        app::task::stop_all(&self.paths).await;
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

    /// What every running balancer said just now, with its start; none where one of them is silent: what it
    /// would have counted is not zero.
    pub(crate) fn heard(&self) -> Option<Vec<(InstanceId, Time, Report)>> {
        let now = clock::now();
        let roles = balancers(&self.processes);
        let fresh = |(id, (started, _)): (&InstanceId, &(Time, Endpoint))| {
            let heard = self.links.heard(*id)?;
            let is_fresh = heard.started == *started && now.since(heard.at) < HEARD_FRESH;
            is_fresh.then_some((*id, *started, heard.report))
        };
        roles.iter().map(fresh).collect()
    }

    /// Looks at everything, and has checked what is due.
    pub(crate) async fn look(&self) -> Look {
        self.links.keep(&roles(&self.processes));
        self.hear_roles();
        self.close_unused_faces();
        self.checks.run_due();
        let mut instances = BTreeMap::new();
        for (id, process) in self.processes.observe() {
            let detail = self.detail(id, &process);
            let data = DataState::Unknown;
            instances.insert(id, InstanceObserved { process, data, full: None, detail });
        }
        for id in self.data_folders() {
            let absent = InstanceObserved {
                process: ProcessState::Absent,
                data: DataState::Unknown,
                full: None,
                detail: Detail::None,
            };
            instances.entry(id).or_insert(absent);
        }
        for (id, seen) in instances.iter_mut().filter(|(id, _)| id.tier == Tier::Database) {
            seen.data = self.checks.data_state(*id).await;
            seen.full = database::data::full(&self.paths.data(*id));
        }
        Look {
            releases: app::build::observe(&self.paths),
            static_roots: files::published(&self.paths),
            tasks: app::task::observe(&self.paths),
            salvaged: database::salvaged(&self.paths),
            free_ports: self.free_ports(&instances),
            instances,
        }
    }

    /// Looks at what is here as at a site of this kind.
    pub(crate) fn expect(&self, intent: &Intent) {
        self.checks.need(intent.site.deploy.checks);
        self.checks.of_engine(intent.site.database.as_ref().map(|database| database.engine));
    }

    /// Lets every role serve by these routes, and looks at what else was decided.
    pub(crate) fn publish(&self, intent: &Intent, routes: &Routes, roster: &Roster) {
        self.links.publish(routes);
        self.expect(intent);
        self.checks.hurry(roster.database.handover.is_some());
        let endpoints = roster.instances.values().map(|place| &place.endpoint).chain(&roster.sql_face);
        let given = endpoints.filter_map(Endpoint::port).collect();
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = given;
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

    /// A role that reports is healthy: it serves by the routes it names.
    fn hear_roles(&self) {
        for subject in self.processes.running().iter().filter(|s| s.instance.tier.is_role()) {
            if let Some(heard) = self.links.heard(subject.instance).filter(|h| h.started == subject.started) {
                let silent = clock::now().since(heard.at) > super::checks::SILENT;
                let result = if silent { Err("it has not reported for a while".to_owned()) } else { Ok(()) };
                self.processes.record_check(subject.instance, subject.started, result);
            }
        }
    }

    fn detail(&self, id: InstanceId, process: &ProcessState) -> Detail {
        let ProcessState::Running(running) = process else { return Detail::None };
        match id.tier {
            Tier::Balancer | Tier::Splitter => {
                match self.links.heard(id).filter(|heard| heard.started == running.started) {
                    Some(heard) => Detail::Role { at: heard.at, report: heard.report },
                    None => Detail::None,
                }
            }
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

/// Every role that runs, with its start and control socket.
fn roles(processes: &Processes) -> BTreeMap<InstanceId, (Time, Endpoint)> {
    let running = processes.running();
    let roles = running.into_iter().filter_map(|subject| {
        let control = match subject.spec? {
            Spec::Balancer(spec) => spec.control,
            Spec::Splitter(spec) => spec.control,
            Spec::Web(_) | Spec::App(_) | Spec::Database(_) | Spec::Cache(_) => return None,
        };
        Some((subject.instance, (subject.started, control)))
    });
    roles.collect()
}

fn balancers(processes: &Processes) -> BTreeMap<InstanceId, (Time, Endpoint)> {
    let mut roles = roles(processes);
    roles.retain(|id, _| id.tier == Tier::Balancer);
    roles
}
