//! Links to the roles: routes go out, reports come in, and what splitters ask of one another passes through.
//!
//! One task a role. A link that breaks is made again for as long as the role's process lives; what the
//! role said last keeps its age, so that silence is never read as health.

use super::between::{Between, Passed};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stoa_model::control::{Order, Report};
use stoa_model::{Endpoint, InstanceId, Routes, Time};
use stoa_tiers::host::clock;
use stoa_traffic::http::control::Client;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// How long to wait before a broken link is made again.
const AGAIN: Duration = Duration::from_millis(50);

/// The links of this host.
pub(crate) struct Links {
    routes: watch::Sender<Routes>,
    reports: Arc<Mutex<BTreeMap<InstanceId, Heard>>>,
    tasks: Mutex<BTreeMap<InstanceId, (Time, JoinHandle<()>)>>,
    wake: Arc<Notify>,
    between: Arc<Between>,
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
            between: Arc::default(),
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
        let mut routes = self.routes.subscribe();
        let mut orders = self.between.open(id);
        let link = Link {
            id,
            started,
            reports: self.reports.clone(),
            wake: self.wake.clone(),
            between: self.between.clone(),
        };
        tokio::spawn(async move {
            loop {
                if let Err(error) = link.converse(&socket, &mut routes, &mut orders).await {
                    tracing::debug!("{id}: {error}");
                }
                tokio::time::sleep(AGAIN).await;
            }
        })
    }
}

/// One role's end of it.
struct Link {
    id: InstanceId,
    started: Time,
    reports: Arc<Mutex<BTreeMap<InstanceId, Heard>>>,
    wake: Arc<Notify>,
    between: Arc<Between>,
}

impl Link {
    async fn converse(
        &self,
        socket: &Path,
        routes: &mut watch::Receiver<Routes>,
        orders: &mut mpsc::Receiver<Passed>,
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
                // The other end lives as long as this link is kept.
                Some(passed) = orders.recv() => match passed {
                    Passed::Kill(kill) => client.order(&Order::Kill(kill)).await?,
                    Passed::Killed(answer) => client.order(&Order::Killed(answer)).await?,
                    Passed::Session { form, connection } => client.adopt(form, connection.as_fd()).await?,
                },
                report = client.next_report() => {
                    let report = report?;
                    let moving = report.sql.as_ref().map_or(0, |sql| sql.moving.len());
                    self.hear(report, client.take_connections(moving));
                    if moving > 0 {
                        client.order(&Order::Taken(moving as u32)).await?;
                    }
                }
            }
        }
    }

    /// Takes a report, and the connections of the sessions that are to go on at another splitter.
    fn hear(&self, mut report: Report, connections: Vec<OwnedFd>) {
        self.between.pass(self.id, &mut report, connections);
        let heard = Heard { started: self.started, at: clock::now(), report };
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reports.insert(self.id, heard.clone());
        drop(reports);
        if before.is_none_or(|before| says_something_new(&before.report, &heard.report)) {
            self.wake.notify_one();
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

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::Tier;
    use stoa_model::control::{KillAnswer, KillOrder, KillOutcome, PLACE_SHIFT, SqlReport, splitter_place};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    /// A role's end of a control socket.
    async fn tell(role: &mut UnixStream, sql: SqlReport) {
        let report = Report { sql: Some(sql), ..Report::default() };
        let body = serde_json::to_vec(&report).unwrap();
        role.write_all(&(body.len() as u32).to_be_bytes()).await.unwrap();
        role.write_all(&body).await.unwrap();
    }

    async fn told(role: &mut UnixStream) -> Order {
        let read = async {
            let mut body = vec![0; role.read_u32().await.unwrap() as usize];
            role.read_exact(&mut body).await.unwrap();
            serde_json::from_slice(&body).unwrap()
        };
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("an order in time")
    }

    #[tokio::test]
    async fn what_one_splitter_asks_of_another_passes_through() {
        let folder = tempfile::TempDir::new().unwrap();
        let roles = [1, 2].map(|number| InstanceId::new(Tier::Splitter, number));
        let path = |id: &InstanceId| folder.path().join(id.to_string());
        let listeners = roles.each_ref().map(|id| UnixListener::bind(path(id)).unwrap());
        let links = Links::new(Arc::default());
        let living = roles.iter().map(|id| (*id, (Time(1), Endpoint::Unix(path(id))))).collect();
        links.keep(&living);
        let (mut first, _) = listeners[0].accept().await.unwrap();
        let (mut second, _) = listeners[1].accept().await.unwrap();
        let [from, to] = roles.map(splitter_place);
        let session = u32::from(to) << PLACE_SHIFT | 7;
        let kill = KillOrder { ticket: 3, from, session, query_only: false, owner: Some("app".into()) };
        tell(&mut first, SqlReport { kills: vec![kill.clone()], ..SqlReport::default() }).await;
        assert_eq!(told(&mut second).await, Order::Kill(kill));
        let answer = KillAnswer { ticket: 3, from, outcome: KillOutcome::Done };
        tell(&mut second, SqlReport { killed: vec![answer], ..SqlReport::default() }).await;
        assert_eq!(told(&mut first).await, Order::Killed(answer));
        links.keep(&BTreeMap::new());
    }
}
