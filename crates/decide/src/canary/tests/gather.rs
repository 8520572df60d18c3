//! What is counted, and to whose account.

use crate::canary::{Side, gather};
use stoa_model::control::Report;
use stoa_model::deployment::Evidence;
use stoa_model::{InstanceId, Tier, Time};

const BALANCER: InstanceId = InstanceId::new(Tier::Balancer, 1);

fn app(number: u16) -> InstanceId {
    InstanceId::new(Tier::App, number)
}

/// A balancer that has counted so many answers and errors of instances; each took about 8 ms.
fn report(counted: &[(u16, u64, u64)]) -> Report {
    let mut report = Report::default();
    for (number, answers, errors) in counted {
        let traffic = &mut report.instances.entry(app(*number)).or_default().traffic;
        traffic.status[1] = answers - errors;
        traffic.status[4] = *errors;
        traffic.durations[3] = *answers;
        traffic.duration_sum_us = answers * 8000;
    }
    report
}

fn side(id: InstanceId) -> Option<Side> {
    match id.number {
        1..10 => Some(Side::Old),
        10..20 => Some(Side::New),
        _ => None,
    }
}

#[derive(Default)]
struct Story(Evidence);

impl Story {
    /// At `ms`, the balancer that started at `started` reports. Answers and errors of old and new by then.
    fn at(&mut self, ms: u64, started: u64, counted: &[(u16, u64, u64)]) -> [(u64, u64); 2] {
        gather(&mut self.0, &[(BALANCER, Time(started), &report(counted))], &side, Time(ms));
        [&self.0.old, &self.0.new].map(|tally| (tally.requests, tally.errors))
    }
}

#[test]
fn the_first_sight_of_a_balancer_is_the_baseline() {
    let mut story = Story::default();
    assert_eq!(story.at(0, 1, &[(1, 1000, 30)]), [(0, 0), (0, 0)]);
    assert_eq!(story.at(1000, 1, &[(1, 1010, 31)]), [(10, 1), (0, 0)]);
    // An instance that it comes to know later has answered within the deployment.
    assert_eq!(story.at(2000, 1, &[(1, 1010, 31), (10, 7, 2)]), [(10, 1), (7, 2)]);
    assert_eq!(story.at(3000, 1, &[(1, 1020, 31), (10, 8, 3)]), [(20, 1), (8, 3)]);
}

#[test]
fn counters_that_begin_anew_lose_nothing() {
    let mut story = Story::default();
    story.at(0, 1, &[(1, 1000, 30), (10, 5, 0)]);
    // Another start of the balancer.
    assert_eq!(story.at(1000, 900, &[(1, 6, 1), (10, 2, 1)]), [(6, 1), (2, 1)]);
    assert_eq!(story.at(2000, 900, &[(1, 8, 1), (10, 3, 1)]), [(8, 1), (3, 1)]);
    // It no longer knows an instance, and comes to know another of that name.
    assert_eq!(story.at(3000, 900, &[(1, 8, 1)]), [(8, 1), (3, 1)]);
    assert_eq!(story.at(4000, 900, &[(1, 8, 1), (10, 4, 0)]), [(8, 1), (7, 1)]);
    // Another process within the same second.
    assert_eq!(story.at(5000, 900, &[(1, 8, 1), (10, 1, 1)]), [(8, 1), (8, 2)]);
}

#[test]
fn a_balancer_that_says_nothing_is_not_forgotten() {
    let mut story = Story::default();
    story.at(0, 1, &[(1, 1000, 0)]);
    gather(&mut story.0, &[], &side, Time(1000));
    assert_eq!(story.at(2000, 1, &[(1, 1040, 0)]), [(40, 0), (0, 0)]);
}

#[test]
fn what_has_no_side_counts_for_nobody() {
    let mut story = Story::default();
    story.at(0, 1, &[(1, 10, 0), (30, 10, 0)]);
    assert_eq!(story.at(1000, 1, &[(1, 10, 0), (30, 90, 9)]), [(0, 0), (0, 0)]);
    // No side for anybody: a span is passed over, and not made up for.
    let excused = report(&[(1, 60, 40), (30, 90, 9)]);
    gather(&mut story.0, &[(BALANCER, Time(1), &excused)], &|_| None, Time(2000));
    assert_eq!(story.at(3000, 1, &[(1, 61, 40), (30, 90, 9)]), [(1, 0), (0, 0)]);
}

#[test]
fn nothing_changes_when_nothing_was_answered() {
    let mut story = Story::default();
    story.at(0, 1, &[(1, 10, 0)]);
    story.at(1000, 1, &[(1, 50, 0), (10, 30, 1), (11, 0, 0)]);
    let before = story.0.clone();
    for ms in 2..100 {
        story.at(ms * 1000, 1, &[(1, 50, 0), (10, 30, 1), (11, 0, 0)]);
        assert_eq!(story.0, before);
    }
}

#[test]
fn the_first_seconds_of_an_instance_are_not_timed() {
    let mut story = Story::default();
    story.at(0, 1, &[(1, 10, 0)]);
    for (ms, answers, timed) in [(1000, 5, 0), (5900, 9, 0), (6000, 20, 11), (7000, 30, 21)] {
        story.at(ms, 1, &[(1, 10, 0), (10, answers, 0)]);
        assert_eq!((story.0.new.requests, story.0.new.timed()), (answers, timed), "at {ms} ms");
    }
    // Another process: it warms up again.
    story.at(8000, 1, &[(1, 10, 0), (10, 4, 0)]);
    assert_eq!(story.0.new.timed(), 21);
    story.at(13_000, 1, &[(1, 10, 0), (10, 6, 0)]);
    assert_eq!(story.0.new.timed(), 23);
    // Another boot: its clock says nothing of this one.
    story.at(10, 2, &[(1, 10, 0), (10, 1, 0)]);
    story.at(6000, 2, &[(1, 10, 0), (10, 2, 0)]);
    assert_eq!(story.0.new.timed(), 24);
}

#[test]
fn a_window_lasts_a_second_and_twenty_answers_whoever_gave_them() {
    let mut story = Story::default();
    story.at(10_000, 1, &[(1, 0, 0)]);
    let closed = |story: &Story| (story.0.windows, story.0.beside.new.requests, story.0.alone.requests);
    for (ms, old, new, then) in [
        (11_000, 10, 0, (0, 0, 0)),
        (12_000, 15, 5, (1, 5, 0)),  // 20 answers
        (12_500, 40, 30, (1, 5, 0)), // too soon
        (13_000, 40, 30, (2, 30, 0)),
        (14_000, 90, 30, (2, 30, 0)), // nothing of the new one: no window of its own
        (15_000, 90, 50, (3, 30, 20)),
        (16_000, 91, 150, (4, 30, 120)), // what the old one had begun
        (0, 92, 171, (5, 51, 120)),      // another boot
    ] {
        story.at(ms, 1, &[(1, old, 0), (10, new, 0)]);
        assert_eq!(closed(&story), then, "at {ms} ms");
    }
    assert_eq!((story.0.errs.len(), story.0.slow.len()), (5, 42));
}

#[test]
fn it_is_stored_as_it_is_and_stays_small() {
    let mut story = Story::default();
    for second in 0..100 {
        let counted: Vec<_> = (1..15).map(|n| (n, second * 100, second)).collect();
        story.at(second * 1000, 1, &counted);
    }
    let text = serde_json::to_string(&story.0).unwrap();
    assert!(text.len() < 6000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), story.0);
}
