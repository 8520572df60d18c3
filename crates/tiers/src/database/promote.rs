//! Makes a server the primary of a term.

use super::client::{Client, column, number};
use super::semi_sync;
use super::sessions::end_foreign;
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::time::Duration;
use stoa_model::Term;
use tokio::time::Instant;

/// A promotion lets the server apply what it has received first. One that is not over by then has failed,
/// and goes on from there when it is tried again.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Applying is looked at this often while it is waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// Applying that has not got on for this long may be held up by somebody's locks.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lets the server take writes in `term`. With `wait`, each commit waits until a replica has it.
pub async fn promote(server: &Server<'_>, term: Term, wait: bool) -> Result<(), DatabaseError> {
    let verb = "be promoted";
    let mut client = enter(server, verb, term, TIMEOUT).await?;
    if client.first::<Row>(verb, "SHOW SLAVE STATUS").await?.is_some() {
        client.run(verb, "STOP SLAVE IO_THREAD").await?;
        apply_received(&mut client, verb).await?;
        client.run(verb, "STOP SLAVE").await?;
        client.run(verb, "RESET SLAVE ALL").await?;
    }
    semi_sync::set(&mut client, verb, semi_sync::Side::Primary { wait }).await?;
    client.run(verb, "SET GLOBAL read_only = 0").await?;
    leave(server, client, verb).await
}

/// Waits until everything that was received is applied: it may have been acknowledged.
pub(super) async fn apply_received(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let mut reached = (String::new(), None);
    let mut since = Instant::now();
    loop {
        let Some(row) = client.first::<Row>(verb, "SHOW SLAVE STATUS").await? else { return Ok(()) };
        let place = |file: &str, position: &str| (column(&row, file), number(&row, position));
        let received = place("Master_Log_File", "Read_Master_Log_Pos");
        let applied = place("Relay_Master_Log_File", "Exec_Master_Log_Pos");
        if received.0.is_empty() || received == applied {
            return Ok(());
        }
        let error = column(&row, "Last_SQL_Error");
        if !error.is_empty() {
            return Err(client.error(verb, format!("it cannot apply what it has received: {error}")));
        }
        if column(&row, "Slave_SQL_Running") == "No" {
            client.run(verb, "START SLAVE SQL_THREAD").await?;
        }
        if applied != reached {
            (reached, since) = (applied, Instant::now());
        } else if since.elapsed() > PATIENCE {
            end_foreign(client, verb).await?;
            since = Instant::now();
        }
        if client.left() < PATIENCE {
            return Err(client.error(
                verb,
                format!(
                    "it has not applied yet what it has received: it stands at {}:{} of {}:{}",
                    reached.0,
                    reached.1.unwrap_or_default(),
                    received.0,
                    received.1.unwrap_or_default()
                ),
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
