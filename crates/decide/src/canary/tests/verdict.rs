//! What is said of evidence, in words.

use crate::canary::{Side, Verdict, effect, gather, judge};
use stoa_model::control::{DURATION_BOUNDS_MS, Report};
use stoa_model::deployment::{Evidence, Pair, Tally};
use stoa_model::site::DeployRules;
use stoa_model::{InstanceId, Tier, Time};

/// Answers in a second: how many, how many of them errors, and how long each took.
type Second = (u64, u64, u64);

const NONE: Second = (0, 0, 0);

/// Counters of one old and one new instance that grow second by second.
struct Site {
    report: Report,
    seconds: u64,
    evidence: Evidence,
}

impl Site {
    fn new() -> Self {
        let mut site = Site { report: Report::default(), seconds: 0, evidence: Evidence::default() };
        site.answers(1, NONE, NONE);
        site
    }

    fn answers(&mut self, seconds: u64, old: Second, new: Second) -> Verdict {
        for _ in 0..seconds {
            for (number, (answers, errors, ms)) in [(1, old), (2, new)] {
                let id = InstanceId::new(Tier::App, number);
                let traffic = &mut self.report.instances.entry(id).or_default().traffic;
                traffic.status[1] += answers - errors;
                traffic.status[4] += errors;
                traffic.durations[DURATION_BOUNDS_MS.partition_point(|bound| *bound < ms)] += answers;
                traffic.duration_sum_us += answers * ms * 1000;
            }
            self.seconds += 1;
            let side = |id: InstanceId| Some(if id.number == 1 { Side::Old } else { Side::New });
            let balancer = InstanceId::new(Tier::Balancer, 1);
            let now = Time(self.seconds * 1000);
            gather(&mut self.evidence, &[(balancer, Time(1), &self.report)], &side, now);
        }
        judge(&self.evidence, &DeployRules::default())
    }
}

#[track_caller]
fn worse(verdict: Verdict, why: &str) {
    assert_eq!(verdict, Verdict::Worse(why.to_owned()));
}

#[test]
fn too_few_answers_are_not_judged_however_bad() {
    let mut site = Site::new();
    assert_eq!(site.answers(7, (95, 0, 8), (7, 7, 8)), Verdict::TooFew);
    let why = "56 of 56 answers (100.0 %) of the new release failed, of the old one at the same time 0 of 760 \
               answers (0.0 %); so far apart by chance less than once in 100000";
    let Verdict::Worse(said) = site.answers(1, (95, 0, 8), (7, 7, 8)) else { panic!("it fails always") };
    assert_eq!(said.split("; ").next(), why.split("; ").next());
}

#[test]
fn a_release_like_the_old_one_is_even() {
    let mut site = Site::new();
    assert_eq!(site.answers(300, (95, 1, 8), (5, 0, 8)), Verdict::Even);
    assert_eq!(site.answers(300, (50, 1, 8), (50, 1, 8)), Verdict::Even);
    assert_eq!(site.answers(300, NONE, (100, 2, 8)), Verdict::Even);
}

#[test]
fn what_fails_for_both_is_nobodys_fault() {
    let mut site = Site::new();
    assert_eq!(site.answers(60, (50, 0, 8), (50, 0, 8)), Verdict::Even);
    assert_eq!(site.answers(60, (50, 50, 2), (50, 50, 2)), Verdict::Even);
}

#[test]
fn errors_have_their_figures() {
    let mut site = Site::new();
    site.answers(20, (100, 0, 8), NONE);
    let mut said = Verdict::Even;
    while said == Verdict::Even || said == Verdict::TooFew {
        said = site.answers(1, (190, 1, 8), (10, 2, 8));
    }
    worse(
        said,
        "10 of 50 answers (20.0 %) of the new release failed, of the old one at the same time 5 of 950 answers \
         (0.5 %); so far apart by chance less than once in 100000",
    );
}

#[test]
fn a_difference_too_small_to_matter_is_no_reason() {
    let mut site = Site::new();
    // 0.4 % of very many: no chance, and no harm worth going back for.
    assert_eq!(site.answers(120, (5000, 0, 8), (5000, 20, 8)), Verdict::Even);
    assert!(crate::canary::bets::worth(&site.evidence.errs) > 7.0);
    // As many times slower as one likes, but nobody notices 3 ms.
    let mut site = Site::new();
    assert_eq!(site.answers(60, (500, 0, 1), (500, 0, 4)), Verdict::Even);
    assert!(crate::canary::bets::worth(&site.evidence.slow) > 7.0);
}

