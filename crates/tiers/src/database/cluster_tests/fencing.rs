//! Fences: nothing more is taken, nothing hangs, and nothing comes to light that no replica has.

use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use std::time::{Duration, Instant};
use stoa_model::Millis;
use stoa_model::observed::DatabaseStatus;

#[tokio::test]
async fn a_fence_gets_past_locked_tables_and_long_statements() {
    let servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, ''), (2, '')").await.unwrap();
    let statements = ["LOCK TABLES my_shop.ledger WRITE", "UPDATE my_shop.ledger SET note = SLEEP(60)"];
    for (round, statement) in (1..).zip(statements) {
        let mut app = servers.app(ONE).await;
        let in_the_way = tokio::spawn(async move {
            let done = app.query_drop(statement).await;
            // Until it is thrown out.
            match done {
                Ok(()) => app.query_drop("DO SLEEP(60)").await,
                error => error,
            }
        });
        let mut admin = servers.admin(ONE).await;
        let busy =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info LIKE '%SLEEP%'";
        let deadline = Instant::now() + Duration::from_secs(10);
        while admin.query_first(busy).await.unwrap() != Some(1) {
            assert!(Instant::now() < deadline, "{statement} does not begin");
        }
        let started = Instant::now();
        fence(&servers.server(ONE)).await.unwrap();
        println!("fenced in {:?} in spite of {statement}", started.elapsed());
        assert!(in_the_way.await.unwrap().is_err());
        assert!(!servers.status(ONE).await.writable);
        // Half way and again is once.
        fence(&servers.server(ONE)).await.unwrap();
        promote(&servers.server(ONE), Term(round), true).await.unwrap();
    }
    let left: Option<u64> = servers
        .app(ONE)
        .await
        .query_first("SELECT COUNT(*) FROM my_shop.ledger WHERE note <> ''")
        .await
        .unwrap();
    assert_eq!(left, Some(0), "a fenced statement was committed");
}

