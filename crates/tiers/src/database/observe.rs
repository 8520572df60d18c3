//! What a server says of itself.

use super::accounts::{MONITOR, OWN_SCHEMA, identifier};
use super::client::{Client, column, number};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use stoa_model::gtid::{Gtids, Origin};
use stoa_model::observed::{DatabaseStatus, Receiving, Replication, SemiSync};
use stoa_model::{Endpoint, Term};

/// A server that has not answered by then gave no answer.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the server, as the user that may do nothing else. A short sentence where it gives no answer.
pub async fn status(server: &Server<'_>) -> Result<DatabaseStatus, String> {
    ask(server).await.map_err(|error| match error {
        DatabaseError::Sql { why, .. } => why,
        other => other.to_string(),
    })
}

async fn ask(server: &Server<'_>) -> Result<DatabaseStatus, DatabaseError> {
    let mut client = Client::connect(server, MONITOR, server.credentials.monitor(), TIMEOUT).await?;
    let verb = "read its status";
    let query = format!(
        "SELECT @@global.read_only, (SELECT term FROM {}.term), @@global.gtid_current_pos, @@global.server_id, \
         @@version",
        identifier(OWN_SCHEMA)
    );
    let answer: Option<(u8, Option<u64>, String, u32, String)> = client.first(verb, query).await?;
    let Some((read_only, Some(term), gtid, server_id, version)) = answer else {
        return Err(client.error(verb, "it remembers no term"));
    };
    let variables: Vec<(String, String)> =
        client.all(verb, "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'").await?;
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let row: Option<Row> = client.first(verb, "SHOW SLAVE STATUS").await?;
    let replication = row.as_ref().map(|row| replication(&client, row)).transpose()?;
    let is = |name: &str, value: &str| variables.get(name).is_some_and(|found| found == value);
    let count = |name: &str| variables.get(name).and_then(|found| found.parse().ok()).unwrap_or(0);
    let semi_sync = SemiSync {
        enabled: is("Rpl_semi_sync_master_status", "ON"),
        acknowledging: count("Rpl_semi_sync_master_clients"),
        waiting: count("Rpl_semi_sync_master_wait_sessions"),
    };
    let gtid = gtid.parse::<Gtids>().map_err(|error| client.error(verb, error.to_string()))?;
    client.close().await;
    Ok(DatabaseStatus {
        writable: read_only == 0,
        term: Term(term),
        origin: Origin::Server(server_id),
        gtid,
        received: None,
        semi_sync,
        followers: BTreeSet::new(),
        version,
        drift: Vec::new(),
        stalled: None,
        replication,
    })
}

fn replication(client: &Client, row: &Row) -> Result<Replication, DatabaseError> {
    let (host, port) = (column(row, "Master_Host"), number(row, "Master_Port"));
    let address = host.parse::<IpAddr>().ok().zip(port.and_then(|port| u16::try_from(port).ok()));
    let Some((host, port)) = address else {
        return Err(
            client.error("read its status", format!("it replicates from {host:?}, which is no address"))
        );
    };
    let errors = [column(row, "Last_IO_Error"), column(row, "Last_SQL_Error")];
    Ok(Replication {
        primary: Endpoint::Tcp(SocketAddr::new(host, port)),
        receiving: match column(row, "Slave_IO_Running").as_str() {
            "Yes" => Receiving::Connected,
            "No" => Receiving::Stopped,
            _ => Receiving::Connecting,
        },
        heard: None,
        applying: column(row, "Slave_SQL_Running") == "Yes",
        lag_seconds: number(row, "Seconds_Behind_Master"),
        error: errors.into_iter().find(|error| !error.is_empty()).map(|error| crate::tool::printable(&error)),
    })
}
