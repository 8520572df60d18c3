//! Real servers, up to three of them.

mod cloning;
mod fencing;
mod losing;
mod mysql;
mod observing;
mod pair;
#[path = "../../../../traffic/tests/common/reserved.rs"]
mod reserved;
mod servers;
mod tls;
