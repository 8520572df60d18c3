//! The cycle: observe, decide, act; once a second and at every event, the same code whether things are
//! well or burning.
//!
//! An event only wakes it; it always reads everything anew, so that a lost event costs a second and
//! nothing else. The three moves meet in the store, never in each other's memory: with many hosts each
//! has its agent, and one of them the controller.

use crate::daemon::agent::Agent;
use crate::daemon::controller::{Controller, Outlook};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a settled site is left alone where nothing happens.
const SETTLED: Duration = Duration::from_secs(1);
/// How long to wait where something is under way that no event may announce.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// Runs until the site was asked to be off and is.
pub(crate) async fn run<S: Store>(agent: &Agent<S>, controller: &Controller<S>, wake: Arc<Notify>) {
    loop {
        agent.observe().await; // what is, and how old each fact is
        let outlook = controller.decide().await; // what should be done, and because of what
        agent.act().await; // this host's part of it; every step idempotent

        let rest = match outlook {
            Outlook::Over => return,
            Outlook::Settled => SETTLED,
            Outlook::UnderWay => UNDER_WAY,
        };
        let _ = tokio::time::timeout(rest, wake.notified()).await;
    }
}
