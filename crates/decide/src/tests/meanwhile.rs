//! What happens while a deployment is under way: another order, another count, a new daemon, another
//! clock. It goes on or back, and nothing is left over.

use super::deploying::{command, forget, hurry, newcomers, order, ordered, phase, story, until};
use super::scene::{Scene, id, release};
use crate::course;
use proptest::prelude::*;
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::observed::{Health, ReleaseState, StepFailure};
use stoa_model::plan::WaitKind;
use stoa_model::site::Strategy as How;
use stoa_model::{Tier, Time};

const STRATEGIES: [How; 3] = [How::Rolling, How::BlueGreen, How::Canary];

/// The site is at rest on one release: nothing of another is there, nothing is left over.
fn rests_on(scene: &mut Scene, number: u32) {
    for _ in 0..2_000 {
        if scene.turn().settled() && matches!(phase(scene), Phase::Done | Phase::Failed(_)) {
            break;
        }
    }
    let wanted = usize::from(scene.roster.wanted(&scene.intent, Tier::App));
    let places: Vec<_> = scene.roster.tier(Tier::App).map(|(_, place)| place.release.clone()).collect();
    assert_eq!(places, vec![Some(release(number)); wanted], "{:?}", phase(scene));
    assert_eq!((scene.routes.app.len(), scene.routes.canary.as_ref()), (wanted, None));
    assert_eq!(scene.roster.live, Some(release(number)));
    assert_eq!(scene.host.static_roots.first(), Some(&release(number)));
}

#[test]
fn another_order_takes_the_place_of_the_one_under_way() {
    for strategy in STRATEGIES {
        for cut in 0..30 {
            let mut scene = ordered(strategy);
            hurry(&mut scene);
            for _ in 0..cut {
                scene.turn();
            }
            order(&mut scene, 3, DeployKind::Deploy);
            let from = scene.roster.live.clone();
            scene.turn();
            assert_eq!(scene.roster.deployment.as_ref().unwrap().from, from, "{strategy:?} cut {cut}");
            for _ in 0..2_000 {
                assert!(scene.routes.app.len() >= 2, "{strategy:?} cut {cut}");
                if scene.turn().settled() && phase(&scene) == Phase::Done {
                    break;
                }
            }
            rests_on(&mut scene, 3);
        }
    }
}

#[test]
fn a_rollback_at_any_moment_goes_back() {
    for strategy in STRATEGIES {
        for cut in 0..30 {
            let mut scene = ordered(strategy);
            hurry(&mut scene);
            for _ in 0..cut {
                scene.turn();
            }
            order(&mut scene, 1, DeployKind::Rollback);
            rests_on(&mut scene, 1);
        }
    }
}

#[test]
fn going_back_to_warm_ones_is_one_switch_of_routes() {
    let mut scene = ordered(How::BlueGreen);
    until(&mut scene, "watched");
    scene.turn();
    order(&mut scene, 1, DeployKind::Rollback);
    let plan = scene.turn();
    assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
    assert!(plan.steps.iter().all(|step| step.action.verb() != "start"), "{:#?}", plan.steps);
    rests_on(&mut scene, 1);
}

#[test]
fn while_it_is_watched_the_site_is_at_rest() {
    for strategy in STRATEGIES {
        let mut scene = ordered(strategy);
        until(&mut scene, "watched");
        scene.settle();
        assert_eq!(phase(&scene), Phase::Watch, "{strategy:?}");
        let before = (scene.roster.clone(), scene.routes.clone());
        scene.turn();
        assert_eq!(
            (&scene.roster, &scene.routes),
            (&before.0, &before.1),
            "{strategy:?}: each change is a write"
        );
        let warm = usize::from(strategy == How::BlueGreen) * 2;
        assert_eq!(scene.roster.tier(Tier::App).count(), 2 + warm, "{strategy:?}");
    }
}

#[test]
fn a_new_daemon_takes_nobody_out_of_the_routes() {
    for strategy in STRATEGIES {
        for cut in 0..30 {
            let mut scene = ordered(strategy);
            hurry(&mut scene);
            for _ in 0..cut {
                scene.turn();
            }
            let before = scene.routes.clone();
            forget(&mut scene);
            let now = scene.plan().routes;
            let left = |r: &&stoa_model::routes::Route| !now.app.iter().any(|n| n.instance == r.instance);
            let staying =
                |r: &&stoa_model::routes::Route| scene.roster.instances[&r.instance].retiring.is_none();
            let out: Vec<_> = before.app.iter().filter(left).filter(staying).collect();
            assert!(out.is_empty(), "{strategy:?} cut {cut}: {out:?}");
            assert_eq!(now.canary, before.canary, "{strategy:?} cut {cut}");
        }
    }
}

#[test]
fn a_clock_that_jumps_ahead_ends_no_hold_before_it_was_held() {
    let mut scene = ordered(How::Canary);
    until(&mut scene, "canary");
    scene.pass(3_600_000);
    let plan = scene.turn();
    assert_eq!(plan.routes.canary.map(|canary| canary.percent), Some(5));
    assert_eq!(phase(&scene), Phase::Canary { step: 0 }, "its hold begins when it is sent requests first");
    until(&mut scene, "watched");
    scene.pass(3_600_000);
    rests_on(&mut scene, 2);
}

