//! A real pair of servers.

use super::*;
use crate::tool::Identity;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use stoa_model::observed::{DataState, DatabaseStatus, Receiving};
use stoa_model::site::{Bytes, DatabaseEngine};
use stoa_model::{Endpoint, Tier};
use tempfile::TempDir;

const ONE: InstanceId = InstanceId::new(Tier::Database, 1);
const TWO: InstanceId = InstanceId::new(Tier::Database, 2);

/// Two prepared servers. As root they run as `nobody`: the server refuses root.
struct Pair {
    root: TempDir,
    paths: Paths,
    credentials: Credentials,
    specs: [DatabaseSpec; 2],
    running: [Option<Child>; 2],
}

fn user() -> Option<Identity> {
    rustix::process::geteuid().is_root().then_some(Identity { uid: 65534, gid: 65534 })
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Pair {
    async fn prepared() -> Self {
        let root = tempfile::Builder::new().prefix("stoa").tempdir_in("/tmp").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let paths = Paths::new(root.path());
        let spec = |id: InstanceId| DatabaseSpec {
            engine: DatabaseEngine::Mariadb,
            endpoint: Endpoint::Tcp(free_address()),
            socket: Endpoint::Unix(paths.socket(id)),
            server_id: u32::from(id.number),
            name: "my_shop".to_owned(),
            memory: Bytes(32 << 20),
            restart: 0,
        };
        let (specs, credentials) = ([spec(ONE), spec(TWO)], Credentials::generate().unwrap());
        let pair = Pair { root, paths, credentials, specs, running: [None, None] };
        let started = Instant::now();
        prepare(&pair.server(ONE), user()).await.unwrap();
        println!("prepared one data folder in {:?}", started.elapsed());
        prepare(&pair.server(TWO), user()).await.unwrap();
        pair
    }

    /// Both run, the first one is the primary of term 1.
    async fn replicating() -> Self {
        let mut pair = Pair::prepared().await;
        pair.start(ONE);
        pair.start(TWO);
        let started = Instant::now();
        pair.until(ONE, "its start", |status| !status.writable).await;
        println!("started in {:?}", started.elapsed());
        pair.until(TWO, "its start", |status| !status.writable).await;
        promote(&pair.server(ONE), Term(1)).await.unwrap();
        follow(&pair.server(TWO), &pair.specs[0].endpoint, Term(1)).await.unwrap();
        pair.until(TWO, "replication", replicates).await;
        pair.until(ONE, "semi-sync", acknowledged).await;
        pair
    }

    fn server(&self, instance: InstanceId) -> Server<'_> {
        let spec = &self.specs[usize::from(instance.number) - 1];
        Server { instance, spec, paths: &self.paths, credentials: &self.credentials }
    }

    fn start(&mut self, instance: InstanceId) {
        let place = usize::from(instance.number) - 1;
        let launch = launch(instance, &self.specs[place], &self.paths, &self.credentials).unwrap();
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
        let mut command = Command::new("/usr/sbin/mariadbd");
        command.args(&launch.argv[1..]).env_clear().envs(&launch.environment).current_dir(&launch.directory);
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(user) = user() {
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        self.running[place] = Some(command.spawn().unwrap());
    }

    fn kill(&mut self, instance: InstanceId) {
        if let Some(mut child) = self.running[usize::from(instance.number) - 1].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    async fn until(
        &self,
        instance: InstanceId,
        what: &str,
        good: impl Fn(&DatabaseStatus) -> bool,
    ) -> DatabaseStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status = status(&self.server(instance)).await;
            match &status {
                Ok(status) if good(status) => return status.clone(),
                _ if Instant::now() > deadline => {
                    let log = fs::read_to_string(self.root.path().join(format!("{instance}.log"))).unwrap();
                    panic!("{instance}: waited for {what}: {status:?}\n{log}")
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn connect(&self, instance: InstanceId, user: &str, password: &str) -> mysql_async::Result<Conn> {
        let spec = &self.specs[usize::from(instance.number) - 1];
        let Endpoint::Tcp(address) = &spec.endpoint else { panic!() };
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .prefer_socket(false)
            .user(Some(user))
            .pass(Some(password));
        Conn::new(options).await
    }

    async fn app(&self, instance: InstanceId) -> Conn {
        self.connect(instance, "app", self.credentials.app()).await.unwrap()
    }

    /// The ids in the ledger of one server.
    async fn ledger(&self, instance: InstanceId) -> Vec<u64> {
        self.app(instance).await.query("SELECT id FROM my_shop.ledger ORDER BY id").await.unwrap_or_default()
    }

    async fn until_equal(&self, wanted: &[u64], instance: InstanceId) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.ledger(instance).await != wanted {
            assert!(
                Instant::now() < deadline,
                "{instance} has {:?}, not {wanted:?}",
                self.ledger(instance).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.kill(ONE);
        self.kill(TWO);
    }
}

fn acknowledged(status: &DatabaseStatus) -> bool {
    status.semi_sync.enabled && status.semi_sync.acknowledging > 0
}

fn replicates(status: &DatabaseStatus) -> bool {
    let good = status.replication.as_ref().is_some_and(|r| r.runs() && r.error.is_none());
    good && !status.writable
}

fn refused(result: mysql_async::Result<()>) -> String {
    result.expect_err("it was allowed").to_string()
}

#[tokio::test]
async fn a_pair_replicates_and_each_may_only_what_it_should() {
    let pair = Pair::replicating().await;
    let primary = pair.until(ONE, "promotion", |status| status.writable).await;
    assert_eq!((primary.term, acknowledged(&primary), &primary.replication), (Term(1), true, &None));
    let replica = pair.until(TWO, "replication", replicates).await;
    assert_eq!(replica.replication.unwrap().primary, pair.specs[0].endpoint);
    assert_eq!(replica.term, Term(1));

    let mut app = pair.app(ONE).await;
    app.query_drop("CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY, note TEXT)").await.unwrap();
    app.query_drop("INSERT INTO my_shop.ledger VALUES (1, '🍣 and 🍺')").await.unwrap();
    pair.until_equal(&[1], TWO).await;
    let acknowledged: Option<(String, u64)> =
        app.query_first("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_yes_tx'").await.unwrap();
    assert!(acknowledged.unwrap().1 >= 2, "no write waited for the replica");
    let emoji: Option<u64> =
        app.query_first("SELECT COUNT(*) FROM my_shop.ledger WHERE note LIKE '🍺%'").await.unwrap();
    assert_eq!(emoji, Some(0), "the collation takes one emoji for another");

    // The application: its schema and nothing else, and on a replica nothing but reading.
    let mut on_replica = pair.app(TWO).await;
    let error = refused(on_replica.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await);
    assert!(error.contains("--read-only"), "{error}");
    for statement in [
        "SET GLOBAL read_only = 0",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM `stoa$`.term",
        "CREATE DATABASE myXshop",
        "CREATE TABLE myxshop.t (id INT)",
        "CREATE USER x",
        "SELECT 1 INTO OUTFILE '/tmp/stoa-out'",
        "STOP SLAVE",
        "SET SESSION sql_log_bin = 0",
    ] {
        refused(app.query_drop(statement).await);
    }
    // Nobody comes in without a password, nor the daemon's users over the network.
    for (user, password) in [
        ("root", ""),
        ("", ""),
        ("app", ""),
        ("admin", pair.credentials.admin()),
        ("monitor", pair.credentials.monitor()),
    ] {
        assert!(pair.connect(ONE, user, password).await.is_err(), "{user:?} came in");
    }
    let mut replication = pair.connect(ONE, "replication", pair.credentials.replication()).await.unwrap();
    refused(replication.query_drop("SELECT * FROM my_shop.ledger").await);

    // Everything again changes nothing.
    let before = pair.until(TWO, "replication", replicates).await;
    promote(&pair.server(ONE), Term(1)).await.unwrap();
    follow(&pair.server(TWO), &pair.specs[0].endpoint, Term(1)).await.unwrap();
    prepare(&pair.server(ONE), user()).await.unwrap();
    assert_eq!(pair.until(TWO, "replication", replicates).await.gtid, before.gtid);
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await.unwrap();
    pair.until_equal(&[1, 2], TWO).await;
}

#[tokio::test]
async fn the_primary_changes_and_actors_of_the_past_are_refused() {
    let pair = Pair::replicating().await;
    let mut app = pair.app(ONE).await;
    app.query_drop("CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY)").await.unwrap();
    app.query_drop("INSERT INTO my_shop.ledger VALUES (1)").await.unwrap();
    // A transaction is open when the fence comes.
    app.query_drop("BEGIN").await.unwrap();
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2)").await.unwrap();
    let started = Instant::now();
    fence(&pair.server(ONE)).await.unwrap();
    println!("fenced in {:?}", started.elapsed());
    assert!(app.query_drop("COMMIT").await.is_err(), "a fenced server committed");
    fence(&pair.server(ONE)).await.unwrap();
    let mut late = pair.app(ONE).await;
    assert!(refused(late.query_drop("INSERT INTO my_shop.ledger VALUES (3)").await).contains("--read-only"));

    let started = Instant::now();
    promote(&pair.server(TWO), Term(2)).await.unwrap();
    println!("promoted in {:?}", started.elapsed());
    follow(&pair.server(ONE), &pair.specs[1].endpoint, Term(2)).await.unwrap();
    pair.until(ONE, "replication", replicates).await;
    pair.app(TWO).await.query_drop("INSERT INTO my_shop.ledger VALUES (4)").await.unwrap();
    pair.until_equal(&[1, 4], ONE).await;
    pair.until_equal(&[1, 4], TWO).await;

    // An actor of term 1 wakes up.
    let error = promote(&pair.server(ONE), Term(1)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { asked: Term(1), known: Term(2), .. }), "{error}");
    let error = follow(&pair.server(TWO), &pair.specs[0].endpoint, Term(1)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { .. }), "{error}");
    assert!(pair.until(TWO, "its state", |_| true).await.writable);
    assert!(!pair.until(ONE, "its state", |_| true).await.writable);
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_primary_is_killed() {
    let mut pair = Pair::replicating().await;
    pair.app(ONE).await.query_drop("CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY)").await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3u64 {
        let mut writers = Vec::new();
        for writer in 0..4u64 {
            let mut app = pair.app(ONE).await;
            writers.push(tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let id = round * 1_000_000 + writer * 100_000 + n;
                    let insert = format!("INSERT INTO my_shop.ledger VALUES ({id})");
                    if app.query_drop(insert).await.is_err() {
                        break;
                    }
                    acknowledged.push(id);
                }
                acknowledged
            }));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        let before = pair.ledger(ONE).await.len();
        while pair.ledger(ONE).await.len() < before + 100 {
            assert!(Instant::now() < deadline, "the writers do not get on");
        }
        pair.kill(ONE);
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        pair.start(ONE);
        pair.until(ONE, "its recovery", |status| !status.writable && status.term == Term(1)).await;
        promote(&pair.server(ONE), Term(1)).await.unwrap();
        let ledger = pair.ledger(ONE).await;
        let lost: Vec<_> = acknowledged.iter().filter(|id| ledger.binary_search(id).is_err()).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged writes lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
        // The replica finds its primary again by itself, on the same address.
        pair.until(TWO, "replication", replicates).await;
        pair.until_equal(&ledger, TWO).await;
    }
    println!("{} acknowledged writes, none lost", acknowledged.len());
}

#[tokio::test]
async fn without_its_replica_the_primary_goes_on_and_says_so() {
    let mut pair = Pair::replicating().await;
    let mut app = pair.app(ONE).await;
    app.query_drop("CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY)").await.unwrap();
    pair.kill(TWO);
    let started = Instant::now();
    app.query_drop("INSERT INTO my_shop.ledger VALUES (1)").await.unwrap();
    println!("the first write without a replica took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
    pair.until(ONE, "the loss of semi-sync", |status| !acknowledged(status)).await;
    pair.start(TWO);
    let alone = pair.until(TWO, "its start", |_| true).await;
    assert!(
        alone.replication.is_some_and(|r| r.receiving == Receiving::Stopped),
        "it began to replicate before it was told to"
    );
    follow(&pair.server(TWO), &pair.specs[0].endpoint, Term(1)).await.unwrap();
    pair.until(TWO, "replication", replicates).await;
    pair.until(ONE, "semi-sync", acknowledged).await;
    pair.until_equal(&[1], TWO).await;
}

#[tokio::test]
async fn a_data_folder_is_whole_or_not_there_and_never_somebody_elses() {
    let pair = Pair::prepared().await;
    let installed = data::installed(ONE, DatabaseEngine::Mariadb).await.unwrap();
    let (one, two) = (pair.paths.data(ONE), pair.paths.data(TWO));
    assert_eq!(data::state(&one, &installed), DataState::Ready);
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o700);
    // What a preparation that was cut short leaves is beside it, and in nobody's way.
    fs::rename(&two, two.with_file_name(".database-2.part")).unwrap();
    assert_eq!(data::state(&two, &installed), DataState::Absent);
    prepare(&pair.server(TWO), user()).await.unwrap();
    assert_eq!(data::state(&two, &installed), DataState::Ready);
    assert!(!two.with_file_name(".database-2.part").exists());
    // Another engine's, another version's, or just the user's files.
    fs::write(two.join("stoa.json"), r#"{"engine":"mariadb","version":{"major":99,"minor":1}}"#).unwrap();
    let error = prepare(&pair.server(TWO), user()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("database-2: its data folder is of MariaDB 99.1, installed is MariaDB"),
        "{error}"
    );
    fs::remove_dir_all(&two).unwrap();
    fs::create_dir(&two).unwrap();
    fs::write(two.join("holiday.jpg"), "x").unwrap();
    let error = prepare(&pair.server(TWO), user()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_to_string(two.join("holiday.jpg")).unwrap(), "x");
}

#[tokio::test]
async fn a_server_that_does_not_answer_gives_no_answer_in_time() {
    let mut pair = Pair::replicating().await;
    let pid = rustix::process::Pid::from_raw(pair.running[0].as_ref().unwrap().id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let started = Instant::now();
    let answer = status(&pair.server(ONE)).await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(answer, Err("no answer within 2 s".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(4));
    pair.kill(ONE);
    let answer = status(&pair.server(ONE)).await.unwrap_err();
    assert!(!answer.contains(pair.credentials.monitor()), "{answer}");
}
