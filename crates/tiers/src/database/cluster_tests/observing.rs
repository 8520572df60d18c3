//! What a server says of itself, and when it says nothing.

use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use stoa_model::gtid::Origin;
use stoa_model::observed::{Receiving, SemiSync};

#[tokio::test]
async fn a_server_tells_everything_of_itself() {
    let mut servers = Servers::replicating(3).await;
    servers.create_ledger().await;
    let primary = servers.until(ONE, "followers", |status| status.followers.len() == 2).await;
    assert_eq!(primary.semi_sync, SemiSync { enabled: true, acknowledging: 2, ..SemiSync::default() });
    assert_eq!(primary.followers, BTreeSet::from([2, 3]));
    assert_eq!((primary.term, &primary.replication, &primary.received), (Term(1), &None, &None));
    assert_eq!(&primary.origin, &Origin::Server(1));
    assert_eq!(primary.drift, Vec::<String>::new());
    assert!(primary.version.contains("MariaDB"), "{}", primary.version);

    let replica = servers.until(TWO, "what was written", |status| status.gtid == primary.gtid).await;
    assert!(!replica.writable && !replica.semi_sync.enabled);
    assert_eq!((&replica.received, &replica.origin), (&Some(primary.gtid.clone()), &Origin::Server(2)));
    let replication = replica.replication.unwrap();
    assert_eq!((replication.receiving, replication.applying), (Receiving::Connected, true));
    assert_eq!(replication.primary, servers.specs[0].endpoint);

    // It has received, and not applied.
    let mut admin = servers.admin(TWO).await;
    admin.query_drop("STOP SLAVE SQL_THREAD").await.unwrap();
    servers.app(ONE).await.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    let primary = servers.status(ONE).await;
    let behind = servers.until(TWO, "to receive", |status| *status.holds() == primary.gtid).await;
    assert!(behind.gtid < primary.gtid && !behind.replication.as_ref().unwrap().applying);
    assert_eq!(primary.gtid.ahead_of(&behind.gtid), 1);

    // A primary that says nothing: its replicas notice, and are witnesses.
    servers.hang(ONE);
    let silent = |status: &stoa_model::observed::DatabaseStatus| {
        let heard = status.replication.as_ref().and_then(|replication| replication.heard);
        heard.is_some_and(|age| age.0 >= 1200)
    };
    servers.until(THREE, "silence", silent).await;
    servers.signal(ONE, Signal::CONT);
    let hears = |status: &stoa_model::observed::DatabaseStatus| {
        let heard = status.replication.as_ref().and_then(|replication| replication.heard);
        heard.is_some_and(|age| age.0 < 1000)
    };
    servers.until(THREE, "a heartbeat", hears).await;
    servers.kill(ONE);
    let gone = |status: &stoa_model::observed::DatabaseStatus| {
        status.replication.as_ref().is_some_and(|replication| replication.receiving == Receiving::Connecting)
    };
    let started = Instant::now();
    let witness = servers.until(THREE, "the loss of its primary", gone).await;
    println!("a replica knows after {:?} that its primary was killed", started.elapsed());
    assert!(witness.replication.unwrap().error.is_some());

    admin.query_drop("SET GLOBAL sync_binlog = 0").await.unwrap();
    servers.until(TWO, "drift", |status| status.drift == ["sync_binlog is 0, not 1"]).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_gives_no_answer_in_time_and_holds_one_connection() {
    let mut servers = Servers::replicating(1).await;
    let asked = Instant::now();
    for _ in 0..50 {
        servers.monitor.status(&servers.server(ONE)).await.unwrap();
    }
    println!("a status takes {:?}", asked.elapsed() / 50);
    let mut admin = servers.admin(ONE).await;
    let count = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'monitor'";
    let connections: Option<u64> = admin.query_first(count).await.unwrap();
    assert_eq!(connections, Some(1));

    servers.hang(ONE);
    for _ in 0..2 {
        let asked = Instant::now();
        let answer = servers.monitor.status(&servers.server(ONE)).await;
        assert_eq!(answer.unwrap_err(), "no answer within 1 s");
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
    servers.signal(ONE, Signal::CONT);
    servers.until(ONE, "an answer", |status| status.writable).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while admin.query_first(count).await.unwrap() != Some(1) {
        assert!(Instant::now() < deadline, "connections are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    servers.kill(ONE);
    let answer = servers.monitor.status(&servers.server(ONE)).await.unwrap_err();
    assert!(!answer.contains(servers.credentials.monitor()), "{answer}");
    // Another process on the same place.
    servers.start(ONE);
    servers.until(ONE, "its start", |status| !status.writable).await;
    let full = "SET GLOBAL max_connections = 10";
    servers.admin(ONE).await.query_drop(full).await.unwrap();
    let mut held = Vec::new();
    while let Ok(app) = servers.connect(ONE, "app", servers.credentials.app()).await {
        held.push(app);
    }
    assert!(servers.monitor.status(&servers.server(ONE)).await.is_ok(), "no place left for the monitor");
}
