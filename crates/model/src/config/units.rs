//! Spans of time and sizes as people write them: `"30s"`, `"64MB"`.

use super::{Refusal, refuse};
use crate::site::Bytes;
use crate::time::Millis;
use std::fmt;
use std::ops::RangeInclusive;

const UNITS: [(&str, u64); 4] = [("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// No time-out is longer than a day.
const DAY: Millis = Millis::from_secs(24 * 60 * 60);
/// No time-out is shorter than what a busy machine may take for nothing.
const SHORTEST: Millis = Millis(100);

impl Bytes {
    /// Reads `"64MB"`. The units are those of memory: 1 KB is 1024 bytes, 1 MB is 1024 KB; `KiB` and
    /// `MiB` mean the same.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (number, unit) = split(text);
        if unit.starts_with('.') {
            let fix = "write a whole number of the next smaller unit, as in \"1536MB\"";
            return Err(refuse("it is not a whole number", fix));
        }
        let upper = unit.to_ascii_uppercase().replace("IB", "B");
        let factor = UNITS.iter().find(|(name, _)| *name == upper).map(|(_, factor)| *factor);
        let Some(factor) = factor else {
            let reason = if unit.is_empty() { "it has no unit" } else { "it is not a size" };
            return Err(refuse(
                reason,
                "write a whole number and KB, MB, GB or TB (1 KB is 1024 bytes), such as \"64MB\"",
            ));
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes
            .map(Bytes)
            .ok_or_else(|| refuse("its number is not a whole one that fits", "write one such as \"64MB\""))
    }

    /// Reads a size of `range`.
    pub(super) fn parse_within(text: &str, range: RangeInclusive<Bytes>) -> Result<Self, Refusal> {
        let size = Bytes::parse(text)?;
        if range.contains(&size) {
            return Ok(size);
        }
        let (low, high) = range.into_inner();
        Err(refuse(format!("{size} is not from {low} to {high}"), format!("write at least \"{low}\"")))
    }
}

impl fmt::Display for Bytes {
    /// As it is read where a unit divides it: `64MB`; else in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().rev().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Reads a time-out, `"500ms"`, `"30s"`, `"10m"` or `"1h"`.
pub(super) fn timeout(text: &str) -> Result<Millis, Refusal> {
    let span = span(text)?;
    if (SHORTEST..=DAY).contains(&span) {
        return Ok(span);
    }
    Err(refuse("a time-out is from 100 ms to 24 hours", "write one such as \"30s\""))
}

/// As [`timeout`], for what may be `"0s"` and then is not done at all.
pub(super) fn timeout_or_none(text: &str) -> Result<Millis, Refusal> {
    match span(text)? {
        Millis(0) => Ok(Millis(0)),
        _ => timeout(text)
            .map_err(|refusal| refuse("it is neither 0s nor from 100 ms to 24 hours", refusal.fix)),
    }
}

/// Reads how long a visitor may wait.
pub(super) fn wait(text: &str) -> Result<Millis, Refusal> {
    let span = span(text)?;
    if (Millis(1)..=Millis::from_secs(60)).contains(&span) {
        return Ok(span);
    }
    Err(refuse("a wait is from 1 ms to 60 s", "write one such as \"100ms\""))
}

/// Any span of time.
fn span(text: &str) -> Result<Millis, Refusal> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            let reason = if unit.is_empty() { "it has no unit" } else { "it is not a span of time" };
            return Err(refuse(reason, "write a whole number and ms, s, m or h, such as \"30s\""));
        }
    };
    let span = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    span.map(Millis)
        .ok_or_else(|| refuse("its number is not a whole one that fits", "write one such as \"90s\""))
}

/// The digits in front and what follows them.
fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.strip_prefix(' ').unwrap_or(unit))
}
