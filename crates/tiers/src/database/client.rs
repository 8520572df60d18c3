//! A connection to a server of this host over its Unix socket.

use super::words::{self, Words};
use super::{DatabaseError, Server};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use std::path::Path;
use std::time::Duration;
use stoa_model::site::DatabaseEngine;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{Endpoint, InstanceId};
use tokio::time::Instant;

/// A connection whose every use has to be over by a deadline.
#[derive(Debug)]
pub(super) struct Client {
    instance: InstanceId,
    engine: DatabaseEngine,
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

/// Where and as whom a server is talked to.
#[derive(Clone)]
pub(super) struct Door {
    instance: InstanceId,
    engine: DatabaseEngine,
    options: Opts,
    secret: String,
}

impl Door {
    /// The daemon's way to `server`, as `user`.
    pub(super) fn of(server: &Server<'_>, user: &str, password: &str) -> Result<Door, DatabaseError> {
        let instance = server.instance;
        let socket = socket_path(instance, server.spec)?.to_string_lossy().into_owned();
        let options = OptsBuilder::default()
            .socket(Some(socket))
            .user(Some(user))
            .pass(Some(password))
            // Otherwise it asks the server for these first.
            .max_allowed_packet(Some(16 << 20))
            .wait_timeout(Some(28_800));
        let engine = server.spec.engine;
        Ok(Door { instance, engine, options: options.into(), secret: password.to_owned() })
    }

    /// A connection; everything asked of it has to be done within `timeout`.
    pub(super) async fn open(&self, timeout: Duration) -> Result<Client, DatabaseError> {
        let (instance, secret) = (self.instance, self.secret.clone());
        let deadline = Instant::now() + timeout;
        let fail = |why, code| DatabaseError::Sql { instance, verb: "connect", why, code };
        match tokio::time::timeout_at(deadline, Conn::new(self.options.clone())).await {
            Err(_) => Err(fail(format!("no answer within {} s", timeout.as_secs()), None)),
            Ok(Err(error)) => Err(fail(plain(&error.to_string(), &secret), code(&error))),
            Ok(Ok(connection)) => Ok(Client { instance, engine: self.engine, connection, deadline, secret }),
        }
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
        Door::of(server, user, password)?.open(timeout).await
    }

    /// Which engine answers.
    pub(super) fn engine(&self) -> DatabaseEngine {
        self.engine
    }

    /// What that engine calls things.
    pub(super) fn words(&self) -> &'static Words {
        words::of(self.engine)
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

    /// The rows of several queries, sent at once: one way there and back.
    pub(super) async fn sets(
        &mut self,
        verb: &'static str,
        queries: &str,
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let work = async {
            let mut sets = Vec::new();
            let mut result = self.connection.query_iter(queries).await?;
            while !result.is_empty() {
                sets.push(result.collect().await?);
            }
            Ok(sets)
        };
        let done = tokio::time::timeout_at(self.deadline, work).await;
        self.judge(verb, done)
    }

    /// From now on, everything asked of it has to be done within `timeout`.
    pub(super) fn extend(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
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
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(super) fn error(&self, verb: &'static str, why: impl Into<String>) -> DatabaseError {
        let why = plain(&why.into(), &self.secret);
        DatabaseError::Sql { instance: self.instance, verb, why, code: None }
    }

    fn judge<T>(
        &self,
        verb: &'static str,
        done: Result<mysql_async::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, DatabaseError> {
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(DatabaseError::Sql {
                instance: self.instance,
                verb,
                why: plain(&error.to_string(), &self.secret),
                code: code(&error),
            }),
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

fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

fn plain(text: &str, secret: &str) -> String {
    let text = crate::tool::printable(text);
    if secret.is_empty() { text } else { text.replace(secret, "***") }
}
