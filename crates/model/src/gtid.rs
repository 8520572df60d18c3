//! Sets of transactions as the servers name them: who has what, who has more, who has what nobody else has.
//!
//! MariaDB writes `domain-server-sequence`, several with commas. Each stands for everything its server wrote
//! in that domain up to that sequence; with `gtid_strict_mode` the sequences of a domain only grow, so that
//! what a server has in a domain is one line of history. MySQL writes `uuid:1-5:7`, with tags between.
//! Compared like sets; two servers of different engines have nothing in common.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A longer text is no answer of a server that anybody could repair.
pub const TEXT_MAX: usize = 256 << 10;
/// More entries than this are refused.
pub const ENTRIES_MAX: usize = 16 << 10;

/// A set of transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtids {
    /// MariaDB's: of each domain, the last sequence of each server in it.
    domains: BTreeMap<u32, BTreeMap<u32, u64>>,
    /// MySQL's: of each source, the intervals, ascending, never touching.
    sources: BTreeMap<Source, Vec<Interval>>,
}

/// Who began a transaction: what a server puts into the ids of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Origin {
    /// MariaDB's `@@server_id`.
    Server(u32),
    /// MySQL's `@@server_uuid`, in lower case.
    Uuid(String),
}

/// Where MySQL numbers transactions of: a server, and a tag where one was set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Source {
    uuid: String,
    tag: String,
}

/// From and to, both included, from 1.
type Interval = (u64, u64);

/// A text that is no set of transactions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no set of transactions: {why}")]
pub struct GtidError {
    /// The part that is wrong, cut where it is long.
    pub part: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Gtids {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.sources.is_empty()
    }

    /// Whether everything of `other` is in it.
    pub fn contains(&self, other: &Gtids) -> bool {
        other.subtract(self).is_empty()
    }

    /// What is in it and not in `other`. MariaDB's tells up to where: `0-1-105` without `0-1-103` is
    /// `0-1-105`, which stands for both that are missing.
    pub fn subtract(&self, other: &Gtids) -> Gtids {
        let mut rest = Gtids::default();
        let nothing = BTreeMap::new();
        for (domain, servers) in &self.domains {
            let known = other.domains.get(domain).unwrap_or(&nothing);
            // Up to here both have the same line of history.
            let common = servers
                .iter()
                .filter_map(|(server, last)| known.get(server).map(|other| *last.min(other)))
                .max()
                .unwrap_or(0);
            let missing =
                |server: &u32, last: u64| known.get(server).map_or(last > common, |known| last > *known);
            let beyond: BTreeMap<_, _> = servers
                .iter()
                .filter(|(server, last)| missing(server, **last))
                .map(|(s, l)| (*s, *l))
                .collect();
            if !beyond.is_empty() {
                rest.domains.insert(*domain, beyond);
            }
        }
        for (source, intervals) in &self.sources {
            let known = other.sources.get(source).map_or(&[][..], Vec::as_slice);
            let left = without(intervals, known);
            if !left.is_empty() {
                rest.sources.insert(source.clone(), left);
            }
        }
        rest
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Gtids) -> Gtids {
        let mut all = self.clone();
        for (domain, servers) in &other.domains {
            let mine = all.domains.entry(*domain).or_default();
            for (server, last) in servers {
                let entry = mine.entry(*server).or_default();
                *entry = (*entry).max(*last);
            }
        }
        for (source, intervals) in &other.sources {
            let mine = all.sources.entry(source.clone()).or_default();
            mine.extend(intervals);
            normalize(mine);
        }
        all
    }

    /// What others than `origin` began.
    #[must_use]
    pub fn not_of(&self, origin: &Origin) -> Gtids {
        let mut rest = self.clone();
        match origin {
            Origin::Server(id) => {
                for servers in rest.domains.values_mut() {
                    servers.remove(id);
                }
                rest.domains.retain(|_, servers| !servers.is_empty());
            }
            Origin::Uuid(uuid) => rest.sources.retain(|source, _| source.uuid != *uuid),
        }
        rest
    }

    /// How many transactions lie between `behind` and it, as near as it can be told: on MariaDB by the
    /// highest sequence of each domain.
    pub fn ahead_of(&self, behind: &Gtids) -> u64 {
        let head = |servers: &BTreeMap<u32, u64>| servers.values().copied().max().unwrap_or(0);
        let domains = self.domains.iter().map(|(domain, servers)| {
            head(servers).saturating_sub(behind.domains.get(domain).map_or(0, head))
        });
        let rest = self.subtract(behind);
        let sources = rest.sources.values().flatten().map(|(from, to)| (to - from).saturating_add(1));
        domains.chain(sources).fold(0, u64::saturating_add)
    }

    fn entries(&self) -> usize {
        let domains: usize = self.domains.values().map(BTreeMap::len).sum();
        let intervals: usize = self.sources.values().map(Vec::len).sum();
        domains + intervals
    }

    fn add(&mut self, part: &str) -> Result<(), &'static str> {
        if !part.contains(':') {
            let (domain, server, sequence) = mariadb(part)?;
            let last = self.domains.entry(domain).or_default().entry(server).or_default();
            *last = (*last).max(sequence);
            return Ok(());
        }
        let mut words = part.split(':').map(str::trim);
        let uuid = words.next().map(uuid).transpose()?.unwrap_or_default();
        let mut tag = String::new();
        let mut empty = true;
        for word in words {
            if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                tag = tag_of(word)?;
                empty = true;
                continue;
            }
            let source = Source { uuid: uuid.clone(), tag: tag.clone() };
            self.sources.entry(source).or_default().push(interval(word)?);
            empty = false;
        }
        if empty { Err("no interval follows") } else { Ok(()) }
    }
}

