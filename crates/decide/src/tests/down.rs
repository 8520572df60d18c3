//! `stoa down`, and up again.

use super::scene::{Scene, id};
use stoa_model::intent::Power;
use stoa_model::observed::ProcessState;
use stoa_model::plan::WaitKind;

#[test]
fn the_site_goes_down_from_the_visitors_side() {
    let mut scene = Scene::settled();
    scene.intent.power = Power::Off;
    let mut story = String::new();
    for _ in 0..20 {
        let steps = scene.steps();
        let plan = scene.turn();
        let line = format!("{:<32} -> {}", steps.join(", "), scene.routed(&plan));
        story.push_str(line.trim_end());
        story.push('\n');
        if plan.settled() {
            break;
        }
    }
    insta::assert_snapshot!(story, @r#"
    stop balancer-1, stop balancer-2 -> web-1 web-2 app-1 app-2
                                     ->
    stop web-1, stop web-2           ->
    stop app-1, stop app-2           ->
    stop splitter-1, stop splitter-2 ->
                                     ->
    stop cache-1                     ->
    stop database-2                  ->
    stop database-1                  ->
                                     ->
    "#);
    assert!(scene.plan().settled());
    scene.intent.power = Power::On;
    scene.settle();
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2");
}

#[test]
fn down_waits_for_what_is_unknown() {
    let mut scene = Scene::settled();
    scene.intent.power = Power::Off;
    scene.turn();
    scene.seen("balancer-1").process = ProcessState::Unknown;
    assert_eq!(scene.steps(), Vec::<String>::new());
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "balancer-1"), @"it is known whether it runs");
}

#[test]
fn down_in_the_middle_of_up_stops_what_has_started() {
    let mut scene = Scene::new();
    for _ in 0..4 {
        scene.turn();
    }
    scene.intent.power = Power::Off;
    scene.settle();
    assert!(scene.host.instances.values().all(|seen| seen.process == ProcessState::Absent));
    assert_eq!(scene.roster.primary, Some(id("database-1")), "data and its places are kept");
}
