//! A splitter in this process before a real primary and a real replica, and clients.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod classic;
mod cluster;
#[path = "../common/reserved.rs"]
mod reserved;

pub use cluster::{Cluster, Engine, Server, mysql_is_here};

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stoa_model::control::{MovedSession, Order, Report};
use stoa_model::routes::{Route, SqlRoutes};
use stoa_model::{Endpoint, Generation, InstanceId, Routes, Term, Tier, Time};
use stoa_traffic::control::Client;
use stoa_traffic::sql::role::{self, Account, Password, Settings, Sockets, SqlRoleConfig, SqlRoleError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Nothing here takes longer, or it hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);
pub const USER: &str = "app";
pub const PASSWORD: &str = "correct horse";

/// A role in a thread of this process.
#[derive(Debug)]
pub struct Splitter {
    pub address: SocketAddr,
    pub socket: PathBuf,
    pub runtime: Runtime,
    client: Client,
    generation: u64,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SqlRoleError>>>,
    _dir: TempDir,
}

pub fn route(server: &Server) -> Route {
    Route {
        tls: server.tls.is_some(),
        instance: InstanceId::new(Tier::Database, server.id),
        endpoint: Endpoint::Tcp(server.address),
        started: Time(1),
        because: "the test says so".into(),
        release: None,
    }
}

impl Splitter {
    /// One before `cluster`, which reads from its replica.
    pub fn start(cluster: &Cluster, settings: Settings) -> Splitter {
        let mut splitter = Splitter::without_routes(settings, 1);
        splitter.routes(1, Some(cluster.primary()), &[cluster.replica()]);
        splitter
    }

    pub fn without_routes(settings: Settings, threads: usize) -> Splitter {
        let accounts = vec![Account { user: USER.into(), password: Password::new(PASSWORD), schema: None }];
        Splitter::at(1, settings, threads, accounts)
    }

    /// One that believes servers which show this certificate.
    pub fn trusting(settings: Settings, authority: &str) -> Splitter {
        let account = Account { user: USER.into(), password: Password::new(PASSWORD), schema: None };
        Splitter::begin(1, settings, 1, (vec![account], Some(authority.to_owned())))
    }

    /// The splitter of this place.
    pub fn at(place: u8, settings: Settings, threads: usize, accounts: Vec<Account>) -> Splitter {
        Splitter::begin(place, settings, threads, (accounts, None))
    }

    fn begin(
        place: u8,
        settings: Settings,
        threads: usize,
        (accounts, authority): (Vec<Account>, Option<String>),
    ) -> Splitter {
        let dir = TempDir::new().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let (socket, control) = (dir.path().join("sql"), dir.path().join("control"));
        let config = SqlRoleConfig {
            sockets: Sockets {
                tcp,
                unix: UnixListener::bind(&socket).unwrap(),
                control: UnixListener::bind(&control).unwrap(),
            },
            threads,
            place,
            accounts,
            observer: Some(Account { user: "observer".into(), password: Password::new("o"), schema: None }),
            authority,
            settings,
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            role::run_until(config, async {
                let _ = stopped.await;
            })
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(Client::connect(&control)).unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Splitter { address, socket, runtime, client, generation: 0, stop, thread, _dir: dir }
    }

    /// Puts routes in force, and waits until they are.
    pub fn routes(&mut self, term: u64, primary: Option<&Server>, replicas: &[&Server]) {
        let generation = self.send_routes(term, primary, replicas);
        self.report_until(|report| report.serving == generation);
    }

    /// Sends routes under the next generation.
    pub fn send_routes(&mut self, term: u64, primary: Option<&Server>, replicas: &[&Server]) -> Generation {
        self.generation += 1;
        let sql = SqlRoutes {
            term: Term(term),
            primary: primary.map(route),
            replicas: replicas.iter().map(|server| route(server)).collect(),
        };
        let generation = Generation(self.generation);
        let routes = Routes { generation, sql, ..Routes::default() };
        self.runtime.block_on(self.client.send_routes(&routes)).unwrap();
        generation
    }

    pub fn report_until(&mut self, good: impl Fn(&Report) -> bool) -> Report {
        let until = Instant::now() + DEADLINE;
        loop {
            let report = self.runtime.block_on(self.client.next_report()).unwrap();
            if good(&report) {
                return report;
            }
            assert!(Instant::now() < until, "never reported, last was {report:#?}");
        }
    }

    /// Ends the first of them, and passes on to the other what is to go on there, as the daemon does.
    pub fn replace([old, other]: &mut [Splitter; 2]) {
        old.end(|form, connection| {
            other.runtime.block_on(other.client.adopt(form, connection.as_fd())).unwrap();
        });
    }

    /// Ends it, and gives what is to go on elsewhere to `pass`.
    pub fn end(&mut self, mut pass: impl FnMut(MovedSession, OwnedFd)) {
        self.stop();
        let until = Instant::now() + DEADLINE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            assert!(Instant::now() < until, "it does not end");
            let next = self.runtime.block_on(async {
                tokio::time::timeout(Duration::from_millis(20), self.client.next_report()).await
            });
            // At its end it closes the connection.
            let Ok(Ok(report)) = next else { continue };
            let moving = report.sql.unwrap().moving;
            let connections = self.client.take_connections(moving.len());
            assert_eq!(connections.len(), moving.len());
            let taken = moving.len() as u32;
            moving.into_iter().zip(connections).for_each(|(form, connection)| pass(form, connection));
            if taken > 0 {
                self.runtime.block_on(self.client.order(&Order::Taken(taken))).unwrap();
            }
        }
        self.join();
    }