impl PartialOrd for Gtids {
    /// None where each has what the other has not.
    fn partial_cmp(&self, other: &Gtids) -> Option<Ordering> {
        match (self.contains(other), other.contains(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromStr for Gtids {
    type Err = GtidError;
    fn from_str(text: &str) -> Result<Self, GtidError> {
        let refuse = |part: &str, why| GtidError { part: part.chars().take(80).collect(), why };
        if text.len() > TEXT_MAX {
            return Err(refuse(text, "it is longer than any server's should be"));
        }
        let mut all = Gtids::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            all.add(part).map_err(|why| refuse(part, why))?;
        }
        if !all.domains.is_empty() && !all.sources.is_empty() {
            return Err(refuse(text, "one half is MariaDB's, the other MySQL's"));
        }
        if all.entries() > ENTRIES_MAX {
            return Err(refuse(text, "it has more entries than any server's should have"));
        }
        all.sources.values_mut().for_each(normalize);
        Ok(all)
    }
}

fn mariadb(part: &str) -> Result<(u32, u32, u64), &'static str> {
    let shape = "expected domain-server-sequence, such as 0-1-100";
    let mut words = part.splitn(3, '-');
    let mut next = || words.next().filter(|word| digits(word)).ok_or(shape);
    let (domain, server, sequence) = (next()?, next()?, next()?);
    match (domain.parse(), server.parse(), sequence.parse()) {
        (Ok(domain), Ok(server), Ok(sequence)) => Ok((domain, server, sequence)),
        _ => Err("a number in it is too large"),
    }
}

fn digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

fn uuid(word: &str) -> Result<String, &'static str> {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let right = |(at, b): (usize, u8)| if dash(at) { b == b'-' } else { b.is_ascii_hexdigit() };
    if word.len() != 36 || !word.bytes().enumerate().all(right) {
        return Err("expected the uuid of a server before the first colon");
    }
    Ok(word.to_ascii_lowercase())
}

fn tag_of(word: &str) -> Result<String, &'static str> {
    if word.len() > 32 || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("a tag has at most 32 of a-z, 0-9 and _");
    }
    Ok(word.to_ascii_lowercase())
}

fn interval(word: &str) -> Result<Interval, &'static str> {
    let shape = "expected a number or from-to, such as 1-5";
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    if !digits(from) || !digits(to) {
        return Err(shape);
    }
    match (from.parse::<u64>(), to.parse::<u64>()) {
        // MySQL's own highest number is that of a signed integer.
        (Ok(from), Ok(to)) if from >= 1 && from <= to && to < i64::MAX as u64 => Ok((from, to)),
        (Ok(_), Ok(_)) => Err("an interval goes from 1 or more upwards"),
        _ => Err("a number in it is too large"),
    }
}

/// Ascending, joined where they touch.
fn normalize(intervals: &mut Vec<Interval>) {
    intervals.sort_unstable();
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for (from, to) in intervals.drain(..) {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    *intervals = joined;
}

/// What of `these` is not in `those`; both ascending.
fn without(these: &[Interval], those: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut others = those.iter().copied().peekable();
    for (mut from, to) in these.iter().copied() {
        while others.next_if(|other| other.1 < from).is_some() {}
        let mut ahead = others.clone();
        while let Some((start, end)) = ahead.next_if(|other| other.0 <= to) {
            if start > from {
                left.push((from, start - 1));
            }
            from = from.max(end.saturating_add(1));
        }
        if from <= to {
            left.push((from, to));
        }
    }
    left
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (domain, servers) in &self.domains {
            for (server, last) in servers {
                write!(f, "{comma}{domain}-{server}-{last}")?;
                comma = ",";
            }
        }
        for (source, intervals) in &self.sources {
            write!(f, "{comma}{}", source.uuid)?;
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
            }
            for (from, to) in intervals {
                if from == to { write!(f, ":{from}")? } else { write!(f, ":{from}-{to}")? }
            }
            comma = ",";
        }
        Ok(())
    }
}

impl TryFrom<String> for Gtids {
    type Error = GtidError;
    fn try_from(text: String) -> Result<Self, GtidError> {
        text.parse()
    }
}

impl From<Gtids> for String {
    fn from(gtids: Gtids) -> String {
        gtids.to_string()
    }
}

impl FromStr for Origin {
    type Err = GtidError;
    fn from_str(text: &str) -> Result<Self, GtidError> {
        if digits(text)
            && let Ok(id) = text.parse()
        {
            return Ok(Origin::Server(id));
        }
        let why = "expected a server's number or uuid";
        uuid(text).map(Origin::Uuid).map_err(|_| GtidError { part: text.chars().take(80).collect(), why })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Server(id) => write!(f, "{id}"),
            Origin::Uuid(uuid) => f.write_str(uuid),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = GtidError;
    fn try_from(text: String) -> Result<Self, GtidError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.to_string()
    }
}

#[cfg(test)]
mod tests;
