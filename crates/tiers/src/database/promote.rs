//! Makes a server the primary of a term.

use super::client::{Client, column, number};
use super::semi_sync;
use super::sessions::end_foreign;
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::time::Duration;
use stoa_model::site::DatabaseEngine;
use stoa_model::{Gtids, Term};
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
    if let Err(error) = lead(&mut client, verb, wait).await {
        refuse_again(&mut client, verb).await;
        client.close().await;
        return Err(error);
    }
    leave(server, client, verb).await
}

async fn lead(client: &mut Client, verb: &'static str, wait: bool) -> Result<(), DatabaseError> {
    let words = client.words();
    if client.first::<Row>(verb, words.replica_status).await?.is_some() {
        client.run(verb, words.stop_receiving).await?;
        apply_received(client, verb).await?;
        client.run(verb, words.stop_replicating).await?;
        client.run(verb, words.forget_primary).await?;
    }
    semi_sync::set(client, verb, semi_sync::Side::Primary { wait }).await?;
    client.run(verb, words.take_writes).await
}

/// A server that was not made the primary refuses everybody's writes again, the daemon's too. One that takes
/// writes already is left alone.
async fn refuse_again(client: &mut Client, verb: &'static str) {
    let words = client.words();
    client.extend(PATIENCE);
    if words.let_daemon_write.is_none() {
        return;
    }
    if let Ok(Some(1_u8)) = client.first(verb, "SELECT @@global.read_only").await {
        // As it is, applications are kept out; the next change of its role does this too.
        let _ = client.run(verb, words.refuse_writes).await;
    }
}

/// Waits until everything that was received is applied: it may have been acknowledged.
pub(super) async fn apply_received(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let mut reached = String::new();
    let mut since = Instant::now();
    loop {
        let Some(row) = client.first::<Row>(verb, client.words().full_status).await? else {
            return Ok(());
        };
        let Backlog { received, applied, is_over } = backlog(client, verb, &row)?;
        if is_over {
            return Ok(());
        }
        let error = column(&row, "Last_SQL_Error");
        if !error.is_empty() {
            return Err(client.error(verb, format!("it cannot apply what it has received: {error}")));
        }
        if column(&row, client.words().applying) == "No" {
            client.run(verb, client.words().start_applying).await?;
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
                format!("it has not applied yet what it has received: it stands at {reached} of {received}"),
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a replica has received, and how much of it is applied.
struct Backlog {
    received: String,
    applied: String,
    is_over: bool,
}

/// MariaDB tells it by places in its primary's binlog; where its primary died in the midst of sending a transaction,
/// what came of that one stands behind the last that is whole, and can be neither applied nor acknowledged: then the
/// transactions tell. On MySQL what is received may stand behind what was
/// skipped because it was there already: only the sets of transactions tell.
fn backlog(client: &Client, verb: &'static str, row: &Row) -> Result<Backlog, DatabaseError> {
    let (received, applied, is_over) = match client.engine() {
        DatabaseEngine::Mariadb => {
            let place = |file, position| {
                format!("{}:{}", column(row, file), number(row, position).unwrap_or_default())
            };
            let received = place("Master_Log_File", "Read_Master_Log_Pos");
            let applied = place("Relay_Master_Log_File", "Exec_Master_Log_Pos");
            let (whole, done) = (column(row, "Gtid_IO_Pos"), column(row, "Gtid_Slave_Pos"));
            let is_over = column(row, "Master_Log_File").is_empty()
                || received == applied
                || (!whole.is_empty() && whole == done);
            (received, applied, is_over)
        }
        DatabaseEngine::Mysql => {
            let (received, applied) = (column(row, "Retrieved_Gtid_Set"), column(row, "Executed_Gtid_Set"));
            let read =
                |text: &str| text.parse::<Gtids>().map_err(|error| client.error(verb, error.to_string()));
            let is_over = read(&applied)?.contains(&read(&received)?);
            (received, applied, is_over)
        }
    };
    Ok(Backlog { received, applied, is_over })
}
