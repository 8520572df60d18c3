use super::*;
use crate::cli::render::samples::{coming_up, crash_loop, failed_build, release, settled, waiting};

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
