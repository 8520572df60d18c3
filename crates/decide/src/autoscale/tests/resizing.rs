//! Out at once, in by one on evidence, and nothing on noise or on what was not measured.

use super::tier::{Tier, changes, rules};
use crate::autoscale::{ScaleRules, Target};
use stoa_model::{Millis, Time};

#[test]
fn before_anything_was_measured_the_fewest_are_wanted() {
    let mut tier = Tier::new(rules());
    assert_eq!(tier.unmeasured(100), [2; 100]);
    assert_eq!(tier.state().because, "the fewest that are allowed, before anything was measured");
}

#[test]
fn a_crowd_is_met_at_once_and_in_full() {
    let mut tier = Tier::settled(rules(), 15.0);
    assert_eq!(tier.wanted(), 2);
    let counts = tier.seconds(4, 150.0);
    assert!(counts[3] >= 10, "30 requests at once need 10 instances of 4: {counts:?}");
    let most = tier.seconds(30, 150.0).into_iter().max().unwrap();
    assert!(most <= 20);
}

#[test]
fn when_a_crowd_has_left_one_goes_at_a_time_after_a_minute() {
    let mut tier = Tier::settled(rules(), 15.0);
    tier.seconds(400, 150.0);
    let before = tier.wanted();
    let counts = tier.seconds(600, 15.0);
    assert!(counts[..45].iter().all(|count| *count == before), "kept for most of a minute and a start-up");
    assert!(counts.windows(2).all(|w| w[0] - w[1] <= 1), "one at a time");
    let steps: Vec<_> = (1..600).filter(|at| counts[*at] != counts[at - 1]).collect();
    assert!(steps.windows(2).all(|w| w[1] - w[0] >= 5), "with a pause: {steps:?}");
    assert_eq!(counts[599], 2);
}

#[test]
fn a_steady_load_is_left_alone() {
    for rate in [1.0, 40.0, 77.0, 200.0] {
        let mut tier = Tier::settled(rules(), rate);
        let counts = tier.seconds(900, rate);
        assert_eq!(changes(&counts[300..]).0, 0, "{rate}/s: {counts:?}");
    }
}

#[test]
fn a_load_that_goes_on_and_off_by_a_fifth_does_not_flap() {
    for period in [2, 7, 30, 90] {
        let mut tier = Tier::settled(rules(), 100.0);
        let load = |second: usize| if (second / period).is_multiple_of(2) { 120.0 } else { 80.0 };
        tier.trace((0..600).map(load));
        let counts = tier.trace((0..1800).map(load));
        let (_, turns) = changes(&counts);
        assert!(turns <= 1, "every {period} s: {turns} turns, {counts:?}");
    }
}

#[test]
fn a_gap_in_the_measurement_takes_nothing_away() {
    let mut tier = Tier::settled(rules(), 150.0);
    let before = tier.wanted();
    assert!(tier.unmeasured(600).iter().all(|count| *count == before), "nothing is known");
    let counts = tier.seconds(40, 15.0);
    assert!(counts.iter().all(|count| *count == before), "and a few seconds are no evidence yet");
    assert!(tier.seconds(600, 15.0).into_iter().last().unwrap() < before);
}

#[test]
fn every_other_second_missing_is_no_evidence_for_fewer() {
    let mut tier = Tier::settled(rules(), 150.0);
    let before = tier.wanted();
    for _ in 0..200 {
        tier.seconds(1, 15.0);
        tier.unmeasured(2);
    }
    assert_eq!(tier.wanted(), before);
}

#[test]
fn a_clock_that_jumps_back_changes_nothing_and_is_got_over() {
    let mut tier = Tier::settled(rules(), 150.0);
    let before = tier.wanted();
    tier.now = Time(tier.now.0 - 3_600_000);
    assert_eq!(tier.unmeasured(30), [before; 30], "the samples lie ahead");
    tier.demand.samples.clear();
    assert!(tier.seconds(30, 150.0).iter().all(|count| *count >= before));
    assert!(tier.seconds(600, 15.0).into_iter().last().unwrap() < before);
}

