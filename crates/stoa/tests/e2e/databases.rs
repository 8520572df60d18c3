//! A database under writes: on MySQL, where there is one, its primary is killed and handed over; one changes to
//! TLS and back; one of its servers has data that no start mends.

use crate::site::TestSite;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(120);
const WRITERS: u64 = 4;
const SERVERS: [&str; 3] = ["database-1", "database-2", "database-3"];

/// Whether there is a MySQL to test; says so where there is none.
#[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn is_here() -> bool {
    let found = stoa_tiers::host::programs::find_of_mysql("mysqld").is_some();
    if !found {
        eprintln!("MYSQL NOT TESTED: no mysqld here that is MySQL's; put one on PATH");
    }
    found
}

/// Clients of the application's own address. Each writes a number after another and reads it at once.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Written>>,
}

#[derive(Default)]
struct Written {
    acknowledged: Vec<u64>,
    stale: Vec<u64>,
    failed: Vec<String>,
}

impl Writers {
    fn start(options: &Opts) -> Writers {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let start = |writer| {
            let (options, stop, acknowledged) = (options.clone(), stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                block_on(async {
                    let mut written = Written::default();
                    let mut next = writer * 1_000_000;
                    while !stop.load(Ordering::Relaxed) {
                        // A session that was lost is no wonder while servers die; another one is opened.
                        let ended = session(&options, &stop, &mut next, &acknowledged, &mut written).await;
                        written.failed.extend(ended.err().map(|error| error.to_string()));
                    }
                    written
                })
            })
        };
        let threads = (0..WRITERS).map(start).collect();
        Writers { stop, acknowledged, threads }
    }

    fn get_on(&self, site: &TestSite) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        let more = || self.acknowledged.load(Ordering::Relaxed) >= before + 100;
        site.wait("a hundred more writes are acknowledged", SOON, more);
    }

    fn end(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for thread in self.threads {
            let written = thread.join().unwrap();
            all.acknowledged.extend(written.acknowledged);
            all.stale.extend(written.stale);
            all.failed.extend(written.failed);
        }
        all
    }
}

