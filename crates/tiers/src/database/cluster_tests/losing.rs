//! The primary is lost, or handed over, under writers: nothing that was acknowledged is lost.

use super::mysql;
use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use stoa_model::observed::{DatabaseStatus, Receiving};
use stoa_model::site::DatabaseEngine;
use stoa_model::{Endpoint, Gtids};

/// Who received most.
async fn furthest(servers: &Servers, of: [InstanceId; 2]) -> (InstanceId, InstanceId) {
    let [first, second] = of;
    let (one, two) = (servers.status(first).await, servers.status(second).await);
    if one.holds() >= two.holds() { (first, second) } else { (second, first) }
}

async fn the_primary_is_killed_under_writers_and_comes_back_as_a_replica(engine: DatabaseEngine) {
    let mut servers = Servers::replicating_of(engine, 3).await;
    servers.create_ledger().await;
    let mut acknowledged = Vec::new();
    let mut primary = ONE;
    for round in 2..5 {
        let term = Term(round);
        let writers = Writers::start(&servers, primary, 8, round * 100_000_000).await;
        Writers::get_on(&servers, primary, 100).await;
        let killed = Instant::now();
        servers.kill(primary);
        let others: Vec<_> = [ONE, TWO, THREE].into_iter().filter(|id| *id != primary).collect();
        let (heir, other) = furthest(&servers, [others[0], others[1]]).await;
        promote(&servers.server(heir), term, true).await.unwrap();
        let position = servers.status(heir).await.gtid;
        servers.follow(other, heir, term).await;
        println!("another one took over within {:?}", killed.elapsed());
        acknowledged.extend(writers.acknowledged().await);
        let saved = salvage(primary, &servers.paths, user(), &position, term).await.unwrap();
        println!("{saved} transactions were saved");
        if !engine.rewinds() {
            discard(primary, &servers.paths).await.unwrap();
            clone(&servers.server(primary), user(), &servers.server(heir), term).await.unwrap();
        }
        servers.start(primary);
        servers.until(primary, "its recovery", |status| !status.writable).await;
        servers.follow(primary, heir, term).await;
        let ledger = servers.ledger(heir).await;
        assert_eq!(lost(&acknowledged, &ledger), Vec::<u64>::new(), "of {}", acknowledged.len());
        servers.until_equal(&ledger, primary).await;
        servers.until_equal(&ledger, other).await;
        primary = heir;
    }
    println!("{} acknowledged writes, none lost", acknowledged.len());
}

#[tokio::test]
async fn mariadbs_primary_is_killed_under_writers_and_comes_back_as_a_replica() {
    the_primary_is_killed_under_writers_and_comes_back_as_a_replica(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn mysqls_primary_is_killed_under_writers_and_is_made_anew_from_its_successor() {
    if mysql::is_here() {
        the_primary_is_killed_under_writers_and_comes_back_as_a_replica(DatabaseEngine::Mysql).await;
    }
}

#[tokio::test]
async fn a_primary_that_is_killed_and_started_again_keeps_all_it_acknowledged() {
    let mut servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    let writers = Writers::start(&servers, ONE, 8, 0).await;
    Writers::get_on(&servers, ONE, 100).await;
    servers.kill(ONE);
    let acknowledged = writers.acknowledged().await;
    servers.start(ONE);
    servers.until(ONE, "its recovery", |status| !status.writable && status.term == Term(1)).await;
    promote(&servers.server(ONE), Term(1), true).await.unwrap();
    let ledger = servers.ledger(ONE).await;
    assert_eq!(lost(&acknowledged, &ledger), Vec::<u64>::new(), "of {}", acknowledged.len());
    // The replica finds its primary again by itself, on the same address.
    servers.until(TWO, "replication", replicates).await;
    servers.until_equal(&ledger, TWO).await;
}

async fn a_switchover_loses_nothing_and_goes_back_and_forth(engine: DatabaseEngine) {
    let servers = Servers::replicating_of(engine, 2).await;
    servers.create_ledger().await;
    let mut acknowledged = Vec::new();
    let (mut from, mut to) = (ONE, TWO);
    for round in 2..6 {
        let writers = Writers::start(&servers, from, 8, round * 100_000_000).await;
        Writers::get_on(&servers, from, 50).await;
        let started = Instant::now();
        fence(&servers.server(from)).await.unwrap();
        let position = servers.status(from).await.gtid;
        servers.until(to, "what its primary has", |status| status.holds().contains(&position)).await;
        promote(&servers.server(to), Term(round), true).await.unwrap();
        servers.follow(from, to, Term(round)).await;
        println!("handed over in {:?}", started.elapsed());
        acknowledged.extend(writers.acknowledged().await);
        let ledger = servers.ledger(to).await;
        assert_eq!(lost(&acknowledged, &ledger), Vec::<u64>::new(), "of {}", acknowledged.len());
        servers.until_equal(&ledger, from).await;
        std::mem::swap(&mut from, &mut to);
    }
    let error = promote(&servers.server(to), Term(1), false).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { asked: Term(1), .. }), "{error}");
}

