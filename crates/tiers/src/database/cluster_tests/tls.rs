//! Servers that are connected to inside TLS.

use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use std::fs;
use stoa_model::observed::Receiving;
use stoa_model::site::DatabaseEngine;

async fn replicates_inside_tls_and_believes_only_its_own(engine: DatabaseEngine) {
    let mut pair = Servers::prepared_of(engine, 2).await;
    pair.specs.iter_mut().for_each(|spec| spec.tls = true);
    pair.begin(&[TWO]).await;
    let status = pair.until(TWO, "replication", replicates).await;
    assert!(status.replication.unwrap().tls);
    let mut admin = pair.admin(ONE).await;
    admin.query_drop("CREATE TABLE my_shop.ledger (id BIGINT PRIMARY KEY, note TEXT)").await.unwrap();
    admin.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    let written = pair.status(ONE).await.gtid;
    pair.until(TWO, "what was written", |status| status.gtid == written).await;

    // Nobody comes in over the network otherwise.
    assert!(pair.connect(ONE, "app", pair.credentials.app()).await.is_err());

    // One that shows another certificate is not believed, though it has every password.
    let own = fs::read(pair.paths.database_certificate()).unwrap();
    fs::write(pair.paths.database_certificate(), Certificate::generate().unwrap().certificate()).unwrap();
    let (words, mut replica) = (words::of(engine), pair.admin(TWO).await);
    for statement in [words.stop_replicating, words.start_replicating] {
        replica.query_drop(statement).await.unwrap();
    }
    let told = |status: &stoa_model::observed::DatabaseStatus| {
        let replication = status.replication.as_ref().unwrap();
        let error = replication.error.as_ref().is_some_and(|error| error.contains("SSL connection error"));
        error && replication.receiving != Receiving::Connected
    };
    pair.until(TWO, "its mistrust", told).await;
    fs::write(pair.paths.database_certificate(), own).unwrap();
    pair.until(TWO, "its trust", replicates).await;

    // And without TLS again.
    pair.specs[0].tls = false;
    pair.stop(ONE);
    pair.start(ONE);
    pair.until(ONE, "its start", |_| true).await;
    promote(&pair.server(ONE), Term(2), true).await.unwrap();
    follow(&pair.server(TWO), source(&pair.specs[0]), Term(2)).await.unwrap();
    let status = pair.until(TWO, "replication", replicates).await;
    assert!(!status.replication.unwrap().tls);
    pair.connect(ONE, "app", pair.credentials.app()).await.unwrap();
}

#[tokio::test]
async fn mariadb_replicates_inside_tls_and_believes_only_its_own() {
    replicates_inside_tls_and_believes_only_its_own(DatabaseEngine::Mariadb).await;
}

#[tokio::test]
async fn mysql_replicates_inside_tls_and_believes_only_its_own() {
    if super::mysql::is_here() {
        replicates_inside_tls_and_believes_only_its_own(DatabaseEngine::Mysql).await;
    }
}
