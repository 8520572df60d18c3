//! Who may take writes, and who follows whom.

use super::scene::{Scene, id};
use stoa_model::observed::{DataState, Detail, Health, ProcessState, Receiving};
use stoa_model::plan::WaitKind;
use stoa_model::{Endpoint, Millis, Port, Term, Tier, Time};

fn verbs(scene: &Scene, verb: &str) -> Vec<String> {
    scene.steps().into_iter().filter(|step| step.starts_with(verb)).collect()
}

/// The primary came back and refuses writes, as every server does that has just started.
fn primary_is_back() -> Scene {
    let mut scene = Scene::settled();
    scene.status(id("database-1")).writable = false;
    scene
}

#[test]
fn the_lowest_number_is_primary_of_the_first_term() {
    let scene = Scene::settled();
    assert_eq!((scene.roster.primary, scene.roster.term), (Some(id("database-1")), Term(1)));
}

#[test]
fn a_primary_that_is_back_is_promoted_in_its_term() {
    let scene = primary_is_back();
    assert_eq!(verbs(&scene, "promote"), ["promote database-1"]);
}

#[test]
fn nothing_is_promoted_while_another_may_be_writable() {
    type Doubt = fn(&mut Scene);
    let doubtful: [(&str, Doubt); 3] = [
        ("writable", |scene| scene.status(id("database-2")).writable = true),
        ("unknown", |scene| scene.seen("database-2").process = ProcessState::Unknown),
        ("silent", |scene| {
            scene.fails("database-2", 1, 100);
            if let Detail::Database { at, .. } = &mut scene.seen("database-2").detail {
                *at = Time(0);
            }
        }),
    ];
    for (what, doubt) in doubtful {
        let mut scene = primary_is_back();
        doubt(&mut scene);
        assert_eq!(verbs(&scene, "promote"), Vec::<String>::new(), "{what}");
        assert!(scene.waits(WaitKind::Progress, "database-1").contains("database-2"), "{what}");
    }
}

#[test]
fn a_dead_or_just_started_server_is_no_doubt() {
    let mut scene = primary_is_back();
    scene.died("database-2", 0);
    assert_eq!(verbs(&scene, "promote"), ["promote database-1"]);

    let mut scene = primary_is_back();
    let now = scene.now;
    scene.running(id("database-2")).started = now;
    scene.running(id("database-2")).health = Health::Unproven(None);
    assert_eq!(verbs(&scene, "promote"), ["promote database-1"]);
}

#[test]
fn what_takes_writes_and_is_not_primary_is_fenced() {
    let mut scene = Scene::settled();
    scene.status(id("database-2")).writable = true;
    assert_eq!(scene.steps(), ["fence database-2"]);
}

#[test]
fn a_replica_follows_the_primary_wherever_it_listens() {
    let mut scene = Scene::settled();
    let elsewhere = Endpoint::loopback(Port::try_from(1).unwrap());
    scene.status(id("database-2")).replication.as_mut().unwrap().primary = elsewhere;
    assert_eq!(scene.steps(), ["follow database-2"]);

    let mut scene = Scene::settled();
    let broken = scene.status(id("database-2")).replication.as_mut().unwrap();
    (broken.applying, broken.error) = (false, Some("duplicate key".to_owned()));
    assert_eq!(scene.steps(), ["follow database-2"]);
    assert!(scene.waits(WaitKind::Trouble, "database-2").contains("duplicate key"));
}

#[test]
fn a_replica_that_connects_for_ever_begins_anew() {
    let mut scene = Scene::settled();
    let replication = scene.status(id("database-2")).replication.as_mut().unwrap();
    (replication.receiving, replication.heard) = (Receiving::Connecting, Some(Millis::from_secs(5)));
    assert_eq!(verbs(&scene, "follow"), Vec::<String>::new());
    scene.status(id("database-2")).replication.as_mut().unwrap().heard = Some(Millis::from_secs(16));
    assert_eq!(verbs(&scene, "follow"), ["follow database-2"]);
    assert!(scene.waits(WaitKind::Progress, "database-2").contains("connecting for too long"));
}

#[test]
fn a_replica_that_fetches_and_does_not_acknowledge_is_told_to() {
    let mut scene = Scene::settled();
    for (millis, told) in [(1_500, false), (2_500, true)] {
        scene.status(id("database-2")).replication.as_mut().unwrap().mute = Millis(millis);
        assert_eq!(!verbs(&scene, "follow").is_empty(), told, "{millis} ms");
    }
    assert!(scene.waits(WaitKind::Trouble, "database-2").contains("does not acknowledge"));
    scene.settle();
}

