//! Checks: asks every running instance, in its own protocol, whether it is well; each beside the cycle.
//!
//! It records answers with their age and judges nothing. A check that gets no answer in time is a failed
//! check of that instance; a check that was not made is no answer at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stoa_model::observed::{DataState, DatabaseStatus, Detail};
use stoa_model::site::DatabaseEngine;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{InstanceId, Millis, Paths, Spec, Tier, Time};
use stoa_tiers::host::clock;
use stoa_tiers::host::credentials::Credentials;
use stoa_tiers::host::processes::{Processes, Subject};
use stoa_tiers::{app, cache, database, nginx};
use tokio::sync::Notify;

/// How often an instance that is well is asked.
const WELL: Millis = Millis(1000);
/// A database server, whose silence decides about the primary, is asked more often.
const WELL_DATABASE: Millis = Millis(500);
/// How often one that is not well, or has not passed as often as is needed yet, is asked.
const UNWELL: Millis = Millis(100);
/// A database server that is asked and has not answered for so long since the last time is silent.
const SILENT_DATABASE: Millis = Millis(800);
/// How long the others are asked often when one has ended.
const LOST: Millis = Millis(3000);
/// What does not answer within this is not well.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A balancer reports once a second; silent for this long, it is not well.
pub(crate) const SILENT: Millis = Millis(5000);

/// The checks of this host.
pub(crate) struct Checks {
    shared: Arc<Shared>,
}

struct Shared {
    processes: Processes,
    paths: Paths,
    credentials: Credentials,
    wake: Arc<Notify>,
    monitor: database::Monitor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: BTreeMap<InstanceId, Asked>,
    databases: BTreeMap<InstanceId, Answer>,
    data: BTreeMap<InstanceId, (Time, DataState)>,
    /// How many checks in a row a new instance has to pass.
    needed: u32,
    /// The primary is changing: each answer of a database counts.
    hurry: bool,
    /// When a database's process ended last.
    lost: Option<Time>,
    /// Which engine the site has; nothing is known of data before that is.
    engine: Option<DatabaseEngine>,
    /// The server that is installed; asked once, its answer costs a process.
    installed: Option<database::data::Installed>,
}

/// How it stands with asking one instance.
struct Asked {
    /// Which process.
    started: Time,
    /// When it answered, or should have, last.
    last: Option<Time>,
    /// How many good answers it gave in a row.
    passes: u32,
    /// A check is under way.
    under_way: bool,
}

/// What a database server said.
struct Answer {
    started: Time,
    /// When it was asked: what it says may be as old as that.
    at: Time,
    status: DatabaseStatus,
}

impl Checks {
    /// Nothing asked yet; `wake` is told when an answer differs from the one before.
    pub(crate) fn new(
        processes: Processes,
        paths: Paths,
        credentials: Credentials,
        wake: Arc<Notify>,
    ) -> Self {
        let (state, monitor) = (Mutex::default(), database::Monitor::default());
        Checks { shared: Arc::new(Shared { processes, paths, credentials, wake, monitor, state }) }
    }

    /// How many checks in a row a new instance has to pass.
    pub(crate) fn need(&self, passes: u32) {
        self.shared.state().needed = passes;
    }

    /// Which engine the site's data is of.
    pub(crate) fn of_engine(&self, engine: Option<DatabaseEngine>) {
        self.shared.state().engine = engine;
    }

    /// Whether databases are asked as often as what is not well.
    pub(crate) fn hurry(&self, hurry: bool) {
        self.shared.state().hurry = hurry;
    }

    /// Begins every check that is due; none is waited for.
    pub(crate) fn run_due(&self) {
        let running = self.shared.processes.running();
        let mut state = self.shared.state();
        let known = state.databases_asked();
        state.asked.retain(|id, asked| {
            running.iter().any(|subject| subject.instance == *id && subject.started == asked.started)
        });
        if state.databases_asked() < known {
            state.lost = Some(clock::now());
        }
        self.shared.monitor.keep(|id| running.iter().any(|subject| subject.instance == id));
        let (now, needed) = (clock::now(), state.needed.max(1));
        let hurry = state.hurry || state.lost_one_lately(now) || state.some_database_is_silent(now);
        for subject in running.into_iter().filter(|subject| !subject.instance.tier.is_role()) {
            let asked = state.asked.entry(subject.instance).or_insert(Asked {
                started: subject.started,
                last: None,
                passes: 0,
                under_way: false,
            });
            let pause = match subject.instance.tier {
                _ if asked.passes < needed => UNWELL,
                Tier::Database if hurry => UNWELL,
                Tier::Database => WELL_DATABASE,
                _ => WELL,
            };
            let due = asked.last.is_none_or(|last| now.since(last) >= pause);
            if due && !asked.under_way {
                asked.under_way = true;
                tokio::spawn(ask(self.shared.clone(), subject));
            }
        }
    }

