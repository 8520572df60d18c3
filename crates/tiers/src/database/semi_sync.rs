//! Semi-synchronous replication: whether a commit waits until a replica has received it.

use super::client::Client;
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use std::time::Duration;
use stoa_model::Term;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Which side of it a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Its commits wait, or not.
    Primary {
        /// Whether.
        wait: bool,
    },
    /// It acknowledges.
    Replica,
}

/// Lets the commits of the primary of `term` wait for a replica from now on, or no longer. Sessions that
/// wait when it ceases are let through.
pub async fn semi_sync(server: &Server<'_>, term: Term, wait: bool) -> Result<(), DatabaseError> {
    let verb = if wait { "wait for its replicas" } else { "go on without its replicas" };
    let mut client = enter(server, verb, term, TIMEOUT).await?;
    set(&mut client, verb, Side::Primary { wait }).await?;
    leave(server, client, verb).await
}

/// Sets what differs.
pub(super) async fn set(client: &mut Client, verb: &'static str, side: Side) -> Result<(), DatabaseError> {
    let (waits, acknowledges) = match side {
        Side::Primary { wait } => (u8::from(wait), 0),
        Side::Replica => (0, 1),
    };
    let (source, replica) = (client.words().waits, client.words().acknowledges);
    let found: Option<(u8, u8)> =
        client.first(verb, format!("SELECT @@global.{source}, @@global.{replica}")).await?;
    let (now_waits, now_acknowledges) = found.unwrap_or((u8::MAX, u8::MAX));
    if now_acknowledges != acknowledges {
        client.run(verb, format!("SET GLOBAL {replica} = {acknowledges}")).await?;
    }
    if now_waits != waits {
        client.run(verb, format!("SET GLOBAL {source} = {waits}")).await?;
    }
    Ok(())
}
