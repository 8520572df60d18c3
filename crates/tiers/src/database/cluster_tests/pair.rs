//! A pair: who may do what, terms, data folders.

use super::servers::*;
use crate::database::*;
use mysql_async::prelude::Queryable;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;
use stoa_model::observed::DataState;
use stoa_model::site::DatabaseEngine;

#[tokio::test]
async fn a_pair_replicates_and_each_may_only_what_it_should() {
    let pair = Servers::replicating(2).await;
    pair.create_ledger().await;
    let mut app = pair.app(ONE).await;
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
    // Nobody comes in without a password, nor the daemon over the network.
    for (user, password) in [("root", ""), ("", ""), ("app", ""), ("admin", pair.credentials.admin())] {
        assert!(pair.connect(ONE, user, password).await.is_err(), "{user:?} came in");
    }
    // Over the network that one is only told how far the log is.
    let mut monitor = pair.connect(ONE, "monitor", pair.credentials.monitor()).await.unwrap();
    for statement in ["SELECT * FROM `stoa$`.term", "SET GLOBAL read_only = 0", "CREATE USER x"] {
        refused(monitor.query_drop(statement).await);
    }
    let mut replication = pair.connect(ONE, "replication", pair.credentials.replication()).await.unwrap();
    refused(replication.query_drop("SELECT * FROM my_shop.ledger").await);

    // Everything again changes nothing.
    let before = pair.until(TWO, "replication", replicates).await;
    promote(&pair.server(ONE), Term(1), true).await.unwrap();
    follow(&pair.server(TWO), source(&pair.specs[0]), Term(1)).await.unwrap();
    prepare(&pair.server(ONE), user()).await.unwrap();
    assert_eq!(pair.until(TWO, "replication", replicates).await.gtid, before.gtid);
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await.unwrap();
    pair.until_equal(&[1, 2], TWO).await;
}

#[tokio::test]
async fn the_primary_changes_and_actors_of_the_past_are_refused() {
    let pair = Servers::replicating(2).await;
    pair.create_ledger().await;
    let mut app = pair.app(ONE).await;
    app.query_drop("INSERT INTO my_shop.ledger VALUES (1, '')").await.unwrap();
    // A transaction is open when the fence comes.
    app.query_drop("BEGIN").await.unwrap();
    app.query_drop("INSERT INTO my_shop.ledger VALUES (2, '')").await.unwrap();
    let started = Instant::now();
    fence(&pair.server(ONE)).await.unwrap();
    println!("fenced in {:?}", started.elapsed());
    assert!(app.query_drop("COMMIT").await.is_err(), "a fenced server committed");
    fence(&pair.server(ONE)).await.unwrap();
    let mut late = pair.app(ONE).await;
    assert!(
        refused(late.query_drop("INSERT INTO my_shop.ledger VALUES (3, '')").await).contains("--read-only")
    );

    let started = Instant::now();
    promote(&pair.server(TWO), Term(2), false).await.unwrap();
    println!("promoted in {:?}", started.elapsed());
    follow(&pair.server(ONE), source(&pair.specs[1]), Term(2)).await.unwrap();
    pair.until(ONE, "replication", replicates).await;
    pair.app(TWO).await.query_drop("INSERT INTO my_shop.ledger VALUES (4, '')").await.unwrap();
    pair.until_equal(&[1, 4], ONE).await;
    pair.until_equal(&[1, 4], TWO).await;

    // An actor of term 1 wakes up.
    let error = promote(&pair.server(ONE), Term(1), false).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { asked: Term(1), known: Term(2), .. }), "{error}");
    let error = follow(&pair.server(TWO), source(&pair.specs[0]), Term(1)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { .. }), "{error}");
    assert!(pair.status(TWO).await.writable);
    assert!(!pair.status(ONE).await.writable);
}

#[tokio::test]
async fn a_data_folder_is_whole_or_not_there_and_never_somebody_elses() {
    let pair = Servers::prepared(2).await;
    let installed = data::installed(ONE, DatabaseEngine::Mariadb).await.unwrap();
    let (one, two) = (pair.paths.data(ONE), pair.paths.data(TWO));
    assert_eq!(data::state(&one, &installed), DataState::Ready);
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o700);
    // What a preparation that was cut short leaves is beside it, and in nobody's way.
    fs::create_dir(two.with_file_name(".database-2.part")).unwrap();
    fs::write(two.with_file_name(".database-2.part").join("ibdata1"), "x").unwrap();
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
