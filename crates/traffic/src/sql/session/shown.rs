//! Reads that have to see every write (`consistency = "global"`) show nothing that the primary does not.
//!
//! A replica has a transaction, and shows it, while its commit still waits on the primary for the
//! acknowledgement; who read it there and then asks the primary would go back in time, and were the primary
//! lost it might never have been. So the end of such an answer is kept back until the primary shows what the
//! replica did. Where all writes came through this process it is known already and nothing is asked.

use super::Session;
use super::exchange::Fault;
use super::perform::Work;
use crate::sql::asker;
use crate::sql::classify::Kind;
use crate::sql::settings::Freshness;
use crate::sql::wire::response::Reply;

impl Session {
    /// Whether the answer to `work`, on the connection that is held, is to be kept back.
    pub(super) fn is_withheld(&self, work: &Work) -> bool {
        self.held.as_ref().is_some_and(|held| !held.primary)
            && self.freshness(work).0 == Freshness::Global
            && matches!(work.reply, Reply::Results { .. } | Reply::Executed)
            && !matches!(work.verdict.kind, Kind::Transaction(_) | Kind::Set | Kind::Use | Kind::Empty)
    }

    /// Waits until the primary shows what the replica has, and sends what was kept back.
    pub(super) async fn release(&mut self) -> Result<(), Fault> {
        let patience = self.worker.shared.settings.catch_up;
        let shown = tokio::time::timeout(patience, self.shown()).await;
        shown.map_err(|_| Fault::Ahead)??;
        self.line.send().await.map_err(|_| Fault::Client)
    }

    async fn shown(&mut self) -> Result<(), Fault> {
        let Some(held) = &mut self.held else { return Err(Fault::Lost) };
        // Asked after the read, on its connection: the replica had no more than this when it read.
        let asked = asker::replicated(&mut held.backend.link, self.worker.shared.is_mysql()).await;
        let Some(seen) = asked.map_err(|_| Fault::Lost)? else { return Err(Fault::Ahead) };
        let routed = self.worker.routed();
        let known = routed.primary.as_ref().is_some_and(|primary| primary.upstream.applied.covers(&seen));
        if !known {
            self.worker.asker.until_shown(seen).await;
        }
        Ok(())
    }
}
