//! How long a server's state has lasted: it says what is so, and counts, but keeps no time.
//!
//! Compares each answer with the one before. Asks nothing itself.

use super::client::{column, number};
use super::words::{Heartbeats, Words};
use mysql_async::Row;
use stoa_model::observed::{DatabaseStatus, Receiving};
use stoa_model::{Gtids, Millis};
use tokio::time::Instant;

/// What the count of heartbeats is named where it is asked for with the facts.
pub(super) const HEARTBEATS: &str = "heartbeats";

/// What one server said last, and since when it has said that.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    heard: Option<Heard>,
    /// Where the binlog stood while sessions waited for an acknowledgement, and since when.
    waits: Option<(Gtids, Instant)>,
    came: Option<Came>,
    /// Since when a replica has been connected that does not acknowledge.
    mute: Option<Instant>,
}

/// Whether a replica was connected, what it had got from its primary, and since when that is all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    connected: bool,
    got: (u64, String, Option<u64>),
    since: Instant,
}

/// How much a replica had got of its primary's binlog, and since when that is all.
#[derive(Debug)]
struct Came {
    /// Its primary, and the transactions it has received as a whole.
    received: [String; 3],
    /// How far beyond it ever was: a connection that begins anew begins behind.
    furthest: (String, Option<u64>),
    since: Instant,
}

impl Lasting {
    /// Adds to an answer how long it has been so; `sets` is all that the server said.
    pub(super) fn complete(&mut self, status: &mut DatabaseStatus, words: &Words, sets: &[Vec<Row>]) {
        if let Some(replication) = &mut status.replication {
            replication.heard = self.hear(words, sets, replication.receiving);
            replication.stalled = self.stall(words, sets);
            replication.mute = self.miss(words, sets, replication.receiving);
        }
        status.semi_sync.unmoved = self.wait(status);
    }

    /// How long the binlog has not grown while sessions waited.
    fn wait(&mut self, status: &DatabaseStatus) -> Millis {
        let waits = self.waits.take().filter(|(gtid, _)| *gtid == status.gtid);
        if status.semi_sync.waiting == 0 {
            return Millis(0);
        }
        let (_, since) = self.waits.insert(waits.unwrap_or_else(|| (status.gtid.clone(), Instant::now())));
        age(*since)
    }

    /// How long a replica has got no further.
    fn stall(&mut self, words: &Words, sets: &[Vec<Row>]) -> Millis {
        let Some(row) = sets.get(2).and_then(|rows| rows.first()) else { return Millis(0) };
        let received = [words.host, words.port, words.received].map(|name| column(row, name));
        let furthest = (column(row, words.received_file), number(row, words.received_position));
        let further = |came: &&Came| came.received == received && came.furthest >= furthest;
        if self.came.as_ref().filter(further).is_none() {
            self.came = Some(Came { received, furthest, since: Instant::now() });
        }
        self.came.as_ref().map_or(Millis(0), |came| age(came.since))
    }

    /// How long a replica has been connected and has not acknowledged.
    fn miss(&mut self, words: &Words, sets: &[Vec<Row>], receiving: Receiving) -> Millis {
        let silent =
            |row: &Row| column(row, "Variable_name") == words.speaks && column(row, "Value") == "OFF";
        if receiving != Receiving::Connected || !sets.get(1).is_some_and(|rows| rows.iter().any(silent)) {
            self.mute = None;
            return Millis(0);
        }
        age(*self.mute.get_or_insert_with(Instant::now))
    }

    /// How long nothing has come from the primary, not even a heartbeat, or no connection.
    fn hear(&mut self, words: &Words, sets: &[Vec<Row>], receiving: Receiving) -> Option<Millis> {
        let row = sets.get(2)?.first()?;
        if receiving == Receiving::Stopped {
            self.heard = None;
            return None;
        }
        let connected = receiving == Receiving::Connected;
        let heartbeats = match words.heartbeats {
            Heartbeats::Column(name) => number(row, name),
            // MySQL counts them elsewhere; the question asks for it with the facts.
            Heartbeats::Fact => sets.first().and_then(|facts| number(facts.first()?, HEARTBEATS)),
        };
        let got =
            (heartbeats.unwrap_or(0), column(row, words.received_file), number(row, words.received_position));
        if self.heard.as_ref().is_none_or(|heard| (heard.connected, &heard.got) != (connected, &got)) {
            self.heard = Some(Heard { connected, got, since: Instant::now() });
        }
        self.heard.as_ref().map(|heard| age(heard.since))
    }
}

fn age(since: Instant) -> Millis {
    Millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}
