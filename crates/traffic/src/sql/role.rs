//! A splitter role from its start to its end: threads, the control socket, and the drain at SIGTERM.

use super::errand::Errand;
use super::prober;
pub use super::settings::{DigestLimits, Freshness, Settings};
use super::steward::Steward;
use super::table::{Shared, Tls};
use super::top::Top;
pub use super::wire::auth::{Account, Password};
use super::wire::tls::{Acceptor, Connector, TlsError};
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

/// The sockets of a role.
#[derive(Debug)]
pub struct Sockets {
    /// Where applications connect over TCP.
    pub tcp: TcpListener,
    /// Where they connect over a Unix socket.
    pub unix: UnixListener,
    /// Where the daemon connects.
    pub control: UnixListener,
}

/// What a role is started with.
#[derive(Debug)]
pub struct SqlRoleConfig {
    /// Where it is connected to.
    pub sockets: Sockets,
    /// How many threads serve; each is busy on one core at most.
    pub threads: usize,
    /// Which of the site's splitters this is, 1 to 15: clients of two of them never get the same
    /// connection id.
    pub place: u8,
    /// Who may log in. The first is also who asks the servers how far they are.
    pub accounts: Vec<Account>,
    /// Who may ask a MariaDB primary where its log is (BINLOG MONITOR), which reads that have to see every
    /// write depend on. Nobody logs in as this one.
    pub observer: Option<Account>,
    /// The certificate (PEM) that servers have to show where they are connected to inside TLS; without it none is
    /// believed.
    pub authority: Option<String>,
    /// How long is waited, how much is held, how fresh reads are.
    pub settings: Settings,
}

