//! The servers: a MariaDB primary and its replicas in a folder, each one a process of the bench.

use super::shared::places::program;
use super::shared::places::{free_address, made, written};
use super::shared::process::Process;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whom clients and proxies log in as. It guards nothing: the servers end with the bench.
pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "bench";
pub(crate) const SCHEMA: &str = "sbtest";

/// As root the server runs as `nobody`: it refuses root.
const NOBODY: u32 = 65534;
const COMES_UP_WITHIN: Duration = Duration::from_secs(120);

/// A server that answers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Process,
}

/// A primary and its replicas.
pub(crate) struct Cluster {
    pub(crate) primary: Server,
    pub(crate) replicas: Vec<Server>,
}

impl Cluster {
    /// Starts them, empty but for the schema.
    pub(crate) fn start(folder: &Path, replicas: usize) -> Result<Cluster, String> {
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder, readable)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let sql = format!(
            "CREATE DATABASE {SCHEMA};\n\
             CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO {USER}@'%';\n"
        );
        let primary = server(&made(folder.join("primary"))?, 1, &sql)?;
        let mut cluster = Cluster { primary, replicas: Vec::new() };
        let port = cluster.primary.address.port();
        let sql = format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='{USER}', \
             MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos;\nSTART SLAVE;\n"
        );
        for number in 2..replicas + 2 {
            let home = made(folder.join(format!("replica-{number}")))?;
            cluster.replicas.push(server(&home, number, &sql)?);
        }
        Ok(cluster)
    }

    /// Waits until every replica has what the primary has.
    pub(crate) fn wait_level(&self) -> Result<(), String> {
        let position = answer(&self.primary, "SELECT @@global.gtid_binlog_pos")?;
        for replica in &self.replicas {
            let asked = format!("SELECT MASTER_GTID_WAIT('{position}', {})", COMES_UP_WITHIN.as_secs());
            let came = answer(replica, &asked)?;
            if came != "0" {
                return Err(format!("the replica {} did not come to {position}", replica.address));
            }
        }
        Ok(())
    }

    /// Microseconds of CPU of the primary, and of all replicas.
    pub(crate) fn cpu(&self) -> (u64, u64) {
        let replicas = self.replicas.iter().map(|replica| replica.process.cpu()).sum();
        (self.primary.process.cpu(), replicas)
    }

    /// How many connections of users the servers hold, beside the one that asks.
    pub(crate) fn connections(&self) -> Result<usize, String> {
        let mut all = 0;
        for server in std::iter::once(&self.primary).chain(&self.replicas) {
            let asked = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                 WHERE USER = 'bench' AND COMMAND <> 'Binlog Dump' AND ID <> CONNECTION_ID()";
            all += answer(server, asked)?.parse::<usize>().map_err(|error| error.to_string())?;
        }
        Ok(all)
    }
}

fn server(home: &Path, id: usize, sql: &str) -> Result<Server, String> {
    let data = made(home.join("data"))?;
    let root = rustix::process::geteuid().is_root();
    if root {
        for folder in [home, &data] {
            chown(folder, Some(NOBODY), Some(NOBODY))
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
    }
    let command = |name: &str| {
        let program = program(name).ok_or_else(|| format!("{name} is missing; install mariadb-server"))?;
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--datadir={}", data.display())).current_dir(&data);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok::<_, String>(command)
    };
    let mut install = command("mariadb-install-db")?;
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    let made = install.output().map_err(|error| format!("mariadb-install-db: {error}"))?;
    if !made.status.success() {
        return Err(format!("mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let script = home.join("init.sql");
    written(&script, sql)?;
    let address = free_address()?;
    let mut command = command("mariadbd")?;
    command.arg(format!("--socket={}", home.join("sock").display()));
    command.arg(format!("--port={}", address.port())).arg(format!("--server-id={id}"));
    command.arg(format!("--init-file={}", script.display()));
    command.arg(format!("--log-error={}", home.join("log").display()));
    command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--log-bin=bin", "--log-slave-updates"]);
    command.args(["--gtid-strict-mode=ON", "--max-connections=2500", "--max-allowed-packet=64M"]);
    // What the disk costs is not the question.
    command.args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-buffer-pool-size=128M"]);
    let process = Process::start(&mut command, Stdio::null())?;
    up(Server { address, process }, home)
}

/// Waits until the server lets the user in.
fn up(mut server: Server, home: &Path) -> Result<Server, String> {
    let deadline = Instant::now() + COMES_UP_WITHIN;
    loop {
        let Err(why) = answer(&server, "SELECT 1") else { return Ok(server) };
        let ended = server.process.ended();
        if ended.is_some() || Instant::now() > deadline {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            return Err(format!("mariadbd does not come up: {why}; {ended:?}\n{log}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answer(server: &Server, sql: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    runtime.block_on(async {
        let asked = async {
            let mut conn = connect(server.address).await?;
            let answer: Option<mysql_async::Value> = conn.query_first(sql).await?;
            conn.disconnect().await?;
            Ok::<_, mysql_async::Error>(answer)
        };
        let answer = asked.await.map_err(|error| format!("{}: {sql}: {error}", server.address))?;
        Ok(answer.map(|value| value.as_sql(true).trim_matches('\'').to_owned()).unwrap_or_default())
    })
}

/// A client.
pub(crate) async fn connect(address: SocketAddr) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .prefer_socket(false);
    Conn::new(options).await
}