#[tokio::test]
async fn a_switchover_of_mariadb_loses_nothing_and_goes_back_and_forth() {
    a_switchover_loses_nothing_and_goes_back_and_forth(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn a_switchover_of_mysql_loses_nothing_and_goes_back_and_forth() {
    if mysql::is_here() {
        a_switchover_loses_nothing_and_goes_back_and_forth(DatabaseEngine::Mysql).await;
    }
}

#[tokio::test]
async fn what_only_a_former_primary_has_is_saved_and_it_is_made_anew() {
    let mut servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, 'both')").await.unwrap();
    servers.until_equal(&[1], TWO).await;
    let common = servers.status(TWO).await.gtid;
    servers.stop(TWO);
    // It is let go on alone, and so has committed what nobody else has.
    semi_sync(&servers.server(ONE), Term(1), false).await.unwrap();
    let mut app = servers.app(ONE).await;
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2, 'alone\n#1 \tGTID 9-9-9')").await.unwrap();
    app.query_drop("CREATE TABLE my_shop.alone (id INT PRIMARY KEY)").await.unwrap();
    servers.kill(ONE);
    servers.start(TWO);
    servers.until(TWO, "its start", |_| true).await;
    promote(&servers.server(TWO), Term(2), false).await.unwrap();

    assert_eq!(salvage(ONE, &servers.paths, user(), &common, Term(2)).await.unwrap(), 2);
    let file = servers.paths.salvaged(ONE, Term(2));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("CREATE TABLE my_shop.alone") && text.contains("alone"), "{text}");
    assert!(!text.contains("both"), "{text}");
    assert_eq!(salvaged(&servers.paths)[&ONE].transactions, 2);
    assert_eq!(salvage(ONE, &servers.paths, user(), &common, Term(2)).await.unwrap(), 2);

    // It had committed that: it is no replica any more, and says so.
    servers.start(ONE);
    let stray = servers.until(ONE, "its start", |_| true).await;
    let primary = servers.status(TWO).await;
    assert!(!primary.gtid.contains(&stray.gtid), "{} holds {}", primary.gtid, stray.gtid);
    follow(&servers.server(ONE), source(&servers.specs[1]), Term(2)).await.unwrap();
    let broken = |status: &stoa_model::observed::DatabaseStatus| {
        status.replication.as_ref().is_some_and(|replication| replication.error.is_some())
    };
    let stray = servers.until(ONE, "an error", broken).await;
    println!("{:?}", stray.replication.unwrap().error);
    servers.kill(ONE);
    discard(ONE, &servers.paths).await.unwrap();
    clone(&servers.server(ONE), user(), &servers.server(TWO), Term(2)).await.unwrap();
    servers.start(ONE);
    servers.until(ONE, "its start", |_| true).await;
    servers.follow(ONE, TWO, Term(2)).await;
    servers.until_equal(&[1], ONE).await;
    // Nothing beyond: no file.
    servers.stop(ONE);
    let all = servers.status(TWO).await.gtid;
    assert_eq!(salvage(ONE, &servers.paths, user(), &all, Term(3)).await.unwrap(), 0);
    assert!(!servers.paths.salvaged(ONE, Term(3)).exists());
    assert_eq!(salvaged(&servers.paths)[&ONE].term, Term(3));
}

/// Writes what the last of three receives and is kept from applying, and hands over to the second, which the last one
/// follows. Gives back what had been written before.
async fn hand_over_beside_one_that_lags(
    servers: &mut Servers,
    keep_back: &[&str],
) -> (Gtids, mysql_async::Conn) {
    servers.create_ledger().await;
    servers.until_equal(&[], THREE).await;
    let mut admin = servers.admin(THREE).await;
    for statement in keep_back {
        admin.query_drop(*statement).await.unwrap();
    }
    let mut app = servers.app(ONE).await;
    for id in 1..=40 {
        app.query_drop(format!("INSERT INTO my_shop.ledger VALUES ({id}, '')")).await.unwrap();
    }
    let written = servers.status(ONE).await.gtid;
    servers.until(THREE, "to receive", |status| status.holds().contains(&written)).await;
    servers.kill(ONE);
    promote(&servers.server(TWO), Term(2), true).await.unwrap();
    servers.follow(THREE, TWO, Term(2)).await;
    // Nobody else could acknowledge this one.
    servers.app(TWO).await.query_drop("INSERT INTO my_shop.ledger VALUES (41, '')").await.unwrap();
    (written, admin)
}