/// A role could not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SqlRoleError {
    /// A listening socket cannot be used.
    #[error("the {socket} socket cannot be used: {source}")]
    Socket {
        /// Which.
        socket: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody could log in.
    #[error("a splitter needs at least one account; the daemon passes it the file of accounts")]
    NoAccount,
    /// No certificate could be made for clients that encrypt, or the servers' cannot be read.
    #[error("no connection can be encrypted: {0}")]
    Encryption(#[from] TlsError),
    /// The system gave no event queue, thread or signal handler.
    #[error("the role cannot start: {0}; it may have too few file descriptors (see ulimit -n)")]
    System(io::Error),
    /// A thread ended though nobody told it to. Another role serves; this one has to be started again.
    #[error("a serving thread ended unexpectedly")]
    ThreadEnded,
}

/// Takes over the sockets that the environment names. To be called once, before anything else opens a file.
pub fn inherited_sockets() -> Result<Sockets, InheritError> {
    let names = [socket_names::SQL_TCP, socket_names::SQL_UNIX, socket_names::CONTROL];
    let [tcp, unix, control] = inherit::sockets(names)?;
    Ok(Sockets { tcp: tcp.into(), unix: unix.into(), control: control.into() })
}

/// Serves until SIGTERM has come and every session has ended.
pub fn run(config: SqlRoleConfig) -> Result<(), SqlRoleError> {
    let runtime = runtime()?;
    let terminate = {
        let _context = runtime.enter();
        signal(SignalKind::terminate()).map_err(SqlRoleError::System)
    };
    let mut terminate = terminate?;
    runtime.block_on(serve(config, async move {
        terminate.recv().await;
    }))
}

/// Serves until `shutdown` is ready and every session has ended: [`run`] with another sign to end.
pub fn run_until(config: SqlRoleConfig, shutdown: impl Future<Output = ()>) -> Result<(), SqlRoleError> {
    runtime()?.block_on(serve(config, shutdown))
}

fn runtime() -> Result<LocalRuntime, SqlRoleError> {
    let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    built.map_err(SqlRoleError::System)
}

async fn serve(config: SqlRoleConfig, shutdown: impl Future<Output = ()>) -> Result<(), SqlRoleError> {
    let SqlRoleConfig {
        sockets: Sockets { tcp, unix, control },
        threads,
        place,
        accounts,
        observer,
        authority,
        settings,
    } = config;
    if accounts.is_empty() {
        return Err(SqlRoleError::NoAccount);
    }
    let threads = threads.max(1);
    // Ids below those of the first place are the servers' own.
    let place = place.clamp(1, 15);
    let drain_most = settings.drain + LAST_GRACE;
    for (socket, set) in [
        ("sql", tcp.set_nonblocking(true)),
        ("sql-unix", unix.set_nonblocking(true)),
        ("control", control.set_nonblocking(true)),
    ] {
        set.map_err(|source| SqlRoleError::Socket { socket, source })?;
    }
    let top = Top::new(threads, settings.digests);
    let tls = Tls {
        acceptor: settings.encryption.then(|| Acceptor::self_signed("localhost")).transpose()?,
        connector: Connector::trusting(authority.unwrap_or_default().as_bytes())?,
    };
    let shared = Shared::new(settings, accounts, observer, tls, place, threads);
    let (ended, mut any_ended) = mpsc::unbounded_channel::<()>();
    let (senders, commands): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::unbounded_channel()).unzip();
    let (errand, errands) = mpsc::unbounded_channel();
    let mut running = Vec::new();
    for (index, commands) in commands.into_iter().enumerate() {
        let tcp = tcp.try_clone().map_err(|source| SqlRoleError::Socket { socket: "sql", source })?;
        let unix = unix.try_clone().map_err(|source| SqlRoleError::Socket { socket: "sql-unix", source })?;
        let (shared, siblings, top, errands) = (shared.clone(), senders.clone(), top.clone(), errand.clone());
        let thread = Thread { index, shared, siblings, errands, top };
        running.push(thread.start((tcp, unix), commands, ended.clone())?);
    }
    drop(ended);
    let control = tokio::net::UnixListener::from_std(control)
        .map_err(|source| SqlRoleError::Socket { socket: "control", source })?;
    let steward = Steward::new(shared.clone(), senders, (tcp, unix), top);
    spawn_local(steward.clone().listen(control));
    spawn_local(steward.clone().run_errands(errands));
    spawn_local(prober::probe(shared, steward.clone()));
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
    // What is on its way to another splitter is to be sent yet.
    if tokio::time::timeout(LAST_GRACE, steward.seen_off()).await.is_err() {
        tracing::warn!("sessions could not be passed on: no daemon has taken them");
    }
    for thread in running {
        thread.join().map_err(|_| SqlRoleError::ThreadEnded)?.map_err(SqlRoleError::System)?;
    }
    if early { Err(SqlRoleError::ThreadEnded) } else { Ok(()) }
}

/// What a thread is made of.
struct Thread {
    index: usize,
    shared: Arc<Shared>,
    siblings: Vec<mpsc::UnboundedSender<Command>>,
    errands: mpsc::UnboundedSender<Errand>,
    top: Arc<Top>,
}

impl Thread {
    fn start(
        self,
        (tcp, unix): (TcpListener, UnixListener),
        commands: mpsc::UnboundedReceiver<Command>,
        ended: mpsc::UnboundedSender<()>,
    ) -> Result<JoinHandle<io::Result<()>>, SqlRoleError> {
        let name = format!("serve-{}", self.index);
        let serve = move || {
            // Dropped however the thread ends, which is what tells of it.
            let _ended = Ended(ended);
            let runtime = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build_local(LocalOptions::default())?;
            runtime.block_on(async {
                let tcp = tokio::net::TcpListener::from_std(tcp)?;
                let unix = tokio::net::UnixListener::from_std(unix)?;
                let worker = Worker::new(self.shared, self.index, (self.siblings, self.errands), self.top);
                Rc::new(worker).work(tcp, unix, commands).await;
                Ok(())
            })
        };
        std::thread::Builder::new().name(name).spawn(serve).map_err(SqlRoleError::System)
    }
}

struct Ended(mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The receiver is gone only where the role is ending anyway.
        let _ = self.0.send(());
    }
}
