//! How long a server's state has lasted: it says what is so, and counts, but keeps no time.
//!
//! Compares each answer with the one before. Asks nothing itself.

use super::client::{column, number};
use super::words::{Heartbeats, Words};
use mysql_async::Row;
use std::time::Duration;
use stoa_model::observed::{DatabaseStatus, Receiving};
use stoa_model::{Gtids, Millis};
use tokio::time::Instant;

/// What the count of heartbeats is named where it is asked for with the facts.
pub(super) const HEARTBEATS: &str = "heartbeats";

/// What was so before a server was not heard for longer than this may have ended meanwhile, and begun again.
const GAP: Duration = Duration::from_secs(3);

/// What one server said last, and since when it has said that.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    heard: Option<Heard>,
    /// Where the binlog stands while sessions wait for an acknowledgement.
    waits: Spell<Gtids>,
    /// How far a replica that is connected has come.
    came: Spell<Came>,
    /// A replica is connected that does not acknowledge.
    mute: Spell<()>,
}

/// Something that is so, since when, and when that was last seen.
#[derive(Debug)]
struct Spell<T>(Option<(T, Instant, Instant)>);

impl<T> Default for Spell<T> {
    fn default() -> Self {
        Spell(None)
    }
}

impl<T> Spell<T> {
    /// It is so now: how long it has been, which is no time where `same` does not know again what was before.
    fn lasts(&mut self, what: T, now: Instant, same: impl Fn(&T, &T) -> bool) -> Millis {
        let before = self.0.take().filter(|(was, _, seen)| same(was, &what) && now - *seen <= GAP);
        let (what, since) = before.map_or((what, now), |(was, since, _)| (was, since));
        self.0 = Some((what, since, now));
        Millis(u64::try_from((now - since).as_millis()).unwrap_or(u64::MAX))
    }
}

/// Whether a replica was connected, what it had got from its primary, and since when that is all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    connected: bool,
    got: (u64, String, Option<u64>),
    since: Instant,
}

/// How much a replica has got of its primary's binlog.
#[derive(Debug)]
struct Came {
    /// Its primary, and the transactions it has received as a whole.
    received: [String; 3],
    /// How far beyond it is. A connection that begins anew begins behind.
    at: (String, Option<u64>),
}

impl Came {
    fn is_no_further_than(&self, before: &Came) -> bool {
        self.received == before.received && self.at <= before.at
    }
}

impl Lasting {
    /// Adds to an answer how long it has been so; `sets` is all that the server said.
    pub(super) fn complete(&mut self, status: &mut DatabaseStatus, words: &Words, sets: &[Vec<Row>]) {
        if let Some(replication) = &mut status.replication {
            replication.heard = self.hear(words, sets, replication.receiving);
            replication.stalled = self.stall(words, sets, replication.receiving);
            replication.mute = self.mute(words, sets, replication.receiving);
        }
        status.semi_sync.unmoved = self.wait(status);
    }

    /// How long the binlog has not grown while sessions waited.
    fn wait(&mut self, status: &DatabaseStatus) -> Millis {
        if status.semi_sync.waiting == 0 {
            self.waits = Spell(None);
            return Millis(0);
        }
        self.waits.lasts(status.gtid.clone(), Instant::now(), Gtids::eq)
    }

    /// How long a replica that is connected has got no further. It may have lost its connection in between, as one
    /// does that gets nothing; not for long.
    fn stall(&mut self, words: &Words, sets: &[Vec<Row>], receiving: Receiving) -> Millis {
        let Some(row) = sets.get(2).and_then(|rows| rows.first()) else { return Millis(0) };
        if receiving != Receiving::Connected {
            return Millis(0);
        }
        let received = [words.host, words.port, words.received].map(|name| column(row, name));
        let at = (column(row, words.received_file), number(row, words.received_position));
        self.came.lasts(Came { received, at }, Instant::now(), |was, is| is.is_no_further_than(was))
    }

    /// How long a replica has been connected and has not acknowledged.
    fn mute(&mut self, words: &Words, sets: &[Vec<Row>], receiving: Receiving) -> Millis {
        let silent = |row: &Row| {
            column(row, "Variable_name") == words.semi_sync_status && column(row, "Value") == "OFF"
        };
        if receiving != Receiving::Connected || !sets.get(1).is_some_and(|rows| rows.iter().any(silent)) {
            self.mute = Spell(None);
            return Millis(0);
        }
        self.mute.lasts((), Instant::now(), |(), ()| true)
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
        let age = self.heard.as_ref()?.since.elapsed().as_millis();
        Some(Millis(u64::try_from(age).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_begins_its_connection_anew_has_come_no_further() {
        let came = |port: &str, received: &str, file: &str, position| Came {
            received: ["host", port, received].map(str::to_owned),
            at: (file.to_owned(), Some(position)),
        };
        let before = came("1", "0-1-7", "binlog.000002", 900);
        let table = [
            (came("1", "0-1-7", "binlog.000002", 900), true),
            (came("1", "0-1-7", "FIRST", 4), true),
            (came("1", "0-1-7", "binlog.000002", 4), true),
            (came("1", "0-1-7", "binlog.000002", 901), false),
            (came("1", "0-1-7", "binlog.000003", 4), false),
            (came("1", "0-1-8", "binlog.000002", 900), false),
            (came("2", "0-1-7", "binlog.000001", 4), false),
        ];
        for (now, expected) in table {
            assert_eq!(now.is_no_further_than(&before), expected, "{now:?}");
        }
    }

    #[test]
    fn a_spell_lasts_as_long_as_it_is_seen_to() {
        let began = Instant::now();
        let mut spell = Spell(None);
        // When it is seen, what is, and how long that has been so.
        let seen =
            [(0, 'a', 0), (2, 'a', 2), (5, 'a', 5), (6, 'b', 0), (8, 'b', 2), (12, 'b', 0), (13, 'b', 1)];
        for (second, what, lasted) in seen {
            let now = began + Duration::from_secs(second);
            assert_eq!(spell.lasts(what, now, char::eq), Millis::from_secs(lasted), "{what} at {second} s");
        }
    }
}