    /// Asks now and waits for the answer, because something was done to it: what was heard before is no
    /// longer true.
    pub(crate) async fn ask_now(&self, id: InstanceId) {
        self.shared.state().data.remove(&id);
        self.shared.monitor.keep(|other| other != id);
        if let Some(subject) = self.shared.processes.subject(id) {
            ask(self.shared.clone(), subject).await;
        }
    }

    /// What the process of `id` that started at `started` said last.
    pub(crate) fn database(&self, id: InstanceId, started: Time) -> Detail {
        match self.shared.state().databases.get(&id).filter(|answer| answer.started == started) {
            Some(answer) => Detail::Database { at: answer.at, status: answer.status.clone() },
            None => Detail::None,
        }
    }

    /// What the data folder of `id` holds; looked at once a second at most.
    pub(crate) async fn data_state(&self, id: InstanceId) -> DataState {
        let now = clock::now();
        if let Some((at, known)) = self.shared.state().data.get(&id)
            && *known == DataState::Ready
            && now.since(*at) < WELL
        {
            return known.clone();
        }
        let found = self.look_at_data(id).await;
        self.shared.state().data.insert(id, (now, found.clone()));
        found
    }

    async fn look_at_data(&self, id: InstanceId) -> DataState {
        let Some(engine) = self.shared.state().engine else { return DataState::Unknown };
        let known = self.shared.state().installed.clone().filter(|known| known.engine == engine);
        let installed = match known {
            Some(installed) => installed,
            None => match database::data::installed(id, engine).await {
                Ok(installed) => self.shared.state().installed.insert(installed).clone(),
                Err(error) => {
                    tracing::debug!("{error}");
                    return DataState::Unknown;
                }
            },
        };
        database::data::state(&self.shared.paths.data(id), &installed)
    }
}

impl State {
    fn databases_asked(&self) -> usize {
        self.asked.keys().filter(|id| id.tier == Tier::Database).count()
    }

    /// Whether a database's process ended a moment ago: what the others say from now on decides who takes over.
    fn lost_one_lately(&self, now: Time) -> bool {
        self.lost.is_some_and(|lost| now.since(lost) < LOST)
    }

    /// Whether one that is asked does not answer, so that the others are asked at once what they hear of it.
    fn some_database_is_silent(&self, now: Time) -> bool {
        let mut databases = self.asked.iter().filter(|(id, _)| id.tier == Tier::Database);
        databases.any(|(_, asked)| {
            asked.under_way && asked.last.is_some_and(|last| now.since(last) > SILENT_DATABASE)
        })
    }

    /// Keeps an answer, unless a later question was answered before.
    fn hear(&mut self, id: InstanceId, answer: Answer) {
        let newer =
            self.databases.get(&id).is_none_or(|kept| (kept.started, kept.at) <= (answer.started, answer.at));
        if newer {
            self.databases.insert(id, answer);
        }
    }
}

impl Shared {
    fn server<'a>(&'a self, instance: InstanceId, spec: &'a DatabaseSpec) -> database::Server<'a> {
        database::Server { instance, spec, paths: &self.paths, credentials: &self.credentials }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(shared: Arc<Shared>, subject: Subject) {
    let (id, started) = (subject.instance, subject.started);
    let asked_at = clock::now();
    let result = match &subject.spec {
        Some(Spec::Web(spec)) => nginx::check(spec, TIMEOUT).await,
        Some(Spec::App(spec)) => app::observe::check(spec).await,
        Some(Spec::Cache(spec)) => cache::check(spec, &shared.credentials, TIMEOUT).await,
        Some(Spec::Database(spec)) => match shared.monitor.status(&shared.server(id, spec)).await {
            Ok(status) => {
                shared.state().hear(id, Answer { started, at: asked_at, status });
                Ok(())
            }
            Err(error) => Err(error),
        },
        Some(Spec::Balancer(_) | Spec::Splitter(_)) => Ok(()),
        None => {
            Err("it was started by another version of Stoa, which wrote down nothing to check".to_owned())
        }
    };
    let well = result.is_ok();
    shared.processes.record_check(id, started, result);
    let mut state = shared.state();
    let needed = state.needed.max(1);
    if let Some(asked) = state.asked.get_mut(&id).filter(|asked| asked.started == started) {
        let passes = if well { asked.passes.saturating_add(1) } else { 0 };
        let news = passes <= needed || asked.last.is_none();
        let changed = news && asked.passes != passes;
        (asked.passes, asked.under_way, asked.last) = (passes, false, Some(clock::now()));
        if changed {
            shared.wake.notify_one();
        }
    }
}
