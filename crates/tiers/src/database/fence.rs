//! Makes a server refuse writes. Belongs to no term: refusing is always safe.

use super::accounts::ADMIN;
use super::client::Client;
use super::sessions::{end_foreign, unacknowledged};
use super::{DatabaseError, Server};
use std::pin::pin;
use std::time::Duration;

/// A server that has not been fenced by then has to be fenced by ending its process.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Commits under way need a moment; after it, sessions that are in the way are ended.
const PATIENCE: Duration = Duration::from_millis(200);

/// Makes the server refuse writes and ends the sessions that could still write.
///
/// Sessions that wait for a replica's acknowledgement cannot be fenced from within: the server would let
/// everybody see what they wrote, and a new primary may not have it. That is an error of its own,
/// [`DatabaseError::Unacknowledged`]; such a server has to be killed, which rolls them back.
pub async fn fence(server: &Server<'_>) -> Result<(), DatabaseError> {
    let verb = "be fenced";
    let mut client = connect(server).await?;
    make_read_only(server, &mut client, verb).await?;
    client.close().await;
    Ok(())
}

/// The server lets commits under way come to their end before it refuses the others, so that nothing that
/// was acknowledged is unknown, and nothing that was not is let through.
pub(super) async fn make_read_only(
    server: &Server<'_>,
    client: &mut Client,
    verb: &'static str,
) -> Result<(), DatabaseError> {
    let read_only: Option<u8> = client.first(verb, client.words().refuses_writes).await?;
    if read_only == Some(1) {
        return Ok(());
    }
    // MySQL's may have been lifted for the daemon alone.
    let applications_are_out: Option<u8> = client.first(verb, "SELECT @@global.read_only").await?;
    {
        let mut setting = pin!(client.run(verb, client.words().refuse_writes));
        match tokio::time::timeout(PATIENCE, &mut setting).await {
            Ok(done) => done?,
            Err(_) => {
                clear_the_way(server, verb).await?;
                setting.await?;
            }
        }
    }
    if applications_are_out == Some(1) {
        return Ok(());
    }
    // A transaction that is still open could not be committed any more; its end is told at once.
    end_foreign(client, verb).await
}

/// Something holds the lock that the fence needs: a long statement, locked tables, or a commit that waits.
async fn clear_the_way(server: &Server<'_>, verb: &'static str) -> Result<(), DatabaseError> {
    let mut client = connect(server).await?;
    let mut waiting = unacknowledged(&mut client, verb).await?;
    if waiting > 0 {
        // It may be on its way.
        tokio::time::sleep(PATIENCE).await;
        waiting = unacknowledged(&mut client, verb).await?;
    }
    if waiting > 0 {
        client.close().await;
        return Err(DatabaseError::Unacknowledged { instance: server.instance, sessions: waiting });
    }
    end_foreign(&mut client, verb).await?;
    client.close().await;
    Ok(())
}

async fn connect(server: &Server<'_>) -> Result<Client, DatabaseError> {
    Client::connect(server, ADMIN, server.credentials.admin(), TIMEOUT).await
}
