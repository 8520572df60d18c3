//! A real primary and a real replica in folders of their own, a splitter in this process before them, and
//! clients.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod classic;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stoa_model::control::{Order, Report};
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

/// Which server stands behind the splitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Mariadb,
    Mysql,
}

impl Engine {
    fn program(self) -> PathBuf {
        match self {
            Engine::Mariadb => "mariadbd".into(),
            Engine::Mysql => mysqld().expect("a mysqld that is MySQL's"),
        }
    }
}

/// MySQL's server, where there is one. MariaDB's packages have a link of that name to their own.
fn mysqld() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("STOA_MYSQLD") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let server = |folder: PathBuf| std::fs::canonicalize(folder.join("mysqld")).ok();
    let mut found = std::env::split_paths(&path).filter_map(server);
    found.find(|program| !program.file_name().unwrap().to_string_lossy().starts_with("mariadb"))
}

/// Whether there is a MySQL to test; says so where there is none.
#[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
pub fn mysql_is_here() -> bool {
    let found = mysqld().is_some();
    if !found {
        eprintln!("MYSQL NOT TESTED: no mysqld here that is MySQL's; put one on PATH");
    }
    found
}

/// A `mariadbd` or `mysqld` of its own.
#[derive(Debug)]
pub struct Server {
    pub id: u16,
    pub engine: Engine,
    pub address: SocketAddr,
    /// The certificate it shows and its key; it is connected to inside TLS then.
    pub tls: Option<[PathBuf; 2]>,
    dir: PathBuf,
    child: Option<Child>,
}

