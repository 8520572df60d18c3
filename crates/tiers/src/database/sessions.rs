//! The sessions of a server: which of them belong to the cluster itself, and the end of the others.

use super::DatabaseError;
use super::accounts::{MONITOR, REPLICATION};
use super::client::Client;

/// Ends every session that is neither the caller's, nor a replica's, nor the monitor's, nor the server's
/// own: what they had not committed is rolled back, and the locks they held are free.
///
/// One that waits for a replica's acknowledgement is left alone: ending it would let everybody see what no
/// replica has.
pub(super) async fn end_foreign(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let query = format!(
        "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() \
         AND user NOT IN ('{MONITOR}', '{REPLICATION}', 'system user', 'event_scheduler') \
         AND command <> 'Killed' AND COALESCE(state, '') NOT LIKE 'Waiting for semi-sync%' \
         AND COALESCE(info, '') NOT IN ('{}', '{}')",
        client.words().refuse_writes,
        client.words().stop_replicating
    );
    let ids: Vec<u64> = client.all(verb, query).await?;
    for id in ids {
        match client.run(verb, format!("KILL CONNECTION {id}")).await {
            // It has ended by itself meanwhile.
            Err(error) if error.server_code() == Some(NO_SUCH_THREAD) => {}
            other => other?,
        }
    }
    Ok(())
}

/// How many sessions wait for a replica's acknowledgement of what they committed.
pub(super) async fn unacknowledged(client: &mut Client, verb: &'static str) -> Result<u64, DatabaseError> {
    let query = format!("SHOW GLOBAL STATUS LIKE '{}'", client.words().waiting);
    let found: Option<(String, u64)> = client.first(verb, query).await?;
    Ok(found.map_or(0, |(_, sessions)| sessions))
}

/// ER_NO_SUCH_THREAD.
const NO_SUCH_THREAD: u16 = 1094;
