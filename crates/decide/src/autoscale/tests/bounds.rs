//! Where more instances do not help, and what is let through.

use super::tier::{Tier, rules};
use crate::autoscale::ScaleRules;
use stoa_model::routes::Admission;

#[test]
fn where_the_database_is_the_bottleneck_it_stops_and_says_so() {
    let mut tier = Tier::settled(rules(), 20.0);
    tier.shared = 60.0;
    let counts = tier.seconds(240, 120.0);
    let ceiling = tier.state().ceiling.clone().expect("more did not help");
    assert!(ceiling.because.contains("more instances do not help") || ceiling.because.contains("bottleneck"));
    let most = *counts.iter().max().unwrap();
    assert!(most < 20, "it did not go to the most that is allowed: {counts:?}");
    let later = tier.seconds(60, 120.0);
    assert!(later.iter().all(|count| *count == later[0]), "it holds");
}

#[test]
fn slower_answers_with_more_instances_name_what_they_share() {
    let mut tier = Tier::settled(ScaleRules { concurrency: None, ..rules() }, 20.0);
    tier.shared = 42.0;
    tier.seconds(300, 60.0);
    let ceiling = tier.state().ceiling.clone().expect("more did not help");
    assert!(ceiling.because.contains("such as the database, is the bottleneck"), "{}", ceiling.because);
    assert!(ceiling.because.contains("30 % busy"), "{}", ceiling.because);
}

#[test]
fn after_five_minutes_some_more_are_tried_once_and_believed_where_it_helps() {
    let mut tier = Tier::settled(rules(), 20.0);
    tier.shared = 60.0;
    tier.seconds(200, 120.0);
    let stopped = tier.wanted();
    let tried = stopped + stopped.div_ceil(4);
    let counts = tier.seconds(320, 120.0);
    assert_eq!(*counts.iter().max().unwrap(), tried, "one try: {counts:?}");
    tier.shared = f64::INFINITY;
    tier.seconds(700, 240.0);
    let waits = tier.demand.samples.last().unwrap().waiting;
    assert!(waits == 0.0 && tier.state().ceiling.is_none(), "{waits} wait: {:?}", tier.state());
}

#[test]
fn a_full_machine_gets_no_more_instances_and_the_figures_are_said() {
    for (cpu, memory, said) in [(0.98, 0.5, "98 % of its processors"), (0.5, 0.95, "95 % of its memory")] {
        let mut tier = Tier::settled(rules(), 15.0);
        (tier.cpu, tier.memory) = (Some(cpu), Some(memory));
        tier.seconds(30, 15.0);
        let counts = tier.seconds(100, 150.0);
        assert!(counts.iter().all(|count| *count == 2), "{counts:?}");
        let ceiling = tier.state().ceiling.clone().unwrap();
        assert!(ceiling.machine && ceiling.because.contains(said), "{}", ceiling.because);
        (tier.cpu, tier.memory) = (Some(0.4), Some(0.4));
        assert!(tier.seconds(40, 150.0).pop().unwrap() > 8, "it has room again");
    }
}

#[test]
fn what_is_not_read_of_the_machine_does_not_count_as_full() {
    let mut tier = Tier::settled(rules(), 15.0);
    (tier.cpu, tier.memory) = (None, None);
    assert!(tier.seconds(10, 150.0).pop().unwrap() > 8);
}

#[test]
fn a_configured_concurrency_is_let_through_exactly() {
    let tier = Tier::settled(rules(), 15.0);
    // 2 instances of 4 answer 40 a second: 5 s of that wait at most, half of it in each balancer.
    assert_eq!(tier.state().admission, Some(Admission { per_instance: 2, waiting: 100 }));
    let odd = Tier::settled(ScaleRules { balancers: 3, ..rules() }, 15.0);
    assert_eq!(odd.state().admission.map(|a| a.per_instance), Some(2), "rounded up");
}

#[test]
fn nothing_is_bounded_before_it_is_known() {
    let mut tier = Tier::new(rules());
    tier.unmeasured(10);
    assert_eq!(tier.state().admission, None);
    let learning = Tier::settled(ScaleRules { concurrency: None, ..rules() }, 15.0);
    assert_eq!(learning.state().admission, None, "a lower bound must throttle nobody");
}

#[test]
fn a_slow_application_may_let_as_many_wait_as_it_works_on() {
    let mut tier = Tier::new(rules());
    tier.service = 30.0;
    tier.seconds(400, 0.2);
    let admission = tier.state().admission.unwrap();
    let serving = u32::from(tier.serving);
    assert_eq!(admission.waiting * 2, serving * 4, "5 s of 0.27 a second would be one");
}