#[test]
fn a_machine_that_was_rebooted_goes_on_with_what_it_had_begun() {
    for strategy in STRATEGIES {
        for cut in 0..20 {
            let mut scene = ordered(strategy);
            hurry(&mut scene);
            for _ in 0..cut {
                scene.turn();
            }
            scene.now = Time(5_000);
            scene.host.at = scene.now;
            let ids: Vec<_> = scene.host.instances.keys().copied().collect();
            for instance in ids {
                scene.seen(&instance.to_string()).process = stoa_model::observed::ProcessState::Absent;
            }
            rests_on(&mut scene, 2);
        }
    }
}

#[test]
fn new_ones_are_sent_requests_after_so_many_checks_in_a_row() {
    let mut scene = ordered(How::Rolling);
    scene.intent.site.deploy.checks = 3;
    until(&mut scene, "rolling");
    for passes in [1, 2] {
        let (since, last) = (scene.now, scene.now);
        scene.running(id("app-3")).health = Health::Healthy { since, last, passes };
        let plan = scene.plan();
        assert_eq!(scene.routed(&plan), "web-1 web-2 app-1 app-2");
    }
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-3"), @"its check has passed 3 times in a row; 2 so far");
    let (since, last) = (scene.now, scene.now);
    scene.running(id("app-3")).health = Health::Healthy { since, last, passes: 3 };
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2 app-3");
    scene.host.static_roots = vec![release(1)];
    assert_eq!(scene.routed(&scene.plan()), "web-1 web-2 app-1 app-2");
    insta::assert_snapshot!(scene.waits(WaitKind::Progress, "app-3"), @"nginx looks for static files in 2-abcdef0, so that its pages find theirs");
}

#[test]
fn a_batch_at_a_time_and_never_more_than_the_surge() {
    for (batch, surge, most) in [(1, 1, 5), (2, 2, 6), (3, 1, 5), (4, 4, 8), (2, 9, 8)] {
        let mut scene = Scene::settled();
        scene.intent.scale.insert(Tier::App, 4);
        scene.settle();
        (scene.intent.site.deploy.batch, scene.intent.site.deploy.max_surge) = (batch, surge);
        order(&mut scene, 2, DeployKind::Deploy);
        let mut highest = 0;
        for _ in 0..200 {
            scene.turn();
            highest = highest.max(scene.roster.tier(Tier::App).count());
            assert!(scene.routes.app.len() >= 4);
        }
        assert_eq!((highest, phase(&scene)), (most, Phase::Done), "batch {batch}, surge {surge}");
    }
}

#[test]
fn a_store_from_before_there_were_deployments_is_at_rest() {
    let mut scene = Scene::settled();
    scene.roster.deployment = None;
    let plan = scene.plan();
    assert!(plan.settled());
    assert_eq!(plan.roster.deployment.map(|deployment| deployment.phase), Some(Phase::Done));
}

