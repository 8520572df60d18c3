//! A real primary and a real replica in folders of their own.

use super::reserved::Reserved;
use super::{DEADLINE, PASSWORD, Session, USER, wait_until};
use mysql_async::OptsBuilder;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
    _reserved: Reserved,
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
            "--max-allowed-packet=64M",
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
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&mut self) {
        let until = Instant::now() + DEADLINE;
        while let Err(error) = self.try_sql("SELECT 1") {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || Instant::now() > until {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                panic!("no server, {ended:?}: {error}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
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
            let reserved = Reserved::new();
            let address = reserved.address;
            Server { id, engine, address, tls, dir: own, child: None, _reserved: reserved }
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
