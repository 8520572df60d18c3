//! Where in the stream of transactions a server or a session is, for both engines: of each source the number
//! up to which everything is there.
//!
//! MariaDB's sources are its domains (`0-1-42`: domain 0, number 42), in which numbers only grow under
//! `gtid_strict_mode`; MySQL's are server UUIDs (`…:1-42`). A MySQL set with gaps counts up to the first gap.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most sources a server is known by. Clusters have one or two; what does not fit is not known to be
/// there, so that a read which needs it goes to the primary.
const SOURCES: usize = 8;

/// A transaction: the last that somebody wrote, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// A domain or a UUID.
    pub(crate) source: u128,
    /// Which of the source's transactions.
    pub(crate) number: u64,
}

/// The last transaction of each source that something depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position(Vec<Mark>);

/// What a server is known to have. Read on the way of every read, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    known: AtomicUsize,
    sources: [Source; SOURCES],
    grow: Mutex<()>,
}

#[derive(Debug, Default)]
struct Source {
    high: AtomicU64,
    low: AtomicU64,
    number: AtomicU64,
}

impl Mark {
    /// Reads one GTID, or one interval of a set: `0-1-42`, `UUID:42`, `UUID:1-42`, `UUID:1-42:50`.
    pub(crate) fn parse(text: &str) -> Option<Mark> {
        let text = text.trim();
        let Some((uuid, intervals)) = text.split_once(':') else {
            let mut parts = text.split('-');
            let domain: u32 = parts.next()?.parse().ok()?;
            let _server: u32 = parts.next()?.parse().ok()?;
            let number = parts.next()?.parse().ok()?;
            return parts.next().is_none().then_some(Mark { source: u128::from(domain), number });
        };
        let mut source = 0_u128;
        let mut digits = 0;
        for digit in uuid.bytes().filter(|byte| *byte != b'-') {
            source = source << 4 | u128::from(char::from(digit).to_digit(16)?);
            digits += 1;
        }
        let first = intervals.split(':').next()?;
        let number = first.rsplit('-').next()?.parse().ok()?;
        (digits == 32).then_some(Mark { source, number })
    }

    fn is_domain(self) -> bool {
        self.source <= u128::from(u32::MAX)
    }
}

impl Position {
    /// Reads a list of GTIDs or a set of them; nothing where any of it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<Position> {
        let mut position = Position::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            position.reach(Mark::parse(part)?);
        }
        Some(position)
    }

    /// Goes on to `mark`, where it is further.
    pub(crate) fn reach(&mut self, mark: Mark) {
        match self.0.iter_mut().find(|known| known.source == mark.source) {
            Some(known) => known.number = known.number.max(mark.number),
            None => self.0.push(mark),
        }
    }

    /// Goes on to all of `other`.
    pub(crate) fn reach_all(&mut self, other: &Position) {
        other.0.iter().for_each(|mark| self.reach(*mark));
    }

    /// Whether it depends on nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the server's waiting functions take it. MariaDB's need a server id, which they do not look at.
    pub(crate) fn to_sql(&self) -> String {
        let texts: Vec<String> = self.0.iter().map(|mark| mark.to_sql()).collect();
        texts.join(",")
    }
}

impl Mark {
    fn to_sql(self) -> String {
        if self.is_domain() {
            return format!("{}-1-{}", self.source, self.number);
        }
        let hex = format!("{:032x}", self.source);
        let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
        format!("{a}-{b}-{c}-{}-{}:1-{}", &hex[16..20], &hex[20..], self.number)
    }
}

impl Applied {
    /// Takes down that a server has everything up to `mark`.
    pub(crate) fn reached(&self, mark: Mark) {
        if let Some(source) = self.source(mark.source) {
            source.number.fetch_max(mark.number, Ordering::Relaxed);
            return;
        }
        let _growing = self.grow.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load(Ordering::Acquire);
        if let Some(source) = self.source(mark.source) {
            source.number.fetch_max(mark.number, Ordering::Relaxed);
        } else if let Some(free) = self.sources.get(known) {
            free.high.store((mark.source >> 64) as u64, Ordering::Relaxed);
            free.low.store(mark.source as u64, Ordering::Relaxed);
            free.number.store(mark.number, Ordering::Relaxed);
            self.known.store(known + 1, Ordering::Release);
        }
    }

    /// Takes down that a server has all of `position`.
    pub(crate) fn reached_all(&self, position: &Position) {
        position.0.iter().for_each(|mark| self.reached(*mark));
    }

    /// Whether the server is known to have all of `position`.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        position.0.iter().all(|mark| {
            let source = self.source(mark.source);
            source.is_some_and(|source| source.number.load(Ordering::Relaxed) >= mark.number)
        })
    }

    /// Whether the server has ever had anything of every source of `position`: what never replicated from a
    /// source is never to be waited for.
    pub(crate) fn follows(&self, position: &Position) -> bool {
        position.0.iter().all(|mark| self.source(mark.source).is_some())
    }

    fn source(&self, wanted: u128) -> Option<&Source> {
        let known = self.known.load(Ordering::Acquire);
        self.sources.iter().take(known).find(|source| {
            let high = u128::from(source.high.load(Ordering::Relaxed));
            high << 64 | u128::from(source.low.load(Ordering::Relaxed)) == wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn gtids_of_both_engines_are_read_and_written() {
        for text in ["0-1-42", "7-1-1"] {
            assert_eq!(Position::parse(text).unwrap().to_sql(), text);
        }
        assert_eq!(Position::parse("0-1-5,1-9-7, 0-2-9").unwrap().to_sql(), "0-1-9,1-1-7");
        let set = format!("{UUID}:1-42:50-60");
        assert_eq!(Position::parse(&set).unwrap().to_sql(), format!("{UUID}:1-42"));
        assert_eq!(Position::parse(&format!("{UUID}:7")).unwrap().0[0].number, 7);
        for wrong in
            ["x", "0-1", "0-1-2-3", "0-1-x", "3e11:1", &format!("{UUID}:"), &format!("{UUID}:tag:1-5")]
        {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
        assert!(Position::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_applied_covers_what_is_before_it() {
        let applied = Applied::default();
        let at = |text| Position::parse(text).unwrap();
        assert!(applied.covers(&at("")));
        assert!(!applied.covers(&at("0-1-1")) && !applied.follows(&at("0-1-1")));
        applied.reached(Mark { source: 0, number: 10 });
        applied.reached(Mark { source: 0, number: 4 });
        assert!(applied.covers(&at("0-1-10")) && !applied.covers(&at("0-1-11")));
        assert!(applied.follows(&at("0-1-11")) && !applied.follows(&at("0-1-1,1-1-1")));
        for domain in 1..20 {
            applied.reached(Mark { source: domain, number: 1 });
        }
        assert!(applied.covers(&at("7-1-1")) && !applied.covers(&at("8-1-1")));
    }
}
