//! nginx: how it is configured, run, reloaded and asked.

mod act;
mod mime;
mod observe;
mod quote;
mod render;

pub use act::{launch, reload};
pub use observe::{HEALTH_PATH, check};

#[cfg(test)]
mod tests;
