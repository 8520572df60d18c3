//! Asks the primary how far it is, for reads that have to see every write acknowledged before they began.
//!
//! One question at a time: whoever comes while it is under way waits for the next, so that no answer is older
//! than the reads it is for, and many reads share one.

use super::backend::{Link, OpenError};
use super::position::Position;
use super::wire::capability::Capabilities;
use super::worker::Worker;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How long the primary may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those who want to know.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    waiting: RefCell<Vec<oneshot::Sender<Position>>>,
    asked: Notify,
}

impl Asker {
    /// How far the primary is, asked after this was called; none where nobody can tell.
    pub(crate) async fn position(&self) -> Option<Position> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        self.asked.notify_one();
        receiver.await.ok()
    }
}

/// Answers for ever, on a connection of its own.
pub(crate) async fn answer(worker: Rc<Worker>) {
    let mut open: Option<(Link, u64, Rc<super::pool::Slot>)> = None;
    loop {
        worker.asker.asked.notified().await;
        let waiting = worker.asker.waiting.take();
        if waiting.is_empty() {
            continue;
        }
        // A connection to a former primary tells of the past.
        open = open.filter(|(_, epoch, slot)| {
            let primary = worker.routed().primary.clone();
            *epoch == slot.epoch() && primary.is_some_and(|primary| Rc::ptr_eq(&primary, slot))
        });
        match tokio::time::timeout(PATIENCE, ask(&worker, &mut open)).await {
            Ok(Ok(Some(position))) => {
                for reader in waiting {
                    // One that has gone needs no answer.
                    let _ = reader.send(position.clone());
                }
            }
            Ok(Ok(None)) => open = None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the primary does not say how far it is");
                open = None;
            }
            Err(_) => open = None,
        }
    }
}

async fn ask(
    worker: &Worker,
    open: &mut Option<(Link, u64, Rc<super::pool::Slot>)>,
) -> Result<Option<Position>, OpenError> {
    if open.is_none() {
        let (Some(slot), Some(account)) = (worker.routed().primary.clone(), worker.shared.accounts.first())
        else {
            return Ok(None);
        };
        let epoch = slot.epoch();
        let span = worker.shared.settings.connect;
        let link = Link::open(&slot.upstream.endpoint, account, Capabilities::empty(), span).await?;
        *open = Some((link, epoch, slot));
    }
    let Some((link, ..)) = open else { return Ok(None) };
    let mysql = worker.shared.identity.get().is_some_and(|identity| identity.is_mysql());
    let sql = if mysql {
        "SELECT REPLACE(@@global.gtid_executed, '\\n', '')"
    } else {
        "SELECT @@global.gtid_binlog_pos"
    };
    let mut position = None;
    link.ask(sql, |row| {
        let text = super::wire::field::Fields::new(row).lenenc_bytes().unwrap_or_default();
        position = Position::parse(&String::from_utf8_lossy(text));
    })
    .await?;
    Ok(position)
}
