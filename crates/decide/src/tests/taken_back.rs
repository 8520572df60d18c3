//! Releases that are taken back, turn by turn, and what is no fault of theirs.

use super::deploying::{newcomers, order, ordered, phase, story, until};
use super::scene::{Scene, id, release};
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::observed::{ProcessState, StepFailure};
use stoa_model::site::Strategy;
use stoa_model::{Millis, StepKey};

/// A canary that is sent requests.
fn canary() -> Scene {
    let mut scene = ordered(Strategy::Canary);
    until(&mut scene, "canary");
    while scene.routes.canary.is_none() {
        scene.turn();
    }
    scene
}

#[test]
fn after_the_switch_the_old_one_is_started_all_at_once_and_takes_over_as_it_passes() {
    let mut scene = ordered(Strategy::Rolling);
    until(&mut scene, "watched");
    scene.settle();
    let newcomer = newcomers(&scene)[0].to_string();
    scene.fails(&newcomer, 3, 3_000);
    insta::assert_snapshot!(story(&mut scene), @r#"
    start app-1, start app-4, publish 1-abcdef0  going back app-3
                                                 going back app-1 app-4
    stop app-2, stop app-3                       going back app-1 app-4
                                                 going back app-1 app-4
    publish 1-abcdef0                            failed     app-1 app-4
                                                 failed     app-1 app-4
    "#);
    assert_eq!(scene.roster.live, Some(release(1)));
}

#[test]
fn half_way_through_a_roll_the_old_ones_that_serve_are_joined() {
    let mut scene = ordered(Strategy::Rolling);
    until(&mut scene, "rolling");
    while scene.routes.app.iter().filter(|route| route.release == Some(release(2))).count() == 0 {
        scene.turn();
    }
    scene.turn();
    scene.fails("app-3", 3, 3_000);
    insta::assert_snapshot!(story(&mut scene), @r#"
    start app-4, stop app-2                      going back app-1
    stop app-3                                   going back app-1 app-4
                                                 going back app-1 app-4
    publish 1-abcdef0                            failed     app-1 app-4
                                                 failed     app-1 app-4
    "#);
    assert_eq!(newcomers(&scene), []);
}

#[test]
fn one_end_is_counted_once_and_one_alone_is_forgiven() {
    let mut scene = canary();
    let newcomer = newcomers(&scene)[0];
    scene.died(&newcomer.to_string(), 1);
    for _ in 0..3 {
        scene.plan();
    }
    scene.turn();
    scene.turn();
    let deployment = scene.roster.deployment.clone().unwrap();
    assert_eq!((deployment.evidence.crashes, deployment.phase), (1, Phase::Canary { step: 0 }));
    assert_eq!(scene.routes.canary, None, "nobody serves it until it is back");
    until(&mut scene, "done");
}

#[test]
fn an_end_before_it_ran_the_new_release_is_none_of_its_faults() {
    let mut scene = ordered(Strategy::Rolling);
    until(&mut scene, "rolling");
    while newcomers(&scene).is_empty() || scene.roster.instances.contains_key(&id("app-2")) {
        scene.turn();
    }
    scene.turn();
    assert_eq!(scene.roster.deployment.as_ref().unwrap().evidence.crashes, 0);
}

#[test]
fn what_the_database_does_to_both_is_no_fault_of_the_new_one() {
    let mut scene = canary();
    let newcomer = newcomers(&scene)[0].to_string();
    scene.died("database-1", 0);
    scene.fails(&newcomer, 5, 5_000);
    scene.turn();
    assert_eq!(phase(&scene), Phase::Canary { step: 0 });
    let mut scene = canary();
    for instance in ["app-1", &newcomer] {
        scene.fails(instance, 5, 5_000);
    }
    scene.turn();
    assert_eq!(phase(&scene), Phase::Canary { step: 0 }, "the old one suffers from it as well");
}

#[test]
fn a_release_that_cannot_be_started_is_taken_back() {
    let mut scene = ordered(Strategy::BlueGreen);
    until(&mut scene, "raising");
    let newcomer = newcomers(&scene)[0];
    scene.seen(&newcomer.to_string()).process = ProcessState::Absent;
    let failure = StepFailure { at: scene.now, attempts: 4, error: "serve: no such program".to_owned() };
    scene.host.failures.insert(StepKey::from(format!("start {newcomer}")), failure);
    scene.turn();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Back("app-3 could not be started, 4 times in a row: serve: no such program")"#);
}

#[test]
fn a_rollback_that_cannot_come_up_ends_where_it_began() {
    let mut scene = ordered(Strategy::Rolling);
    until(&mut scene, "done");
    scene.settle();
    order(&mut scene, 1, DeployKind::Rollback);
    until(&mut scene, "raising");
    let before = scene.routes.clone();
    for _ in 0..20 {
        let old = scene.roster.instances.iter().filter(|(_, place)| place.release == Some(release(1)));
        let ids: Vec<_> = old.map(|(id, _)| id.to_string()).collect();
        for instance in ids {
            if matches!(scene.seen(&instance).process, ProcessState::Running(_)) {
                scene.died(&instance, 1);
            }
        }
        scene.turn();
    }
    assert!(scene.routes.same_places(&before));
    scene.settle();
    assert!(matches!(phase(&scene), Phase::Failed(_)), "{:?}", phase(&scene));
    assert_eq!((newcomers(&scene).len(), scene.roster.live.clone()), (2, Some(release(2))));
}

#[test]
fn a_failed_one_leaves_the_site_at_rest_and_what_dies_comes_back_as_the_old_one() {
    let mut scene = canary();
    let newcomer = newcomers(&scene)[0].to_string();
    scene.fails(&newcomer, 3, 3_000);
    scene.settle();
    assert!(matches!(phase(&scene), Phase::Failed(_)));
    scene.died("app-1", 0);
    scene.settle();
    assert_eq!(scene.roster.instances[&id("app-1")].release, Some(release(1)));
    scene.now = scene.now + Millis::from_secs(1);
    assert!(scene.plan().settled());
}

#[test]
fn a_release_whose_removal_had_begun_is_not_started() {
    let mut scene = ordered(Strategy::Rolling);
    until(&mut scene, "done");
    scene.settle();
    order(&mut scene, 1, DeployKind::Rollback);
    scene.host.busy = vec![StepKey::from("remove 1-abcdef0".to_owned())];
    scene.turn();
    assert_eq!(phase(&scene), Phase::Prepare);
    scene.host.busy.clear();
    scene.host.releases.remove(&release(1));
    scene.settle();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Failed("its code is not on the host local any more")"#);
    assert_eq!(scene.roster.live, Some(release(2)));
}

#[test]
fn a_release_that_is_lost_on_the_way_is_taken_back() {
    let mut scene = ordered(Strategy::BlueGreen);
    until(&mut scene, "raising");
    scene.turn();
    scene.host.releases.remove(&release(2));
    scene.settle();
    assert!(matches!(phase(&scene), Phase::Failed(_)), "{:?}", phase(&scene));
    assert_eq!((newcomers(&scene), scene.roster.live.clone()), (Vec::new(), Some(release(1))));
}