#[tokio::test]
async fn commits_that_wait_for_an_acknowledgement_are_neither_shown_nor_acknowledged_by_a_fence() {
    let mut servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    servers.until_equal(&[1], TWO).await;
    servers.admin(TWO).await.query_drop("STOP SLAVE IO_THREAD").await.unwrap();
    let writers = Writers::start(&servers, ONE, 3, 100).await;
    let waiting = servers.until(ONE, "commits to wait", |status| status.semi_sync.waiting > 0).await;
    assert!(waiting.writable && waiting.semi_sync.enabled);

    let started = Instant::now();
    let error = fence(&servers.server(ONE)).await.unwrap_err();
    println!("could not be fenced within {:?}: {error}", started.elapsed());
    assert!(matches!(error, DatabaseError::Unacknowledged { sessions: 1.., .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(servers.ledger(ONE).await, [1], "a fence let through what no replica has");

    // So its process is ended. What the other one has not is saved, and taken back.
    servers.kill(ONE);
    assert_eq!(writers.acknowledged().await, Vec::<u64>::new());
    let before = servers.status(TWO).await.gtid;
    promote(&servers.server(TWO), Term(2), false).await.unwrap();
    let saved = salvage(ONE, &servers.paths, user(), &before, Term(2)).await.unwrap();
    assert!((1..=3).contains(&saved), "{saved}");
    servers.start(ONE);
    servers.until(ONE, "its start", |_| true).await;
    assert_eq!(servers.ledger(ONE).await, [1], "{}", servers.log(ONE));
    servers.follow(ONE, TWO, Term(2)).await;
    servers.app(TWO).await.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await.unwrap();
    servers.until_equal(&[1, 2], ONE).await;
}

#[tokio::test]
async fn commits_whose_acknowledgement_was_lost_are_seen_to_wait() {
    let mut servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    let mut replica = servers.admin(TWO).await;
    // It receives, and its answer goes nowhere: as when the connection breaks between the two.
    let silent =
        ["STOP SLAVE IO_THREAD", "SET GLOBAL rpl_semi_sync_slave_enabled = 0", "START SLAVE IO_THREAD"];
    for statement in silent {
        replica.query_drop(statement).await.unwrap();
    }
    servers.until(ONE, "nobody to acknowledge", |status| status.semi_sync.acknowledging == 0).await;
    let writers = Writers::start(&servers, ONE, 3, 100).await;
    let waits = |status: &DatabaseStatus| status.semi_sync.waiting > 0 && status.semi_sync.unmoved.0 > 300;
    let waiting = servers.until(ONE, "commits to wait", waits).await;
    servers.until(TWO, "what they wrote", |status| status.holds().contains(&waiting.gtid)).await;
    for statement in
        ["STOP SLAVE IO_THREAD", "SET GLOBAL rpl_semi_sync_slave_enabled = 1", "START SLAVE IO_THREAD"]
    {
        replica.query_drop(statement).await.unwrap();
    }
    let again = servers.until(ONE, "a replica", |status| status.semi_sync.acknowledging == 1).await;
    println!("connected again, {} commits wait", again.semi_sync.waiting);
    servers.until(ONE, "commits to wait still", |status| status.semi_sync.unmoved.0 > 2000).await;
    assert!(servers.status(TWO).await.holds().contains(&servers.status(ONE).await.gtid));

    // What then follows: it is ended, and the one that has all takes over. No acknowledged write is lost.
    servers.kill(ONE);
    let acknowledged = writers.acknowledged().await;
    promote(&servers.server(TWO), Term(2), false).await.unwrap();
    assert_eq!(lost(&acknowledged, &servers.ledger(TWO).await), Vec::<u64>::new());
}

#[tokio::test]
async fn a_replica_that_does_not_acknowledge_says_so_and_is_cured() {
    let servers = Servers::replicating(2).await;
    let silent =
        ["STOP SLAVE IO_THREAD", "SET GLOBAL rpl_semi_sync_slave_enabled = 0", "START SLAVE IO_THREAD"];
    becomes_mute_and_is_cured(&servers, silent).await;
}

/// As when somebody switches off that it acknowledges: commits of its primary wait in vain.
pub(super) async fn becomes_mute_and_is_cured(servers: &Servers, silent: [&str; 3]) {
    servers.create_ledger().await;
    let mute = |status: &DatabaseStatus| status.replication.as_ref().map_or(Millis(0), |found| found.mute);
    assert_eq!(mute(&servers.status(TWO).await), Millis(0));
    let mut replica = servers.admin(TWO).await;
    for statement in silent {
        replica.query_drop(statement).await.unwrap();
    }
    servers.until(TWO, "that it is mute", |status| mute(status) > Millis(500)).await;
    servers.until(ONE, "nobody to acknowledge", |status| status.semi_sync.acknowledging == 0).await;
    let received = servers.status(TWO).await;

    follow(&servers.server(TWO), source(&servers.specs[0]), Term(1)).await.unwrap();
    servers.until(TWO, "to acknowledge", |status| replicates(status) && mute(status) == Millis(0)).await;
    servers.until(ONE, "a replica", |status| status.semi_sync.acknowledging == 1).await;
    assert!(servers.status(TWO).await.holds().contains(received.holds()));
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    servers.until_equal(&[1], TWO).await;
}

#[tokio::test]
async fn a_primary_that_wakes_up_takes_no_write() {
    let servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    let mut sleeper = servers.app(ONE).await;
    sleeper.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    servers.hang(ONE);
    let started = Instant::now();
    assert!(fence(&servers.server(ONE)).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    promote(&servers.server(TWO), Term(2), false).await.unwrap();
    servers.app(TWO).await.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await.unwrap();
    // Nobody killed it, which is worse than what is ever done.
    servers.signal(ONE, Signal::CONT);
    let write = sleeper.query_drop("INSERT INTO my_shop.ledger VALUES (3, '')");
    let taken = tokio::time::timeout(Duration::from_secs(2), write).await;
    assert!(!matches!(taken, Ok(Ok(()))), "the old primary took a write");
    let other = servers.ledger(ONE).await;
    assert_eq!(other, [1], "the old primary shows a write that nobody else has");
    servers.until_equal(&[1, 2], TWO).await;
}

#[tokio::test]
async fn a_promotion_gets_past_locks_and_a_primary_may_cease_to_wait() {
    let mut servers = Servers::replicating(2).await;
    servers.create_ledger().await;
    // A reader on the replica holds up what it has to apply.
    let mut reader = servers.app(TWO).await;
    reader.query_drop("LOCK TABLES my_shop.ledger READ").await.unwrap();
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    // And the administrator locks it all, or waits to: a replica that applies side by side lets the lock wait
    // for what is held up.
    let mut admin = servers.admin(TWO).await;
    let locks = tokio::spawn(async move {
        let _ = admin.query_drop("FLUSH TABLES WITH READ LOCK").await;
        admin
    });
    servers.kill(ONE);
    let started = Instant::now();
    promote(&servers.server(TWO), Term(2), true).await.unwrap();
    println!("promoted in {:?} in spite of locked tables", started.elapsed());
    locks.abort();
    assert_eq!(servers.ledger(TWO).await, [1]);

    // No replica is there: a commit waits, until it is decided to go on without one.
    let mut app = servers.app(TWO).await;
    let write =
        tokio::spawn(async move { app.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await });
    servers.until(TWO, "a commit to wait", |status| status.semi_sync.waiting == 1).await;
    assert_eq!(servers.ledger(TWO).await, [1]);
    let error = semi_sync(&servers.server(TWO), Term(1), false).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { .. }), "{error}");
    semi_sync(&servers.server(TWO), Term(2), false).await.unwrap();
    semi_sync(&servers.server(TWO), Term(2), false).await.unwrap();
    write.await.unwrap().unwrap();
    assert!(!servers.status(TWO).await.semi_sync.enabled);
    semi_sync(&servers.server(TWO), Term(2), true).await.unwrap();
    assert!(servers.status(TWO).await.semi_sync.enabled);
}
