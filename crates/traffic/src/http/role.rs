//! A balancer role from its start to its end: threads, the control socket, and the drain at SIGTERM.

pub use super::limits::Limits;
use super::steward::Steward;
use super::table::Shared;
use super::worker::{Command, Worker};
use crate::inherit;
pub use crate::inherit::InheritError;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use stoa_model::control::socket_names;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

/// Beyond its own limit a thread gets this to end.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// What a role is started with.
#[derive(Debug)]
pub struct RoleConfig {
    /// Where visitors connect.
    pub web_face: TcpListener,
    /// Where nginx connects.
    pub app_face: UnixListener,
    /// Where the daemon connects.
    pub control: UnixListener,
    /// How many threads serve; each is busy on one core at most.
    pub threads: usize,
    /// How long is waited, how much is held.
    pub limits: Limits,
}

/// A role could not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// A listening socket cannot be used.
    #[error("the {socket} socket cannot be used: {source}")]
    Socket {
        /// Which.
        socket: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no event queue, thread or signal handler.
    #[error("the role cannot start: {0}; it may have too few file descriptors (see ulimit -n)")]
    System(io::Error),
    /// A thread ended though nobody told it to. Another role serves; this one has to be started again.
    #[error("a serving thread ended unexpectedly")]
    ThreadEnded,
}

/// Takes over the sockets that the environment names, for a role with so many threads. To be called once,
/// before anything else opens a file.
pub fn inherited_sockets(threads: usize) -> Result<RoleConfig, InheritError> {
    let names = [socket_names::WEB_FACE, socket_names::APP_FACE, socket_names::CONTROL];
    let [web, app, control] = inherit::sockets(names)?;
    Ok(RoleConfig {
        web_face: TcpListener::from(web),
        app_face: UnixListener::from(app),
        control: UnixListener::from(control),
        threads,
        limits: Limits::default(),
    })
}

/// Serves until SIGTERM has come and everything open has ended.
pub fn run(config: RoleConfig) -> Result<(), RoleError> {
    let runtime = runtime()?;
    let terminate = {
        let _context = runtime.enter();
        signal(SignalKind::terminate()).map_err(RoleError::System)
    };
    let mut terminate = terminate?;
    runtime.block_on(serve(config, async move {
        terminate.recv().await;
    }))
}

/// Serves until `shutdown` is ready and everything open has ended: [`run`] with another sign to end.
pub fn run_until(config: RoleConfig, shutdown: impl Future<Output = ()>) -> Result<(), RoleError> {
    runtime()?.block_on(serve(config, shutdown))
}

fn runtime() -> Result<LocalRuntime, RoleError> {
    let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    built.map_err(RoleError::System)
}

async fn serve(config: RoleConfig, shutdown: impl Future<Output = ()>) -> Result<(), RoleError> {
    let RoleConfig { web_face, app_face, control, threads, limits } = config;
    let threads = threads.max(1);
    let drain_most = limits.drain + LAST_GRACE;
    for (socket, set) in [
        ("web", web_face.set_nonblocking(true)),
        ("app", app_face.set_nonblocking(true)),
        ("control", control.set_nonblocking(true)),
    ] {
        set.map_err(|source| RoleError::Socket { socket, source })?;
    }
    let (shared, ejections) = Shared::new(limits, threads);
    let (ended, mut any_ended) = mpsc::unbounded_channel::<()>();
    let mut running = Vec::new();
    let mut senders = Vec::new();
    for index in 0..threads {
        let web = web_face.try_clone().map_err(|source| RoleError::Socket { socket: "web", source })?;
        let app = app_face.try_clone().map_err(|source| RoleError::Socket { socket: "app", source })?;
        let (sender, commands) = mpsc::unbounded_channel();
        senders.push(sender);
        running.push(start(index, shared.clone(), web, app, commands, ended.clone())?);
    }
    drop(ended);
    let control = tokio::net::UnixListener::from_std(control)
        .map_err(|source| RoleError::Socket { socket: "control", source })?;
    let steward = Steward::new(shared, senders, web_face, app_face);
    spawn_local(steward.clone().listen(control));
    spawn_local(steward.clone().probe(ejections));
    let early = tokio::select! {
        () = shutdown => false,
        _ = any_ended.recv() => true,
    };
    tracing::info!("draining");
    steward.drain();
    let all_ended = async { while any_ended.recv().await.is_some() {} };
    if tokio::time::timeout(drain_most, all_ended).await.is_err() {
        tracing::warn!("a thread did not end, leaving it");
        return Ok(());
    }
    let results = running.into_iter().map(JoinHandle::join);
    for result in results {
        result.map_err(|_| RoleError::ThreadEnded)?.map_err(RoleError::System)?;
    }
    if early { Err(RoleError::ThreadEnded) } else { Ok(()) }
}

fn start(
    index: usize,
    shared: Arc<Shared>,
    web: TcpListener,
    app: UnixListener,
    commands: mpsc::UnboundedReceiver<Command>,
    ended: mpsc::UnboundedSender<()>,
) -> Result<JoinHandle<io::Result<()>>, RoleError> {
    let serve = move || {
        // Dropped however the thread ends, which is what tells of it.
        let _ended = Ended(ended);
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let web = tokio::net::TcpListener::from_std(web)?;
            let app = tokio::net::UnixListener::from_std(app)?;
            Rc::new(Worker::new(shared, index)).work(web, app, commands).await;
            Ok(())
        })
    };
    let name = format!("serve-{index}");
    std::thread::Builder::new().name(name).spawn(serve).map_err(RoleError::System)
}

struct Ended(mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The receiver is gone only where the role is ending anyway.
        let _ = self.0.send(());
    }
}
