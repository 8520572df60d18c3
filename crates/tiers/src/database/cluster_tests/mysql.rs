//! The same of MySQL, where there is one.

use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};
use stoa_model::gtid::Origin;
use stoa_model::observed::{DataState, DatabaseStatus, Receiving, SemiSync};
use stoa_model::site::DatabaseEngine::Mysql;

/// Whether there is a MySQL to test; says so where there is none.
pub(super) fn is_here() -> bool {
    let found = crate::host::programs::find_of_mysql("mysqld").is_some();
    if !found {
        eprintln!("MYSQL NOT TESTED: no mysqld here that is MySQL's; put one on PATH");
    }
    found
}

#[tokio::test]
async fn a_pair_replicates_and_each_may_only_what_it_should() {
    if !is_here() {
        return;
    }
    let pair = Servers::replicating_of(Mysql, 2).await;
    pair.create_ledger().await;
    let mut app = pair.app(ONE).await;
    app.query_drop("INSERT INTO my_shop.ledger VALUES (1, '🍣 and 🍺')").await.unwrap();
    pair.until_equal(&[1], TWO).await;
    let acknowledged: Option<(String, u64)> =
        app.query_first("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_yes_tx'").await.unwrap();
    assert!(acknowledged.unwrap().1 >= 2, "no write waited for the replica");
    let mut on_replica = pair.app(TWO).await;
    let error = refused(on_replica.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await);
    assert!(error.contains("read-only"), "{error}");
    for statement in [
        "SET GLOBAL read_only = 0",
        "SELECT * FROM mysql.user",
        "SELECT * FROM `stoa$`.term",
        "CREATE DATABASE myXshop",
        "CREATE USER x",
        "STOP REPLICA",
        "SET SESSION sql_log_bin = 0",
    ] {
        refused(app.query_drop(statement).await);
    }
    for (user, password) in [("root", ""), ("", ""), ("app", ""), ("admin", pair.credentials.admin())] {
        assert!(pair.connect(ONE, user, password).await.is_err(), "{user:?} came in");
    }

    // What it tells of itself.
    let primary = pair.until(ONE, "its replica", |status| status.followers.len() == 1).await;
    assert_eq!(primary.semi_sync, SemiSync { enabled: true, acknowledging: 1, ..SemiSync::default() });
    assert_eq!((primary.followers.clone(), primary.term), (BTreeSet::from([2]), Term(1)));
    assert!(matches!(&primary.origin, Origin::Uuid(uuid) if uuid.len() == 36), "{primary:?}");
    assert_eq!((primary.drift, primary.replication, primary.received), (Vec::new(), None, None));
    let replica = pair.until(TWO, "what was written", |status| status.gtid == primary.gtid).await;
    assert!(!replica.writable && !replica.semi_sync.enabled && replica.origin != primary.origin);
    let replication = replica.replication.unwrap();
    assert_eq!((replication.receiving, replication.applying), (Receiving::Connected, true));
    assert_eq!((replication.primary, replica.received), (pair.specs[0].endpoint.clone(), Some(primary.gtid)));

    // Everything again changes nothing.
    let before = pair.status(TWO).await.gtid;
    promote(&pair.server(ONE), Term(1), true).await.unwrap();
    follow(&pair.server(TWO), source(&pair.specs[0]), Term(1)).await.unwrap();
    prepare(&pair.server(ONE), user()).await.unwrap();
    assert_eq!(pair.until(TWO, "replication", replicates).await.gtid, before);

    // Another engine's data is left alone.
    let mut other = pair.specs[0].clone();
    other.engine = stoa_model::site::DatabaseEngine::Mariadb;
    let installed = data::installed(ONE, other.engine).await.unwrap();
    let state = data::state(&pair.paths.data(ONE), &installed);
    assert!(matches!(state, DataState::Foreign { .. }), "{state:?}");
    let mut admin = pair.admin(TWO).await;
    admin.query_drop("SET GLOBAL sync_binlog = 0").await.unwrap();
    pair.until(TWO, "drift", |status| status.drift == ["sync_binlog is 0, not 1"]).await;
}

#[tokio::test]
async fn one_that_does_not_acknowledge_says_so_and_is_cured() {
    if !is_here() {
        return;
    }
    let servers = Servers::replicating_of(Mysql, 2).await;
    let silent =
        ["STOP REPLICA IO_THREAD", "SET GLOBAL rpl_semi_sync_replica_enabled = 0", "START REPLICA IO_THREAD"];
    super::fencing::becomes_mute_and_is_cured(&servers, silent).await;
}

#[tokio::test]
async fn what_waits_for_a_replica_is_told_as_written() {
    if !is_here() {
        return;
    }
    let servers = Servers::replicating_of(Mysql, 2).await;
    servers.create_ledger().await;
    let (mut replica, mut app) = (servers.admin(TWO).await, servers.app(ONE).await);
    replica.query_drop("STOP REPLICA IO_THREAD").await.unwrap();
    let writes = tokio::spawn(async move {
        app.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    });
    let waits = |status: &DatabaseStatus| status.semi_sync.waiting == 1;
    let primary = servers.until(ONE, "a commit to wait", waits).await;
    let holds = servers.status(TWO).await.holds().clone();
    assert_eq!(primary.gtid.ahead_of(&holds), 1, "{} and {holds}", primary.gtid);
    replica.query_drop("START REPLICA IO_THREAD").await.unwrap();
    writes.await.unwrap();
    servers.until(TWO, "what was written", |status| status.gtid == primary.gtid).await;
}

