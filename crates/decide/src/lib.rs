//! The judgement of Stoa, pure: what should be done, and because of what.

use stoa_model::{Intent, Observed, Paths, Plan, Roster, Routes, Time};

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// What the operator asked for.
    pub intent: &'a Intent,
    /// What has been decided to exist.
    pub roster: &'a Roster,
    /// What the data plane may send where now.
    pub routes: &'a Routes,
    /// What is.
    pub observed: &'a Observed,
    /// Where state lies (the same on every host).
    pub paths: &'a Paths,
    /// Now, on the clock of `observed`.
    pub now: Time,
}

/// What should be done, and because of what.
pub fn plan(_input: &Input<'_>) -> Plan {
    todo!()
}