async fn session(
    options: &Opts,
    stop: &AtomicBool,
    next: &mut u64,
    acknowledged: &AtomicU64,
    written: &mut Written,
) -> mysql_async::Result<()> {
    let mut session = Conn::new(options.clone()).await?;
    while !stop.load(Ordering::Relaxed) {
        *next += 1;
        session.query_drop(format!("INSERT INTO ledger VALUES ({next})")).await?;
        written.acknowledged.push(*next);
        acknowledged.fetch_add(1, Ordering::Relaxed);
        let own: Option<u64> =
            session.query_first(format!("SELECT id FROM ledger WHERE id = {next}")).await?;
        if own.is_none() {
            written.stale.push(*next);
        }
    }
    session.disconnect().await
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn cluster(site: &TestSite) -> Value {
    serde_json::from_str(&site.ok(&["db", "status", "--json"])).unwrap()
}

fn primary(site: &TestSite) -> String {
    cluster(site)["primary"].as_str().unwrap_or_default().to_owned()
}

/// What one server itself has.
fn ledger(site: &TestSite, server: &str) -> BTreeSet<u64> {
    let query = "SELECT id FROM ledger";
    let rows = site.ok(&["db", "shell", server, "--", "-N", "-B", "-e", query]);
    rows.lines().map(|row| row.parse().unwrap()).collect()
}

#[test]
fn a_site_on_mysql_keeps_what_it_acknowledged_when_its_primary_goes() {
    if !is_here() {
        return;
    }
    let site = TestSite::python("[database]\nengine = \"mysql\"\nreplicas = 2\nmemory = \"64MB\"\n");
    site.ok(&["up", "--yes"]);
    site.settles();
    let status = cluster(&site);
    assert_eq!((&status["engine"], &status["primary"]), (&"mysql".into(), &"database-1".into()), "{status}");
    let url = site.ok(&["run", "--", "printenv", "DATABASE_URL"]);
    let options = Opts::from_url(url.trim()).unwrap();
    site.ok(&["db", "shell", "--", "-e", "CREATE TABLE ledger (id BIGINT UNSIGNED PRIMARY KEY)"]);
    let writers = Writers::start(&options);
    writers.get_on(&site);

    let lost = primary(&site);
    let pid = site.pid(&lost).unwrap();
    site.kill(pid, "-KILL");
    site.wait("a replica has taken over", SOON, || ![&lost, ""].contains(&primary(&site).as_str()));
    writers.get_on(&site);
    // The former primary comes back as a replica, made anew where it had something of its own.
    site.settles();
    let before = primary(&site);
    site.ok(&["db", "switchover", &lost]);
    assert_eq!(primary(&site), lost, "it was {before}");
    writers.get_on(&site);

    let written = writers.end();
    assert_eq!(written.stale, Vec::<u64>::new(), "own writes that were not seen");
    site.settles();
    let own = ledger(&site, &lost);
    let missing: Vec<_> = written.acknowledged.iter().filter(|id| !own.contains(id)).collect();
    assert!(missing.is_empty(), "{} lost: {missing:?}\n{}", missing.len(), site.story());
    for server in SERVERS {
        site.wait("every server has the same", SOON, || ledger(&site, server) == own);
    }
    site.ok(&["down", "--yes"]);
    site.ok(&["up", "--yes"]);
    assert_eq!(ledger(&site, &primary(&site)), own, "what was there before the site was down");
}

#[test]
fn a_server_whose_data_no_start_mends_is_made_anew_once() {
    let site = TestSite::python("[database]\nreplicas = 1\nmemory = \"64MB\"\n");
    site.ok(&["up", "--yes"]);
    site.settles();
    site.ok(&["db", "shell", "--", "-e", "CREATE TABLE ledger (id BIGINT UNSIGNED PRIMARY KEY)"]);
    site.ok(&["db", "shell", "--", "-e", "INSERT INTO ledger VALUES (7)"]);
    let broken = if primary(&site) == "database-1" { "database-2" } else { "database-1" };
    let pages = site.state().join("data").join(broken).join("ibdata1");
    let file = std::fs::OpenOptions::new().write(true).open(pages).unwrap();
    file.write_all_at(&vec![0xA5; 1 << 20], 0).unwrap();
    site.kill(site.pid(broken).unwrap(), "-KILL");
    let told = || site.ok(&["events", "-n", "1000"]);
    site.wait("its data is discarded", SOON, || told().contains("discard begins"));
    site.settles();
    assert_eq!(ledger(&site, broken), [7].into());
    let told = told();
    assert_eq!(told.matches("discard begins").count(), 1, "{told}");
    assert!(told.contains("5 times in a row"), "{told}");
}

#[test]
fn a_site_changes_to_tls_and_back_under_writes() {
    let site = TestSite::python("[database]\nreplicas = 2\nmemory = \"64MB\"\ntls = false\n");
    site.ok(&["up", "--yes"]);
    site.settles();
    let options = Opts::from_url(site.ok(&["run", "--", "printenv", "DATABASE_URL"]).trim()).unwrap();
    site.ok(&["db", "shell", "--", "-e", "CREATE TABLE ledger (id BIGINT UNSIGNED PRIMARY KEY)"]);
    let writers = Writers::start(&options);
    writers.get_on(&site);
    for tls in [true, false] {
        let text = std::fs::read_to_string(site.source().join("stoa.toml")).unwrap();
        site.write("stoa.toml", &text.replace(&format!("tls = {}", !tls), &format!("tls = {tls}")));
        site.ok(&["up", "--yes"]);
        site.settles();
        writers.get_on(&site);
        let query = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
        let (own, cipher) = block_on(async {
            let mut session = Conn::new(options.clone()).await.unwrap();
            let own: Option<String> = session
                .query_first("SELECT CONCAT(@@server_id, ' ', @@require_secure_transport)")
                .await
                .unwrap();
            let row: Option<(String, String)> = session.query_first(query).await.unwrap();
            (own, row.unwrap().1)
        });
        let status = cluster(&site);
        assert_eq!(
            !cipher.is_empty(),
            tls,
            "{own:?} is connected to with {cipher:?}: {status}\n{}",
            site.story()
        );
        let servers = status["servers"].as_array().unwrap();
        assert!(servers.iter().all(|server| server["tls"] == tls), "{status}");
    }
    let written = writers.end();
    assert_eq!(written.stale, Vec::<u64>::new(), "own writes that were not seen");
    // Both splitters are restarted each time, and their clients go on at the other one.
    assert_eq!(written.failed, Vec::<String>::new());
    site.settles();
    let own = ledger(&site, &primary(&site));
    assert!(written.acknowledged.iter().all(|id| own.contains(id)), "{}", site.story());
}
