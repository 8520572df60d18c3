//! Deaths, failing checks, missing answers.

use super::scene::{Scene, id};
use stoa_model::observed::{Health, ProcessState, StepFailure};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Millis};

#[test]
fn a_dead_instance_leaves_the_routes_at_once_and_is_started_when_they_are_acknowledged() {
    let mut scene = Scene::settled();
    scene.died("app-2", 0);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1");
    assert_eq!(plan.steps, [], "a balancer may still send to where it listened");
    let plan = scene.plan();
    assert_eq!(plan.steps.len(), 1);
    insta::assert_snapshot!(plan.steps[0].because, @"app-2 ended: killed by signal 9");
    scene.settle();
    assert_eq!(scene.routes.app.len(), 2);
}

#[test]
fn a_balancer_that_says_nothing_does_not_keep_an_instance_down_for_long() {
    let mut scene = Scene::settled();
    scene.died("app-2", 0);
    scene.turn();
    scene.report("balancer-1").serving.0 = 0;
    assert_eq!(scene.steps(), Vec::<String>::new());
    scene.now = scene.now + Millis(6_000);
    assert_eq!(scene.steps(), ["start app-2"]);
}

#[test]
fn a_crash_loop_pauses_and_shows_its_last_line() {
    let mut scene = Scene::settled();
    scene.died("app-2", 5);
    scene.turn();
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "app-2"), @"it stays up; it ended 5 times in a row (killed by signal 9) and is started again after a pause of 8 s; its last line: KeyError: 'HOME'");
    assert_eq!(scene.steps(), Vec::<String>::new());
    scene.pass(8_000);
    assert_eq!(scene.steps(), ["start app-2"]);
}

#[test]
fn failing_checks_take_an_instance_out_unless_all_fail() {
    let mut scene = Scene::settled();
    scene.fails("app-1", 2, 2_000);
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2");
    scene.fails("app-1", 3, 3_000);
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-2");
    scene.fails("app-2", 9, 9_000);
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2");
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "app"), @"the checks of one of them pass; they fail for all, so all are still sent requests");
}

#[test]
fn what_hangs_is_stopped_when_another_serves() {
    let mut scene = Scene::settled();
    scene.fails("app-1", 40, 40_000);
    scene.turn();
    assert_eq!(scene.steps(), ["stop app-1"]);
    scene.fails("app-2", 40, 40_000);
    assert_eq!(scene.steps(), Vec::<String>::new());
    scene.fails("cache-1", 40, 40_000);
    assert_eq!(scene.steps(), Vec::<String>::new(), "there is no other cache");
}

#[test]
fn a_host_that_is_not_heard_of_is_left_as_it_is() {
    let mut scene = Scene::settled();
    scene.died("app-2", 0);
    scene.intent.scale.insert(stoa_model::Tier::Web, 1);
    scene.now = scene.now + Millis(10_001);
    let plan = scene.plan();
    assert_eq!((&plan.roster, &plan.routes), (&scene.roster, &scene.routes));
    assert_eq!(plan.steps, []);
    insta::assert_snapshot!(plan.waiting[0].until, @"the agent of this host says what it sees; until then everything is left as it is");
}

#[test]
fn what_is_unknown_keeps_its_route_and_is_not_acted_on() {
    let mut scene = Scene::settled();
    for instance in ["app-1", "web-1", "balancer-1", "database-1", "cache-1"] {
        scene.seen(instance).process = ProcessState::Unknown;
    }
    let plan = scene.plan();
    assert_eq!(plan.routes, scene.routes);
    assert_eq!(plan.steps, []);
    assert!(!plan.settled());
}

#[test]
fn after_a_restart_of_the_daemon_what_had_been_proven_still_is() {
    let mut scene = Scene::settled();
    scene.pass(3_600_000);
    let before = scene.routes.clone();
    let ids: Vec<_> = scene.host.instances.keys().copied().collect();
    for instance in ids {
        scene.running(instance).health = Health::Unproven(Some("not asked yet".to_owned()));
    }
    let plan = scene.plan();
    assert_eq!(plan.steps, [], "nothing that had served for an hour is taken for a failed start");
    assert_eq!(plan.routes, before);
}

#[test]
fn what_hung_while_no_daemon_looked_is_found_and_stopped() {
    let mut scene = Scene::settled();
    scene.running(id("app-1")).health = Health::Unproven(Some("GET /up timed out".to_owned()));
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
    scene.pass(5_000);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-2");
    scene.pass(25_000);
    assert_eq!(scene.steps(), ["stop app-1"]);
    scene.settle();
}

#[test]
fn steps_under_way_are_not_issued_again() {
    let mut scene = Scene::settled();
    scene.died("cache-1", 0);
    let plan = scene.plan();
    assert_eq!(plan.steps.len(), 1);
    scene.host.busy = vec![plan.steps[0].action.key()];
    assert_eq!(scene.steps(), Vec::<String>::new());
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "cache-1"), @"it has started");
}

#[test]
fn a_step_that_failed_is_tried_again_after_a_pause() {
    let mut scene = Scene::settled();
    scene.died("cache-1", 0);
    let key = scene.plan().steps[0].action.key();
    let failure = StepFailure { at: scene.now, attempts: 3, error: "no space left on device".to_owned() };
    scene.host.failures.insert(key, failure);
    assert_eq!(scene.steps(), Vec::<String>::new());
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "cache-1"), @"start succeeds; it failed 3 times in a row and is tried again after a pause of 4 s: no space left on device");
    scene.pass(4_000);
    assert_eq!(scene.steps(), ["start cache-1"]);
}

#[test]
fn a_dead_cache_touches_no_running_application() {
    let mut scene = Scene::settled();
    scene.died("cache-1", 9);
    let plan = scene.plan();
    assert_eq!(plan.routes, scene.routes);
    assert_eq!(plan.steps, []);
    scene.pass(31_000);
    assert_eq!(scene.steps(), ["start cache-1"]);
}

#[test]
fn a_process_without_a_place_is_stopped() {
    let mut scene = Scene::settled();
    let stranger = scene.seen("app-1").clone();
    scene.host.instances.insert(id("app-9"), stranger);
    let plan = scene.plan();
    assert!(
        matches!(plan.steps[0].action, Action::Stop { instance, .. } if instance == id("app-9")),
        "{plan:#?}"
    );
}