#[tokio::test]
async fn silence_and_loss_of_a_primary_are_heard() {
    if !is_here() {
        return;
    }
    let mut servers = Servers::replicating_of(Mysql, 2).await;
    let heard = |status: &DatabaseStatus| status.replication.as_ref().and_then(|found| found.heard);
    servers.hang(ONE);
    servers.until(TWO, "silence", |status| heard(status).is_some_and(|age| age.0 >= 1200)).await;
    servers.signal(ONE, rustix::process::Signal::CONT);
    servers.until(TWO, "a heartbeat", |status| heard(status).is_some_and(|age| age.0 < 1000)).await;
    servers.kill(ONE);
    let gone = |status: &DatabaseStatus| {
        status.replication.as_ref().is_some_and(|found| found.receiving == Receiving::Connecting)
    };
    let witness = servers.until(TWO, "the loss of its primary", gone).await;
    assert!(witness.replication.unwrap().error.is_some());
}

#[tokio::test]
async fn what_only_a_former_primary_has_is_saved() {
    if !is_here() {
        return;
    }
    let mut servers = Servers::replicating_of(Mysql, 2).await;
    servers.create_ledger().await;
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, 'both')").await.unwrap();
    servers.until_equal(&[1], TWO).await;
    let common = servers.status(TWO).await.gtid;
    servers.stop(TWO);
    semi_sync(&servers.server(ONE), Term(1), false).await.unwrap();
    let mut app = servers.app(ONE).await;
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2, 'alone\n#1 \tGTID\t9')").await.unwrap();
    app.query_drop("CREATE TABLE my_shop.alone (id INT PRIMARY KEY)").await.unwrap();
    servers.kill(ONE);
    assert_eq!(salvage(ONE, &servers.paths, user(), &common, Term(2)).await.unwrap(), 2);
    let text = fs::read_to_string(servers.paths.salvaged(ONE, Term(2))).unwrap();
    assert!(text.contains("CREATE TABLE my_shop.alone") && text.contains("alone"), "{text}");
    assert!(!text.contains("both"), "{text}");
    servers.start(ONE);
    let stray = servers.until(ONE, "its start", |_| true).await;
    assert!(!common.contains(&stray.gtid), "{} holds {}", common, stray.gtid);
    servers.stop(ONE);
    assert_eq!(salvage(ONE, &servers.paths, user(), &stray.gtid, Term(3)).await.unwrap(), 0);
    assert!(!servers.paths.salvaged(ONE, Term(3)).exists());
}

#[tokio::test]
async fn a_server_is_cloned_under_load_and_what_is_cut_short_leaves_nothing() {
    if !is_here() {
        return;
    }
    let mut servers = Servers::replicating_of(Mysql, 1).await;
    servers.add_place();
    servers.add_place();
    servers.create_ledger().await;
    let error = clone(&servers.server(TWO), user(), &servers.server(ONE), Term(0)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { .. }), "{error}");
    cut_short(&servers).await;
    let writers = Writers::start(&servers, ONE, 4, 0).await;
    Writers::get_on(&servers, ONE, 20).await;
    // A server makes one at a time; the other waits for its turn.
    let (from, two, three) = (servers.server(ONE), servers.server(TWO), servers.server(THREE));
    let both = tokio::join!(clone(&two, user(), &from, Term(1)), clone(&three, user(), &from, Term(1)));
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    for id in [TWO, THREE] {
        servers.start(id);
        servers.until(id, "its start", |status| !status.writable && status.replication.is_none()).await;
        servers.follow(id, ONE, Term(1)).await;
    }
    fence(&servers.server(ONE)).await.unwrap();
    writers.acknowledged().await;
    let all = servers.ledger(ONE).await;
    servers.until_equal(&all, TWO).await;
    servers.until_equal(&all, THREE).await;
}

/// Cuts a copy short once the server is at it; the server then ceases, and nothing is left.
async fn cut_short(servers: &Servers) {
    let (to, from) = (servers.server(TWO), servers.server(ONE));
    let mut admin = servers.admin(ONE).await;
    let copies = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'CLONE LOCAL%'";
    let mut running = async |query: &str| admin.query_first::<u64, _>(query).await.unwrap().unwrap();
    {
        let mut copy = std::pin::pin!(clone(&to, user(), &from, Term(1)));
        loop {
            tokio::select! {
                done = &mut copy => panic!("it was over before it could be cut short: {done:?}"),
                copies = running(copies) => if copies > 0 { break },
            }
        }
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while running(copies).await > 0 {
        assert!(Instant::now() < deadline, "the server goes on copying");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!servers.paths.data(TWO).exists());
}
