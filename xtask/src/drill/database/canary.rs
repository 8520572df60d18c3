//! A client that goes past Stoa to one server: it is connected before that server is stopped, has sent a
//! write while it is, and learns what became of it when the server goes on. What it is told is told; whether
//! that was right is judged by others.

use super::connect::{self, within};
use super::servers::Servers;
use mysql_async::prelude::Queryable;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After that no answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// The server is asked again on new connections for so long after it went on.
const INSISTS: Duration = Duration::from_secs(2);

/// The client.
pub(crate) struct Canary {
    send: Sender<()>,
    insist: Sender<()>,
    thread: JoinHandle<Vec<u32>>,
}

impl Canary {
    /// Connects to the server at `address` as the application, which may over TCP only. Its rows are those of session 65535, with `number` and the
    /// numbers behind it.
    pub(crate) fn connect(
        servers: &Servers,
        address: SocketAddr,
        table: &str,
        number: u32,
    ) -> Result<Self, String> {
        let (options, table) = (servers.as_app(address), table.to_owned());
        let (ready, is_ready) = channel();
        let (send, go) = channel();
        let (insist, again) = channel();
        let runtime = connect::runtime()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut connection = match connect::connect(&options).await {
                    Ok(connection) => connection,
                    Err(why) => {
                        // Who waits for it may be gone.
                        let _ = ready.send(Err(why));
                        return Vec::new();
                    }
                };
                let _ = ready.send(Ok(()));
                let mut taken = Vec::new();
                if waited(&go) {
                    let row = insert(&table, number);
                    if within(PATIENCE, connection.query_drop(row)).await.is_ok() {
                        taken.push(number);
                    }
                }
                if waited(&again) {
                    let until = Instant::now() + INSISTS;
                    let mut next = number;
                    while Instant::now() < until {
                        next += 1;
                        if let Ok(mut connection) = connect::connect(&options).await
                            && within(INSISTS, connection.query_drop(insert(&table, next))).await.is_ok()
                        {
                            taken.push(next);
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                taken
            })
        });
        is_ready.recv().map_err(|_| "the canary died".to_owned())??;
        Ok(Canary { send, insist, thread })
    }

    /// Sends its write.
    pub(crate) fn send(&self) {
        // One that panicked tells so at the end.
        let _ = self.send.send(());
    }

    /// What the server has acknowledged to it, then and within a while from now.
    pub(crate) fn taken(self) -> Result<Vec<u32>, String> {
        let _ = self.insist.send(());
        self.thread.join().map_err(|_| "the canary died".to_owned())
    }
}

fn waited(go: &Receiver<()>) -> bool {
    go.recv().is_ok()
}

fn insert(table: &str, number: u32) -> String {
    format!("INSERT INTO {table} (session, number, part) VALUES ({}, {number}, 0)", u16::MAX)
}
