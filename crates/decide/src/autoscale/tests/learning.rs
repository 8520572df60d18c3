//! What one instance can do, where nobody said.

use super::tier::{Tier, rules};
use crate::autoscale::ScaleRules;

fn learning() -> ScaleRules {
    ScaleRules { concurrency: None, ..rules() }
}

#[test]
fn before_saturation_what_was_held_is_a_lower_bound() {
    let tier = Tier::settled(learning(), 25.0);
    let state = tier.state();
    assert!(!state.saturated);
    assert_eq!(state.concurrency_milli, Some(2500), "5 at once on 2 instances");
    assert_eq!(tier.wanted(), 2);
}

#[test]
fn saturation_shows_how_many_it_works_on() {
    let mut tier = Tier::settled(learning(), 25.0);
    tier.start_up = 30;
    tier.seconds(25, 100.0);
    let state = tier.state();
    assert!(state.saturated, "{state:?}");
    let learned = state.concurrency_milli.unwrap();
    assert!((3500..4700).contains(&learned), "{learned}");
    assert!((180_000..260_000).contains(&state.service_us.unwrap()), "{state:?}");
    tier.seconds(600, 100.0);
    assert!((6..=8).contains(&tier.wanted()), "20 at once: {}", tier.state().because);
    let admission = tier.state().admission.unwrap();
    assert!(admission.per_instance >= 4, "with room for a wrong estimate");
}

#[test]
fn slower_answers_without_a_plateau_are_not_saturation() {
    let mut tier = Tier::new(learning());
    tier.concurrency = 64.0;
    tier.seconds(300, 40.0);
    tier.service = 0.6;
    tier.seconds(200, 40.0);
    assert!(!tier.state().saturated, "{:?}", tier.state());
}

#[test]
fn fewer_instances_hold_no_more_than_was_seen_to_do_no_harm() {
    let mut tier = Tier::settled(ScaleRules { min: 1, ..learning() }, 60.0);
    let busy = tier.wanted();
    assert!(busy >= 4, "{}", tier.state().because);
    tier.seconds(1200, 4.0);
    assert_eq!(tier.wanted(), 1, "{}", tier.state().because);
}

#[test]
fn what_was_learned_outlives_the_samples() {
    let mut tier = Tier::settled(learning(), 25.0);
    tier.start_up = 30;
    tier.seconds(25, 100.0);
    let learned = tier.state().concurrency_milli;
    tier.demand.samples.clear();
    tier.seconds(3, 20.0);
    assert_eq!(tier.state().concurrency_milli, learned);
    assert!(tier.state().saturated);
}
