//! The user's code: taken from its source, built once into a release, run as instances.

mod archive;
pub mod build;
pub mod detect;
mod expand;
mod fastcgi;
mod folder;
mod git;
pub mod observe;
pub mod php;
pub mod promote;
pub mod release;
pub mod run;
mod seal;
pub mod source;
pub mod task;

pub use build::{Build, BuildError, build};
pub use run::RunError;
pub use seal::remove_tree;
pub use source::{SourceError, Taken, take};
