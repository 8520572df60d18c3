//! Asks the primary how far it is, for reads that have to see every write acknowledged before they began, and
//! whether it shows its own readers yet what such a read has seen on a replica.
//!
//! One question of each kind at a time: whoever comes while it is under way waits for the next, so that no
//! answer is older than the reads it is for, and many reads share one. Each kind has a connection of its own:
//! what the primary shows is asked under a lock of its log, for which only those shall wait who ask it.

use super::backend::{Link, OpenError};
use super::pool::Slot;
use super::position::Position;
use super::wire::capability::Capabilities;
use super::wire::field::Fields;
use super::worker::Worker;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How long the primary may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is asked whether it shows something yet.
const OFTEN: Duration = Duration::from_millis(1);
/// How often, where it could not be asked.
const SELDOM: Duration = Duration::from_millis(20);

/// A long set is told on several lines.
const EXECUTED: &str = "SELECT REPLACE(@@global.gtid_executed, '\\n', '')";

/// Those who want to know.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    /// How far the primary is.
    far: RefCell<Vec<oneshot::Sender<Position>>>,
    far_asked: Notify,
    /// When it shows all of this.
    shown: RefCell<Vec<(Position, oneshot::Sender<()>)>>,
    shown_asked: Notify,
}

/// A connection to the primary.
struct Primary {
    link: Link,
    epoch: u64,
    slot: Rc<Slot>,
    pending: Option<Pending>,
}

/// What the primary had written down at some moment, and where its log ended then.
struct Pending {
    written: Position,
    end: Place,
}

/// A place in MariaDB's binlog: the number of the file, and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64, u64);

impl Asker {
    /// How far the primary is, asked after this was called; none where nobody can tell.
    pub(crate) async fn position(&self) -> Option<Position> {
        let (sender, receiver) = oneshot::channel();
        self.far.borrow_mut().push(sender);
        self.far_asked.notify_one();
        receiver.await.ok()
    }

    /// Waits until whatever is the primary shows all of `position` to those who read there.
    pub(crate) async fn until_shown(&self, position: Position) {
        let (sender, receiver) = oneshot::channel();
        self.shown.borrow_mut().push((position, sender));
        self.shown_asked.notify_one();
        // The other end is only dropped with the thread, or where nobody waits any more.
        let _ = receiver.await;
    }

    async fn wait_for_shown(&self, pause: Duration) {
        self.shown.borrow_mut().retain(|(_, reader)| !reader.is_closed());
        if self.shown.borrow().is_empty() {
            self.shown_asked.notified().await;
        } else {
            // Asked again in any case.
            let _ = tokio::time::timeout(pause, self.shown_asked.notified()).await;
        }
    }
}

/// Says for ever how far the primary is, on a connection of its own.
pub(crate) async fn tell_position(worker: Rc<Worker>) {
    let mut open: Option<Primary> = None;
    loop {
        worker.asker.far_asked.notified().await;
        // They are told that nobody can tell where this comes to nothing.
        let readers = worker.asker.far.take();
        if !readers.is_empty() {
            in_time(&worker, &mut open, async |primary| primary.tell(&worker, readers).await).await;
        }
    }
}

/// Says for ever what the primary shows, likewise.
pub(crate) async fn tell_shown(worker: Rc<Worker>) {
    let mut open: Option<Primary> = None;
    let mut pause = OFTEN;
    loop {
        worker.asker.wait_for_shown(pause).await;
        if !worker.asker.shown.borrow().is_empty() {
            in_time(&worker, &mut open, async |primary| primary.tell_shown(&worker).await).await;
        }
        pause = if open.is_some() { OFTEN } else { SELDOM };
    }
}

/// Has `question` asked of the primary there is. The connection is kept where it answers in time.
async fn in_time(
    worker: &Worker,
    open: &mut Option<Primary>,
    question: impl AsyncFnOnce(&mut Primary) -> Result<(), OpenError>,
) {
    // A connection to a former primary tells of the past.
    let known = open.take().filter(|primary| primary.is_current(worker));
    let asked = async {
        let opened = match known {
            Some(primary) => Some(primary),
            None => Primary::open(worker).await?,
        };
        // There may be none at present.
        let Some(mut primary) = opened else { return Ok(None) };
        question(&mut primary).await?;
        Ok::<_, OpenError>(Some(primary))
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(primary)) => *open = primary,
        Ok(Err(error)) => tracing::debug!(%error, "the primary does not say how far it is"),
        Err(_) => tracing::debug!("the primary does not say in time how far it is"),
    }
}

impl Primary {
    async fn open(worker: &Worker) -> Result<Option<Primary>, OpenError> {
        let (Some(slot), Some(account)) = (worker.routed().primary.clone(), worker.shared.observer()) else {
            return Ok(None);
        };
        let epoch = slot.epoch();
        let span = worker.shared.settings.connect;
        let link = Link::open(&slot.upstream, account, Capabilities::empty(), span).await?;
        Ok(Some(Primary { link, epoch, slot, pending: None }))
    }

    fn is_current(&self, worker: &Worker) -> bool {
        let routed = worker.routed();
        let primary = routed.primary.as_ref();
        self.epoch == self.slot.epoch() && primary.is_some_and(|primary| Rc::ptr_eq(primary, &self.slot))
    }