#[test]
fn every_connection_to_a_database_changes_to_tls_and_back() {
    let mut scene = Scene::settled();
    for tls in [true, false] {
        scene.intent.site.database.as_mut().unwrap().tls = tls;
        scene.settle();
        let sql = scene.routes.sql.clone();
        assert!(sql.primary.iter().chain(&sql.replicas).all(|route| route.tls == tls), "{sql:?}");
        assert_eq!(sql.replicas.len(), 1);
        let replica = sql.replicas[0].instance;
        assert_eq!(scene.status(replica).replication.as_ref().unwrap().tls, tls);
    }
}

#[test]
fn an_emptied_primary_does_not_take_the_place_of_a_replica_with_data() {
    let mut scene = Scene::settled();
    scene.died("database-1", 0);
    scene.died("database-2", 0);
    scene.seen("database-1").data = DataState::Absent;
    assert_eq!(verbs(&scene, "prepare"), Vec::<String>::new());
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "database-1"), @r"
    it takes writes again: database-1 and all its replicas have ended; no replica takes over: database-2 may hold what others lack: it has ended
    it is known that database-2 holds no data of this site: database-1 is its primary and has an empty data folder, and an empty primary must not take the place of one with data
    ");
}

#[test]
fn servers_that_know_a_higher_term_raise_it() {
    let mut scene = Scene::settled();
    scene.status(id("database-1")).term = Term(7);
    scene.turn();
    assert_eq!(scene.roster.term, Term(7));
    scene.settle();
}

#[test]
fn a_restart_waits_until_the_others_are_well() {
    let mut scene = Scene::settled();
    scene.intent.site.database.as_mut().unwrap().memory.0 = 9;
    scene.status(id("database-1")).writable = false;
    assert_eq!(verbs(&scene, "stop"), Vec::<String>::new());
    scene.settle();
}

#[test]
fn a_restart_of_the_only_server_goes_alone_when_another_one_is_wanted_again() {
    let mut scene = Scene::settled();
    *scene.intent.restarts.entry(Tier::Database).or_default() += 1;
    // Nothing of any plan is done meanwhile: the restart of the primary is begun while it is to be the only one.
    for count in [1, 2] {
        scene.intent.scale.insert(Tier::Database, count);
        let plan = scene.plan();
        scene.adopt(&plan, |_| false);
    }
    assert!(verbs(&scene, "stop").len() < 2);
    scene.settle();
}

/// A replica that waits for room on its disk, and whether it answers meanwhile.
fn replica_without_room(answers: bool) -> Scene {
    let mut scene = Scene::settled();
    scene.seen("database-2").full = Some("the disk is full: 3 MB are left".to_owned());
    if !answers {
        scene.fails("database-2", 40, 40_000);
    }
    scene
}

#[test]
fn a_replica_whose_disk_is_full_is_told_of_and_not_started_again() {
    for (full, stopped) in [(false, true), (true, false)] {
        let mut scene = replica_without_room(false);
        if !full {
            scene.seen("database-2").full = None;
        }
        assert_eq!(verbs(&scene, "stop"), if stopped { vec!["stop database-2"] } else { vec![] });
        let told = scene.waits(WaitKind::Trouble, "database-2").contains("3 MB are left");
        assert_eq!(told, full);
    }
    // It would be started on the same disk.
    let mut scene = replica_without_room(false);
    let started = scene.now - Millis(600_000);
    let running = scene.running(id("database-2"));
    (running.started, running.health) = (started, Health::Unproven(None));
    assert_eq!(verbs(&scene, "stop"), Vec::<String>::new());
    // What may be writable in it comes first.
    let mut scene = replica_without_room(false);
    scene.status(id("database-1")).writable = false;
    assert_eq!(verbs(&scene, "stop"), ["stop database-2"]);
}

#[test]
fn a_replica_whose_disk_is_full_is_read_from_while_it_keeps_up_and_never_made_anew() {
    let routed = |scene: &Scene| !scene.plan().routes.sql.replicas.is_empty();
    let mut scene = replica_without_room(true);
    assert!(routed(&scene));
    scene.status(id("database-2")).replication.as_mut().unwrap().lag_seconds = Some(90);
    assert!(!routed(&scene), "it lags, and will not catch up");
    let replication = scene.status(id("database-2")).replication.as_mut().unwrap();
    (replication.applying, replication.error) = (false, Some("Error writing file".to_owned()));
    assert!(!routed(&scene));
    for _ in 0..5 {
        scene.pass(20_000);
        let replication = scene.status(id("database-2")).replication.as_mut().unwrap();
        (replication.applying, replication.error) = (false, Some("Error writing file".to_owned()));
        scene.turn();
    }
    assert!(scene.roster.database.astray.is_empty(), "there is no room for another copy either");
}
