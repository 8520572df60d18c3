//! Real servers, up to three of them.

mod cloning;
mod fencing;
mod losing;
mod observing;
mod pair;
mod servers;
