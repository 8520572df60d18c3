//! Real servers for the tests: prepared, started, asked, killed.

use super::reserved::Reserved;
use crate::database::*;
use crate::tool::Identity;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use stoa_model::observed::DatabaseStatus;
use stoa_model::site::{Bytes, DatabaseEngine};
use stoa_model::{Endpoint, Tier};
use tempfile::TempDir;

pub(super) const ONE: InstanceId = InstanceId::new(Tier::Database, 1);
pub(super) const TWO: InstanceId = InstanceId::new(Tier::Database, 2);
pub(super) const THREE: InstanceId = InstanceId::new(Tier::Database, 3);

/// What is waited for comes within this, or not.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Servers of one site. As root they run as `nobody`: the server refuses root.
pub(super) struct Servers {
    pub(super) root: TempDir,
    pub(super) paths: Paths,
    pub(super) credentials: Credentials,
    pub(super) specs: Vec<DatabaseSpec>,
    pub(super) running: Vec<Option<Child>>,
    pub(super) monitor: Monitor,
    /// The address of each.
    reserved: Vec<Reserved>,
}

pub(super) fn user() -> Option<Identity> {
    rustix::process::geteuid().is_root().then_some(Identity { uid: 65534, gid: 65534 })
}

pub(super) fn place(instance: InstanceId) -> usize {
    usize::from(instance.number) - 1
}

/// It, as its replicas connect to it.
pub(super) fn source(spec: &DatabaseSpec) -> Source<'_> {
    Source { endpoint: &spec.endpoint, tls: spec.tls }
}

fn spec(engine: DatabaseEngine, paths: &Paths, number: u8, reserved: &Reserved) -> DatabaseSpec {
    DatabaseSpec {
        engine,
        endpoint: Endpoint::Tcp(reserved.address),
        socket: Endpoint::Unix(paths.socket(InstanceId::new(Tier::Database, u16::from(number)))),
        server_id: u32::from(number),
        name: "my_shop".to_owned(),
        memory: Bytes(32 << 20),
        tls: false,
        restart: 0,
    }
}

impl Servers {
    /// So many places for servers; the first has a data folder.
    pub(super) async fn prepared(count: u8) -> Self {
        Servers::prepared_of(DatabaseEngine::Mariadb, count).await
    }

    pub(super) async fn prepared_of(engine: DatabaseEngine, count: u8) -> Self {
        let root = tempfile::Builder::new().prefix("stoa").tempdir_in("/tmp").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let paths = Paths::new(root.path());
        let reserved: Vec<_> = (1..=count).map(|_| Reserved::new()).collect();
        let spec = |number: u8| spec(engine, &paths, number, &reserved[usize::from(number) - 1]);
        let servers = Servers {
            specs: (1..=count).map(spec).collect(),
            credentials: Credentials::generate().unwrap(),
            running: (1..=count).map(|_| None).collect(),
            monitor: Monitor::default(),
            paths,
            root,
            reserved,
        };
        prepare(&servers.server(ONE), user()).await.unwrap();
        servers
    }

    /// A place for one more, without data.
    pub(super) fn add_place(&mut self) {
        let number = u8::try_from(self.specs.len() + 1).unwrap();
        self.reserved.push(Reserved::new());
        let reserved = &self.reserved[usize::from(number) - 1];
        self.specs.push(spec(self.specs[0].engine, &self.paths, number, reserved));
        self.running.push(None);
    }

    /// All run: the first one is the primary of term 1, whose commits wait, the others follow.
    pub(super) async fn replicating(count: u8) -> Self {
        Servers::replicating_of(DatabaseEngine::Mariadb, count).await
    }

    pub(super) async fn replicating_of(engine: DatabaseEngine, count: u8) -> Self {
        let mut servers = Servers::prepared_of(engine, count).await;
        let others: Vec<InstanceId> =
            (2..=count).map(|number| InstanceId::new(Tier::Database, u16::from(number))).collect();
        servers.begin(&others).await;
        servers
    }

