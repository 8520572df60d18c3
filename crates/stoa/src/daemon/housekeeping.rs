//! Housekeeping: logs are rotated before they fill the disk. Nothing else is ever removed here.

use std::time::Duration;
use stoa_model::Paths;
use stoa_tiers::host::log;

/// How often logs are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Keeps house for as long as the daemon lives.
pub(super) async fn run(paths: Paths) {
    loop {
        let paths = paths.clone();
        if let Ok(rotated) = tokio::task::spawn_blocking(move || log::rotate_all(&paths)).await {
            for log in rotated {
                tracing::info!("rotated {}", log.display());
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
