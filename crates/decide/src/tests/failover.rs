//! The primary changes: because it was lost, or because it was asked for.

use super::scene::{Scene, id};
use stoa_model::cluster::{SwitchoverOrder, SwitchoverState};
use stoa_model::observed::{DataState, Health, ProcessState, Receiving};
use stoa_model::site::{DatabaseEngine, OnLostReplica};
use stoa_model::{Action, Millis, Term};

/// A primary with two replicas, all of them at rest.
fn three() -> Scene {
    let mut scene = Scene::new();
    let database = scene.intent.site.database.as_mut().unwrap();
    (database.replicas, database.on_lost_replica) = (2, OnLostReplica::Block);
    scene.settle();
    scene.writes("database-1", 100);
    scene.pass(1_000);
    scene.settle();
    scene
}

/// A line a decision: the steps on databases, who is primary, who is routed to.
fn story(scene: &mut Scene) -> String {
    let mut story = String::new();
    for _ in 0..40 {
        let steps: Vec<_> = scene.steps().into_iter().filter(|step| step.contains("database")).collect();
        let plan = scene.turn();
        let primary = plan.routes.sql.primary.map_or("held".to_owned(), |route| route.instance.to_string());
        let replicas: Vec<_> =
            plan.routes.sql.replicas.iter().map(|r| r.instance.number.to_string()).collect();
        let line = format!(
            "{:<40} term {} writes {primary:<10} reads {}",
            steps.join(", "),
            plan.roster.term,
            replicas.join(" ")
        );
        story.push_str(line.trim_end());
        story.push('\n');
        if scene.plan().settled() {
            break;
        }
    }
    story
}