#[test]
fn after_a_switch_the_old_one_is_the_measure_as_it_was() {
    let mut site = Site::new();
    site.answers(30, (100, 0, 8), NONE);
    assert_eq!(site.answers(30, NONE, (100, 0, 8)), Verdict::Even);
    let mut seconds = 0;
    let said = loop {
        match site.answers(1, NONE, (100, 10, 8)) {
            Verdict::Worse(why) => break why,
            _ => seconds += 1,
        }
    };
    assert!(seconds < 20, "{seconds} s");
    assert!(said.contains("of the old one before 0 of 3000 answers (0.0 %)"), "{said}");
}

#[test]
fn slowness_has_its_figures() {
    let mut site = Site::new();
    let said = site.answers(30, (90, 0, 40), (10, 0, 140));
    worse(
        said,
        "half of 250 answers of the new release took 175 ms or longer, of 2700 of the old one at the same time \
         38 ms; so far apart by chance less than once in 1000000",
    );
}

/// Answers that took 40 and 99 ms.
fn timed(short: u64, long: u64) -> Tally {
    let mut tally = Tally { requests: short + long, ..Tally::default() };
    tally.durations[5] = short;
    tally.durations[6] = long;
    tally.duration_sum_us = short * 40_000 + long * 99_000;
    tally
}

#[test]
fn a_few_seconds_do_not_outweigh_minutes_of_a_canary() {
    let said = |alone: u64| {
        let beside = Pair { old: timed(9000, 100), new: timed(4800, 50) };
        let alone = timed(0, alone);
        let evidence = Evidence { old: beside.old.clone(), beside, alone, ..Evidence::default() };
        effect::is_slower(&evidence, 50, 9.0)
    };
    assert_eq!(said(100), None);
    assert!(said(600).is_some_and(|why| why.contains(" before ")));
}

#[test]
fn few_answers_are_given_the_benefit_of_the_doubt() {
    let said = |times: u64| {
        let beside = Pair { old: timed(9100, 0), new: timed(39 * times, 11 * times) };
        effect::is_slower(&Evidence { beside, ..Evidence::default() }, 50, 9.0)
    };
    assert_eq!(said(1), None);
    assert!(said(100).is_some());
}

#[test]
fn a_bucket_that_all_fall_out_of_is_not_slowness() {
    let mut site = Site::new();
    assert_eq!(site.answers(120, (90, 0, 99), (10, 0, 101)), Verdict::Even);
    assert_eq!(site.answers(60, NONE, (100, 0, 101)), Verdict::Even);
}

#[test]
fn without_an_old_one_only_the_hopeless_is_seen() {
    let mut site = Site::new();
    assert_eq!(site.answers(10, NONE, (10, 4, 8)), Verdict::Even);
    worse(
        site.answers(50, NONE, (10, 6, 8)),
        "340 of 600 answers (56.7 %) of the new release failed; the old one gave too few to compare with",
    );
    // Where nothing worked before either, nothing is lost.
    let mut site = Site::new();
    assert_eq!(site.answers(1, (9, 9, 8), NONE), Verdict::TooFew);
    assert_eq!(site.answers(20, NONE, (10, 7, 8)), Verdict::Even);
}

#[test]
fn evidence_that_contradicts_itself_breaks_nothing() {
    let mut evidence = Evidence::default();
    for tally in [&mut evidence.new, &mut evidence.beside.new, &mut evidence.alone, &mut evidence.window.new]
    {
        (tally.requests, tally.errors, tally.durations[14]) = (60, u64::MAX / 2, u64::MAX / 64);
    }
    evidence.errs = vec![i64::MAX, i64::MIN];
    evidence.slow = vec![i64::MAX; 3];
    assert!(matches!(judge(&evidence, &DeployRules::default()), Verdict::Worse(_)));
    let side = |_: InstanceId| Some(Side::New);
    gather(&mut evidence, &[], &side, Time(5000));
}
