//! Deployments turn by turn: each strategy, what takes a release back, and interruptions everywhere.

use super::scene::{Scene, id, release};
use stoa_model::control::Traffic;
use stoa_model::deployment::{DeployKind, Phase, TaskState};
use stoa_model::observed::{Health, ProcessState, ReleaseState};
use stoa_model::plan::{TaskId, TaskKind, WaitKind};
use stoa_model::site::{CommandLine, Strategy};
use stoa_model::{DeployNumber, InstanceId, Millis, Tier, Time};

/// A site on which the release 1 serves, and the order to deploy the release 2.
pub(super) fn ordered(strategy: Strategy) -> Scene {
    let mut scene = Scene::settled();
    scene.intent.site.deploy.strategy = strategy;
    order(&mut scene, 2, DeployKind::Deploy);
    scene
}

pub(super) fn order(scene: &mut Scene, number: u32, kind: DeployKind) {
    scene.intent.release = release(number);
    scene.intent.deploy.number = scene.intent.deploy.number.next();
    scene.intent.deploy.kind = kind;
    scene.host.releases.entry(release(number)).or_insert(ReleaseState::Taken);
}

/// Nothing is held or watched for longer than a few turns.
pub(super) fn hurry(scene: &mut Scene) {
    let rules = &mut scene.intent.site.deploy;
    (rules.hold, rules.watch_after) = (Millis::from_secs(2), Millis::from_secs(3));
    rules.keep_warm = Millis::from_secs(5);
}

pub(super) fn command(words: &str) -> Option<CommandLine> {
    Some(CommandLine::parse(words).unwrap())
}

pub(super) fn phase(scene: &Scene) -> Phase {
    scene.roster.deployment.as_ref().unwrap().phase.clone()
}

/// Every turn's steps, phase and routes, until the deployment is over for good.
pub(super) fn story(scene: &mut Scene) -> String {
    let mut story = String::new();
    for _ in 0..1000 {
        let steps = scene.steps();
        let plan = scene.turn();
        let share = plan.routes.canary.as_ref().map(|canary| format!(" {} %", canary.percent));
        let app: Vec<_> = plan.routes.app.iter().map(|route| route.instance.to_string()).collect();
        let line = format!(
            "{:<44} {:<10} {}{}",
            steps.join(", "),
            phase(scene).word(),
            app.join(" "),
            share.unwrap_or_default()
        );
        let line = format!("{}\n", line.trim_end());
        if !story.ends_with(&line) {
            story.push_str(&line);
        }
        if matches!(phase(scene), Phase::Done | Phase::Failed(_)) && plan.settled() {
            break;
        }
    }
    story
}

/// Turns until the deployment is in a phase of this name.
pub(super) fn until(scene: &mut Scene, word: &str) {
    for _ in 0..1000 {
        if phase(scene).word() == word {
            return;
        }
        scene.turn();
    }
    panic!("it never is {word}; it is {:?}", phase(scene));
}

/// Balancer-1 has counted so many answers of each of these instances, some of them errors.
pub(super) fn answered(scene: &mut Scene, counts: &[(&str, u64, u64)]) {
    for (instance, good, bad) in counts {
        let report = scene.report("balancer-1");
        let upstream = report.instances.entry(id(instance)).or_default();
        let Traffic { status, durations, .. } = &mut upstream.traffic;
        status[1] += good;
        status[4] += bad;
        durations[3] += good + bad;
    }
}

pub(super) fn newcomers(scene: &Scene) -> Vec<InstanceId> {
    let of_it = scene.roster.tier(Tier::App).filter(|(_, place)| place.release == Some(release(2)));
    of_it.map(|(id, _)| id).collect()
}

