//! A connection to a server of this host over its Unix socket.

use super::{DatabaseError, Server};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use std::path::Path;
use std::time::Duration;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{Endpoint, InstanceId};
use tokio::time::Instant;

/// A connection whose every use has to be over by a deadline.
pub(super) struct Client {
    instance: InstanceId,
    connection: Conn,
    deadline: Instant,
    /// What must not be shown in what the server says.
    secret: String,
}

/// The path of the socket that the daemon uses.
pub(super) fn socket_path(instance: InstanceId, spec: &DatabaseSpec) -> Result<&Path, DatabaseError> {
    match &spec.socket {
        Endpoint::Unix(path) => Ok(path),
        Endpoint::Tcp(address) => Err(DatabaseError::Unwritable { instance, value: address.to_string() }),
    }
}

impl Client {
    /// Connects to `server` as `user`; everything asked of it has to be done within `timeout`.
    pub(super) async fn connect(
        server: &Server<'_>,
        user: &str,
        password: &str,
        timeout: Duration,
    ) -> Result<Client, DatabaseError> {
        let instance = server.instance;
        let socket = socket_path(instance, server.spec)?.to_string_lossy().into_owned();
        let options: Opts = OptsBuilder::default()
            .socket(Some(socket))
            .user(Some(user))
            .pass(Some(password))
            // Otherwise it asks the server for these first.
            .max_allowed_packet(Some(16 << 20))
            .wait_timeout(Some(28_800))
            .into();
        let deadline = Instant::now() + timeout;
        let fail = |why| DatabaseError::Sql { instance, verb: "connect", why };
        let connection = match tokio::time::timeout_at(deadline, Conn::new(options)).await {
            Err(_) => return Err(fail(format!("no answer within {} s", timeout.as_secs()))),
            Ok(Err(error)) => return Err(fail(plain(&error.to_string(), password))),
            Ok(Ok(connection)) => connection,
        };
        Ok(Client { instance, connection, deadline, secret: password.to_owned() })
    }

    /// Names another secret that one of the statements will hold.
    pub(super) fn hide(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// Runs a statement that gives no rows.
    pub(super) async fn run(
        &mut self,
        verb: &'static str,
        statement: impl AsRef<str>,
    ) -> Result<(), DatabaseError> {
        let work = self.connection.query_drop(statement.as_ref());
        let done = tokio::time::timeout_at(self.deadline, work).await;
        self.judge(verb, done)
    }

    /// The first row of a query.
    pub(super) async fn first<T: FromRow + Send + 'static>(
        &mut self,
        verb: &'static str,
        query: impl AsRef<str>,
    ) -> Result<Option<T>, DatabaseError> {
        let work = self.connection.query_first(query.as_ref());
        let done = tokio::time::timeout_at(self.deadline, work).await;
        self.judge(verb, done)
    }

    /// All rows of a query.
    pub(super) async fn all<T: FromRow + Send + 'static>(
        &mut self,
        verb: &'static str,
        query: impl AsRef<str>,
    ) -> Result<Vec<T>, DatabaseError> {
        let work = self.connection.query(query.as_ref());
        let done = tokio::time::timeout_at(self.deadline, work).await;
        self.judge(verb, done)
    }

    /// How many rows the last statement changed or found equal.
    pub(super) fn affected(&self) -> u64 {
        self.connection.affected_rows()
    }

    /// Says good-bye; the server forgets a connection that just breaks too, but logs a warning.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout_at(self.deadline, self.connection.disconnect()).await;
    }

    /// What is left of the time.
    pub(super) fn over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(super) fn error(&self, verb: &'static str, why: impl Into<String>) -> DatabaseError {
        DatabaseError::Sql { instance: self.instance, verb, why: plain(&why.into(), &self.secret) }
    }

    fn judge<T>(
        &self,
        verb: &'static str,
        done: Result<mysql_async::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, DatabaseError> {
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(verb, error.to_string())),
            Err(_) => Err(self.error(verb, "no answer in time")),
        }
    }
}

/// A named column as text; empty where it is NULL or missing.
pub(super) fn column(row: &Row, name: &str) -> String {
    row.get_opt::<Option<String>, _>(name).and_then(Result::ok).flatten().unwrap_or_default()
}

/// A named column that may be NULL.
pub(super) fn number(row: &Row, name: &str) -> Option<u64> {
    row.get_opt::<Option<u64>, _>(name)?.ok().flatten()
}

fn plain(text: &str, secret: &str) -> String {
    let text = crate::tool::printable(text);
    if secret.is_empty() { text } else { text.replace(secret, "***") }
}