    async fn tell(
        &mut self,
        worker: &Worker,
        readers: Vec<oneshot::Sender<Position>>,
    ) -> Result<(), OpenError> {
        let position = written(&mut self.link, worker.shared.is_mysql()).await?;
        // Whoever became the primary meanwhile may have written more.
        if let Some(position) = position.filter(|_| self.is_current(worker)) {
            for reader in readers {
                // One that has gone needs no answer.
                let _ = reader.send(position.clone());
            }
        }
        Ok(())
    }

    async fn tell_shown(&mut self, worker: &Worker) -> Result<(), OpenError> {
        self.look(worker).await?;
        let applied = &self.slot.upstream.applied;
        let mut waiting = worker.asker.shown.borrow_mut();
        for (_, reader) in waiting.extract_if(.., |(position, _)| applied.covers(position)) {
            let _ = reader.send(());
        }
        Ok(())
    }

    /// Takes down what it shows to those who read there.
    ///
    /// MySQL's `gtid_executed` tells just that. MariaDB's `gtid_binlog_pos` runs ahead of it: a transaction
    /// stands in the log, and a replica may have it, while its commit waits for an acknowledgement. What its
    /// engines have committed it only tells as a place in the log (`Binlog_snapshot_position`): once that is
    /// behind where the log ended at some moment, all that was written by then is shown. For the moment in
    /// which the log goes on in another file, the place is ahead by the commits that wait just then.
    async fn look(&mut self, worker: &Worker) -> Result<(), OpenError> {
        let mysql = worker.shared.is_mysql();
        if mysql {
            if let Some(shown) = written(&mut self.link, mysql).await? {
                self.shows(&shown);
            }
            return Ok(());
        }
        let pending = match self.pending.take() {
            Some(pending) => pending,
            None => {
                let Some(written) = written(&mut self.link, mysql).await? else { return Ok(()) };
                let Some(end) = end_of_log(&mut self.link).await? else { return Ok(()) };
                Pending { written, end }
            }
        };
        if committed(&mut self.link).await?.is_some_and(|committed| committed >= pending.end) {
            self.shows(&pending.written);
        } else {
            self.pending = Some(pending);
        }
        Ok(())
    }

    fn shows(&self, position: &Position) {
        self.slot.upstream.applied.reached_all(position);
    }
}

/// What the primary at the other end of `link` has written down: everything that was ever acknowledged is among
/// it.
pub(crate) async fn written(link: &mut Link, mysql: bool) -> Result<Option<Position>, OpenError> {
    position(link, if mysql { EXECUTED } else { "SELECT @@global.gtid_binlog_pos" }).await
}

/// How far the replica at the other end of `link` is, as a reader there sees it. A MariaDB replica writes a
/// transaction to its binlog before anybody can read what it did: only `gtid_slave_pos`, set when it is
/// committed, tells what is read.
pub(crate) async fn replicated(link: &mut Link, mysql: bool) -> Result<Option<Position>, OpenError> {
    position(link, if mysql { EXECUTED } else { "SELECT @@global.gtid_slave_pos" }).await
}

async fn position(link: &mut Link, sql: &str) -> Result<Option<Position>, OpenError> {
    let mut position = None;
    link.ask(sql, |row| {
        let text = Fields::new(row).lenenc_bytes().unwrap_or_default();
        position = Position::parse(&String::from_utf8_lossy(text));
    })
    .await?;
    Ok(position)
}

/// Where the log ends. It is asked under the lock that whoever writes to the log holds.
async fn end_of_log(link: &mut Link) -> Result<Option<Place>, OpenError> {
    let mut place = None;
    link.ask("SHOW MASTER STATUS", |row| {
        let mut fields = Fields::new(row);
        place = Place::read(fields.lenenc_bytes(), fields.lenenc_bytes());
    })
    .await?;
    Ok(place)
}

/// Up to where the engines have committed.
async fn committed(link: &mut Link) -> Result<Option<Place>, OpenError> {
    let (mut file, mut offset) = (Vec::new(), Vec::new());
    link.ask("SHOW SESSION STATUS LIKE 'Binlog_snapshot_%'", |row| {
        let mut fields = Fields::new(row);
        let (name, value) = (fields.lenenc_bytes(), fields.lenenc_bytes().unwrap_or_default());
        match name.unwrap_or_default().to_ascii_lowercase().as_slice() {
            b"binlog_snapshot_file" => file.extend_from_slice(value),
            b"binlog_snapshot_position" => offset.extend_from_slice(value),
            _ => {}
        }
    })
    .await?;
    Ok(Place::read(Some(&file), Some(&offset)))
}

impl Place {
    /// From the name of a file, `binlog.000042`, and an offset in it.
    fn read(file: Option<&[u8]>, offset: Option<&[u8]>) -> Option<Place> {
        let file = std::str::from_utf8(file?).ok()?;
        let offset = std::str::from_utf8(offset?).ok()?;
        Some(Place(file.rsplit('.').next()?.parse().ok()?, offset.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_log_come_one_after_another() {
        let place = |file: &str, offset: &str| Place::read(Some(file.as_bytes()), Some(offset.as_bytes()));
        assert_eq!(place("binlog.000042", "328"), Some(Place(42, 328)));
        assert!(place("binlog.000009", "900") < place("binlog.000010", "4"));
        assert!(place("binlog.999999", "9") < place("binlog.1000000", "4"));
        assert!(place("a.b.000001", "4") < place("a.b.000001", "10"));
        for (file, offset) in [("", ""), ("binlog", "4"), ("binlog.000001", ""), ("binlog.000001", "-4")] {
            assert_eq!(place(file, offset), None, "{file} {offset}");
        }
        assert_eq!(Place::read(None, Some(b"4")), None);
    }
}
