//! The journal: the append-only record of decisions and their outcomes.

use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Grows by one with each entry.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch: for people; nothing is decided by it.
    pub at_unix_ms: u64,
    /// What kind of thing happened.
    pub kind: Kind,
    /// What it is about: an instance, a release, a tier, or the site.
    pub subject: String,
    /// What was decided or done, in one sentence.
    pub text: String,
    /// Why; what `because` said, or what went wrong.
    pub because: String,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The operator asked for something.
    Asked,
    /// A step was started.
    Step,
    /// A step came to its end.
    Done,
    /// A step failed.
    Failed,
    /// The routes changed.
    Routes,
    /// The controller decided something: a phase of a deployment, another count of a tier.
    Decided,
    /// Something happened by itself: a process died, a check failed, a check passed again.
    Seen,
    /// A plan was refused as unsafe.
    Refused,
}
