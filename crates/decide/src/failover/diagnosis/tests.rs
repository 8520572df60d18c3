//! What is made of what is seen.

use super::*;
use crate::tests::scene::{Scene, id};
use stoa_model::observed::{DatabaseStatus, Detail};

fn diagnosis(scene: &Scene) -> Diagnosis {
    let observed = scene.observed();
    let input = scene.input(&observed);
    diagnose(Sight { input: &input }, &scene.roster, id("database-1"))
}

fn replication(scene: &mut Scene) -> &mut Replication {
    scene.status(id("database-2")).replication.as_mut().unwrap()
}

/// The primary has answered nothing for so long.
fn silent(scene: &mut Scene, millis: u64) {
    scene.fails("database-1", 3, millis);
    let last = scene.now - Millis(millis);
    if let Detail::Database { at, .. } = &mut scene.seen("database-1").detail {
        *at = last;
    }
}

fn word(diagnosis: &Diagnosis) -> String {
    let text = format!("{diagnosis:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Its commits have waited so long for a replica that is connected and has not got them.
fn wedged(scene: &mut Scene, millis: u64) {
    scene.writes("database-1", 1);
    replication(scene).stalled = Millis(millis);
    let semi_sync = &mut scene.status(id("database-1")).semi_sync;
    (semi_sync.waiting, semi_sync.unmoved) = (3, Millis(millis));
}

type Change = fn(&mut Scene);

/// What is seen of the primary, and what that is.
const SIGHTS: [(&str, Change, &str); 18] = [
    ("nothing is wrong", |_| {}, "Fine"),
    ("its process ended", |s| s.died("database-1", 0), "Dead"),
    (
        "all have ended",
        |s| {
            s.died("database-1", 0);
            s.died("database-2", 0);
        },
        "AllDead",
    ),
    ("it is not known whether it runs", |s| s.seen("database-1").process = ProcessState::Unknown, "Unknown"),
    (
        "it hangs, and its replica hears nothing",
        |s| {
            silent(s, 1_500);
            replication(s).heard = Some(Millis(1_500));
        },
        "Hung",
    ),
    (
        "it hangs, and its replica has lost it",
        |s| {
            silent(s, 1_500);
            replication(s).receiving = Receiving::Connecting;
        },
        "Hung",
    ),
    (
        "it has only just fallen silent",
        |s| {
            silent(s, 1_400);
            replication(s).heard = Some(Millis(1_500));
        },
        "Unknown",
    ),
    (
        "it does not answer, and its replica hears it",
        |s| {
            silent(s, 60_000);
            replication(s).heard = Some(Millis(500));
        },
        "Replicates",
    ),
    (
        "it does not answer, and a stopped replica says nothing of it",
        |s| {
            silent(s, 60_000);
            replication(s).receiving = Receiving::Stopped;
        },
        "Unknown",
    ),
    ("a replica's thread is stopped", |s| replication(s).receiving = Receiving::Stopped, "Fine"),
    ("its disk is full", |s| s.seen("database-1").full = Some("no space".to_owned()), "DiskFull"),
    (
        "commits wait for nobody",
        |s| {
            let semi_sync = &mut s.status(id("database-1")).semi_sync;
            (semi_sync.acknowledging, semi_sync.waiting) = (0, 3);
        },
        "SemiSyncBlocked",
    ),
    ("commits wait for a replica that gets nothing of them", |s| wedged(s, 30_500), "Wedged"),
    (
        "what they wait for is on its way",
        |s| {
            wedged(s, 90_000);
            replication(s).stalled = Millis(200);
        },
        "Fine",
    ),
    ("what they wait for may still be on its way", |s| wedged(s, 29_500), "Fine"),
    (
        "they wait for a replica whose disk is full",
        |s| {
            wedged(s, 30_500);
            s.seen("database-2").full = Some("no space".to_owned());
            replication(s).applying = false;
        },
        "Fine",
    ),
    ("two take writes", |s| s.status(id("database-2")).writable = true, "SplitBrain"),
    ("it refuses writes", |s| s.status(id("database-1")).writable = false, "Starting"),
];

#[test]
fn each_sight_has_its_diagnosis() {
    for (what, change, expected) in SIGHTS {
        let mut scene = Scene::settled();
        change(&mut scene);
        assert_eq!(word(&diagnosis(&scene)), expected, "{what}");
    }
}

#[test]
fn another_primary_is_not_tried_again_and_again() {
    for (ago, expected) in [(Millis::from_secs(599), "Fine"), (Millis::from_secs(601), "Wedged")] {
        let mut scene = Scene::settled();
        wedged(&mut scene, 40_000);
        scene.roster.database.wedged = Some(Time(scene.now.0 - ago.0));
        assert_eq!(word(&diagnosis(&scene)), expected, "{ago}");
    }
}

#[test]
fn a_daemon_that_has_just_started_knows_nothing_yet() {
    let mut scene = Scene::settled();
    scene.running(id("database-1")).health = stoa_model::observed::Health::Unproven(None);
    scene.seen("database-1").detail = Detail::None;
    replication(&mut scene).heard = Some(Millis(9_000));
    assert_eq!(word(&diagnosis(&scene)), "Unknown");
}

#[test]
fn replicas_have_theirs() {
    type Alter = fn(&mut DatabaseStatus);
    let table: [(Alter, Replica); 5] = [
        (|_| {}, Replica::Well),
        (|s| s.replication.as_mut().unwrap().lag_seconds = Some(90), Replica::Lagging(90)),
        (|s| s.replication = None, Replica::Joining),
        (|s| s.replication.as_mut().unwrap().receiving = Receiving::Connecting, Replica::Joining),
        (
            |s| {
                let replication = s.replication.as_mut().unwrap();
                (replication.applying, replication.error) = (false, Some("duplicate key".to_owned()));
            },
            Replica::Broken("duplicate key".to_owned()),
        ),
    ];
    let seen = |scene: &Scene| {
        let observed = scene.observed();
        let input = scene.input(&observed);
        of_replica(Sight { input: &input }, id("database-2"))
    };
    for (change, expected) in table {
        let mut scene = Scene::settled();
        change(scene.status(id("database-2")));
        assert_eq!(seen(&scene), expected);
        // Whatever it lacks, it lacks room first.
        scene.seen("database-2").full = Some("no space".to_owned());
        let waits = Replica::DiskFull("no space".to_owned());
        assert_eq!(seen(&scene), if expected == Replica::Well { Replica::Well } else { waits });
    }
    let mut scene = Scene::settled();
    scene.seen("database-2").full = Some("no space".to_owned());
    scene.seen("database-2").detail = Detail::None;
    assert_eq!(seen(&scene), Replica::DiskFull("no space".to_owned()), "it answers nothing");
    scene.died("database-2", 0);
    assert_eq!(seen(&scene), Replica::Down);
}
