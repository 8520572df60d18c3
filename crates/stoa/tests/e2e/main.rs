//! End to end: real nginx, MariaDB, Redis, php-fpm and applications, real load, real kills.
//!
//! Every wait is on a condition with a deadline; every site is its own and leaves nothing running.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod databases;
mod deploying;
mod deploys;
mod environments;
mod faults;
mod foobar;
mod interrupted;
mod judged;
mod kills;
mod load;
mod machine;
mod repository;
#[path = "../../../traffic/tests/common/reserved.rs"]
mod reserved;
mod scaling;
mod secrets;
mod site;
mod sources;
mod stands;
mod tasks;
mod websocket;
