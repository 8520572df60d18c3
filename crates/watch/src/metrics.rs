//! Metrics in the text format of Prometheus. An [`Exposition`] is filled by its methods (`site`,
//! `balancer`, `splitter`, `process`, `host`, or sample by sample) and finished to the text that `/metrics` answers.

mod exposition;
mod site;
mod sql;
mod traffic;
mod usage;

pub use exposition::{CONTENT_TYPE, Exposition, Histogram, Labels, Value};
pub use usage::{HostPressure, HostUse, ProcessUse};
