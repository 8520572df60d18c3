//! From nothing to a standing site.

use super::scene::{Scene, id, release};
use stoa_model::observed::{DataState, ReleaseState};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Port, Spec};

#[test]
fn a_site_comes_up_in_this_order() {
    let mut scene = Scene::new();
    let mut story = String::new();
    for _ in 0..20 {
        let steps = scene.steps();
        if scene.turn().settled() {
            break;
        }
        story.push_str(&steps.join(", "));
        story.push('\n');
    }
    insta::assert_snapshot!(story, @r#"
    build 1-abcdef0, start balancer-1, start balancer-2, prepare database-1, start splitter-1, start splitter-2, start cache-1, start web-1, start web-2
    start database-1, publish 1-abcdef0
    promote database-1
    clone database-2, start app-1, start app-2
    start database-2
    follow database-2
    semi-sync database-1
    "#);
    assert!(scene.plan().settled());
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2");
    assert_eq!(scene.host.static_roots.first(), Some(&release(1)));
    assert_eq!(scene.roster.live, Some(release(1)));
}

#[test]
fn every_port_is_given_once_and_a_second_plan_gives_no_others() {
    let mut scene = Scene::new();
    scene.turn();
    let first = scene.roster.clone();
    let mut ports: Vec<_> = first.instances.values().filter_map(|place| place.endpoint.port()).collect();
    let count = ports.len();
    ports.dedup();
    assert_eq!(ports.len(), count);
    scene.turn();
    for (id, place) in &first.instances {
        assert_eq!(scene.roster.instances[id].endpoint, place.endpoint);
    }
}

#[test]
fn without_a_free_port_it_waits_and_says_so() {
    let mut scene = Scene::new();
    scene.host.free_ports = vec![Port::try_from(20_001).unwrap()];
    scene.turn();
    insta::assert_snapshot!(scene.waits(WaitKind::Trouble, "database-2"), @"a loopback port is free on the host local");
}

#[test]
fn a_static_site_is_published_when_built_and_has_no_upstream() {
    let mut scene = Scene::new();
    (scene.intent.site.app, scene.intent.site.database, scene.intent.site.cache) = (None, None, None);
    scene.settle();
    assert_eq!(scene.host.static_roots.first(), Some(&release(1)));
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2");
    scene.intent.release = release(2);
    scene.host.releases.insert(release(2), ReleaseState::Taken);
    scene.settle();
    assert_eq!(scene.host.static_roots.first(), Some(&release(2)));
}

#[test]
fn the_application_waits_for_a_writable_primary_and_a_cache() {
    let mut scene = Scene::settled();
    for instance in ["app-1", "app-2", "database-1", "database-2", "cache-1"] {
        scene.died(instance, 0);
    }
    scene.turn();
    let steps = scene.steps();
    assert!(!steps.iter().any(|step| step.starts_with("start app")), "{steps:?}");
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-1"), @"the database primary database-1 takes writes");
    scene.settle();
}

#[test]
fn the_first_build_that_fails_says_what_is_to_be_mended() {
    let mut scene = Scene::new();
    let last_lines = vec!["no rule".to_owned()];
    let failed = ReleaseState::Failed { why: "`make` ended with 2".to_owned(), last_lines };
    scene.host.releases.insert(release(1), failed);
    scene.turn();
    insta::assert_snapshot!(scene.waits(WaitKind::Stuck, "1-abcdef0"), @"its code or its tasks are mended, and it is deployed again; its build failed: `make` ended with 2; its last line: no rule");
}

#[test]
fn a_build_that_fails_leaves_what_runs_untouched() {
    let mut scene = Scene::settled();
    scene.intent.release = release(2);
    let failed = ReleaseState::Failed {
        why: "`make` ended with 2".to_owned(),
        last_lines: vec!["no rule".to_owned()],
    };
    scene.host.releases.insert(release(2), failed);
    let plan = scene.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(plan.roster.instances, scene.roster.instances);
    let deployment = plan.roster.deployment.as_ref().unwrap();
    insta::assert_snapshot!(format!("{:?}", deployment.phase), @r#"Failed("its build failed: `make` ended with 2; its last line: no rule")"#);
    scene.turn();
    assert!(scene.plan().settled(), "the old release serves on");
    scene.died("app-1", 0);
    scene.turn();
    let plan = scene.plan();
    let [step] = plan.steps.as_slice() else { panic!("{plan:#?}") };
    let Action::Start { spec: Spec::App(spec), .. } = &step.action else { panic!("{step:?}") };
    assert_eq!(spec.release, release(1), "what crashes is started again as what it was");
}

#[test]
fn a_data_folder_of_another_server_is_left_alone() {
    let mut scene = Scene::new();
    scene.turn();
    scene.seen("database-1").data =
        DataState::Foreign { found: "MariaDB 11.4".to_owned(), installed: "MariaDB 10.11".to_owned() };
    let steps = scene.steps();
    assert!(!steps.iter().any(|step| step.contains("database-1")), "{steps:?}");
    insta::assert_snapshot!(scene.waits(WaitKind::Stuck, "database-1"), @"its data folder /s/data/database-1 is moved away or the server it was made by is installed: the data is of MariaDB 11.4, installed is MariaDB 10.11");
}

#[test]
fn a_taken_port_is_given_up_for_another() {
    let mut scene = Scene::settled();
    let taken = scene.endpoint("app-1");
    scene.died("app-1", 1);
    scene.host.free_ports.retain(|port| Some(*port) != taken.port());
    scene.settle();
    assert_ne!(scene.endpoint("app-1"), taken);
    let endpoint = scene.endpoint("app-1");
    assert_eq!(scene.running(id("app-1")).endpoint, endpoint);
}
