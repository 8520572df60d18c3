//! Reads that have to see every write (`consistency = "global"`) show nothing that the primary does not.
//!
//! A replica has a transaction, and shows it, while its commit still waits on the primary for the
//! acknowledgement; who read it there and then asks the primary would go back in time, and were the primary
//! lost it might never have been. So the end of such an answer is kept back until the primary shows what the
//! replica did. Where all writes came through this process it is known already and nothing is asked.

use super::exchange::Fault;
use super::perform::Work;
use super::{Held, Session};
use crate::sql::asker;
use crate::sql::classify::Kind;
use crate::sql::settings::Freshness;
use crate::sql::wire::response::Reply;
use crate::sql::worker::Worker;

impl Session {
    /// Whether the answer to `work`, on the connection that is held, is to be kept back.
    pub(super) fn is_withheld(&self, work: &Work) -> bool {
        self.held.as_ref().is_some_and(|held| !held.primary)
            && self.freshness(work).0 == Freshness::Global
            && matches!(work.reply, Reply::Results { .. } | Reply::Executed)
            && !matches!(work.verdict.kind, Kind::Transaction(_) | Kind::Set | Kind::Use | Kind::Empty)
    }

    /// Waits until the primary shows what the replica has, and sends what was kept back. Ends with its client,
    /// as every wait does.
    pub(super) async fn release(&mut self) -> Result<(), Fault> {
        let Some(mut held) = self.held.take() else { return Err(Fault::Lost) };
        let worker = self.worker.clone();
        let patience = worker.shared.settings.catch_up;
        let wait = Box::pin(async move {
            let shown = tokio::time::timeout(patience, shown(&worker, &mut held)).await;
            // One that has not answered is of no use any more.
            shown.map(|shown| (held, shown))
        });
        let (held, shown) = match self.attend(wait).await {
            Ok(shown) => shown.map_err(|_| Fault::Ahead)?,
            Err(_) => return Err(self.member.order().map_or(Fault::Client, Fault::Told)),
        };
        self.held = Some(held);
        shown?;
        self.line.send().await.map_err(|_| Fault::Client)
    }
}

async fn shown(worker: &Worker, held: &mut Held) -> Result<(), Fault> {
    // Asked after the read, on its connection: the replica had no more than this when it read.
    let asked = asker::replicated(&mut held.backend.link, worker.shared.is_mysql()).await;
    let Some(seen) = asked.map_err(|_| Fault::Lost)? else { return Err(Fault::Ahead) };
    let routed = worker.routed();
    let known = routed.primary.as_ref().is_some_and(|primary| primary.upstream.applied.covers(&seen));
    if !known {
        worker.asker.until_shown(seen).await;
    }
    Ok(())
}
