//! Links to the balancer roles: routes go out, reports come in.
//!
//! One task a role. A link that breaks is made again for as long as the role's process lives; what the
//! role said last keeps its age, so that silence is never read as health.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stoa_model::control::Report;
use stoa_model::{Endpoint, InstanceId, Routes, Time};
use stoa_tiers::host::clock;
use stoa_traffic::http::control::Client;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long to wait before a broken link is made again.
const AGAIN: Duration = Duration::from_millis(50);

/// The links of this host.
pub(crate) struct Links {
    routes: watch::Sender<Routes>,
    reports: Arc<Mutex<BTreeMap<InstanceId, Heard>>>,
    tasks: Mutex<BTreeMap<InstanceId, (Time, JoinHandle<()>)>>,
    wake: Arc<Notify>,
}

/// The last report of a role.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// The start of the process that sent it.
    pub(crate) started: Time,
    /// When it came.
    pub(crate) at: Time,
    /// What it said.
    pub(crate) report: Report,
}

impl Links {
    /// No links yet; `wake` is told of every report that says something new.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Links {
            routes: watch::Sender::new(Routes::default()),
            reports: Arc::default(),
            tasks: Mutex::default(),
            wake,
        }
    }

    /// Sends `routes` to every role, now and whenever a link is made.
    pub(crate) fn publish(&self, routes: &Routes) {
        self.routes.send_if_modified(|current| {
            let newer = *current != *routes;
            if newer {
                current.clone_from(routes);
            }
            newer
        });
    }

    /// Keeps a link to each of the `living` roles (with its start and control socket), and to no other.
    pub(crate) fn keep(&self, living: &BTreeMap<InstanceId, (Time, Endpoint)>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|id, (started, task)| {
            let lives = living.get(id).is_some_and(|(now, _)| now == started);
            if !lives {
                task.abort();
            }
            lives
        });
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|id, heard| living.get(id).is_some_and(|(now, _)| *now == heard.started));
        for (id, (started, endpoint)) in living {
            let Endpoint::Unix(socket) = endpoint else { continue };
            tasks.entry(*id).or_insert_with(|| (*started, self.link(*id, *started, socket.clone())));
        }
    }

    /// What `role` said last.
    pub(crate) fn heard(&self, role: InstanceId) -> Option<Heard> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).get(&role).cloned()
    }

    fn link(&self, id: InstanceId, started: Time, socket: PathBuf) -> JoinHandle<()> {
        let (mut routes, reports, wake) = (self.routes.subscribe(), self.reports.clone(), self.wake.clone());
        tokio::spawn(async move {
            loop {
                if let Err(error) = converse(id, started, &socket, &mut routes, &reports, &wake).await {
                    tracing::debug!("{id}: {error}");
                }
                tokio::time::sleep(AGAIN).await;
            }
        })
    }
}

async fn converse(
    id: InstanceId,
    started: Time,
    socket: &std::path::Path,
    routes: &mut watch::Receiver<Routes>,
    reports: &Mutex<BTreeMap<InstanceId, Heard>>,
    wake: &Notify,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = Client::connect(socket).await?;
    routes.mark_changed();
    loop {
        tokio::select! {
            changed = routes.changed() => {
                changed?;
                let now = routes.borrow_and_update().clone();
                // Generation 0 is "nothing decided yet": a role that serves keeps what it has.
                if now.generation.0 > 0 {
                    client.send_routes(&now).await?;
                }
            }
            report = client.next_report() => {
                let heard = Heard { started, at: clock::now(), report: report? };
                let before = reports.lock().unwrap_or_else(PoisonError::into_inner).insert(id, heard.clone());
                if before.is_none_or(|before| says_something_new(&before.report, &heard.report)) {
                    wake.notify_one();
                }
            }
        }
    }
}

/// Counters grow with every report; only what decisions follow from wakes the cycle.
fn says_something_new(before: &Report, now: &Report) -> bool {
    let drained = |id: &InstanceId, report: &Report| {
        report.instances.get(id).is_none_or(|upstream| upstream.in_flight == 0)
    };
    before.serving != now.serving
        || before.instances.keys().any(|id| drained(id, before) != drained(id, now))
        || now.instances.iter().any(|(id, upstream)| {
            before.instances.get(id).map(|old| old.ejected.is_some()) != Some(upstream.ejected.is_some())
        })
}
