//! The listening sockets that visitors, nginx and applications connect to. They belong to the daemon and outlive any
//! role; after the daemon's own death they are fetched back from a living one.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stoa_model::{Endpoint, Tier};
use stoa_tiers::host::users::Users;
use stoa_tiers::host::{HostError, listeners};
use stoa_traffic::http::control::Client;

/// A living role answers at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// nginx, of another user in the same group, connects to the app face.
const APP_FACE_MODE: u32 = 0o660;
/// Applications, likewise, connect to the splitters' socket.
const SQL_SOCKET_MODE: u32 = 0o660;

/// The listening sockets.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By address: a site whose address changes listens on both until the old balancers are gone.
    web: BTreeMap<SocketAddr, OwnedFd>,
    /// The address that is, or is about to be, the site's: its socket stays whatever becomes of the roles.
    claimed: Option<SocketAddr>,
    app: Option<OwnedFd>,
    sql: Option<SqlFace>,
}

/// What the splitters accept from.
#[derive(Debug)]
struct SqlFace {
    address: SocketAddr,
    tcp: OwnedFd,
    unix: OwnedFd,
}

impl Faces {
    /// Asks living roles for the sockets that a dead daemon gave them.
    pub(crate) async fn fetch_back(&self, roles: impl Iterator<Item = (Tier, &Endpoint)>) {
        for (tier, endpoint) in roles {
            let Endpoint::Unix(socket) = endpoint else { continue };
            match tokio::time::timeout(ANSWERS_WITHIN, fetch(socket)).await {
                Ok(Ok((tcp, unix))) => match tcp_address(&tcp) {
                    Some(address) => self.held().keep(tier, address, tcp, unix),
                    None => tracing::warn!("{endpoint} gave back a socket without an address"),
                },
                Ok(Err(error)) => tracing::warn!("{endpoint} gave no sockets back: {error}"),
                Err(_) => tracing::warn!("{endpoint} gave no sockets back in time"),
            }
        }
    }

    /// The socket that visitors connect to, opened where it is not held yet.
    pub(crate) fn web(&self, address: SocketAddr) -> Result<OwnedFd, HostError> {
        let mut held = self.held();
        held.claimed = Some(address);
        if let Some(socket) = held.web.get(&address) {
            return duplicate(socket, Endpoint::Tcp(address));
        }
        let socket = listeners::web_face(address)?;
        let copy = duplicate(&socket, Endpoint::Tcp(address));
        held.web.insert(address, socket);
        copy
    }

    /// Closes what no role serves any more and the site no longer asks for: visitors of an old address are
    /// refused rather than left to wait.
    pub(crate) fn close_unused(&self, served: impl Fn(SocketAddr) -> bool) {
        let mut held = self.held();
        let claimed = held.claimed;
        held.web.retain(|address, _| Some(*address) == claimed || served(*address));
    }

    /// The socket that nginx connects to, opened where it is not held yet.
    pub(crate) fn app(&self, path: &Path, users: &Users) -> Result<OwnedFd, HostError> {
        let mut held = self.held();
        if let Some(socket) = &held.app {
            return duplicate(socket, Endpoint::Unix(path.to_owned()));
        }
        let socket = listeners::unix_listener(path, APP_FACE_MODE, users)?;
        let copy = duplicate(&socket, Endpoint::Unix(path.to_owned()));
        held.app = Some(socket);
        copy
    }

    /// The sockets that applications connect to for the database, opened where they are not held yet. Another
    /// address than before is a new one, chosen because the old one was taken.
    pub(crate) fn sql(
        &self,
        address: SocketAddr,
        path: &Path,
        users: &Users,
    ) -> Result<(OwnedFd, OwnedFd), HostError> {
        let mut held = self.held();
        if held.sql.as_ref().is_none_or(|sql| sql.address != address) {
            held.sql = None;
            let tcp = listeners::sql_face(address)?;
            let unix = listeners::unix_listener(path, SQL_SOCKET_MODE, users)?;
            held.sql = Some(SqlFace { address, tcp, unix });
        }
        let endpoint = Endpoint::Tcp(address);
        let missing = || io::Error::other("it was closed");
        let Some(sql) = &held.sql else { return Err(HostError::Listen { endpoint, source: missing() }) };
        Ok((duplicate(&sql.tcp, endpoint)?, duplicate(&sql.unix, Endpoint::Unix(path.to_owned()))?))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Keeps what a role of this tier gave back.
    fn keep(&mut self, tier: Tier, address: SocketAddr, tcp: OwnedFd, unix: OwnedFd) {
        if tier == Tier::Splitter {
            self.sql.get_or_insert(SqlFace { address, tcp, unix });
            return;
        }
        self.web.insert(address, tcp);
        self.claimed = Some(address);
        self.app.get_or_insert(unix);
    }
}

async fn fetch(socket: &Path) -> Result<(OwnedFd, OwnedFd), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = Client::connect(socket).await?;
    Ok(client.fetch_listeners().await?)
}

fn tcp_address(socket: &OwnedFd) -> Option<SocketAddr> {
    SocketAddr::try_from(rustix::net::getsockname(socket.as_fd()).ok()?).ok()
}

fn duplicate(socket: &OwnedFd, endpoint: Endpoint) -> Result<OwnedFd, HostError> {
    socket.try_clone().map_err(|source| HostError::Listen { endpoint, source })
}
