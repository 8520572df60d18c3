//! Whether an application instance is well, as it answers itself.

use super::fastcgi;
use std::time::Duration;
use stoa_model::Endpoint;
use stoa_model::site::AppKind;
use stoa_model::spec::AppSpec;

/// An instance that has not answered by then is not well.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The path at which php-fpm itself answers.
pub const PING_PATH: &str = "/.stoa/ping";

/// Asks the instance: its health path has to answer 2xx or 3xx, php-fpm its ping. A short sentence where
/// it does not.
pub async fn check(spec: &AppSpec) -> Result<(), String> {
    match (spec.kind, &spec.endpoint) {
        (AppKind::Http, endpoint) => {
            crate::health::http(endpoint, "localhost", spec.health.as_str(), TIMEOUT).await
        }
        (AppKind::Php, Endpoint::Unix(socket)) => fastcgi::ping(socket, PING_PATH, TIMEOUT).await,
        (AppKind::Php, Endpoint::Tcp(address)) => Err(format!("php-fpm has no socket but {address}")),
    }
}