/// A primary, a replica that follows it, and the folder both live in.
#[derive(Debug)]
pub struct Cluster {
    pub servers: [Server; 2],
    _dir: TempDir,
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn whoami() -> String {
    text(&Command::new("id").arg("-un").output().unwrap())
}

impl Server {
    /// Starts on the data in its folder.
    pub fn start(&mut self) {
        let (dir, id) = (self.dir.display(), self.id);
        let mut command = Command::new(self.engine.program());
        command.arg("--no-defaults").arg(format!("--user={}", whoami())).args([
            format!("--datadir={dir}/data"),
            format!("--socket={dir}/socket"),
            format!("--pid-file={dir}/pid"),
            format!("--log-error={dir}/log"),
            format!("--server-id={id}"),
            format!("--port={}", self.address.port()),
        ]);
        command.args(["--bind-address=127.0.0.1", "--log-bin=binlog", "--innodb-buffer-pool-size=32M"]);
        command.args([
            "--innodb-flush-log-at-trx-commit=0",
            "--sync-binlog=0",
            "--skip-name-resolve",
            "--secure-file-priv=",
        ]);
        command.args(match self.engine {
            Engine::Mariadb => [
                "--log-slave-updates",
                "--gtid-strict-mode=1",
                "--innodb-log-file-size=8M",
                "--slave-net-timeout=5",
            ],
            Engine::Mysql => {
                ["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=0", "--replica-net-timeout=5"]
            }
        });
        if let Some([shown, key]) = &self.tls {
            let (shown, key) = (shown.display(), key.display());
            command.args([format!("--ssl-cert={shown}"), format!("--ssl-key={key}")]);
            command.args([format!("--ssl-ca={shown}")]);
        }
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(server.expect("the server: ./check installs MariaDB's"));
        wait_until("the server answers", || self.try_sql("SELECT 1").is_ok());
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        match self.engine {
            Engine::Mariadb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "-uroot", "-N", "-B"]).arg("-S").arg(self.dir.join("socket"));
                let output = command.arg("-e").arg(sql).stdin(Stdio::null()).output().unwrap();
                if output.status.success() {
                    return Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned());
                }
                Err(String::from_utf8_lossy(&output.stderr).into_owned())
            }
            Engine::Mysql => self.ask(sql).map_err(|error| error.to_string()),
        }
    }

    /// The first row, its values divided by tabs; MySQL's own shell may not be here.
    fn ask(&self, sql: &str) -> mysql_async::Result<String> {
        let socket = self.dir.join("socket");
        let options = OptsBuilder::default().socket(Some(socket.to_string_lossy())).user(Some("root"));
        let mut session = Session::open(options)?;
        let mut last = String::new();
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            for row in session.try_rows::<mysql_async::Row>(statement)?.into_iter().take(1) {
                let text = |value: mysql_async::Value| value.as_sql(true).trim_matches('\'').to_owned();
                last = row.unwrap().into_iter().map(text).collect::<Vec<_>>().join("\t");
            }
        }
        Ok(last)
    }

    /// Runs statements as root, beside the splitter.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Follows `primary` from where it is.
    pub fn follow(&self, primary: &Server) {
        let port = primary.address.port();
        self.sql(&match self.engine {
            Engine::Mariadb => format!(
                "CHANGE MASTER TO master_host='127.0.0.1', master_port={port}, master_user='replication', \
                 master_password='r', master_use_gtid=slave_pos, master_connect_retry=1; START SLAVE; \
                 SET GLOBAL read_only=1"
            ),
            Engine::Mysql => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, \
                 SOURCE_USER='replication', SOURCE_PASSWORD='r', SOURCE_AUTO_POSITION=1, \
                 SOURCE_CONNECT_RETRY=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA; SET GLOBAL super_read_only=1"
            ),
        });
    }

    /// How many statements that begin with this word it has run.
    pub fn count(&self, command: &str) -> u64 {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE 'Com_{command}'"));
        row.split_whitespace().last().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::start_of(Engine::Mariadb)
    }

    pub fn start_of(engine: Engine) -> Cluster {
        Cluster::begin(engine, None)
    }

    /// One whose servers show this certificate, and have its key.
    pub fn encrypted(engine: Engine, tls: [&str; 2]) -> Cluster {
        Cluster::begin(engine, Some(tls))
    }

    fn begin(engine: Engine, tls: Option<[&str; 2]>) -> Cluster {
        let dir = TempDir::new().unwrap();
        let mut servers = [1, 2].map(|id| {
            let own = dir.path().join(id.to_string());
            std::fs::create_dir(&own).unwrap();
            let file = |(name, text)| {
                let file = own.join(name);
                std::fs::write(&file, text).unwrap();
                file
            };
            let tls = tls.map(|[shown, key]| [("tls.pem", shown), ("tls-key.pem", key)].map(file));
            Server { id, engine, address: free_port(), tls, dir: own, child: None }
        });
        prepare(&servers[0]);
        let data = servers[0].dir.join("data");
        let copied = Command::new("cp").arg("-a").arg(&data).arg(servers[1].dir.join("data")).output();
        text(&copied.unwrap());
        // Two servers of MySQL with one identity do not talk to each other.
        let _ = std::fs::remove_file(servers[1].dir.join("data/auto.cnf"));
        let (nobody, observes) = match engine {
            Engine::Mariadb => {
                ("DELETE FROM mysql.global_priv WHERE User=''; FLUSH PRIVILEGES;", "BINLOG MONITOR")
            }
            Engine::Mysql => ("", "REPLICATION CLIENT"),
        };
        for server in &mut servers {
            server.start();
            server.sql(&format!(
                "SET sql_log_bin=0; {nobody}
                 CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON shop.* TO {USER}@'%';
                 GRANT ALL ON other.* TO {USER}@'%';
                 CREATE USER observer@'%' IDENTIFIED BY 'o'; GRANT {observes} ON *.* TO observer@'%';
                 CREATE USER replication@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO replication@'%'"
            ));
        }
        servers[1].follow(&servers[0]);
        servers[0].sql("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE DATABASE other");
        let cluster = Cluster { servers, _dir: dir };
        cluster.caught_up();
        cluster
    }

    pub fn primary(&self) -> &Server {
        &self.servers[0]
    }

    pub fn replica(&self) -> &Server {
        &self.servers[1]
    }

    /// Waits until the replica has everything.
    pub fn caught_up(&self) {
        let (position, wait) = match self.primary().engine {
            Engine::Mariadb => ("SELECT @@gtid_binlog_pos", "MASTER_GTID_WAIT"),
            Engine::Mysql => ("SELECT REPLACE(@@gtid_executed, '\n', '')", "WAIT_FOR_EXECUTED_GTID_SET"),
        };
        let at = self.primary().sql(position);
        wait_until("the replica catches up", || {
            self.replica().sql(&format!("SELECT {wait}('{at}', 5)")) == "0"
        });
    }

    /// How many statements that hold this text run on either server.
    pub fn running(&self, text: &str) -> usize {
        let count = |server: &Server| -> usize {
            let sql = format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE Info LIKE '%{text}%' AND Id <> CONNECTION_ID()"
            );
            server.sql(&sql).parse().unwrap()
        };
        self.servers.iter().map(count).sum()
    }

    /// Makes the replica the primary, whatever became of the old one.
    pub fn promote(&self) {
        self.replica().sql(match self.replica().engine {
            Engine::Mariadb => "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0",
            Engine::Mysql => "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL read_only=0",
        });
    }
}

/// Makes the data folder of the first server.
fn prepare(server: &Server) {
    let data = format!("--datadir={}", server.dir.join("data").display());
    let user = format!("--user={}", whoami());
    let mut install = match server.engine {
        Engine::Mariadb => {
            let mut install = Command::new("mariadb-install-db");
            install.args(["--no-defaults", &data, &user, "--innodb-log-file-size=8M"]);
            install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
            install
        }
        Engine::Mysql => {
            let mut install = Command::new(Engine::Mysql.program());
            install.args([
                "--no-defaults",
                &data,
                &user,
                "--initialize-insecure",
                "--skip-innodb-doublewrite",
            ]);
            install
        }
    };
    // Two at once would take the same names in a folder they share.
    text(&install.env("TMPDIR", &server.dir).output().unwrap());
}

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
