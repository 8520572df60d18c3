//! Makes a server a replica of the primary of a term.

use super::accounts::{REPLICATION, literal};
use super::client::{column, number};
use super::fence::make_read_only;
use super::promote::apply_received;
use super::semi_sync::{self, Side};
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::time::Duration;
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
    let status: Option<Row> = client.first(verb, "SHOW SLAVE STATUS").await?;
    let follows = status.as_ref().is_some_and(|row| {
        column(row, "Master_Host") == address.ip().to_string()
            && number(row, "Master_Port") == Some(address.port().into())
            && column(row, "Using_Gtid") == "Slave_Pos"
            && ["Slave_IO_Running", "Slave_SQL_Running"].into_iter().all(|name| column(row, name) == "Yes")
    });
    if follows {
        return leave(server, client, verb).await;
    }
    if status.is_some_and(|row| column(&row, "Slave_SQL_Running") == "Yes") {
        // What it has received it may have acknowledged, and a change of the primary throws it away.
        client.run(verb, "STOP SLAVE IO_THREAD").await?;
        apply_received(&mut client, verb).await?;
    }
    client.run(verb, "STOP SLAVE").await?;
    // What it wrote itself as a primary is part of where it stands.
    let position: Option<(String, String)> =
        client.first(verb, "SELECT @@global.gtid_slave_pos, @@global.gtid_current_pos").await?;
    if position.is_some_and(|(replicated, current)| replicated != current) {
        client.run(verb, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos").await?;
    }
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = {}, MASTER_PASSWORD = {}, \
         MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 0.5",
        literal(&address.ip().to_string()),
        address.port(),
        literal(REPLICATION),
        literal(server.credentials.replication()),
    );
    client.run(verb, change).await?;
    client.run(verb, "START SLAVE").await?;
    leave(server, client, verb).await
}
