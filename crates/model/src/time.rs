//! Time as an argument: instants and spans in milliseconds. No clock is read here.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// An instant on the observer's boot clock (`CLOCK_BOOTTIME`), in milliseconds.
///
/// Only differences mean anything. It does not jump with the wall clock and goes on counting while
/// the machine is suspended, so it survives a restart of the daemon within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Time {
    /// How long ago `earlier` was; zero when it lies in the future.
    pub fn since(self, earlier: Time) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Millis {
    /// `n` seconds.
    pub const fn from_secs(n: u64) -> Self {
        Millis(n * 1000)
    }

    /// The span as the standard library's type.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl Add<Millis> for Time {
    type Output = Time;
    fn add(self, span: Millis) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Millis> for Time {
    type Output = Time;
    fn sub(self, span: Millis) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms < 1000 => write!(f, "{ms} ms"),
            ms if ms < 60_000 && ms % 1000 == 0 => write!(f, "{} s", ms / 1000),
            ms if ms < 60_000 => write!(f, "{:.1} s", ms as f64 / 1000.0),
            ms if ms < 3_600_000 => write!(f, "{} min {} s", ms / 60_000, ms / 1000 % 60),
            ms if ms < 86_400_000 => write!(f, "{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
            ms => write!(f, "{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
        }
    }
}
