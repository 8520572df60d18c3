//! A fake world with a clock and seeded faults: feeds `decide` with what an agent would see of it and
//! carries its steps out there. Tests only.
//!
//! [`run`] plays one seed: a site comes up while things go wrong at random, then nothing goes wrong any
//! more and the site has to settle. [`run_deployments`] plays one in which only releases are bad and only
//! the daemon dies: no visitor may notice anything. After every plan the plan itself is checked, and at every moment the
//! rules are checked against what is true in the world, which `decide` never sees. Nothing here reads a
//! real clock or touches the machine; the same seed is the same story.

mod agent;
mod carry_out;
mod databases;
mod faults;
mod rng;
mod story;
mod truth;
mod world;

pub use story::{Failure, Summary, run, run_deployments};
