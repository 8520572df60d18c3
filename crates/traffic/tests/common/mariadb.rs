//! A real MariaDB server in a folder of its own, ended when it is dropped.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reserved.rs"]
mod reserved;

use reserved::Reserved;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
/// As root it runs as `nobody`: the server refuses root.
const NOBODY: u32 = 65534;

/// A running server. Everybody is `root` without a password until told otherwise.
#[derive(Debug)]
pub struct Mariadb {
    folder: TempDir,
    pub address: SocketAddr,
    child: Child,
    _reserved: Reserved,
}

impl Mariadb {
    /// Prepares a data folder, runs `sql` in it, and starts the server.
    pub fn start(sql: &str) -> Mariadb {
        let folder = tempfile::Builder::new().prefix("stoa-wire").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        own(&data);
        own(folder.path());
        let mut install = command("mariadb-install-db", &data);
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        let ended = install.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let script = folder.path().join("init.sql");
        fs::write(&script, sql).unwrap();
        let reserved = Reserved::new();
        let address = reserved.address;
        let mut server = command("mariadbd", &data);
        server.arg(format!("--socket={}", folder.path().join("db.sock").display()));
        server.arg(format!("--port={}", address.port()));
        server.arg(format!("--init-file={}", script.display()));
        server.args(["--bind-address=127.0.0.1", "--plugin-load-add=auth_ed25519", "--local-infile=1"]);
        server.args([
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=32M",
            "--log-bin=bin",
            "--server-id=1",
        ]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut started = Mariadb { folder, address, child, _reserved: reserved };
        started.wait_until_it_accepts();
        started
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("db.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn wait_until_it_accepts(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while UnixStream::connect(self.socket()).is_err() {
            let gone = self.child.try_wait().unwrap().is_some();
            if gone || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
                panic!("the server does not accept:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn command(program: &str, data: &Path) -> Command {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .map(|folder| Path::new(folder).join(program));
    let program = found.into_iter().find(|path| path.exists()).expect("mariadb-server is installed");
    let mut command = Command::new(program);
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", data.parent().unwrap());
    command.current_dir(data).stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