#[test]
fn after_the_machine_was_started_anew_times_of_the_last_boot_mean_nothing() {
    let mut tier = Tier::settled(rules(), 15.0);
    tier.seconds(3, 150.0);
    tier.now = Time(20_000);
    tier.demand.samples.clear();
    tier.unmeasured(1);
    let state = tier.state();
    assert!(state.trial.is_none() && state.since <= tier.now && state.grown.unwrap() <= tier.now);
}

#[test]
fn a_clock_that_jumps_ahead_is_a_gap() {
    let mut tier = Tier::settled(rules(), 150.0);
    let before = tier.wanted();
    tier.now = tier.now + Millis::from_secs(86_400);
    assert!(tier.seconds(40, 15.0).iter().all(|count| *count == before));
}

#[test]
fn a_rise_is_met_before_it_is_there() {
    let mut tier = Tier::settled(rules(), 40.0);
    tier.start_up = 30;
    let mut late = 0;
    for second in 0..300 {
        let rate = 40.0 + f64::from(second) * 0.5;
        tier.trace([rate]);
        late += usize::from(rate * 0.2 > f64::from(tier.serving) * 4.0);
    }
    assert_eq!(late, 0, "there always were enough");
}

#[test]
fn the_same_hour_of_past_days_adds_ahead_of_time_and_keeps_what_is_there() {
    let mut tier = Tier::settled(rules(), 50.0);
    let before = tier.wanted();
    tier.demand.same_hour = [(0, 10.0), (60, 40.0)].into();
    tier.seconds(1, 50.0);
    assert_eq!(tier.wanted(), before, "a minute is further than a start-up");
    tier.demand.same_hour = [(0, 10.0), (10, 40.0)].into();
    assert!(tier.seconds(1, 50.0)[0] >= 11, "four times as much in 10 s: {}", tier.state().because);
    let grown = tier.wanted();
    assert!(tier.seconds(300, 50.0).iter().all(|count| *count == grown), "it is still expected");
    tier.demand.same_hour = [(0, 10.0), (10, 0.0)].into();
    assert_eq!(tier.seconds(300, 50.0).pop(), Some(before), "what is expected to fall takes nothing away");
}

#[test]
fn the_start_up_is_measured_and_remembered_coarsely() {
    let mut tier = Tier::settled(rules(), 15.0);
    tier.start_up = 25;
    tier.seconds(60, 150.0);
    let measured = tier.state().start_up_ms.unwrap();
    assert!((24_000..28_000).contains(&measured), "{measured}");
}

#[test]
fn what_is_stored_changes_only_with_what_was_decided() {
    let mut tier = Tier::settled(rules(), 100.0);
    let mut writes = 0;
    for second in 0..900u32 {
        let before = tier.scaling.clone();
        tier.trace([100.0 + 8.0 * f64::from(second * 7919 % 13) / 13.0]);
        writes += usize::from(tier.scaling != before);
    }
    assert!(writes <= 5, "{writes}");
}

#[test]
fn busy_processors_are_kept_at_seven_tenths() {
    let target = Target::Utilisation(0.7);
    let web = ScaleRules { min: 1, max: 8, target, concurrency: None, balancers: 2 };
    let mut tier = Tier::new(web);
    (tier.concurrency, tier.service) = (1.0, 1.0);
    tier.seconds(200, 0.5);
    assert_eq!(tier.wanted(), 1);
    tier.seconds(300, 3.0);
    assert_eq!(tier.wanted(), 5);
    assert_eq!(tier.state().admission, None);
    assert!(tier.state().because.contains("% busy each, within 70 %"), "{}", tier.state().because);
    assert_eq!(tier.seconds(900, 0.1).pop(), Some(1));
}
