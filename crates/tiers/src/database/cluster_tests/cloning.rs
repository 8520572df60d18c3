//! Clones.

use super::servers::*;
use crate::database::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_server_is_cloned_under_load_and_follows() {
    let mut servers = Servers::replicating(2).await;
    // The third place is empty.
    servers.add_place();
    servers.create_ledger().await;
    let writers = Writers::start(&servers, ONE, 8, 0).await;
    Writers::get_on(&servers, ONE, 50).await;
    let started = Instant::now();
    clone(&servers.server(THREE), user(), &servers.server(ONE), Term(1)).await.unwrap();
    println!("cloned from the primary in {:?}", started.elapsed());
    let folder = servers.paths.data(THREE);
    let found = fs::metadata(&folder).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o700);
    if let Some(user) = user() {
        assert_eq!((found.uid(), found.gid()), (user.uid, user.gid));
    }
    // Again changes nothing.
    clone(&servers.server(THREE), user(), &servers.server(ONE), Term(1)).await.unwrap();
    servers.start(THREE);
    let fresh = servers.until(THREE, "its start", |status| !status.writable).await;
    assert_eq!((fresh.term, fresh.replication), (Term(1), None));
    servers.follow(THREE, ONE, Term(1)).await;
    Writers::get_on(&servers, ONE, 50).await;
    fence(&servers.server(ONE)).await.unwrap();
    let acknowledged = writers.acknowledged().await;
    let all = servers.ledger(ONE).await;
    assert_eq!(lost(&acknowledged, &all), Vec::<u64>::new());
    servers.until_equal(&all, THREE).await;
    servers.until_equal(&all, TWO).await;

    // From the primary itself, in place of a discarded one; and it can become the primary.
    servers.stop(TWO);
    discard(TWO, &servers.paths).await.unwrap();
    discard(TWO, &servers.paths).await.unwrap();
    assert!(!servers.paths.data(TWO).exists());
    let error = clone(&servers.server(TWO), user(), &servers.server(ONE), Term(0)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::StaleTerm { .. }), "{error}");
    assert_nothing_is_left(&servers, TWO);
    clone(&servers.server(TWO), user(), &servers.server(ONE), Term(2)).await.unwrap();
    servers.start(TWO);
    let fresh = servers.until(TWO, "its start", |_| true).await;
    assert_eq!(fresh.term, Term(2));
    promote(&servers.server(TWO), Term(2), true).await.unwrap();
    servers.follow(ONE, TWO, Term(2)).await;
    servers.follow(THREE, TWO, Term(2)).await;
    let writers = Writers::start(&servers, TWO, 2, 50_000_000).await;
    Writers::get_on(&servers, TWO, 20).await;
    fence(&servers.server(TWO)).await.unwrap();
    writers.acknowledged().await;
    let all = servers.ledger(TWO).await;
    servers.until_equal(&all, ONE).await;
    servers.until_equal(&all, THREE).await;
}

#[tokio::test]
async fn a_clone_that_is_cut_short_leaves_nothing() {
    let mut servers = Servers::prepared(2).await;
    // Its source does not run.
    let error = clone(&servers.server(TWO), user(), &servers.server(ONE), Term(1)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Sql { .. }), "{error}");
    assert_nothing_is_left(&servers, TWO);
    servers.start(ONE);
    servers.until(ONE, "its start", |_| true).await;
    // Cut short at several moments: what it started ends with it. However fast it is, it is not done when its
    // folder is only begun.
    let part = servers.paths.data(TWO).with_file_name(".database-2.part");
    for file in ["", "ibdata1", "mysql", "backup-my.cnf"] {
        let (to, from) = (servers.server(TWO), servers.server(ONE));
        let there = async {
            while !part.join(file).exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = there => {}
            done = clone(&to, user(), &from, Term(1)) => panic!("done before {file:?} was there: {done:?}"),
        }
        assert_nothing_is_left(&servers, TWO);
    }
    // Its source is killed while it is read.
    let (to, from) = (servers.server(TWO), servers.server(ONE));
    let pid = servers.running[0].as_ref().unwrap().id();
    let killer = async {
        let part = servers.paths.data(TWO).with_file_name(".database-2.part");
        while !part.join("ibdata1").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    let (cloned, ()) = tokio::join!(clone(&to, user(), &from, Term(1)), killer);
    let error = cloned.unwrap_err().to_string();
    assert!(!error.contains(servers.credentials.admin()), "{error}");
    println!("{error}");
    assert_nothing_is_left(&servers, TWO);
}

fn assert_nothing_is_left(servers: &Servers, instance: InstanceId) {
    let folder = servers.paths.data(instance);
    for path in [&folder, &making::beside(&folder, "part"), &making::beside(&folder, "tmp")] {
        assert!(!path.exists(), "{} is left", path.display());
    }
}
