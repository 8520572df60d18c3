//! Reads what an application asks of the splitter, in a comment or in a `@stoa_…` variable.

use std::time::Duration;

use super::statement::{Consistency, Hint, Target};

/// Adds what a comment says behind `stoa:` to `hint`; false where a word of it is not known.
pub(super) fn read(text: &[u8], hint: &mut Hint) -> bool {
    let mut known = true;
    for part in text.split(|byte| *byte == b',' || byte.is_ascii_whitespace()).filter(|part| !part.is_empty())
    {
        let mut sides = part.splitn(2, |byte| *byte == b'=');
        let (key, value) = (sides.next().unwrap_or_default(), sides.next());
        known &= match value {
            None => set(b"route", key, hint),
            Some(value) => !key.eq_ignore_ascii_case(b"route") && set(key, value, hint),
        };
    }
    known
}

/// Sets one of the settings; false where the key or the value is not known. An empty value unsets it.
pub(super) fn set(key: &[u8], value: &[u8], hint: &mut Hint) -> bool {
    let value = value.trim_ascii();
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if key.eq_ignore_ascii_case(b"route") {
        hint.target = match () {
            () if is("primary") => Some(Target::Primary),
            () if is("replica") => Some(Target::Replica),
            () => None,
        };
        hint.target.is_some() || value.is_empty()
    } else if key.eq_ignore_ascii_case(b"consistency") {
        hint.consistency = match () {
            () if is("eventual") => Some(Consistency::Eventual),
            () if is("session") => Some(Consistency::Session),
            () if is("global") => Some(Consistency::Global),
            () => None,
        };
        hint.consistency.is_some() || value.is_empty()
    } else if key.eq_ignore_ascii_case(b"lag") {
        hint.lag = lag(value);
        hint.lag.is_some() || value.is_empty()
    } else {
        false
    }
}

/// A bound on the lag: a whole number with `ms`, `s`, `m` or nothing (seconds).
fn lag(value: &[u8]) -> Option<Duration> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = value.split_at_checked(digits)?;
    let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let milliseconds = match () {
        () if unit.eq_ignore_ascii_case(b"ms") => 1,
        () if unit.is_empty() || unit.eq_ignore_ascii_case(b"s") => 1000,
        () if unit.eq_ignore_ascii_case(b"m") => 60_000,
        () => return None,
    };
    Some(Duration::from_millis(u64::from(number) * milliseconds))
}
