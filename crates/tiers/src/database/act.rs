//! Changes what a running server is: primary, follower, or fenced.
//!
//! Every act is idempotent. Promoting and following belong to a term, which the server remembers: an
//! actor of a lower one is refused, however late it comes.

use super::accounts::{ADMIN, APP, OWN_SCHEMA, REPLICATION, identifier, literal};
use super::client::{Client, column, number};
use super::data::{self, Version};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::time::Duration;
use stoa_model::{Endpoint, Term};

/// A promotion lets the server apply what it has received first.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Applying is looked at this often while it is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// Lets the server take writes in `term`.
pub async fn promote(server: &Server<'_>, term: Term) -> Result<(), DatabaseError> {
    let verb = "be promoted";
    let mut client = enter(server, verb, term).await?;
    if client.first::<Row>(verb, "SHOW SLAVE STATUS").await?.is_some() {
        client.run(verb, "STOP SLAVE IO_THREAD").await?;
        apply_received(&mut client, verb).await?;
        client.run(verb, "STOP SLAVE").await?;
        client.run(verb, "RESET SLAVE ALL").await?;
    }
    client.run(verb, "SET GLOBAL rpl_semi_sync_slave_enabled = 0").await?;
    client.run(verb, "SET GLOBAL rpl_semi_sync_master_enabled = 1").await?;
    client.run(verb, "SET GLOBAL read_only = 0").await?;
    leave(server, client, verb).await
}

/// Lets the server replicate from the primary of `term`, which listens at `primary`.
pub async fn follow(server: &Server<'_>, primary: &Endpoint, term: Term) -> Result<(), DatabaseError> {
    let verb = "follow";
    let Endpoint::Tcp(address) = primary else {
        let why = format!("a replica needs a TCP address of its primary, not {primary}");
        return Err(DatabaseError::Sql { instance: server.instance, verb, why });
    };
    let mut client = enter(server, verb, term).await?.hide(server.credentials.replication());
    make_read_only(&mut client, verb).await?;
    let semi_sync: Option<(u8, u8)> = client
        .first(verb, "SELECT @@global.rpl_semi_sync_slave_enabled, @@global.rpl_semi_sync_master_enabled")
        .await?;
    let status: Option<Row> = client.first(verb, "SHOW SLAVE STATUS").await?;
    let follows = status.is_some_and(|row| {
        column(&row, "Master_Host") == address.ip().to_string()
            && number(&row, "Master_Port") == Some(address.port().into())
            && column(&row, "Using_Gtid") == "Slave_Pos"
            && ["Slave_IO_Running", "Slave_SQL_Running"].into_iter().all(|name| column(&row, name) == "Yes")
    });
    if !follows || semi_sync != Some((1, 0)) {
        client.run(verb, "STOP SLAVE").await?;
        client.run(verb, "SET GLOBAL rpl_semi_sync_master_enabled = 0").await?;
        client.run(verb, "SET GLOBAL rpl_semi_sync_slave_enabled = 1").await?;
        // What it wrote itself as a primary is part of where it stands.
        let position: Option<(String, String)> =
            client.first(verb, "SELECT @@global.gtid_slave_pos, @@global.gtid_current_pos").await?;
        if position.is_some_and(|(replicated, current)| replicated != current) {
            client.run(verb, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos").await?;
        }
        let change = format!(
            "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = {}, MASTER_PASSWORD = {}, \
             MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 2",
            literal(&address.ip().to_string()),
            address.port(),
            literal(REPLICATION),
            literal(server.credentials.replication()),
        );
        client.run(verb, change).await?;
        client.run(verb, "START SLAVE").await?;
    }
    leave(server, client, verb).await
}

/// Makes the server refuse writes and ends the sessions that could still write. Belongs to no term:
/// refusing is always safe.
pub async fn fence(server: &Server<'_>) -> Result<(), DatabaseError> {
    let verb = "be fenced";
    let mut client = Client::connect(server, ADMIN, server.credentials.admin(), TIMEOUT).await?;
    make_read_only(&mut client, verb).await?;
    client.close().await;
    Ok(())
}

/// Sessions of the application are ended before, because a statement of theirs can hold the lock that
/// this needs, and after, because a transaction begun in between could still be committed.
async fn make_read_only(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let read_only: Option<u8> = client.first(verb, "SELECT @@global.read_only").await?;
    if read_only == Some(1) {
        return Ok(());
    }
    let end_sessions = format!("KILL HARD CONNECTION USER {APP}");
    client.run(verb, &end_sessions).await?;
    client.run(verb, "SET GLOBAL read_only = 1").await?;
    client.run(verb, &end_sessions).await
}

/// Connects, takes the server for itself and lets it remember `term`, unless it knows a higher one.
async fn enter(server: &Server<'_>, verb: &'static str, term: Term) -> Result<Client, DatabaseError> {
    let mut client = Client::connect(server, ADMIN, server.credentials.admin(), TIMEOUT).await?;
    // Released with the connection. Whoever waits here sees the other's term afterwards.
    let alone: Option<Option<u8>> = client.first(verb, "SELECT GET_LOCK('stoa', 10)").await?;
    if alone.flatten() != Some(1) {
        return Err(client.error(verb, "another change of its role is under way"));
    }
    // Each server remembers for itself; what is not in the binlog cannot diverge.
    client.run(verb, "SET SESSION sql_log_bin = 0").await?;
    let table = format!("{}.term", identifier(OWN_SCHEMA));
    let known: Option<u64> = client.first(verb, format!("SELECT term FROM {table}")).await?;
    let Some(known) = known else { return Err(client.error(verb, "it remembers no term")) };
    if known > term.0 {
        let instance = server.instance;
        return Err(DatabaseError::StaleTerm { instance, verb, asked: term, known: Term(known) });
    }
    if known < term.0 {
        client.run(verb, format!("UPDATE {table} SET term = {} WHERE term < {0}", term.0)).await?;
        if client.affected() != 1 {
            return Err(client.error(verb, "its term changed meanwhile"));
        }
    }
    Ok(client)
}

/// Notes what runs on the data now, and ends.
async fn leave(server: &Server<'_>, mut client: Client, verb: &'static str) -> Result<(), DatabaseError> {
    let version: Option<String> = client.first(verb, "SELECT @@version").await?;
    client.close().await;
    match version.and_then(|version| Version::parse(&version)) {
        Some(version) => data::mark(&server.paths.data(server.instance), version),
        None => Ok(()),
    }
}

/// Waits until everything that was received is applied: it may have been acknowledged.
async fn apply_received(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    loop {
        let Some(row) = client.first::<Row>(verb, "SHOW SLAVE STATUS").await? else { return Ok(()) };
        let place = |file: &str, position: &str| (column(&row, file), number(&row, position));
        let received = place("Master_Log_File", "Read_Master_Log_Pos");
        let nothing = received.0.is_empty();
        if nothing || received == place("Relay_Master_Log_File", "Exec_Master_Log_Pos") {
            return Ok(());
        }
        let error = column(&row, "Last_SQL_Error");
        if !error.is_empty() {
            return Err(client.error(verb, format!("it cannot apply what it has received: {error}")));
        }
        if column(&row, "Slave_SQL_Running") == "No" {
            client.run(verb, "START SLAVE SQL_THREAD").await?;
        }
        if client.over() {
            return Err(client.error(verb, "it has not applied in time what it has received"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
