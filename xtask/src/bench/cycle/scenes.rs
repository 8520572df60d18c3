//! The scene that the scenarios of `decide` play in, and its database servers: written for tests, of which this
//! uses a part.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "written for tests")]

#[path = "../../../../crates/decide/src/tests/scene.rs"]
pub(crate) mod scene;
#[path = "../../../../crates/decide/src/tests/servers.rs"]
mod servers;
