use super::*;
use crate::cli::render::samples::{
    canary, coming_up, crash_loop, deploying, failed_build, newer, release, settled, taken_back, waiting,
    watched,
};
use stoa_model::deployment::DeployKind;

fn judge() -> Judge {
    Judge::of_up(release(), None, Some(Millis::from_secs(60)))
}

fn stuck(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Stuck(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_settled_site_is_believed_at_the_second_look() {
    let mut judge = judge();
    assert_eq!(judge.look(&settled(), Millis(0)), Verdict::Going);
    assert_eq!(judge.look(&coming_up(), Millis(150)), Verdict::Going);
    assert_eq!(judge.look(&settled(), Millis(300)), Verdict::Going);
    assert_eq!(judge.look(&settled(), Millis(450)), Verdict::Done);
}

#[test]
fn another_release_says_nothing_about_this_request() {
    let mut old = failed_build();
    old.release = ReleaseId::new(2, "0123456").unwrap();
    let mut judge = judge();
    for look in 0..5 {
        assert_eq!(judge.look(&old, Millis(look * 150)), Verdict::Going);
    }
}

#[test]
fn a_failed_build_needs_the_user() {
    let reason = stuck(judge().look(&failed_build(), Millis(0)));
    assert_eq!((reason.log.as_str(), reason.lines.len()), ("build", 2));
    assert!(reason.why.contains("exit status 1"), "{reason:?}");
}

#[test]
fn three_crashes_in_a_row_are_a_loop_and_two_are_not() {
    let mut status = crash_loop();
    let reason = stuck(judge().look(&status, Millis(0)));
    assert_eq!((reason.log.as_str(), reason.lines.len()), ("app-2", 4));
    status.tiers[2].instances[1].crashes = 2;
    assert_eq!(judge().look(&status, Millis(0)), Verdict::Going);
    // It runs again and has been proven: what was before is past.
    status.tiers[2].instances[1].crashes = 4;
    status.tiers[2].instances[1].state = InstanceState::Serving;
    assert_eq!(judge().look(&status, Millis(0)), Verdict::Going);
}

#[test]
fn an_application_that_never_gets_healthy_is_given_up_at_its_time_out() {
    let mut status = coming_up();
    let mut app = crate::cli::render::samples::instance(Tier::App, 1);
    app.state = InstanceState::Starting;
    app.note = Some("answered 500".to_owned());
    app.uptime = Some(Millis::from_secs(59));
    status.tiers[2].instances = vec![app];
    assert_eq!(judge().look(&status, Millis(0)), Verdict::Going);
    status.tiers[2].instances[0].uptime = Some(Millis(59_700));
    let reason = stuck(judge().look(&status, Millis(0)));
    assert_eq!((reason.why.as_str(), reason.log.as_str()), ("answered 500", "app-1"));
}

#[test]
fn a_stuck_instance_brings_its_reason() {
    let mut status = coming_up();
    status.waiting.push(waiting("database-1", "its data folder is moved away", WaitKind::Stuck));
    let reason = stuck(judge().look(&status, Millis(0)));
    assert_eq!(reason.log, "database-1");
    assert!(reason.why.contains("moved away"), "{reason:?}");
}

#[test]
fn trouble_without_a_step_forward_is_given_up_after_a_while() {
    let mut status = coming_up();
    status.waiting.push(waiting("database-1", "prepare succeeds: no space left", WaitKind::Trouble));
    let mut judge = judge();
    assert_eq!(judge.look(&status, Millis(0)), Verdict::Going);
    assert_eq!(judge.look(&status, Millis(59_000)), Verdict::Going);
    status.tiers[0].ready = 2;
    assert_eq!(judge.look(&status, Millis(61_000)), Verdict::Going, "a step forward");
    assert_eq!(judge.look(&status, Millis(120_000)), Verdict::Going);
    let reason = stuck(judge.look(&status, Millis(121_000)));
    assert!(reason.what.contains("no space left"), "{reason:?}");
}

#[test]
fn progress_without_trouble_may_take_its_time() {
    let mut judge = judge();
    for minute in 0..60 {
        assert_eq!(judge.look(&coming_up(), Millis(minute * 60_000)), Verdict::Going);
    }
}

fn deploy_judge(watch: bool) -> DeployJudge {
    DeployJudge::new(Asked { number: DeployNumber(8), watch })
}

#[test]
fn a_deployment_is_done_when_it_serves_and_the_site_rests() {
    let mut judge = deploy_judge(false);
    for status in [settled(), deploying(Phase::Prepare, ""), canary(), deploying(Phase::Roll, "")] {
        assert_eq!(judge.look(&status, Millis(0)), Verdict::Going);
    }
    let mut draining = watched();
    draining.settled = false;
    assert_eq!(judge.look(&draining, Millis(1_000)), Verdict::Going);
    assert_eq!(judge.look(&watched(), Millis(1_150)), Verdict::Going);
    assert_eq!(judge.look(&watched(), Millis(1_300)), Verdict::Done);
    // Something else of the site that never rests is not waited for.
    let mut judge = deploy_judge(false);
    assert_eq!(judge.look(&draining, Millis(0)), Verdict::Going);
    assert_eq!(judge.look(&draining, Millis(30_000)), Verdict::Done);
}

#[test]
fn who_asks_to_watch_stays_until_the_judging_is_over() {
    let mut judge = deploy_judge(true);
    for look in 0..10 {
        assert_eq!(judge.look(&watched(), Millis(look * 150)), Verdict::Going);
    }
    // A blue-green one whose old instances are kept warm: still watched by name, judged no longer.
    let mut warm = watched();
    warm.deployment.as_mut().unwrap().left = None;
    assert_eq!(judge.look(&warm, Millis(2_000)), Verdict::Done);
    let mut judge = deploy_judge(true);
    assert_eq!(judge.look(&watched(), Millis(0)), Verdict::Going);
    assert!(stuck(judge.look(&taken_back(), Millis(150))).what.ends_with("was taken back"));
}

#[test]
fn a_deployment_that_failed_says_whether_visitors_saw_it() {
    let reason = stuck(deploy_judge(false).look(&taken_back(), Millis(0)));
    assert_eq!((reason.what.as_str(), reason.log.as_str()), ("release 4-1a2b3c4 was taken back", "deploy"));
    assert!(reason.why.contains("12 of 240"), "{reason:?}");
    let failed = deploying(Phase::Failed("`migrate` ended with exit status 3".to_owned()), "");
    let reason = stuck(deploy_judge(false).look(&failed, Millis(0)));
    assert_eq!(reason.what, "release 4-1a2b3c4 is not deployed");
    let mut judge = deploy_judge(false);
    assert_eq!(judge.look(&canary(), Millis(0)), Verdict::Going);
    assert!(stuck(judge.look(&failed, Millis(150))).what.ends_with("was taken back"));
    let mut unbuilt = failed_build();
    unbuilt.deployment = deploying(Phase::Failed("its build failed".to_owned()), "").deployment;
    unbuilt.release = newer();
    assert_eq!(stuck(deploy_judge(false).look(&unbuilt, Millis(0))).log, "build");
}

#[test]
fn a_deployment_judges_its_own_crashes() {
    let mut status = crash_loop();
    status.deployment = canary().deployment;
    assert_eq!(deploy_judge(false).look(&status, Millis(0)), Verdict::Going);
    status.release = newer();
    let mut up = Judge::of_up(newer(), Some(DeployNumber(7)), None);
    assert_eq!(up.look(&status, Millis(0)), Verdict::Going, "the old release serves");
    status.deployment.as_mut().unwrap().from = None;
    assert_eq!(stuck(up.look(&status, Millis(150))).log, "app-2", "nothing else serves");
}

#[test]
fn a_later_deployment_overtakes() {
    let mut status = deploying(Phase::Prepare, "");
    let other = status.deployment.as_mut().unwrap();
    (other.number, other.by, other.kind) = (DeployNumber(9), "ben@desk".to_owned(), DeployKind::Rollback);
    let reason = stuck(deploy_judge(false).look(&status, Millis(0)));
    assert_eq!(reason.what, "overtaken by deployment 9 of ben@desk");
    assert!(reason.why.contains("a rollback to release 4-1a2b3c4"), "{reason:?}");
}

#[test]
fn an_up_is_a_deployment_too() {
    let up = |before: Option<u64>| Judge::of_up(newer(), before.map(DeployNumber), None);
    assert!(stuck(up(Some(7)).look(&taken_back(), Millis(0))).what.ends_with("was taken back"));
    // One that failed before is not this one's failure, unless nothing came of this one.
    let mut again = up(Some(8));
    assert_eq!(again.look(&taken_back(), Millis(0)), Verdict::Going);
    stuck(again.look(&taken_back(), Millis(3_000)));
    let mut judge = up(Some(7));
    assert_eq!(judge.look(&watched(), Millis(0)), Verdict::Going);
    assert_eq!(judge.look(&watched(), Millis(150)), Verdict::Done, "being watched is being at rest");
}

#[test]
fn a_held_canary_is_no_stall_and_a_roll_that_does_not_move_is() {
    let trouble = |mut status: Status| {
        status.waiting = vec![waiting("web-2", "it stays up", WaitKind::Trouble)];
        status
    };
    let mut judge = deploy_judge(false);
    for minute in 0..30 {
        assert_eq!(judge.look(&trouble(canary()), Millis(minute * 60_000)), Verdict::Going);
    }
    let mut judge = deploy_judge(false);
    assert_eq!(judge.look(&trouble(deploying(Phase::Roll, "")), Millis(0)), Verdict::Going);
    stuck(judge.look(&trouble(deploying(Phase::Roll, "")), Millis(60_000)));
}
