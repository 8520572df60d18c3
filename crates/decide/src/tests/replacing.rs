//! Deploys, scaling, restarts and changes of the configuration.

use super::scene::{Scene, id, release};
use stoa_model::control::Report;
use stoa_model::observed::{Detail, Health, ProcessState, ReleaseState};
use stoa_model::plan::WaitKind;
use stoa_model::site::Bytes;
use stoa_model::{Millis, Tier};

/// The application is to run with another configuration.
fn changing() -> Scene {
    let mut scene = Scene::settled();
    scene.intent.restarts.insert(Tier::App, 1);
    scene
}

/// Every turn's steps and routes, until it settles.
fn told(scene: &mut Scene) -> String {
    let mut story = String::new();
    for _ in 0..60 {
        let steps = scene.steps();
        let plan = scene.turn();
        story.push_str(&format!("{:<32} -> {}\n", steps.join(", "), scene.routed(&plan)));
        if plan.settled() {
            break;
        }
    }
    story
}

#[test]
fn never_fewer_than_wanted_are_routed_to_during_a_replacement() {
    let mut scene = changing();
    while !scene.turn().settled() {
        assert!(scene.routes.app.len() >= 2);
    }
}

#[test]
fn a_newcomer_that_crashes_holds_the_replacement() {
    let mut scene = changing();
    scene.turn();
    scene.turn();
    scene.died("app-3", 3);
    for _ in 0..20 {
        let plan = scene.turn();
        assert!(plan.steps.iter().all(|step| step.action.verb() != "stop"), "{:#?}", plan.steps);
        assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
        if matches!(scene.seen("app-3").process, stoa_model::observed::ProcessState::Running(_)) {
            scene.died("app-3", 3);
        }
    }
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "app-3"), @"it stays up; it ended 3 times in a row (killed by signal 9) and is started again after a pause of 2 s; its last line: KeyError: 'HOME'");
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-1"), @"app-3 serves, which runs as it should now; app-1 is kept until then");
    scene.intent.release = release(3);
    scene.host.releases.insert(release(3), ReleaseState::Built);
    scene.settle();
    assert_eq!(scene.roster.live, Some(release(3)), "another release gets its try in the same place");
}

#[test]
fn a_newcomer_that_never_gets_healthy_is_stopped_and_tried_again() {
    let mut scene = changing();
    scene.turn();
    scene.running(id("app-3")).health = Health::Unproven(Some("500 Internal Server Error".to_owned()));
    scene.pass(29_000);
    assert!(!scene.steps().contains(&"stop app-3".to_owned()));
    scene.pass(2_000);
    assert_eq!(scene.steps(), ["stop app-3"]);
    insta::assert_snapshot!(scene.plan().steps[0].because, @"app-3 did not become healthy within 30 s of its start: 500 Internal Server Error");
}

#[test]
fn what_retires_is_drained_before_it_is_stopped() {
    let mut scene = Scene::settled();
    scene.intent.scale.insert(Tier::App, 1);
    scene.in_flight("balancer-2", "app-2", 2);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1");
    assert_eq!(plan.steps, [], "the routes in force still name it");
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-2"), @"its 2 requests in flight are answered; then it ends");

    scene.report("balancer-1").serving.0 -= 1;
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-2"), @"balancer-1 serves by the routes 6 without it; it has 5; then it ends");

    scene.pass(1);
    scene.in_flight("balancer-2", "app-2", 0);
    assert_eq!(scene.steps(), ["stop app-2"]);
    scene.settle();
    assert!(!scene.roster.instances.contains_key(&id("app-2")));
}

#[test]
fn a_drain_that_never_ends_is_ended_when_the_grace_is_over() {
    let mut scene = Scene::settled();
    scene.intent.scale.insert(Tier::App, 1);
    scene.in_flight("balancer-2", "app-2", 1);
    scene.turn();
    scene.pass(18_000);
    assert_eq!(scene.steps(), Vec::<String>::new());
    scene.pass(2_000);
    assert_eq!(scene.steps(), ["stop app-2"]);
}