async fn one_that_has_much_to_apply_follows_before_it_has(engine: DatabaseEngine) {
    let mut servers = Servers::replicating_of(engine, 3).await;
    let (stop, delay, start) = match engine {
        DatabaseEngine::Mariadb => ("STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY", "START SLAVE"),
        DatabaseEngine::Mysql => (
            "STOP REPLICA SQL_THREAD",
            "CHANGE REPLICATION SOURCE TO SOURCE_DELAY",
            "START REPLICA SQL_THREAD",
        ),
    };
    let (late, at_once) = (format!("{delay} = 3600"), format!("{delay} = 0"));
    let (written, mut admin) = hand_over_beside_one_that_lags(&mut servers, &[stop, &late, start]).await;
    let behind = servers.status(THREE).await;
    assert!(!behind.gtid.contains(&written), "it had to apply first: {}", behind.gtid);
    for statement in [stop, &at_once, start] {
        admin.query_drop(statement).await.unwrap();
    }
    servers.until_equal(&(1..=41).collect::<Vec<u64>>(), THREE).await;
}

#[tokio::test]
async fn a_replica_of_mariadb_that_has_much_to_apply_follows_before_it_has() {
    one_that_has_much_to_apply_follows_before_it_has(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn a_replica_of_mysql_that_has_much_to_apply_follows_before_it_has() {
    if mysql::is_here() {
        one_that_has_much_to_apply_follows_before_it_has(DatabaseEngine::Mysql).await;
    }
}

async fn one_that_somebodys_lock_keeps_from_applying_follows(engine: DatabaseEngine) {
    let mut servers = Servers::replicating_of(engine, 3).await;
    let lock = "LOCK TABLES my_shop.ledger READ";
    let (_, mut holder) = hand_over_beside_one_that_lags(&mut servers, &[lock]).await;
    assert!(holder.query_drop("UNLOCK TABLES").await.is_err(), "it was let go on");
    servers.until_equal(&(1..=41).collect::<Vec<u64>>(), THREE).await;
}

#[tokio::test]
async fn a_replica_of_mariadb_that_somebodys_lock_keeps_from_applying_follows() {
    one_that_somebodys_lock_keeps_from_applying_follows(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn a_replica_of_mysql_that_somebodys_lock_keeps_from_applying_follows() {
    if mysql::is_here() {
        one_that_somebodys_lock_keeps_from_applying_follows(DatabaseEngine::Mysql).await;
    }
}

async fn one_that_is_told_again_of_its_primary_keeps_what_it_acknowledged(engine: DatabaseEngine) {
    let mut servers = Servers::replicating_of(engine, 2).await;
    servers.create_ledger().await;
    servers.until_equal(&[], TWO).await;
    let mut holder = servers.admin(TWO).await;
    holder.query_drop("LOCK TABLES my_shop.ledger READ").await.unwrap();
    // More than are applied at once: what has begun is ended by a stop too.
    let mut app = servers.app(ONE).await;
    for id in 1..=100 {
        app.query_drop(format!("INSERT INTO my_shop.ledger VALUES ({id}, '')")).await.unwrap();
    }
    let acknowledged = servers.status(ONE).await.gtid;
    servers.until(TWO, "to receive", |status| status.holds().contains(&acknowledged)).await;
    // It cannot be had from there any more.
    servers.kill(ONE);
    let source = Source { endpoint: &servers.specs[0].endpoint, tls: false };
    servers.until(TWO, "the loss of its primary", |status| !replicates(status)).await;
    follow(&servers.server(TWO), source, Term(2)).await.unwrap();
    promote(&servers.server(TWO), Term(3), false).await.unwrap();
    assert_eq!(servers.ledger(TWO).await, (1..=100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_replica_of_mariadb_that_is_told_again_of_its_primary_keeps_what_it_acknowledged() {
    one_that_is_told_again_of_its_primary_keeps_what_it_acknowledged(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn a_replica_of_mysql_that_is_told_again_of_its_primary_keeps_what_it_acknowledged() {
    if mysql::is_here() {
        one_that_is_told_again_of_its_primary_keeps_what_it_acknowledged(DatabaseEngine::Mysql).await;
    }
}

/// Passes a replica's connection on to its primary, until so many bytes have come back.
async fn cut_after(bytes: u64, primary: &Endpoint) -> Endpoint {
    let Endpoint::Tcp(primary) = *primary else { panic!() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut replica, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut primary = tokio::net::TcpStream::connect(primary).await.unwrap();
        let ((mut from_replica, mut to_replica), (from_primary, mut to_primary)) =
            (replica.split(), primary.split());
        let mut limited = tokio::io::AsyncReadExt::take(from_primary, bytes);
        tokio::select! {
            _ = tokio::io::copy(&mut from_replica, &mut to_primary) => {}
            _ = tokio::io::copy(&mut limited, &mut to_replica) => {}
        }
    });
    Endpoint::Tcp(address)
}

#[tokio::test]
async fn what_came_of_a_transaction_that_was_cut_off_keeps_nobody_from_following() {
    let servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    semi_sync(&servers.server(ONE), Term(1), false).await.unwrap();
    let endpoint = cut_after(500_000, &servers.specs[0].endpoint).await;
    follow(&servers.server(TWO), Source { endpoint: &endpoint, tls: false }, Term(1)).await.unwrap();
    servers.until(TWO, "replication", replicates).await;
    let rows = "INSERT INTO my_shop.ledger SELECT seq, REPEAT('x', 7000) FROM seq_1_to_400";
    let mut app = servers.app(ONE).await;
    app.query_drop("USE my_shop").await.unwrap();
    app.query_drop(rows).await.unwrap();
    let cut = |status: &DatabaseStatus| {
        status.replication.as_ref().is_some_and(|replication| replication.receiving == Receiving::Connecting)
    };
    servers.until(TWO, "the loss of its primary", cut).await;
    let row: Option<mysql_async::Row> =
        servers.admin(TWO).await.query_first("SHOW SLAVE STATUS").await.unwrap();
    let place = |name: &str| row.as_ref().unwrap().get::<u64, _>(name).unwrap();
    assert!(place("Read_Master_Log_Pos") > place("Exec_Master_Log_Pos"), "no part of it has come");
    servers.follow(TWO, ONE, Term(1)).await;
    servers.until_equal(&(1..=400).collect::<Vec<u64>>(), TWO).await;
}

#[tokio::test]
async fn a_replica_that_wrote_for_itself_is_seen() {
    let servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    let mut admin = servers.admin(TWO).await;
    servers.until(TWO, "the ledger", |status| !status.gtid.is_empty()).await;
    admin.query_drop("INSERT INTO my_shop.ledger VALUES (77, 'errant')").await.unwrap();
    let (primary, replica) = (servers.status(ONE).await, servers.status(TWO).await);
    let errant = replica.gtid.subtract(&primary.gtid);
    assert!(!errant.is_empty(), "{} against {}", replica.gtid, primary.gtid);
    assert_eq!(errant, "0-2-2".parse::<Gtids>().unwrap());
}

#[tokio::test]
async fn a_handover_that_is_cut_short_anywhere_and_done_again_comes_to_the_same_end() {
    let servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    let (mut from, mut to) = (ONE, TWO);
    for (round, cut) in (2..).zip([0u64, 1, 2, 3, 5, 8, 12, 20, 40]) {
        let (term, id) = (Term(round), round);
        let insert = format!("INSERT INTO my_shop.ledger VALUES ({id}, '')");
        let mut app = servers.app(from).await;
        if tokio::time::timeout(PATIENCE, app.query_drop(insert)).await.is_err() {
            panic!(
                "{from} does not acknowledge: {:?}",
                (servers.status(from).await, servers.status(to).await)
            );
        }
        let cut = Duration::from_millis(cut);
        let (old, new) = (servers.server(from), servers.server(to));
        // Whoever acts is killed; the next one begins again.
        let _ = tokio::time::timeout(cut, fence(&old)).await;
        fence(&old).await.unwrap();
        let position = servers.status(from).await.gtid;
        servers.until(to, "what its primary has", |status| status.holds().contains(&position)).await;
        let _ = tokio::time::timeout(cut, promote(&new, term, true)).await;
        promote(&new, term, true).await.unwrap();
        let endpoint = &servers.specs[place(to)].endpoint;
        let _ = tokio::time::timeout(cut, follow(&old, Source { endpoint, tls: false }, term)).await;
        follow(&old, Source { endpoint, tls: false }, term).await.unwrap();
        servers.until(from, "replication", replicates).await;
        // What it is sent before it counts as one that acknowledges is never acknowledged.
        let primary = servers.status(to).await;
        assert!(primary.writable && primary.term == term && primary.replication.is_none());
        assert!(!servers.status(from).await.writable);
        std::mem::swap(&mut from, &mut to);
    }
    servers.until_equal(&(2..11).collect::<Vec<u64>>(), ONE).await;
    servers.until_equal(&(2..11).collect::<Vec<u64>>(), TWO).await;
}