    /// All start: the first as the primary of term 1, whose commits wait; the others, each of which gets a copy of
    /// its empty data, follow.
    pub(super) async fn begin(&mut self, others: &[InstanceId]) {
        let servers = self;
        for id in others {
            // As a clone of an empty server.
            let (from, to) = (servers.paths.data(ONE), servers.paths.data(*id));
            assert!(Command::new("cp").arg("-a").arg(from).arg(&to).status().unwrap().success());
            // Two servers of MySQL with one identity do not talk to each other.
            let _ = fs::remove_file(to.join("auto.cnf"));
        }
        for id in [ONE].iter().chain(others) {
            servers.start(*id);
        }
        for id in [ONE].iter().chain(others) {
            servers.until(*id, "its start", |status| !status.writable).await;
        }
        promote(&servers.server(ONE), Term(1), !others.is_empty()).await.unwrap();
        for id in others {
            servers.follow(*id, ONE, Term(1)).await;
        }
        let all = u32::try_from(others.len()).unwrap();
        servers.until(ONE, "semi-sync", |status| status.semi_sync.acknowledging == all).await;
    }

    pub(super) async fn follow(&self, id: InstanceId, primary: InstanceId, term: Term) {
        follow(&self.server(id), source(&self.specs[place(primary)]), term).await.unwrap();
        self.until(id, "replication", replicates).await;
    }