#[test]
fn the_first_release_of_all_has_nothing_to_be_compared_with() {
    let mut scene = Scene::new();
    scene.intent.site.deploy.strategy = How::Canary;
    scene.intent.site.deploy.migrate = command("./migrate.sh");
    insta::assert_snapshot!(story(&mut scene), @r#"
    build 1-abcdef0, start balancer-1, start balancer-2, prepare database-1, start splitter-1, start splitter-2, start cache-1, start web-1, start web-2 preparing
    start database-1, publish 1-abcdef0          preparing
    promote database-1                           preparing
    clone database-2, run migrate-0              preparing
    start database-2, start app-1, start app-2   rolling
    follow database-2                            rolling    app-1 app-2
    semi-sync database-1                         done       app-1 app-2
                                                 done       app-1 app-2
    "#);
}

#[test]
fn what_was_never_built_does_not_push_out_what_could_be_gone_back_to() {
    let mut scene = Scene::settled();
    scene.intent.site.deploy.keep_releases = 2;
    order(&mut scene, 2, DeployKind::Deploy);
    scene.settle();
    until(&mut scene, "done");
    for number in 3..7 {
        let failed = ReleaseState::Failed { why: "`make` ended with 2".to_owned(), last_lines: Vec::new() };
        scene.host.releases.insert(release(number), failed);
        order(&mut scene, number, DeployKind::Deploy);
        scene.settle();
    }
    let left: Vec<_> = scene.host.releases.keys().cloned().collect();
    assert_eq!(left, [release(1), release(2), release(5), release(6)]);
}

#[test]
fn a_source_that_the_host_has_not_been_seen_with_yet_is_waited_for() {
    let mut scene = ordered(How::Rolling);
    scene.host.releases.remove(&release(2));
    scene.adopt(&scene.plan(), |_| true);
    assert_eq!(phase(&scene), Phase::Prepare, "what was seen is older than the order");
    scene.turn();
    assert!(matches!(phase(&scene), Phase::Failed(_)));
}

#[test]
fn a_task_that_cannot_be_begun_fails_the_deployment() {
    let mut scene = ordered(How::Rolling);
    scene.intent.site.deploy.migrate = command("./migrate.sh");
    until(&mut scene, "preparing");
    scene.host.releases.insert(release(2), ReleaseState::Built);
    let key = scene.plan().steps.iter().find(|step| step.action.verb() == "run").unwrap().action.key();
    let error = "the secret STRIPE_KEY has no value".to_owned();
    scene.host.failures.insert(key.clone(), StepFailure { at: scene.now, attempts: 3, error: error.clone() });
    scene.turn();
    assert_eq!(phase(&scene), Phase::Prepare);
    scene.host.failures.insert(key, StepFailure { at: scene.now, attempts: 4, error });
    scene.turn();
    insta::assert_snapshot!(format!("{:?}", phase(&scene)), @r#"Failed("its `migrate` could not be begun: the secret STRIPE_KEY has no value")"#);
    assert_eq!(newcomers(&scene), []);
}

#[test]
fn what_a_deployment_would_do_is_told_before_it_is_begun() {
    let mut told = String::new();
    for (strategy, kind) in [
        (How::Rolling, DeployKind::Deploy),
        (How::BlueGreen, DeployKind::Deploy),
        (How::Canary, DeployKind::Deploy),
        (How::Canary, DeployKind::Rollback),
    ] {
        let mut scene = ordered(strategy);
        scene.intent.site.deploy.migrate = command("./migrate.sh");
        scene.intent.deploy.kind = kind;
        let observed = scene.observed();
        told.push_str(&format!(
            "{strategy:?} {kind:?}\n  {}\n",
            course(&scene.input(&observed)).join("\n  ")
        ));
    }
    insta::assert_snapshot!(told, @r#"
    Rolling Deploy
      2-abcdef0 is built
      `migrate` is run once: `./migrate.sh`, for 10 min 0 s at most; if it fails, nothing changes
      nginx finds the static files of 2-abcdef0
      2 instances of 1-abcdef0 are replaced by 2-abcdef0, 1 at a time, with at most 1 more than 2 running; each new one is sent requests after 2 checks in a row
      2-abcdef0 is watched for 1 min 0 s after it serves in full: if it errs more or is slower than 1-abcdef0, crashes or turns sick, 1-abcdef0 is brought back
    BlueGreen Deploy
      2-abcdef0 is built
      `migrate` is run once: `./migrate.sh`, for 10 min 0 s at most; if it fails, nothing changes
      nginx finds the static files of 2-abcdef0
      2 instances of 2-abcdef0 are started beside 1-abcdef0; when all have passed 2 checks in a row, all requests go to them at once
      the instances of 1-abcdef0 are kept running without requests for 5 min 0 s
      2-abcdef0 is watched for 1 min 0 s after it serves in full: if it errs more or is slower than 1-abcdef0, crashes or turns sick, 1-abcdef0 is brought back
    Canary Deploy
      2-abcdef0 is built
      `migrate` is run once: `./migrate.sh`, for 10 min 0 s at most; if it fails, nothing changes
      nginx finds the static files of 2-abcdef0
      1 instance of 2-abcdef0 gets 5 % of the requests for 1 min 0 s at least, and until 50 are answered
      1 instance of 2-abcdef0 gets 25 % of the requests for 1 min 0 s at least, and until 50 are answered
      1 instance of 2-abcdef0 gets 50 % of the requests for 1 min 0 s at least, and until 50 are answered
      2 instances of 1-abcdef0 are replaced by 2-abcdef0, 1 at a time, with at most 1 more than 2 running; each new one is sent requests after 2 checks in a row
      2-abcdef0 is watched for 1 min 0 s after it serves in full: if it errs more or is slower than 1-abcdef0, crashes or turns sick, 1-abcdef0 is brought back
    Canary Rollback
      2-abcdef0 is built
      nginx finds the static files of 2-abcdef0
      2 instances of 2-abcdef0 are started beside 1-abcdef0; when all have passed 2 checks in a row, all requests go to them at once
      the instances of 1-abcdef0 are drained and stopped
    "#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any strategy, counts that change and daemons that are replaced at any turn: never fewer than the
    /// smallest count that was wanted are routed to, and in the end all run the new release.
    #[test]
    fn whatever_is_scaled_meanwhile_it_converges(
        strategy in prop::sample::select(STRATEGIES.to_vec()),
        batch in 1..4u16,
        surge in 1..4u16,
        changes in prop::collection::vec((0..40usize, 1..6u16, any::<bool>()), 0..6),
    ) {
        let mut scene = ordered(strategy);
        hurry(&mut scene);
        let rules = &mut scene.intent.site.deploy;
        (rules.batch, rules.max_surge) = (batch, surge);
        let least = changes.iter().map(|change| change.1).chain([2]).min().unwrap_or(1);
        for turn in 0..60 {
            for (_, count, daemon) in changes.iter().filter(|(at, ..)| *at == turn) {
                scene.intent.scale.insert(Tier::App, *count);
                if *daemon {
                    forget(&mut scene);
                }
            }
            scene.turn();
            prop_assert!(scene.routes.app.len() >= usize::from(least));
        }
        rests_on(&mut scene, 2);
    }
}
