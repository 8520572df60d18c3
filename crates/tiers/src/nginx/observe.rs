//! Whether an nginx is well.

use crate::health;
use std::time::Duration;
use stoa_model::spec::WebSpec;

/// Answered by nginx itself, whatever the state of what is behind it. Visitors cannot ask it: the
/// balancer does not forward `/.stoa/`.
pub const HEALTH_PATH: &str = "/.stoa/health";

/// Whether an nginx answers.
pub async fn check(spec: &WebSpec, timeout: Duration) -> Result<(), String> {
    health::http(&spec.endpoint, "localhost", HEALTH_PATH, timeout).await
}