#[test]
fn rolling_replaces_a_batch_at_a_time() {
    let mut scene = ordered(Strategy::Rolling);
    insta::assert_snapshot!(story(&mut scene), @r#"
    build 2-abcdef0                              preparing  app-1 app-2
    start app-3, publish 1-abcdef0               rolling    app-1 app-2
                                                 rolling    app-1 app-2 app-3
                                                 rolling    app-1 app-3
    stop app-2                                   rolling    app-1 app-3
                                                 rolling    app-1 app-3
    start app-2                                  rolling    app-1 app-3
                                                 rolling    app-1 app-2 app-3
                                                 rolling    app-2 app-3
    stop app-1, publish 2-abcdef0                watched    app-2 app-3
                                                 watched    app-2 app-3
                                                 done       app-2 app-3
    "#);
    assert_eq!(scene.roster.live, Some(release(2)));
}

#[test]
fn blue_green_switches_once_and_keeps_the_old_ones_warm() {
    let mut scene = ordered(Strategy::BlueGreen);
    insta::assert_snapshot!(story(&mut scene), @r#"
    build 2-abcdef0                              preparing  app-1 app-2
    start app-3, start app-4, publish 1-abcdef0  raising    app-1 app-2
    publish 2-abcdef0                            watched    app-3 app-4
                                                 watched    app-3 app-4
    stop app-1, stop app-2                       done       app-3 app-4
                                                 done       app-3 app-4
    "#);
}

#[test]
fn a_canary_gets_its_share_step_by_step() {
    let mut scene = ordered(Strategy::Canary);
    insta::assert_snapshot!(story(&mut scene), @r#"
    build 2-abcdef0                              preparing  app-1 app-2
    start app-3, publish 1-abcdef0               canary     app-1 app-2
                                                 canary     app-1 app-2 app-3 5 %
                                                 canary     app-1 app-2 app-3 25 %
                                                 canary     app-1 app-2 app-3 50 %
                                                 rolling    app-1 app-3
    stop app-2                                   rolling    app-1 app-3
                                                 rolling    app-1 app-3
    start app-2                                  rolling    app-1 app-3
                                                 rolling    app-1 app-2 app-3
                                                 rolling    app-2 app-3
    stop app-1, publish 2-abcdef0                watched    app-2 app-3
                                                 watched    app-2 app-3
                                                 done       app-2 app-3
    "#);
}

#[test]
fn a_rollback_starts_all_at_once_and_judges_nothing() {
    let mut scene = ordered(Strategy::Canary);
    story(&mut scene);
    order(&mut scene, 1, DeployKind::Rollback);
    insta::assert_snapshot!(story(&mut scene), @r#"
    start app-1, start app-4                     raising    app-2 app-3
    publish 1-abcdef0                            done       app-1 app-4
    stop app-2, stop app-3                       done       app-1 app-4
                                                 done       app-1 app-4
    "#);
    assert_eq!(scene.roster.live, Some(release(1)));
}

#[test]
fn tasks_run_once_and_in_order_before_anything_is_started() {
    let mut scene = ordered(Strategy::Rolling);
    scene.intent.site.deploy.before_deploy = command("./check.sh");
    scene.intent.site.deploy.migrate = command("./migrate.sh --all");
    scene.intent.site.deploy.after_deploy = command("./tell.sh");
    let story = story(&mut scene);
    let tasks: Vec<_> =
        story.lines().filter(|line| line.contains("run ")).map(|line| line[..44].trim()).collect();
    insta::assert_snapshot!(tasks.join("\n"), @r#"
    run before-deploy-1, publish 1-abcdef0
    run migrate-1
    run after-deploy-1, stop app-1, publish 2-ab
    "#);
    assert_eq!(story.matches("run migrate").count(), 1);
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let mut scene = ordered(Strategy::Rolling);
    scene.intent.site.deploy.migrate = command("./migrate.sh");
    let task = TaskId { kind: TaskKind::Migrate, deploy: DeployNumber(1) };
    let last_lines = vec!["duplicate column".to_owned()];
    scene.host.tasks.insert(task, TaskState::Failed { why: "exit status 1".to_owned(), last_lines });
    let before = scene.routes.clone();
    scene.settle();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Failed("its `migrate` failed: exit status 1; its last line: duplicate column")"#);
    assert_eq!((&scene.routes, newcomers(&scene)), (&before, Vec::new()));
    assert_eq!(scene.roster.live, Some(release(1)));
}

#[test]
fn a_migration_that_runs_is_waited_for() {
    let mut scene = ordered(Strategy::Rolling);
    scene.intent.site.deploy.migrate = command("./migrate.sh");
    scene.host.releases.insert(release(2), ReleaseState::Built);
    let task = TaskId { kind: TaskKind::Migrate, deploy: DeployNumber(1) };
    scene.host.tasks.insert(task, TaskState::Running { since: scene.now });
    scene.turn();
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "2-abcdef0"), @"its `migrate` has run, for 10 min 0 s at most: `./migrate.sh` runs for 1 s so far");
    assert!(scene.steps().iter().all(|step| !step.starts_with("run")));
}

#[test]
fn a_release_that_crashes_is_taken_back() {
    for strategy in [Strategy::Rolling, Strategy::BlueGreen, Strategy::Canary] {
        let mut scene = ordered(strategy);
        for _ in 0..40 {
            scene.turn();
            for newcomer in newcomers(&scene) {
                if matches!(scene.seen(&newcomer.to_string()).process, ProcessState::Running(_)) {
                    scene.died(&newcomer.to_string(), 1);
                }
            }
            assert!(scene.routes.app.len() >= 2);
        }
        scene.settle();
        let Phase::Failed(why) = phase(&scene) else { panic!("{strategy:?}: {:?}", phase(&scene)) };
        assert!(why.contains("ended by themselves") && why.contains("KeyError"), "{why}");
        assert_eq!((newcomers(&scene), scene.roster.live.clone()), (Vec::new(), Some(release(1))));
    }
}

#[test]
fn a_release_that_never_gets_healthy_is_taken_back() {
    let mut scene = ordered(Strategy::Rolling);
    for _ in 0..60 {
        scene.turn();
        for newcomer in newcomers(&scene) {
            if let ProcessState::Running(running) = &mut scene.seen(&newcomer.to_string()).process {
                running.health = Health::Unproven(Some("connection refused".to_owned()));
            }
        }
    }
    scene.settle();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Failed("app-3 did not become healthy within 30 s of its start: connection refused")"#);
    assert_eq!(newcomers(&scene), []);
}

#[test]
fn a_release_that_turns_sick_once_it_is_asked_is_taken_back_at_once() {
    let mut scene = ordered(Strategy::Canary);
    until(&mut scene, "canary");
    while scene.routes.canary.is_none() {
        scene.turn();
    }
    let newcomer = newcomers(&scene)[0];
    scene.fails(&newcomer.to_string(), 3, 300);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
    assert_eq!(plan.routes.canary, None, "within the same decision");
    assert!(matches!(phase(&scene), Phase::Back(_)));
    scene.settle();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Failed("app-3 was healthy at first, was sent requests and fails its checks now: GET /up timed out")"#);
}

#[test]
fn a_canary_that_errs_is_taken_back_within_one_decision() {
    let mut scene = ordered(Strategy::Canary);
    until(&mut scene, "canary");
    while scene.routes.canary.is_none() {
        scene.turn();
    }
    let newcomer = newcomers(&scene)[0].to_string();
    for _ in 0..60 {
        answered(&mut scene, &[("app-1", 48, 0), ("app-2", 47, 0), (&newcomer, 4, 1)]);
        let plan = scene.turn();
        if let Phase::Back(why) = phase(&scene) {
            insta::assert_snapshot!(why, @"10 of 50 answers (20.0 %) of the new release failed, of the old one at the same time 0 of 950 answers (0.0 %); so far apart by chance less than once in 1000000");
            assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
            scene.settle();
            assert_eq!(scene.roster.live, Some(release(1)));
            return;
        }
    }
    panic!("it was never found out: {:#?}", scene.roster.deployment);
}

#[test]
fn a_release_that_errs_after_the_switch_is_taken_back_from_the_warm_ones() {
    let mut scene = ordered(Strategy::BlueGreen);
    answered(&mut scene, &[("app-1", 0, 0), ("app-2", 0, 0)]);
    until(&mut scene, "raising");
    for _ in 0..3 {
        answered(&mut scene, &[("app-1", 500, 0), ("app-2", 500, 0)]);
        scene.turn();
    }
    until(&mut scene, "watched");
    let new: Vec<String> = newcomers(&scene).iter().map(ToString::to_string).collect();
    for _ in 0..30 {
        answered(&mut scene, &[(&new[0], 40, 10), (&new[1], 40, 10)]);
        let plan = scene.turn();
        if matches!(phase(&scene), Phase::Back(_)) {
            assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2", "a switch of routes alone");
            scene.settle();
            assert!(matches!(phase(&scene), Phase::Failed(_)));
            return;
        }
    }
    panic!("it was never found out: {:#?}", scene.roster.deployment);
}

#[test]
fn a_rollback_in_the_middle_of_a_canary_goes_back() {
    let mut scene = ordered(Strategy::Canary);
    until(&mut scene, "canary");
    while scene.routes.canary.is_none() {
        scene.turn();
    }
    order(&mut scene, 1, DeployKind::Rollback);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
    scene.settle();
    assert_eq!((phase(&scene), newcomers(&scene)), (Phase::Done, Vec::new()));
}

#[test]
fn after_a_failed_one_the_next_is_tried() {
    let mut scene = ordered(Strategy::Rolling);
    let failed = ReleaseState::Failed { why: "`make` ended with 2".to_owned(), last_lines: Vec::new() };
    scene.host.releases.insert(release(2), failed);
    for _ in 0..5 {
        scene.turn();
    }
    assert!(matches!(phase(&scene), Phase::Failed(_)));
    order(&mut scene, 3, DeployKind::Deploy);
    scene.settle();
    until(&mut scene, "done");
    assert_eq!(scene.roster.live, Some(release(3)));
}

#[test]
fn a_canary_that_is_never_asked_is_given_more_time_and_then_goes_on() {
    let mut scene = ordered(Strategy::Canary);
    scene.intent.site.deploy.steps = vec![50];
    until(&mut scene, "canary");
    while scene.routes.canary.is_none() {
        scene.turn();
    }
    let since = scene.now;
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "2-abcdef0"), @"the canary at 50 % is held for 1 min 0 s (1 s so far; 0 answers, 50 are needed)");
    until(&mut scene, "rolling");
    let held = scene.now.since(since);
    assert!(held > Millis::from_secs(175) && held < Millis::from_secs(190), "{held}");
}

#[test]
fn the_clock_of_another_boot_begins_anew() {
    let mut scene = ordered(Strategy::Canary);
    until(&mut scene, "canary");
    scene.turn();
    let deployment = scene.roster.deployment.as_mut().unwrap();
    deployment.since = Time(scene.now.0 + 1_000_000_000);
    scene.turn();
    assert!(scene.roster.deployment.as_ref().unwrap().since <= scene.now);
}

#[test]
fn old_releases_are_removed_and_needed_ones_never() {
    let mut scene = Scene::settled();
    scene.intent.site.deploy.keep_releases = 3;
    for number in 2..=6 {
        order(&mut scene, number, DeployKind::Deploy);
        scene.settle();
        until(&mut scene, "done");
        scene.settle();
    }
    assert_eq!(scene.host.releases.keys().cloned().collect::<Vec<_>>(), [release(4), release(5), release(6)]);
    assert_eq!(scene.host.static_roots, [release(6), release(5), release(4)]);
}

/// Cuts a deployment after every turn, forgets what only the daemon knew, and goes on.
#[test]
fn interrupted_anywhere_it_converges() {
    for strategy in [Strategy::Rolling, Strategy::BlueGreen, Strategy::Canary] {
        for cut in 0..40 {
            let mut scene = ordered(strategy);
            scene.intent.site.deploy.migrate = command("./migrate.sh");
            hurry(&mut scene);
            for turn in 0..1000 {
                if turn == cut {
                    forget(&mut scene);
                }
                let plan = scene.turn();
                assert!(scene.routes.app.len() >= 2, "{strategy:?} cut {cut}");
                if plan.settled() && phase(&scene) == Phase::Done {
                    break;
                }
            }
            assert_eq!(phase(&scene), Phase::Done, "{strategy:?} cut {cut}");
            assert_eq!(scene.roster.live, Some(release(2)));
            assert_eq!(scene.roster.tier(Tier::App).count(), 2, "{strategy:?} cut {cut}");
        }
    }
}

/// A new daemon: no check has been made, nothing is under way.
pub(super) fn forget(scene: &mut Scene) {
    for seen in scene.host.instances.values_mut() {
        if let ProcessState::Running(running) = &mut seen.process {
            running.health = Health::Unproven(None);
        }
    }
    scene.host.busy.clear();
    scene.host.failures.clear();
}
