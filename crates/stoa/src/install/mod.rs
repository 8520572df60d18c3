//! What a site needs on this machine, and how it gets there: through apt-get, without leaving the
//! system's own services running beside ours.

mod apt;
mod command;
mod machine;
mod need;
mod policy;
mod services;

pub(crate) use apt::{Install, InstallError};
pub(crate) use machine::{Found, look};
pub(crate) use need::{Hints, Need, needs, packages, typical};
pub(crate) use policy::{answer as policy_answer, is_policy};

#[cfg(test)]
mod tests;
