//! What clients cost that have asked once and are only kept: memory of the proxy, connections of the servers.

use super::mariadb::{Cluster, connect};
use super::proxies::Proxy;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};

/// After so long without a statement everybody has given up what is given up by and by.
const COMES_TO_REST: Duration = Duration::from_secs(5);
/// Connections that have ended are gone from the servers' lists a moment later, those of another's clients too.
const SETTLED_FOR: Duration = Duration::from_secs(1);
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    /// Bytes of memory a client.
    pub(crate) bytes: f64,
    /// Connections to the servers for all of them.
    pub(crate) held: usize,
}

/// Keeps so many clients open, each of which has asked once and was answered.
pub(crate) fn measure(proxy: &Proxy, cluster: &Cluster, clients: usize) -> Result<Idle, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    let others = settled(cluster)?;
    let before = proxy.process.steady_memory();
    let kept = runtime.block_on(async {
        let mut kept = Vec::with_capacity(clients);
        for _ in 0..clients {
            let mut conn = connect(proxy.address).await?;
            conn.query_drop("SELECT c FROM sbtest.sbtest1 WHERE id=1").await?;
            kept.push(conn);
        }
        tokio::time::sleep(COMES_TO_REST).await;
        Ok::<_, mysql_async::Error>(kept)
    });
    let kept = kept.map_err(|error| format!("{}, {clients} idle clients: {error}", proxy.name))?;
    let after = proxy.process.steady_memory();
    let held = settled(cluster)?.saturating_sub(others);
    runtime.block_on(async {
        for conn in kept {
            // They are gone either way.
            let _ = conn.disconnect().await;
        }
    });
    Ok(Idle { bytes: (after as f64 - before as f64) / clients as f64, held })
}

/// How many connections the servers hold once that has not changed for a moment.
fn settled(cluster: &Cluster) -> Result<usize, String> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    let (mut since, mut held) = (Instant::now(), cluster.connections()?);
    while since.elapsed() < SETTLED_FOR && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        let now = cluster.connections()?;
        if now != held {
            (since, held) = (Instant::now(), now);
        }
    }
    Ok(held)
}
