//! Real servers, up to three of them.

mod cloning;
mod fencing;
mod losing;
mod mysql;
mod observing;
mod pair;
mod servers;
mod tls;
