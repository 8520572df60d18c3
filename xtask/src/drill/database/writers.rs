//! The clients of a ledger: 16 that write entries, alone, prepared and in transactions, and 16 that write
//! one and at once read it back. Each goes by its own connection, and what it is told it keeps here, outside
//! the database.

use super::connect::{self, PATIENCE, within};
use super::ledger::{Attempt, Key};
use super::progress::Progress;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WRITERS: u16 = 16;
const READERS: u16 = 16;
/// Between two entries of a session: the load is a rate, not all that the machine can.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a session that lost its connection, or got none, tries again.
const AGAIN: Duration = Duration::from_millis(50);
/// No load is forgotten for longer.
const AT_MOST: Duration = Duration::from_secs(4 * 3600);

/// Clients at work.
pub(crate) struct Writers {
    progress: Arc<Progress>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    thread: JoinHandle<()>,
}

/// How a session writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Text,
    Prepared,
    Transaction,
    PreparedTransaction,
}

struct Session {
    number: u16,
    way: Way,
    reads_back: bool,
    table: String,
    options: Opts,
    progress: Arc<Progress>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Writers {
    /// Begins to write to `table`, which is there and empty.
    pub(crate) fn begin(options: &Opts, table: &str, progress: Arc<Progress>) -> Result<Self, String> {
        let attempts: Arc<Mutex<Vec<Attempt>>> = Arc::default();
        let runtime = connect::runtime()?;
        let session = |number: u16| Session {
            number,
            way: [Way::Text, Way::Prepared, Way::Transaction, Way::PreparedTransaction]
                [usize::from(number % 4)],
            reads_back: number >= WRITERS,
            table: table.to_owned(),
            options: options.clone(),
            progress: progress.clone(),
            attempts: attempts.clone(),
        };
        let sessions: Vec<Session> = (0..WRITERS + READERS).map(session).collect();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let all: Vec<_> = sessions.into_iter().map(|session| tokio::spawn(session.work())).collect();
                for one in all {
                    // One that panicked has told so itself.
                    let _ = one.await;
                }
            });
        });
        Ok(Writers { progress, attempts, thread })
    }

    /// Ends them; everything they tried.
    pub(crate) fn end(self) -> Vec<Attempt> {
        self.progress.end();
        // One that panicked has told so itself.
        let _ = self.thread.join();
        std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Session {
    async fn work(self) {
        let deadline = Instant::now() + AT_MOST;
        let mut connection = None;
        let mut number = 0_u32;
        while !self.progress.over() && Instant::now() < deadline {
            let mut conn = match connection.take() {
                Some(conn) => conn,
                None => match connect::connect(&self.options).await {
                    Ok(conn) => conn,
                    Err(why) => {
                        self.progress.refused(&why);
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                },
            };
            number += 1;
            match self.entry(&mut conn, number).await {
                Ok(()) => {
                    connection = Some(conn);
                    tokio::time::sleep(PAUSE).await;
                }
                Err((what, why)) => {
                    self.progress.failed(what, &why);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Writes an entry and, where it is one of those, reads it back on the same connection.
    async fn entry(&self, conn: &mut Conn, number: u32) -> Result<(), (&'static str, String)> {
        let key = Key { session: self.number, number };
        let pair = matches!(self.way, Way::Transaction | Way::PreparedTransaction);
        let written = if pair { self.pair(conn, number).await } else { self.row(conn, number, 0).await };
        let acknowledged = written.is_ok().then(|| self.progress.acknowledged());
        let attempt = Attempt { key, pair, acknowledged };
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        written?;
        if self.reads_back {
            let found = self.read(conn, number).await.map_err(|why| ("SELECT", why))?;
            if found == 1 + u64::from(pair) {
                self.progress.read();
            } else {
                let at = self.progress.now().as_secs_f64();
                self.progress.stale(format!(
                    "session {} saw {found} rows of its entry {number}, connection {}, after {at:.3} s",
                    self.number,
                    conn.id()
                ));
            }
        }
        Ok(())
    }

    async fn pair(&self, conn: &mut Conn, number: u32) -> Result<(), (&'static str, String)> {
        within(PATIENCE, conn.query_drop("START TRANSACTION"))
            .await
            .map_err(|why| ("START TRANSACTION", why))?;
        self.row(conn, number, 0).await?;
        self.row(conn, number, 1).await?;
        within(PATIENCE, conn.query_drop("COMMIT")).await.map_err(|why| ("COMMIT", why))
    }

    async fn row(&self, conn: &mut Conn, number: u32, part: u8) -> Result<(), (&'static str, String)> {
        let (table, session) = (&self.table, self.number);
        let done = match self.way {
            Way::Text | Way::Transaction => {
                let insert = format!(
                    "INSERT INTO {table} (session, number, part) VALUES ({session}, {number}, {part})"
                );
                within(PATIENCE, conn.query_drop(insert)).await
            }
            Way::Prepared | Way::PreparedTransaction => {
                let insert = format!("INSERT INTO {table} (session, number, part) VALUES (?, ?, ?)");
                within(PATIENCE, conn.exec_drop(insert, (session, number, part))).await
            }
        };
        done.map_err(|why| ("INSERT", why))
    }

    async fn read(&self, conn: &mut Conn, number: u32) -> Result<u64, String> {
        let (table, session) = (&self.table, self.number);
        let found: Option<u64> = if number.is_multiple_of(2) {
            let select =
                format!("SELECT COUNT(*) FROM {table} WHERE session = {session} AND number = {number}");
            within(PATIENCE, conn.query_first(select)).await?
        } else {
            let select = format!("SELECT COUNT(*) FROM {table} WHERE session = ? AND number = ?");
            within(PATIENCE, conn.exec_first(select, (session, number))).await?
        };
        found.ok_or_else(|| "no row".to_owned())
    }
}
