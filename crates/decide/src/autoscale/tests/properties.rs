//! What holds whatever was measured.

use super::tier::{Tier, changes, rules};
use crate::autoscale::{ScaleRules, Target, next};
use proptest::prelude::*;
use stoa_model::demand::Sample;
use stoa_model::{Demand, Millis, Scaling, Time};

const NOW: Time = Time(5_000_000);

/// Anything a broken meter might say.
fn any_figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..200.0,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(1e300),
        1 => Just(0.0),
    ]
}

prop_compose! {
    fn any_sample()(at in 4_400_000u64..5_100_000, figures in prop::collection::vec(any_figure(), 11)) -> Sample {
        Sample {
            at: Time(at),
            span: figures[0],
            arrivals: figures[1],
            answered: figures[2],
            concurrency: figures[3],
            waiting: figures[4],
            wait: figures[5],
            service: Some(figures[6]).filter(|x| *x != 0.0),
            variation: Some(figures[7]).filter(|x| *x != 0.0),
            shed: 0.0,
            instances: figures[8],
            cpu: Some(figures[9]),
            memory: Some(figures[10]),
        }
    }
}

fn any_rules() -> impl Strategy<Value = ScaleRules> {
    let target = prop_oneof![
        (0u64..5000).prop_map(|ms| Target::Wait(Millis(ms))),
        (0.0..1.5).prop_map(Target::Utilisation)
    ];
    (1u16..20, 0u16..500, target, prop::option::of(0u16..200), 0u16..5).prop_map(
        |(min, more, target, concurrency, balancers)| ScaleRules {
            min,
            max: min + more,
            target,
            concurrency,
            balancers,
        },
    )
}

/// A minute and a half of the same load.
fn load(rate: f64, noise: &[f64], times: f64) -> Demand {
    let samples = (0..90u64).zip(noise.iter().cycle()).map(|(second, noise)| {
        let arrivals = rate * noise * times;
        Sample {
            at: Time(NOW.0 - 89_000 + second * 1000),
            span: 1.0,
            arrivals,
            answered: rate,
            concurrency: rate * 0.2,
            service: Some(0.2),
            variation: Some(1.0),
            instances: 4.0,
            ..Sample::default()
        }
    });
    Demand { samples: samples.collect(), same_hour: Default::default() }
}

proptest! {
    #[test]
    fn the_count_stays_within_its_bounds_and_nothing_breaks(
        rules in any_rules(),
        samples in prop::collection::vec(any_sample(), 0..120),
        same_hour in prop::collection::btree_map(0u32..700, any_figure(), 0..5),
        serving in 0u16..600,
        turns in 1u64..20,
    ) {
        let demand = Demand { samples, same_hour };
        let mut scaling: Option<Scaling> = None;
        for turn in 0..turns {
            let now = Time(NOW.0 + turn * 7000);
            let decided = next(&rules, scaling.as_ref(), &demand, serving, now);
            prop_assert!((rules.min..=rules.max).contains(&decided.wanted), "{:?}", decided);
            scaling = Some(decided);
        }
    }

    #[test]
    fn more_of_the_same_load_never_wants_fewer(
        rate in 0.5f64..300.0,
        times in 1.0f64..8.0,
        noise in prop::collection::vec(0.5f64..1.5, 1..30),
    ) {
        let rules = ScaleRules { min: 1, max: 400, ..rules() };
        let less = next(&rules, None, &load(rate, &noise, 1.0), 1, NOW);
        let more = next(&rules, None, &load(rate, &noise, times), 1, NOW);
        prop_assert!(more.wanted >= less.wanted, "{} at {rate}/s, {} at {times} times", less.because, more.because);
    }
}

proptest! {
    // Each case is half an hour of decisions.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_constant_load_settles_and_is_left_alone(
        rate in 0.5f64..250.0,
        concurrency in 1u16..12,
        service in 0.02f64..0.8,
        learns: bool,
    ) {
        prop_assume!(rate * service < 18.0 * f64::from(concurrency) * 0.6);
        let given = (!learns).then_some(concurrency);
        let mut tier = Tier::new(ScaleRules { concurrency: given, ..rules() });
        (tier.concurrency, tier.service) = (f64::from(concurrency), service);
        if learns {
            // What an instance can do is learned from one that is not crowded (see `learn`): a tier that was
            // never seen so may try a count that is too small now and then.
            tier.seconds(120, rate.min(0.3 * f64::from(concurrency) / service));
        }
        tier.seconds(1200, rate);
        let counts = tier.seconds(400, rate);
        prop_assert_eq!(changes(&counts).0, 0, "{}", tier.state().because.clone());
    }

    #[test]
    fn what_is_not_measured_takes_nothing_away(
        rate in 20.0f64..200.0,
        after in 0.0f64..20.0,
        gaps in prop::collection::vec((1usize..4, 2usize..30), 1..20),
    ) {
        let mut tier = Tier::settled(rules(), rate);
        let before = tier.wanted();
        for (seen, missed) in gaps {
            // Less than four fifths of any window were measured.
            tier.seconds(seen, after);
            tier.unmeasured(missed.max(seen));
            prop_assert!(tier.wanted() >= before, "{}", tier.state().because);
        }
    }
}
