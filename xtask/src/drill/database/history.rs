//! What clients did with one register and what they were told. Pure.

use std::fmt;
use std::time::Duration;

/// What was asked of a register. The values that are written are all different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It was read, and held this.
    Read(u64),
    /// This was written.
    Write(u64),
    /// The second was written because the first was there.
    Swap(u64, u64),
    /// Nothing was written because this was not there.
    Refused(u64),
}

/// One operation of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) client: u16,
    pub(crate) act: Act,
    /// It began no earlier.
    pub(crate) asked: Duration,
    /// It was over no later; none: nobody knows whether and when it was done.
    pub(crate) answered: Option<Duration>,
}

impl Act {
    /// What the register holds after it; none: it cannot have been done with this in it.
    pub(crate) fn done(self, held: u64) -> Option<u64> {
        match self {
            Act::Read(value) => (value == held).then_some(held),
            Act::Write(value) => Some(value),
            Act::Swap(from, to) => (from == held).then_some(to),
            Act::Refused(from) => (from != held).then_some(held),
        }
    }

    /// What it leaves there.
    pub(crate) fn written(self) -> Option<u64> {
        match self {
            Act::Write(value) | Act::Swap(_, value) => Some(value),
            Act::Read(_) | Act::Refused(_) => None,
        }
    }

    /// What it says was there.
    pub(crate) fn found(self) -> Option<u64> {
        match self {
            Act::Read(value) | Act::Swap(value, _) => Some(value),
            Act::Write(_) | Act::Refused(_) => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:>12.3} ms to ", ms(self.asked))?;
        match self.answered {
            Some(at) => write!(f, "{:>12.3} ms", ms(at))?,
            None => write!(f, "{:>15}", "nobody knows")?,
        }
        write!(f, "  client {:>2}  ", self.client)?;
        match self.act {
            Act::Read(value) => write!(f, "read {value}"),
            Act::Write(value) => write!(f, "write {value}"),
            Act::Swap(from, to) => write!(f, "swap {from} for {to}"),
            Act::Refused(from) => write!(f, "swap of {from} refused"),
        }
    }
}
