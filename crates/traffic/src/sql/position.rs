//! Where in the stream of transactions a server or a session is, for both engines: of each source the number
//! up to which everything is there.
//!
//! MariaDB's sources are its domains (`0-1-42`: domain 0, number 42), in which numbers only grow under
//! `gtid_strict_mode`; MySQL's are server UUIDs (`…:1-42`), and each of their tags by itself (`…:1-42:tag:1-5`).
//! A MySQL set with gaps counts up to the first gap.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most sources a server is known by. MariaDB's have one or two; with MySQL every server that ever was the
/// primary is one, and one that was made anew is another. What does not fit is not known to be there, so that a
/// read which needs it goes to the primary.
const SOURCES: usize = 256;

/// What no server has: whoever wrote something that cannot be told reads it from the primary.
const UNTOLD: Mark = Mark { source: u128::MAX, number: u64::MAX };

/// A transaction: the last that somebody wrote, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// A domain, a UUID, or what stands for a UUID and a tag.
    pub(crate) source: u128,
    /// Which of the source's transactions.
    pub(crate) number: u64,
}

/// The last transaction of each source that something depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position(Vec<Mark>);

/// Which intervals of a source count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intervals {
    First,
    All,
}

/// What a server is known to have. Read on the way of every read, without a lock.
#[derive(Debug)]
pub(crate) struct Applied {
    known: AtomicUsize,
    sources: Box<[Source]>,
    grow: Mutex<()>,
}

#[derive(Debug, Default)]
struct Source {
    high: AtomicU64,
    low: AtomicU64,
    number: AtomicU64,
}

impl Mark {
    /// Reads one GTID of MariaDB: `0-1-42`.
    pub(crate) fn parse(text: &str) -> Option<Mark> {
        let mut parts = text.trim().split('-');
        let domain: u32 = parts.next()?.parse().ok()?;
        let _server: u32 = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Mark { source: u128::from(domain), number })
    }

    fn is_domain(self) -> bool {
        self.source <= u128::from(u32::MAX)
    }

    fn is_tagged(self) -> bool {
        self.source & TAGGED == TAGGED
    }
}

/// Where a UUID's transactions of one tag are numbered. The first digit of a UUID's third group is its version,
/// of which 15 is none: what stands for a tag is no UUID. Two tags that met in the other 124 bits would be taken
/// for one.
fn tagged(uuid: u128, tag: &str) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let hash = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    tag.bytes().map(|byte| byte.to_ascii_lowercase()).fold(uuid, hash) | TAGGED
}

const TAGGED: u128 = 0xF << 76;

impl Position {
    /// Reads what a server has, a list of GTIDs or a set of them: of each source up to the first gap. Nothing
    /// where any of it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<Position> {
        Position::read(text, Intervals::First)
    }

    /// Reads what a session has written on MySQL: of each source up to the last.
    pub(crate) fn parse_written(text: &str) -> Option<Position> {
        Position::read(text, Intervals::All)
    }

    fn read(text: &str, intervals: Intervals) -> Option<Position> {
        let mut position = Position::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once(':') {
                None => position.reach(Mark::parse(part)?),
                Some((uuid, rest)) => position.reach_set(uuid, rest, intervals)?,
            }
        }
        Some(position)
    }

    /// What was written is not known: nothing but the primary is known to have it.
    pub(crate) fn reach_untold(&mut self) {
        self.reach(UNTOLD);
    }

    /// What MySQL tells of one UUID: `42`, `1-42:50`, `1-42:tag:1-5`.
    fn reach_set(&mut self, uuid: &str, rest: &str, intervals: Intervals) -> Option<()> {
        let (mut uuid_bits, mut digits) = (0_u128, 0);
        for digit in uuid.bytes().filter(|byte| *byte != b'-') {
            uuid_bits = uuid_bits << 4 | u128::from(char::from(digit).to_digit(16)?);
            digits += 1;
        }
        if digits != 32 {
            return None;
        }
        let mut source = uuid_bits;
        let mut first = true;
        for part in rest.split(':').map(str::trim) {
            if part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                (source, first) = (tagged(uuid_bits, part), true);
                continue;
            }
            let number = part.rsplit('-').next()?.parse().ok()?;
            if std::mem::replace(&mut first, false) || intervals == Intervals::All {
                self.reach(Mark { source, number });
            }
        }
        (!first).then_some(())
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

    /// As the server's waiting functions take it. MariaDB's need a server id, which they do not look at. Tags
    /// are left out: a server that has not reached one is not waited for, see [`Applied::follows`].
    pub(crate) fn to_sql(&self) -> String {
        let texts: Vec<String> =
            self.0.iter().filter(|mark| !mark.is_tagged()).map(|mark| mark.to_sql()).collect();
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

impl Default for Applied {
    fn default() -> Self {
        let sources = std::iter::repeat_with(Source::default).take(SOURCES).collect();
        Applied { known: AtomicUsize::new(0), sources, grow: Mutex::new(()) }
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
    /// source is never to be waited for. Nor is a tag's, which cannot be asked for from what is known of it.
    pub(crate) fn follows(&self, position: &Position) -> bool {
        position.0.iter().all(|mark| match self.source(mark.source) {
            Some(source) => !mark.is_tagged() || source.number.load(Ordering::Relaxed) >= mark.number,
            None => false,
        })
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
        assert_eq!(Position::parse_written(&set).unwrap().to_sql(), format!("{UUID}:1-60"));
        assert_eq!(Position::parse(&format!("{UUID}:7")).unwrap().0[0].number, 7);
        for wrong in ["x", "0-1", "0-1-2-3", "0-1-x", "3e11:1", "0-1-4:5"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
        for wrong in ["", ":", ":tag", ":tag:", ":1-5:", ":1:tag", ":tag:x"] {
            assert_eq!(Position::parse(&format!("{UUID}{wrong}")), None, "{wrong}");
        }
        assert!(Position::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_tag_is_a_source_of_its_own_that_is_never_waited_for() {
        let at = |text: &str| Position::parse(&format!("{UUID}:{text}")).unwrap();
        let set = at("1-42:50:shop:1-5:9:other:1-3");
        let numbers: Vec<u64> = set.0.iter().map(|mark| mark.number).collect();
        assert_eq!((numbers, set.to_sql()), (vec![42, 5, 3], format!("{UUID}:1-42")));
        assert_eq!(at("SHOP:1-5").0, &set.0[1..2]);
        let applied = Applied::default();
        set.0.iter().for_each(|mark| applied.reached(*mark));
        assert!(applied.covers(&at("shop:5")) && applied.follows(&at("shop:5")));
        assert!(!applied.covers(&at("shop:6")) && !applied.follows(&at("shop:6")));
        assert!(applied.follows(&at("43")), "what has no tag is waited for");
    }

    #[test]
    fn what_cannot_be_told_is_nowhere_but_on_the_primary() {
        let applied = Applied::default();
        applied.reached(Mark { source: 0, number: 10 });
        let mut written = Position::parse("0-1-5").unwrap();
        written.reach_untold();
        assert!(!applied.covers(&written) && !applied.follows(&written));
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
        for domain in 1..300 {
            applied.reached(Mark { source: domain, number: 1 });
        }
        assert!(applied.covers(&at("255-1-1")) && !applied.covers(&at("256-1-1")));
    }
}