#[test]
fn a_killed_primary_is_followed_by_a_replica_and_comes_back_as_one() {
    let mut scene = three();
    scene.died("database-1", 0);
    scene.pass(100);
    let told = story(&mut scene);
    assert_eq!(scene.roster.primary, Some(id("database-2")), "{told}");
    assert_eq!(scene.roster.term, Term(2));
    let changed = scene.roster.database.changed.clone().unwrap();
    assert_eq!((changed.from, changed.to), (id("database-1"), id("database-2")));
    assert!(changed.because.contains("killed by signal 9"), "{}", changed.because);
    let verbs = ["promote database-2", "salvage database-1", "start database-1", "follow database-1"];
    let places: Vec<_> = verbs.iter().map(|verb| told.find(verb)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{told}");
    assert_eq!(scene.routes.sql.replicas.len(), 2);
}

#[test]
fn a_former_primary_that_cannot_be_rewound_is_made_anew_where_it_has_something_of_its_own() {
    for (engine, alone, anew) in [
        (DatabaseEngine::Mariadb, 3, false),
        (DatabaseEngine::Mysql, 0, false),
        (DatabaseEngine::Mysql, 3, true),
    ] {
        let mut scene = three();
        scene.intent.site.database.as_mut().unwrap().engine = engine;
        scene.settle();
        scene.lost_alone = alone;
        let primary = scene.roster.primary.unwrap().to_string();
        scene.died(&primary, 0);
        scene.pass(100);
        let told = story(&mut scene);
        let (discard, start) =
            (told.find(&format!("discard {primary}")), told.find(&format!("start {primary}")));
        assert!(start.is_some() && discard.is_some() == anew, "{engine:?} {alone}: {told}");
        assert!(!anew || discard < start, "it was started first: {told}");
        assert_eq!(scene.routes.sql.replicas.len(), 2, "{told}");
    }
}

#[test]
fn the_one_that_received_most_takes_over() {
    let mut scene = three();
    scene.status(id("database-3")).received = Some("0-1-101".parse().unwrap());
    scene.died("database-1", 0);
    scene.status(id("database-3")).replication.as_mut().unwrap().receiving = Receiving::Connecting;
    scene.pass(100);
    scene.turn();
    assert_eq!(scene.roster.primary, Some(id("database-3")));
}

#[test]
fn of_those_that_received_as_much_the_one_with_the_least_to_apply_takes_over() {
    for (one, other, heir) in [("0-1-60", "0-1-100", "database-3"), ("0-1-100", "0-1-60", "database-2")] {
        let mut scene = three();
        for (id_, applied) in [("database-2", one), ("database-3", other)] {
            let status = scene.status(id(id_));
            (status.received, status.gtid) = (Some(status.gtid.clone()), applied.parse().unwrap());
            let replication = status.replication.as_mut().unwrap();
            (replication.receiving, replication.lag_seconds) = (Receiving::Connecting, None);
        }
        scene.died("database-1", 0);
        scene.pass(100);
        scene.turn();
        assert_eq!(scene.roster.primary, Some(id(heir)));
    }
}

#[test]
fn a_server_that_never_starts_is_made_anew_where_its_data_is_to_blame() {
    type Sight = fn(&mut Scene);
    const ABORTS: &str = "killed by signal 6";
    let changed: Sight = |s| s.intent.site.database.as_mut().unwrap().memory.0 = 9;
    let cases: [(&str, u32, &str, Sight, bool); 9] = [
        ("it aborts at each start", 5, ABORTS, |_| (), true),
        ("not often enough", 4, ABORTS, |_| (), false),
        ("it is killed each time", 9, "killed by signal 9", |_| (), false),
        ("nobody saw how it ended", 9, "ended", |_| (), false),
        (
            "its disk is full",
            9,
            ABORTS,
            |s| s.seen("database-2").full = Some("the disk is full".to_owned()),
            false,
        ),
        ("it, and not yet the primary, runs as the file says now", 9, ABORTS, changed, false),
        ("so it does, and the primary waits for it", 10, ABORTS, changed, true),
        ("the primary ended too", 9, ABORTS, |s| s.died("database-1", 1), false),
        (
            "it is of another server",
            9,
            ABORTS,
            |s| {
                let (found, installed) = ("MariaDB 99".to_owned(), "MariaDB 10".to_owned());
                s.seen("database-2").data = DataState::Foreign { found, installed };
            },
            false,
        ),
    ];
    for (what, times, how, see, anew) in cases {
        let mut scene = three();
        ends(&mut scene, "database-2", times);
        if let ProcessState::Exited(exited) = &mut scene.seen("database-2").process {
            exited.how = how.to_owned();
        }
        see(&mut scene);
        // It was started as the file says now, whatever that is.
        let mut started = None;
        for _ in 0..2 {
            let plan = scene.plan();
            started = plan.steps.iter().find_map(|step| match &step.action {
                Action::Start { instance, spec } if *instance == id("database-2") => Some(spec.digest()),
                _ => started,
            });
            scene.adopt(&plan, |_| false);
        }
        if let (ProcessState::Exited(exited), Some(spec)) = (&mut scene.seen("database-2").process, started) {
            exited.spec = spec;
        }
        let plan = scene.plan();
        assert_eq!(plan.roster.database.astray.contains_key(&id("database-2")), anew, "{what}");
        if anew {
            let told = story(&mut scene);
            for verb in ["salvage database-2", "discard database-2", "clone database-2", "start database-2"] {
                assert!(told.contains(verb), "{verb} in {told}");
            }
            scene.settle();
            assert_eq!(scene.routes.sql.replicas.len(), 2, "{told}");
        }
    }
}

#[test]
fn nobody_takes_over_while_one_that_may_have_more_is_not_heard() {
    type Loss = fn(&mut Scene);
    let losses: [(&str, Loss); 4] = [
        ("dead", |s| s.died("database-3", 0)),
        ("unknown", |s| s.seen("database-3").process = ProcessState::Unknown),
        ("started anew", |s| {
            s.status(id("database-3")).replication.as_mut().unwrap().receiving = Receiving::Stopped
        }),
        ("degraded", |s| {
            let (since, because) = (s.now, "no replica is connected".to_owned());
            let degraded = stoa_model::cluster::Degraded { since, because, goal: None };
            s.roster.database.degraded = Some(degraded);
        }),
    ];
    for (what, loss) in losses {
        let mut scene = three();
        loss(&mut scene);
        scene.died("database-1", 0);
        let plan = scene.plan();
        assert_eq!(plan.roster.primary, Some(id("database-1")), "{what}");
        let mut steps = scene.steps();
        scene.turn();
        steps.extend(scene.steps());
        assert!(steps.contains(&"start database-1".to_owned()), "{what}: {steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("promote")), "{what}: {steps:?}");
    }
}

#[test]
fn a_hung_primary_is_ended_before_another_is_promoted() {
    let mut scene = three();
    scene.fails("database-1", 3, 2_000);
    if let stoa_model::observed::Detail::Database { at, .. } = &mut scene.seen("database-1").detail {
        *at = *at - Millis(2_000);
    }
    for replica in ["database-2", "database-3"] {
        scene.status(id(replica)).replication.as_mut().unwrap().heard = Some(Millis(2_000));
    }
    let plan = scene.turn();
    let steps: Vec<_> = plan.steps.iter().map(|step| step.action.key().to_string()).collect();
    assert_eq!(steps, ["stop database-1"]);
    scene.settle();
    assert_eq!(scene.roster.primary, Some(id("database-2")));
    // That its process ended is no reason: somebody saw to that.
    let because = &scene.roster.database.changed.as_ref().unwrap().because;
    assert!(because.starts_with("database-1 hangs"), "{because}");

    // What it was ended for then is no reason for what happens to it later.
    scene.died("database-2", 0);
    scene.settle();
    let because = &scene.roster.database.changed.as_ref().unwrap().because;
    assert!(because.starts_with("database-2 ended"), "{because}");
}

#[test]
fn interrupted_after_any_step_it_converges() {
    // Each decision is lost after it was stored, carried out in part, or followed by another loss.
    for cut in 0..8 {
        for lost in ["nothing", "its steps", "database-2", "database-3"] {
            let mut scene = three();
            scene.died("database-1", 0);
            for turn in 0..8 {
                let plan = scene.plan();
                scene.adopt(&plan, |_| turn != cut || lost != "its steps");
                let runs = matches!(
                    scene.host.instances.get(&id("database-2")).map(|s| &s.process),
                    Some(ProcessState::Running(_))
                );
                if turn == cut && lost.starts_with("database") && (runs || lost != "database-2") {
                    scene.died(lost, 0);
                }
            }
            scene.settle();
            let primary = scene.roster.primary.unwrap();
            assert!(scene.status(primary).gtid.contains(&"0-1-100".parse().unwrap()), "{cut} {lost}");
            assert_eq!(
                scene.routes.sql.primary.as_ref().map(|route| route.instance),
                Some(primary),
                "{cut} {lost}"
            );
            assert_eq!(scene.routes.sql.replicas.len(), 2, "{cut} {lost}");
        }
    }
}

#[test]
fn a_switchover_holds_fences_and_promotes() {
    let mut scene = three();
    scene.intent.switchover =
        Some(SwitchoverOrder { number: 1, to: Some(id("database-3")), by: "anna@laptop".to_owned() });
    let told = story(&mut scene);
    assert_eq!(scene.roster.primary, Some(id("database-3")), "{told}");
    let places: Vec<_> = ["held", "fence database-1", "promote database-3", "follow database-1"]
        .iter()
        .map(|verb| told.find(verb))
        .collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{told}");
    assert!(!told.contains("stop database") && !told.contains("salvage"), "{told}");
    let order = scene.roster.database.switchover.clone().unwrap();
    assert_eq!((order.number, order.state), (1, SwitchoverState::Done { to: id("database-3") }));
}

#[test]
fn a_switchover_whose_candidate_dies_goes_back() {
    for cut in 1..5 {
        let mut scene = three();
        scene.intent.switchover =
            Some(SwitchoverOrder { number: 1, to: Some(id("database-3")), by: "anna@laptop".to_owned() });
        for _ in 0..cut {
            scene.turn();
        }
        scene.died("database-3", 0);
        scene.settle();
        let primary = scene.roster.primary.unwrap();
        assert!(scene.status(primary).writable && scene.routes.sql.primary.is_some(), "{cut}");
    }
}

#[test]
fn a_server_with_transactions_of_its_own_is_made_anew_and_never_promoted() {
    let mut scene = three();
    scene.writes("database-3", 107);
    scene.turn();
    assert!(scene.roster.database.astray.contains_key(&id("database-3")));
    scene.died("database-1", 0);
    scene.pass(100);
    let told = story(&mut scene);
    assert_eq!(scene.roster.primary, Some(id("database-2")), "{told}");
    for verb in ["salvage database-3", "discard database-3", "clone database-3"] {
        assert!(told.contains(verb), "{verb} in {told}");
    }
}

#[test]
fn where_no_replica_has_data_writes_go_on_until_the_first_is_cloned() {
    let mut scene = three();
    const REPLICAS: [&str; 2] = ["database-2", "database-3"];
    REPLICAS.iter().for_each(|replica| scene.died(replica, 5));
    let discard = |scene: &mut Scene| {
        REPLICAS.iter().for_each(|replica| scene.seen(replica).data = DataState::Absent);
    };
    for second in 1..=6 {
        // Their clones never come to an end.
        discard(&mut scene);
        scene.pass(1_000);
        scene.turn();
        assert!(second > 2 || scene.roster.database.degraded.is_none(), "after {second} s");
    }
    let degraded = scene.roster.database.degraded.clone().unwrap();
    assert!(degraded.because.starts_with("no replica can come back"), "{degraded:?}");
    assert!(!scene.status(id("database-1")).semi_sync.enabled);
    scene.settle();
    assert!(scene.roster.database.degraded.is_none());
    assert!(scene.status(id("database-1")).semi_sync.enabled);
}

/// It has ended just now, whatever was done since it ended last.
fn ends(scene: &mut Scene, replica: &str, crashes: u32) {
    let now = scene.now;
    match &mut scene.seen(replica).process {
        ProcessState::Exited(exited) => {
            (exited.at, exited.crashes, exited.failed_starts) = (now, crashes, crashes);
        }
        _ => scene.died(replica, crashes),
    }
}

#[test]
fn a_replica_that_never_starts_does_not_keep_another_from_being_cloned() {
    type Sight = fn(&mut Scene);
    let foreign =
        || DataState::Foreign { found: "MariaDB 99".to_owned(), installed: "MariaDB 10".to_owned() };
    // What is seen of the one with data, whether the other has none, and whether writes go on alone.
    let cases: [(&str, Sight, bool, bool); 8] = [
        ("it ended again and again", |s| ends(s, "database-2", 5), true, true),
        ("again and again, and nothing is to be cloned", |s| ends(s, "database-2", 5), false, false),
        ("it ended once", |s| ends(s, "database-2", 1), true, false),
        ("it was stopped", |s| s.seen("database-2").process = ProcessState::Absent, true, false),
        (
            "it is not known whether it runs",
            |s| s.seen("database-2").process = ProcessState::Unknown,
            true,
            false,
        ),
        (
            "it runs and is not healthy yet",
            |s| s.running(id("database-2")).health = Health::Unproven(None),
            true,
            false,
        ),
        ("it hangs", |s| s.fails("database-2", 40, 40_000), true, false),
        ("its data may not be started on", |s| ends(s, "database-2", 1), true, true),
    ];
    for (what, see, empty, degrades) in cases {
        let mut scene = three();
        for second in 1..=6 {
            // Nothing comes of what is done about them.
            see(&mut scene);
            if !matches!(scene.seen("database-2").process, ProcessState::Exited(_)) {
                scene.status(id("database-2")).replication = None;
            } else if what.starts_with("its data") {
                scene.seen("database-2").data = foreign();
            }
            scene.trace(id("database-3")).process = ProcessState::Absent;
            scene.seen("database-3").data = if empty { DataState::Absent } else { DataState::Ready };
            scene.pass(1_000);
            scene.turn();
            assert!(second > 2 || scene.roster.database.degraded.is_none(), "{what}: after {second} s");
        }
        assert_eq!(scene.roster.database.degraded.is_some(), degrades, "{what}");
        assert_eq!(scene.status(id("database-1")).semi_sync.enabled, !degrades, "{what}");
    }
}

#[test]
fn a_server_that_writes_wait_for_is_started_again_soon_however_often_it_ended() {
    // Who ended six times in a row, and after how many seconds it is started again.
    let cases: [(&str, &[&str], &str, std::ops::Range<u64>); 3] = [
        ("another replica acknowledges", &["database-3"], "database-3", 16..20),
        ("nobody acknowledges", &["database-2", "database-3"], "database-3", 2..6),
        ("all have ended", &["database-1", "database-2", "database-3"], "database-1", 2..6),
    ];
    for (what, ended, asked, expected) in cases {
        let mut scene = three();
        for server in ended {
            scene.died(server, 6);
        }
        let begun = scene.now;
        let runs = |scene: &mut Scene| matches!(scene.seen(asked).process, ProcessState::Running(_));
        while !runs(&mut scene) && scene.now.since(begun) < Millis::from_secs(40) {
            scene.pass(1_000);
            scene.turn();
        }
        let took = scene.now.since(begun).0 / 1000;
        assert!(expected.contains(&took), "{what}: after {took} s");
    }
}

#[test]
fn without_a_replica_writes_wait_or_go_on_as_the_file_says() {
    for (policy, degrades) in [(OnLostReplica::Block, false), (OnLostReplica::Degrade, true)] {
        let mut scene = three();
        scene.intent.site.database.as_mut().unwrap().on_lost_replica = policy;
        for replica in ["database-2", "database-3"] {
            scene.died(replica, 5);
            scene.seen(replica).data = DataState::Unknown;
        }
        for _ in 0..6 {
            scene.turn();
        }
        assert_eq!(scene.roster.database.degraded.is_some(), degrades, "{policy:?}");
        assert_eq!(scene.status(id("database-1")).semi_sync.enabled, !degrades, "{policy:?}");
    }
}

#[test]
fn a_primary_whose_acknowledgement_was_lost_is_followed_by_the_replica_that_has_all() {
    // So many sessions wait; so long the binlog has not grown; whether the replicas fetch what is in it.
    let cases =
        [(3, 3_500, true, true), (0, 0, true, false), (3, 2_500, true, false), (3, 3_500, false, false)];
    for (waiting, unmoved, fetch, ends) in cases {
        let mut scene = three();
        for replica in ["database-2", "database-3"] {
            let replication = scene.status(id(replica)).replication.as_mut().unwrap();
            replication.receiving = if fetch { Receiving::Connected } else { Receiving::Stopped };
        }
        if !fetch {
            scene.writes("database-1", 1);
        }
        let semi_sync = &mut scene.status(id("database-1")).semi_sync;
        (semi_sync.waiting, semi_sync.unmoved) = (waiting, Millis(unmoved));
        let held = scene.plan().routes.sql.primary.is_none();
        assert_eq!(held, ends, "{waiting} wait for {unmoved} ms, replicas fetch {fetch}");
        if ends {
            scene.settle();
            assert_ne!(scene.roster.primary, Some(id("database-1")));
            assert_eq!(scene.roster.term, Term(2));
        }
    }
}

#[test]
fn a_stopped_thread_is_started_again_and_one_that_connects_is_left_alone() {
    let refused = "error reconnecting to master: Connection refused";
    let cases = [
        (Receiving::Connected, true, None, false),
        (Receiving::Connecting, true, None, false),
        (Receiving::Connecting, true, Some(refused), false),
        (Receiving::Connecting, false, None, true),
        (Receiving::Connected, false, None, true),
        // A step that was to connect it again was cut off half way.
        (Receiving::Stopped, true, None, true),
        (Receiving::Stopped, true, Some("Got fatal error 1236"), true),
        (Receiving::Stopped, false, None, true),
    ];
    for (receiving, applying, error, follows) in cases {
        let mut scene = three();
        let replication = scene.status(id("database-2")).replication.as_mut().unwrap();
        (replication.receiving, replication.applying) = (receiving, applying);
        replication.error = error.map(str::to_owned);
        let steps = scene.steps();
        let case = format!("{receiving:?} applying {applying} {error:?}");
        assert_eq!(steps.contains(&"follow database-2".to_owned()), follows, "{case}: {steps:?}");
        scene.settle();
        assert!(scene.status(id("database-2")).replication.as_ref().unwrap().runs(), "{case}");
    }
}