    pub(super) fn server(&self, instance: InstanceId) -> Server<'_> {
        let spec = &self.specs[place(instance)];
        Server { instance, spec, paths: &self.paths, credentials: &self.credentials }
    }

    pub(super) fn start(&mut self, instance: InstanceId) {
        let certificate = Certificate::load_or_create(&self.paths).unwrap();
        let launch = launch(instance, &self.specs[place(instance)], &self.paths, Some(&certificate)).unwrap();
        let own = |path: &Path| {
            if let Some(user) = user() {
                std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).unwrap();
            }
        };
        for folder in launch.folders.iter().chain([&self.paths.instance(instance)]) {
            fs::create_dir_all(folder).unwrap();
            own(folder);
        }
        for file in &launch.files {
            fs::write(&file.path, &file.text).unwrap();
        }
        let log = fs::File::create(self.root.path().join(format!("{instance}.log"))).unwrap();
        let mut command = match self.specs[place(instance)].engine {
            DatabaseEngine::Mariadb => Command::new("/usr/sbin/mariadbd"),
            DatabaseEngine::Mysql => Command::new(&launch.argv[0]),
        };
        command.args(&launch.argv[1..]).env_clear().envs(&launch.environment).current_dir(&launch.directory);
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(user) = user() {
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        self.running[place(instance)] = Some(command.spawn().unwrap());
    }

    pub(super) fn log(&self, instance: InstanceId) -> String {
        fs::read_to_string(self.root.path().join(format!("{instance}.log"))).unwrap()
    }

    pub(super) fn signal(&self, instance: InstanceId, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(instance), signal).unwrap();
    }

    /// Holds the server still. It is told of its stop at once, but its threads stop one by one: until the
    /// kernel reports the whole process stopped, one of them may still answer.
    pub(super) fn hang(&self, instance: InstanceId) {
        let pid = self.pid(instance);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{instance} ended instead: {status:?}");
    }

    fn pid(&self, instance: InstanceId) -> rustix::process::Pid {
        let child = self.running[place(instance)].as_ref().unwrap();
        rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap()
    }

    /// A clean end.
    pub(super) fn stop(&mut self, instance: InstanceId) {
        self.signal(instance, rustix::process::Signal::TERM);
        self.running[place(instance)].take().unwrap().wait().unwrap();
    }

    pub(super) fn kill(&mut self, instance: InstanceId) {
        if let Some(mut child) = self.running[place(instance)].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) async fn status(&self, instance: InstanceId) -> DatabaseStatus {
        self.until(instance, "its state", |_| true).await
    }

    pub(super) async fn until(
        &self,
        instance: InstanceId,
        what: &str,
        good: impl Fn(&DatabaseStatus) -> bool,
    ) -> DatabaseStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.monitor.status(&self.server(instance)).await;
            match &status {
                Ok(status) if good(status) => return status.clone(),
                _ if Instant::now() > deadline => {
                    panic!("{instance}: waited for {what}: {status:?}\n{}", self.log(instance))
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub(super) async fn connect(
        &self,
        instance: InstanceId,
        user: &str,
        password: &str,
    ) -> mysql_async::Result<Conn> {
        let Endpoint::Tcp(address) = &self.specs[place(instance)].endpoint else { panic!() };
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .prefer_socket(false)
            .user(Some(user))
            .pass(Some(password));
        Conn::new(options).await
    }

    pub(super) async fn app(&self, instance: InstanceId) -> Conn {
        self.connect(instance, "app", self.credentials.app()).await.unwrap()
    }

    pub(super) async fn admin(&self, instance: InstanceId) -> Conn {
        let Endpoint::Unix(socket) = &self.specs[place(instance)].socket else { panic!() };
        let options = OptsBuilder::default()
            .socket(Some(socket.to_string_lossy()))
            .user(Some("admin"))
            .pass(Some(self.credentials.admin()));
        Conn::new(options).await.unwrap()
    }

    pub(super) async fn create_ledger(&self) {
        let create = "CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY, note TEXT)";
        self.app(ONE).await.query_drop(create).await.unwrap();
    }

    /// The ids in the ledger of one server.
    pub(super) async fn ledger(&self, instance: InstanceId) -> Vec<u64> {
        self.app(instance).await.query("SELECT id FROM my_shop.ledger ORDER BY id").await.unwrap_or_default()
    }

    pub(super) async fn until_equal(&self, wanted: &[u64], instance: InstanceId) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.ledger(instance).await;
            if found == wanted {
                return;
            }
            if Instant::now() >= deadline {
                let missing = wanted.iter().filter(|id| !found.contains(id)).count();
                let status = self.status(instance).await;
                panic!("{instance} lacks {missing} of {} rows; it says {status:?}", wanted.len());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writers of one server, each an id at a time, until it takes no more.
pub(super) struct Writers(Vec<tokio::task::JoinHandle<Vec<u64>>>);

impl Writers {
    pub(super) async fn start(servers: &Servers, instance: InstanceId, count: u64, base: u64) -> Writers {
        let mut writers = Vec::new();
        for writer in 0..count {
            let mut app = servers.app(instance).await;
            writers.push(tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let id = base + writer * 1_000_000 + n;
                    let insert = format!("INSERT INTO my_shop.ledger VALUES ({id}, '')");
                    if app.query_drop(insert).await.is_err() {
                        break;
                    }
                    acknowledged.push(id);
                }
                acknowledged
            }));
        }
        Writers(writers)
    }

    /// Until so many more rows are there.
    pub(super) async fn get_on(servers: &Servers, instance: InstanceId, rows: usize) {
        let deadline = Instant::now() + PATIENCE;
        let before = servers.ledger(instance).await.len();
        while servers.ledger(instance).await.len() < before + rows {
            assert!(Instant::now() < deadline, "the writers do not get on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What was acknowledged to them, once none of them gets on.
    pub(super) async fn acknowledged(self) -> Vec<u64> {
        let mut all = Vec::new();
        for writer in self.0 {
            all.extend(tokio::time::timeout(PATIENCE, writer).await.unwrap().unwrap());
        }
        all
    }
}

/// Which of `acknowledged` are not in `ledger`.
pub(super) fn lost(acknowledged: &[u64], ledger: &[u64]) -> Vec<u64> {
    acknowledged.iter().copied().filter(|id| ledger.binary_search(id).is_err()).collect()
}

pub(super) fn replicates(status: &DatabaseStatus) -> bool {
    let runs = status.replication.as_ref().is_some_and(|r| r.runs() && r.error.is_none());
    runs && !status.writable
}

pub(super) fn refused(result: mysql_async::Result<()>) -> String {
    result.expect_err("it was allowed").to_string()
}
