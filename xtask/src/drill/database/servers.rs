//! The database servers of a site as a drill sees them: where each can be asked past Stoa, and with which
//! password. Read from the state folder, so that it works while no daemon does. It changes nothing.

use super::connect;
use super::ledger::{Found, Key};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The end of a big table is not reached at once.
const READS_WITHIN: Duration = Duration::from_secs(60);
/// A replica has applied everything by then.
const APPLIES_WITHIN: Duration = Duration::from_secs(120);

/// What it takes to ask them.
#[derive(Clone)]
pub(crate) struct Servers {
    run: PathBuf,
    admin: String,
    app: String,
    /// The site's own schema.
    schema: String,
}

impl Servers {
    /// Those of the site with this state folder.
    pub(crate) fn of(state: &Path, schema: &str) -> Result<Self, String> {
        let path = state.join("credentials.json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let credentials: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let password = |name: &str| {
            let found = credentials[name].as_str().map(str::to_owned);
            found.ok_or_else(|| format!("{}: it has no {name}", path.display()))
        };
        let (admin, app) = (password("admin")?, password("app")?);
        Ok(Servers { run: state.join("run"), admin, app, schema: schema.to_owned() })
    }

    /// Every one that may be there, with its socket.
    pub(crate) fn sockets(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(&self.run).into_iter().flatten().flatten();
        let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
        let servers = named.filter(|(name, _)| name.starts_with("database-"));
        let mut sockets: Vec<_> = servers.map(|(name, folder)| (name, folder.join("sock"))).collect();
        sockets.retain(|(_, socket)| socket.exists());
        sockets.sort();
        sockets
    }

    /// The socket of one.
    pub(crate) fn socket(&self, server: &str) -> PathBuf {
        self.run.join(server).join("sock")
    }

    /// As who may do everything.
    pub(crate) fn as_admin(&self, socket: &Path) -> Opts {
        connect::through(socket, "admin", &self.admin, &self.schema)
    }

    /// As the application, at this address.
    pub(crate) fn as_app(&self, address: SocketAddr) -> Opts {
        connect::at(address, "app", &self.app, &self.schema)
    }

    async fn admin(&self, server: &str) -> Result<Conn, String> {
        let connected = connect::connect(&self.as_admin(&self.socket(server))).await;
        connected.map_err(|why| format!("{server}: {why}"))
    }

    /// What a ledger on this server holds.
    pub(crate) async fn ledger(&self, server: &str, table: &str) -> Result<Found, String> {
        let mut connection = self.admin(server).await?;
        let query = format!(
            "SELECT session, number, CAST(SUM(part = 0) AS UNSIGNED), CAST(SUM(part = 1) AS UNSIGNED) \
             FROM {table} GROUP BY session, number"
        );
        let rows: Vec<(u16, u32, u64, u64)> = connect::within(READS_WITHIN, connection.query(query))
            .await
            .map_err(|why| format!("{server}: {why}"))?;
        let keyed = |(session, number, first, second)| (Key { session, number }, [first, second]);
        Ok(rows.into_iter().map(keyed).collect())
    }

    /// The values of all registers on this server.
    pub(crate) async fn registers(&self, server: &str, table: &str) -> Result<Vec<(u32, u64)>, String> {
        let mut connection = self.admin(server).await?;
        connect::within(READS_WITHIN, connection.query(format!("SELECT id, v FROM {table}"))).await
    }

    /// Waits until every server holds the same in this table; which do not, in the end.
    pub(crate) async fn agree(
        &self,
        primary: &str,
        all: &[String],
        table: &str,
    ) -> Result<Vec<String>, String> {
        let deadline = Instant::now() + APPLIES_WITHIN;
        let wanted = self.checksum(primary, table).await?;
        loop {
            let mut others = Vec::new();
            for server in all.iter().filter(|server| *server != primary) {
                let found = self.checksum(server, table).await;
                if found.as_ref() != Ok(&wanted) {
                    others.push(format!("{server}: {found:?}, the primary {wanted:?}"));
                }
            }
            if others.is_empty() || Instant::now() > deadline {
                return Ok(others);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn checksum(&self, server: &str, table: &str) -> Result<(u64, u64), String> {
        let mut connection = self.admin(server).await?;
        let query = format!(
            "SELECT COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT_WS(',', id, session, number, part))), 0) FROM {table}"
        );
        let found: Option<(u64, u64)> = connect::within(READS_WITHIN, connection.query_first(query)).await?;
        found.ok_or_else(|| "no answer".to_owned())
    }

    /// Runs a statement on one, as who may do everything.
    pub(crate) async fn run(&self, server: &str, statement: &str) -> Result<(), String> {
        let mut connection = self.admin(server).await?;
        connect::within(READS_WITHIN, connection.query_drop(statement)).await
    }
}
