//! The term that a server remembers: an actor of a lower one is refused, however late it comes.

use super::accounts::{ADMIN, OWN_SCHEMA, identifier};
use super::client::Client;
use super::data::{self, Version};
use super::{DatabaseError, Server, sessions};
use std::time::Duration;
use stoa_model::Term;

/// Connects, takes the server for itself and lets it remember `term`, unless it knows a higher one.
pub(super) async fn enter(
    server: &Server<'_>,
    verb: &'static str,
    term: Term,
    timeout: Duration,
) -> Result<Client, DatabaseError> {
    let mut client = Client::connect(server, ADMIN, server.credentials.admin(), timeout).await?;
    // Released with the connection. Whoever waits here sees the other's term afterwards.
    let alone: Option<Option<u8>> = client.first(verb, "SELECT GET_LOCK('stoa', 10)").await?;
    if alone.flatten() != Some(1) {
        return Err(client.error(verb, "another change of its role is under way"));
    }
    // Each server remembers for itself; what is not in the binlog cannot diverge, and waits for no
    // acknowledgement.
    client
        .run(verb, "SET SESSION sql_log_bin = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
        .await?;
    let known = known(&mut client, verb).await?;
    if known > term {
        let instance = server.instance;
        return Err(DatabaseError::StaleTerm { instance, verb, asked: term, known });
    }
    if known < term {
        if let Some(statement) = client.words().let_daemon_write {
            // Applications are kept out by read_only all the same.
            client.run(verb, statement).await?;
        }
        let update = format!(
            "UPDATE {}.term SET term = {term} WHERE term < {term}",
            identifier(OWN_SCHEMA),
            term = term.0
        );
        if client.run(verb, &update).await.is_err() {
            // Somebody has locked every table.
            sessions::end_foreign(&mut client, verb).await?;
            client.run(verb, &update).await?;
        }
        if client.affected() != 1 {
            return Err(client.error(verb, "its term changed meanwhile"));
        }
    }
    // It has started, and what it writes from now on no start may take back.
    data::forget_rewind(&server.paths.data(server.instance))?;
    Ok(client)
}

/// The term that the server remembers.
pub(super) async fn known(client: &mut Client, verb: &'static str) -> Result<Term, DatabaseError> {
    let known: Option<u64> =
        client.first(verb, format!("SELECT term FROM {}.term", identifier(OWN_SCHEMA))).await?;
    known.map(Term).ok_or_else(|| client.error(verb, "it remembers no term"))
}

/// Notes what runs on the data now, and ends.
pub(super) async fn leave(
    server: &Server<'_>,
    mut client: Client,
    verb: &'static str,
) -> Result<(), DatabaseError> {
    let version: Option<String> = client.first(verb, "SELECT @@version").await?;
    client.close().await;
    let folder = server.paths.data(server.instance);
    match version.and_then(|version| Version::parse(&version)) {
        Some(version) => data::mark(&folder, server.spec.engine, version),
        None => Ok(()),
    }
}