#[test]
fn a_restart_replaces_web_and_balancer_side_by_side() {
    let mut scene = Scene::settled();
    scene.intent.restarts = [(Tier::Web, 1), (Tier::Balancer, 1)].into();
    insta::assert_snapshot!(told(&mut scene), @r#"
    start balancer-3, start web-3    -> web-1 web-2 app-1 app-2
    stop balancer-2                  -> web-1 web-2 web-3 app-1 app-2
                                     -> web-1 web-3 app-1 app-2
    start balancer-2, stop web-2     -> web-1 web-3 app-1 app-2
    stop balancer-1                  -> web-1 web-3 app-1 app-2
    start web-2                      -> web-1 web-3 app-1 app-2
                                     -> web-1 web-2 web-3 app-1 app-2
                                     -> web-2 web-3 app-1 app-2
    stop web-1                       -> web-2 web-3 app-1 app-2
                                     -> web-2 web-3 app-1 app-2
    "#);
}

#[test]
fn a_changed_configuration_is_reloaded_one_nginx_after_another() {
    let mut scene = Scene::settled();
    scene.intent.site.web.max_body = Bytes(2);
    assert_eq!(scene.steps(), ["reload web-1"]);
    scene.turn();
    scene.fails("web-1", 1, 500);
    assert_eq!(scene.steps(), Vec::<String>::new(), "the next waits until the last is healthy");
    scene.running(id("web-1")).health = Health::Healthy { since: scene.now, last: scene.now, passes: 9 };
    assert_eq!(scene.steps(), ["reload web-2"]);
    let generation = scene.generation();
    scene.settle();
    assert_eq!(scene.generation(), generation, "no route changes");
}

#[test]
fn a_newcomer_that_serves_next_is_not_retired_for_the_old_one() {
    let mut scene = Scene::settled();
    scene.intent.restarts = [(Tier::Balancer, 1)].into();
    let mut stopped = Vec::new();
    for _ in 0..40 {
        // Each newcomer passes its first check before its report is there.
        let newest = scene.host.instances.values_mut().filter_map(|seen| match &seen.process {
            ProcessState::Running(running) if scene.now.since(running.started) <= Millis::from_secs(1) => {
                Some(&mut seen.detail)
            }
            _ => None,
        });
        for detail in newest {
            if let Detail::Role { report, .. } = detail {
                *report = Report::default();
            }
        }
        stopped.extend(scene.steps().into_iter().filter(|step| step.starts_with("stop")));
        if scene.turn().settled() {
            break;
        }
    }
    assert_eq!(stopped, ["stop balancer-2", "stop balancer-1"], "the two old ones and nothing else");
}

#[test]
fn databases_restart_in_their_place_replicas_first() {
    let mut scene = Scene::settled();
    scene.intent.restarts.insert(Tier::Database, 1);
    insta::assert_snapshot!(told(&mut scene), @r#"
                                     -> web-1 web-2 app-1 app-2
    stop database-2                  -> web-1 web-2 app-1 app-2
    start database-2                 -> web-1 web-2 app-1 app-2
    follow database-2                -> web-1 web-2 app-1 app-2
                                     -> web-1 web-2 app-1 app-2
    fence database-1                 -> web-1 web-2 app-1 app-2
    promote database-2               -> web-1 web-2 app-1 app-2
    follow database-1                -> web-1 web-2 app-1 app-2
    stop database-1                  -> web-1 web-2 app-1 app-2
    start database-1                 -> web-1 web-2 app-1 app-2
    follow database-1                -> web-1 web-2 app-1 app-2
                                     -> web-1 web-2 app-1 app-2
                                     -> web-1 web-2 app-1 app-2
    "#);
}

#[test]
fn scaling_up_adds_all_at_once_and_scaling_down_takes_the_highest() {
    let mut scene = Scene::settled();
    scene.intent.scale.insert(Tier::App, 4);
    assert_eq!(scene.steps(), ["start app-3", "start app-4"]);
    scene.settle();
    scene.intent.scale.insert(Tier::App, 2);
    scene.turn();
    assert_eq!(scene.steps(), ["stop app-3", "stop app-4"]);
}

#[test]
fn a_broken_release_that_never_lived_gives_way_to_a_mended_one() {
    let mut scene = Scene::new();
    for _ in 0..12 {
        scene.turn();
        for instance in ["app-1", "app-2"] {
            let process = scene.host.instances.get(&id(instance)).map(|seen| &seen.process);
            if matches!(process, Some(stoa_model::observed::ProcessState::Running(_))) {
                scene.died(instance, 4);
            }
        }
    }
    assert_eq!(scene.roster.live, None);
    scene.intent.release = release(2);
    scene.host.releases.insert(release(2), ReleaseState::Built);
    scene.now = scene.now + Millis(1);
    scene.settle();
    assert_eq!(scene.roster.live, Some(release(2)));
    assert_eq!(scene.roster.instances.keys().filter(|id| id.tier == Tier::App).count(), 2);
}
