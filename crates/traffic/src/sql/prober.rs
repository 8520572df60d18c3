//! Asks every server now and then who it is and how far it is, as the first account, which needs no right
//! for it. Runs beside the statements, never in their way.
//!
//! Lag needs no clock of the servers': what a replica has now the primary had at some moment that was taken
//! down here.

use super::asker;
use super::backend::{Link, OpenError};
use super::identity::Identity;
use super::lexer::Engine;
use super::position::Position;
use super::steward::Steward;
use super::table::{Shared, Upstream};
use super::wire::capability::Capabilities;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;

/// How often a server is asked.
const EVERY: Duration = Duration::from_millis(250);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many moments of the primary are remembered: some minutes.
const MOMENTS: usize = 1024;

/// When the primary was how far.
type Moments = Rc<RefCell<VecDeque<(Instant, Position)>>>;

/// Asks the servers of the routes for ever.
pub(crate) async fn probe(shared: Arc<Shared>, steward: Rc<Steward>) {
    let moments = Moments::default();
    let mut asked: Vec<(Arc<Upstream>, tokio::task::JoinHandle<()>)> = Vec::new();
    loop {
        let table = steward.table();
        asked.retain(|(upstream, task)| {
            let stays = table.all().any(|named| Arc::ptr_eq(named, upstream));
            if !stays {
                task.abort();
            }
            stays && !task.is_finished()
        });
        for upstream in table.all() {
            if !asked.iter().any(|(known, _)| Arc::ptr_eq(known, upstream)) {
                let task = watch(shared.clone(), steward.clone(), upstream.clone(), moments.clone());
                asked.push((upstream.clone(), spawn_local(task)));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn watch(shared: Arc<Shared>, steward: Rc<Steward>, upstream: Arc<Upstream>, moments: Moments) {
    let mut link = None;
    loop {
        let role = Asked::of(&steward, &upstream);
        match tokio::time::timeout(PATIENCE, ask(&shared, &upstream, role, &mut link)).await {
            Ok(Ok(position)) => {
                upstream.readmit();
                note(&upstream, role, &moments, position);
            }
            Ok(Err(error)) => {
                link = None;
                upstream.leave_out(&error.to_string());
            }
            Err(_) => {
                link = None;
                upstream.leave_out("it does not answer");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// As what a server is asked: how far a primary is and how far a replica is are two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Primary,
    Replica,
}

impl Asked {
    fn of(steward: &Steward, upstream: &Arc<Upstream>) -> Asked {
        let is_primary = steward.table().primary.as_ref().is_some_and(|known| Arc::ptr_eq(known, upstream));
        if is_primary { Asked::Primary } else { Asked::Replica }
    }
}

/// One question, on a connection that is kept.
async fn ask(
    shared: &Shared,
    upstream: &Upstream,
    role: Asked,
    link: &mut Option<Link>,
) -> Result<Position, OpenError> {
    let open = match link {
        Some(open) => open,
        None => {
            let Some(account) = shared.accounts.first() else { return Ok(Position::default()) };
            let kind = Capabilities::empty();
            let mut open = Link::open(upstream, account, kind, shared.settings.connect).await?;
            if shared.identity.get().is_none() {
                // Another may have been faster; both say the same.
                let _ = shared.identity.set(identify(&mut open).await?);
                shared.news.send_replace(());
            }
            link.insert(open)
        }
    };
    let mysql = engine(&open.greeting.capabilities) == Engine::MySql;
    let position = match role {
        Asked::Primary => asker::written(open, mysql).await?,
        Asked::Replica => asker::replicated(open, mysql).await?,
    };
    Ok(position.unwrap_or_default())
}

/// Takes down how far a server is, and from that how far it is behind.
fn note(upstream: &Upstream, role: Asked, moments: &Moments, position: Position) {
    let now = Instant::now();
    let mut moments = moments.borrow_mut();
    if role == Asked::Primary {
        upstream.set_lag(Some(Duration::ZERO));
        if moments.back().is_none_or(|(_, last)| *last != position) {
            moments.push_back((now, position));
            if moments.len() > MOMENTS {
                moments.pop_front();
            }
        }
        return;
    }
    upstream.applied.reached_all(&position);
    // The first moment of the primary that the replica has not reached is when it began to be behind.
    let behind = moments.iter().find(|(_, moment)| !upstream.applied.covers(moment));
    upstream.set_lag(Some(behind.map_or(Duration::ZERO, |(since, _)| now.duration_since(*since))));
}

/// Whether a greeting's capabilities are MySQL's: MariaDB leaves the first bit out.
fn engine(capabilities: &Capabilities) -> Engine {
    if capabilities.contains(Capabilities::LONG_PASSWORD) { Engine::MySql } else { Engine::MariaDb }
}

async fn identify(link: &mut Link) -> Result<Identity, OpenError> {
    let mut identity = Identity {
        version: link.greeting.version.clone(),
        capabilities: link.greeting.capabilities,
        engine: engine(&link.greeting.capabilities),
        collation: link.greeting.charset,
        collations: HashMap::new(),
        sql_mode: String::new(),
        autocommit: true,
    };
    let mut mode = Vec::new();
    link.ask("SELECT CONCAT(IF(@@global.autocommit, 1, 0), @@global.sql_mode)", |row| {
        mode.extend_from_slice(text_of(row).unwrap_or_default());
    })
    .await?;
    identity.autocommit = mode.first() != Some(&b'0');
    identity.sql_mode = String::from_utf8_lossy(mode.get(1..).unwrap_or_default()).into_owned();
    // MariaDB has collations of one name in several character sets; only the second table numbers them.
    let full = "SELECT CONCAT_WS(' ', ID, CHARACTER_SET_NAME, FULL_COLLATION_NAME) \
                FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
    let plain =
        "SELECT CONCAT_WS(' ', ID, CHARACTER_SET_NAME, COLLATION_NAME) FROM information_schema.COLLATIONS";
    let mut collations = HashMap::new();
    for sql in [full, plain] {
        let mut take = |row: &[u8]| {
            let text = String::from_utf8_lossy(text_of(row).unwrap_or_default()).into_owned();
            let mut words = text.split(' ');
            if let (Some(id), Some(charset), Some(collation)) = (words.next(), words.next(), words.next())
                && let Ok(id) = id.parse()
            {
                collations.insert(id, (charset.to_owned(), collation.to_owned()));
            }
        };
        match link.ask(sql, &mut take).await {
            Ok(()) => break,
            // The first table has no numbers on MySQL.
            Err(OpenError::Refused(_)) if sql == full => {}
            Err(error) => return Err(error),
        }
    }
    identity.collations = collations;
    Ok(identity)
}

/// The first value of a row of text.
fn text_of(row: &[u8]) -> Option<&[u8]> {
    super::wire::field::Fields::new(row).lenenc_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_its_first_value() {
        assert_eq!(text_of(b"\x030-1\x01x"), Some(&b"0-1"[..]));
        assert_eq!(text_of(b"\xfb"), None);
    }
}
