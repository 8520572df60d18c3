//! Makes a server a replica of the primary of a term.

use super::accounts::{REPLICATION, literal};
use super::client::{Client, column, number};
use super::fence::make_read_only;
use super::promote::apply_received;
use super::semi_sync::{self, Side};
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::net::SocketAddr;
use std::time::Duration;
use stoa_model::site::DatabaseEngine;
use stoa_model::{Endpoint, Term};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Lets the server replicate from the primary of `term`, which listens at `primary`.
pub async fn follow(server: &Server<'_>, primary: &Endpoint, term: Term) -> Result<(), DatabaseError> {
    let verb = "follow";
    let Endpoint::Tcp(address) = primary else {
        let why = format!("a replica needs a TCP address of its primary, not {primary}");
        return Err(DatabaseError::Sql { instance: server.instance, verb, why, code: None });
    };
    let mut client = enter(server, verb, term, TIMEOUT).await?.hide(server.credentials.replication());
    make_read_only(server, &mut client, verb).await?;
    semi_sync::set(&mut client, verb, Side::Replica).await?;
    let status: Option<Row> = client.first(verb, client.words().replica_status).await?;
    let words = client.words();
    let follows = status.as_ref().is_some_and(|row| {
        let by_gtid = match client.engine() {
            DatabaseEngine::Mariadb => column(row, "Using_Gtid") == "Slave_Pos",
            DatabaseEngine::Mysql => number(row, "Auto_Position") == Some(1),
        };
        column(row, words.host) == address.ip().to_string()
            && number(row, words.port) == Some(address.port().into())
            && by_gtid
            && [words.receiving, words.applying].into_iter().all(|name| column(row, name) == "Yes")
    });
    if follows {
        return leave(server, client, verb).await;
    }
    if status.is_some_and(|row| column(&row, words.applying) == "Yes") {
        // What it has received it may have acknowledged, and a change of the primary throws it away.
        client.run(verb, words.stop_receiving).await?;
        apply_received(&mut client, verb).await?;
    }
    client.run(verb, words.stop_replicating).await?;
    if client.engine() == DatabaseEngine::Mariadb {
        stand_where_it_is(&mut client, verb).await?;
    }
    let change = change(client.engine(), *address, server.credentials.replication());
    client.run(verb, change).await?;
    client.run(verb, words.start_replicating).await?;
    leave(server, client, verb).await
}

/// What a server of MariaDB wrote itself as a primary is part of where it stands. MySQL's has one set of all.
async fn stand_where_it_is(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let position: Option<(String, String)> =
        client.first(verb, "SELECT @@global.gtid_slave_pos, @@global.gtid_current_pos").await?;
    if position.is_some_and(|(replicated, current)| replicated != current) {
        client.run(verb, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos").await?;
    }
    Ok(())
}

/// The statement that names the primary. It holds a password.
fn change(engine: DatabaseEngine, primary: SocketAddr, password: &str) -> String {
    let (host, port) = (literal(&primary.ip().to_string()), primary.port());
    let (user, password) = (literal(REPLICATION), literal(password));
    match engine {
        DatabaseEngine::Mariadb => format!(
            "CHANGE MASTER TO MASTER_HOST = {host}, MASTER_PORT = {port}, MASTER_USER = {user}, \
             MASTER_PASSWORD = {password}, MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, \
             MASTER_HEARTBEAT_PERIOD = 0.5"
        ),
        // Without the key, a password whose digest the primary does not hold in its memory is not taken over
        // a connection that is not encrypted. A retry count of 0 is for ever.
        DatabaseEngine::Mysql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = {host}, SOURCE_PORT = {port}, SOURCE_USER = {user}, \
             SOURCE_PASSWORD = {password}, SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 1, \
             SOURCE_RETRY_COUNT = 0, SOURCE_HEARTBEAT_PERIOD = 0.5, GET_SOURCE_PUBLIC_KEY = 1"
        ),
    }
}