    /// Does what the daemon does between two splitters, until `done`.
    pub fn pass_between(pair: &mut [Splitter; 2], done: impl Fn() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !done() {
            assert!(Instant::now() < until, "they never came to an end with it");
            for at in [0, 1] {
                let Splitter { runtime, client, .. } = &mut pair[at];
                let next = runtime.block_on(async {
                    tokio::time::timeout(Duration::from_millis(20), client.next_report()).await
                });
                let Ok(report) = next else { continue };
                let sql = report.unwrap().sql.unwrap();
                let kills = sql.kills.into_iter().map(Order::Kill);
                let orders: Vec<Order> = kills.chain(sql.killed.into_iter().map(Order::Killed)).collect();
                let Splitter { runtime, client, .. } = &mut pair[1 - at];
                for order in orders {
                    runtime.block_on(client.order(&order)).unwrap();
                }
            }
        }
    }

    pub fn options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.address.port())
            .prefer_socket(false)
            .user(Some(USER))
            .pass(Some(PASSWORD))
            .db_name(Some("shop"))
            .max_allowed_packet(Some(64 << 20))
            .wait_timeout(Some(3600))
    }

    pub fn connect(&self) -> Session {
        self.connect_apart(self.options())
    }

    /// A client that does not keep the splitter borrowed.
    pub fn connect_apart(&self, options: OptsBuilder) -> Session {
        Session::open(options).unwrap()
    }

    /// Begins the drain.
    pub fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits for the end of the drain.
    pub fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Splitter {
    fn drop(&mut self) {
        // Not joined: a failed test leaves sessions that the drain would wait for.
        self.stop();
    }
}

/// A client with a runtime of its own, driven from a test that is no task.
#[derive(Debug)]
pub struct Session {
    pub conn: Conn,
    runtime: Runtime,
}

impl Session {
    pub fn open(options: OptsBuilder) -> mysql_async::Result<Session> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connected =
            async { tokio::time::timeout(DEADLINE, Conn::new(options)).await.expect("a login in time") };
        Ok(Session { conn: runtime.block_on(connected)?, runtime })
    }

    /// Runs a statement of the text protocol.
    pub fn exec(&mut self, sql: &str) {
        self.try_exec(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn try_exec(&mut self, sql: &str) -> mysql_async::Result<()> {
        let Session { conn, runtime } = self;
        runtime.block_on(async {
            tokio::time::timeout(DEADLINE, conn.query_drop(sql)).await.expect("an answer in time")
        })
    }

    /// The rows of a statement of the text protocol.
    pub fn rows<R: FromRow + Send + 'static>(&mut self, sql: &str) -> Vec<R> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn try_rows<R: FromRow + Send + 'static>(&mut self, sql: &str) -> mysql_async::Result<Vec<R>> {
        let Session { conn, runtime } = self;
        runtime.block_on(async {
            tokio::time::timeout(DEADLINE, conn.query(sql)).await.expect("an answer in time")
        })
    }

    /// The only value of the only row.
    pub fn one<R: FromRow + Send + 'static>(&mut self, sql: &str) -> R {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.pop().unwrap()
    }

    /// Runs a prepared statement, whatever its rows are.
    pub fn try_prepared(
        &mut self,
        sql: &str,
        values: Vec<mysql_async::Value>,
    ) -> mysql_async::Result<Vec<mysql_async::Row>> {
        let Session { conn, runtime } = self;
        runtime.block_on(async {
            let values = mysql_async::Params::Positional(values);
            tokio::time::timeout(DEADLINE, conn.exec(sql, values)).await.expect("an answer in time")
        })
    }

    /// Runs a prepared statement.
    pub fn prepared<R: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        values: Vec<mysql_async::Value>,
    ) -> Vec<R> {
        let Session { conn, runtime } = self;
        runtime
            .block_on(async {
                let values = mysql_async::Params::Positional(values);
                tokio::time::timeout(DEADLINE, conn.exec(sql, values)).await.expect("an answer in time")
            })
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// The number of the error a server answered with.
pub fn code(error: &mysql_async::Error) -> u16 {
    match error {
        mysql_async::Error::Server(server) => server.code,
        other => panic!("no answer of a server: {other}"),
    }
}

/// Waits for a condition.
pub fn wait_until(what: &str, mut good: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !good() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
