//! End to end: real nginx, MariaDB, Redis, php-fpm and applications, real load, real kills.
//!
//! Every wait is on a condition with a deadline; every site is its own and leaves nothing running.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod foobar;
mod kills;
mod load;
mod machine;
mod site;
mod sources;
mod stands;
mod websocket;
