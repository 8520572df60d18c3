//! The bets are fair: what they pay on average, and how often they reach what convicts.

use super::world::Dice;
use crate::canary::bets::{Against, Count, ERROR_ODDS, factors, stake, take, worth};

/// The probability of each number of hits of the new release, drawn from an urn.
fn hypergeometric(new: u64, old: u64, hits: u64) -> Vec<f64> {
    let choose = |n: u64, k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
    let all = choose(new + old, hits);
    let weight = |x: u64| if hits - x <= old { choose(new, x) * choose(old, hits - x) / all } else { 0.0 };
    (0..=hits.min(new)).map(weight).collect()
}

#[test]
fn a_bet_beside_the_old_one_pays_nothing_on_average() {
    for (new, old, hits) in [(1, 19, 1), (5, 95, 7), (50, 50, 60), (20, 3, 21), (30, 10, 0), (4, 4, 8)] {
        for (at, odds) in ERROR_ODDS.iter().enumerate() {
            let pays = |x: u64| {
                let old = Count::new(old, hits - x);
                factors(&ERROR_ODDS, Count::new(new, x), Against::Beside(old))[at].exp()
            };
            let average: f64 = hypergeometric(new, old, hits)
                .iter()
                .zip(0..)
                .filter(|(p, _)| **p > 0.0)
                .map(|(p, x)| p * pays(x))
                .sum();
            assert!((average - 1.0).abs() < 1e-9, "{new} and {old} with {hits} hits, odds {odds}: {average}");
        }
    }
}

#[test]
fn a_bet_on_huge_windows_is_bounded_and_stays_below_the_sum() {
    let huge = |new_hits, old_hits| {
        let (new, old) = (Count::new(40_000, new_hits), Count::new(40_000, old_hits));
        factors(&ERROR_ODDS, new, Against::Beside(old))
    };
    assert!(huge(20_000, 20_000).iter().all(|nats| *nats < 0.0));
    assert!(huge(30_000, 10_000)[1] > 100.0);
    let exact = factors(&[3.0], Count::new(100, 40), Against::Beside(Count::new(100, 20)))[0];
    let bound = 40.0 * 3.0_f64.ln() - 60.0 * 2.0_f64.ln();
    assert!(exact > bound, "{exact} {bound}");
}

#[test]
fn counts_that_contradict_themselves_break_nothing() {
    for count in [(0, 0), (0, 9), (3, 9), (u64::MAX / 4, u64::MAX)] {
        let count = Count::new(count.0, count.1);
        for against in [Against::Beside(count), Against::Before(count), Against::Before(Count::new(0, 0))] {
            assert!(factors(&ERROR_ODDS, Count::new(5, 7), against).iter().all(|nats| nats.is_finite()));
        }
    }
}

#[test]
fn the_stakes_are_one_in_the_end() {
    let all: f64 = (1..=10_000).map(stake).sum();
    assert!((0.999..1.0).contains(&all), "{all}");
    assert!((stake(0) - stake(1)).abs() < f64::EPSILON);
}

#[test]
fn one_window_adds_little_and_what_was_lost_is_not_owed_for_ever() {
    let mut sums = Vec::new();
    take(&mut sums, stake(1), &[1000.0; 5]);
    assert!(worth(&sums) < 3.0, "{}", worth(&sums));
    for window in 2..200 {
        take(&mut sums, stake(window), &[-5.0; 5]);
    }
    assert!(worth(&sums) < -10.0);
    let late = (200..).find(|window| {
        take(&mut sums, stake(*window), &[3.0; 5]);
        worth(&sums) > 1000_f64.ln()
    });
    assert!(late < Some(210), "{late:?}");
    assert_eq!(worth(&[]), f64::NEG_INFINITY);
}

/// 3000 deployments of 200 windows each, alike: a worth of n is reached at most once in n.
#[test]
fn a_worth_of_n_is_reached_once_in_n_at_most() {
    const DEPLOYMENTS: u32 = 3000;
    let mut reached = [0_u32; 3];
    for seed in 0..DEPLOYMENTS {
        let mut dice = Dice::new(u64::from(seed));
        let (mut sums, mut best) = (Vec::new(), f64::NEG_INFINITY);
        for window in 1..=200 {
            let (mut new, mut old) = ((0, 0), (0, 0));
            // The common ratio jumps about; the share of the new release is a quarter.
            let ratio = dice.unit() * 0.4;
            for _ in 0..12 {
                let side = if dice.unit() < 0.25 { &mut new } else { &mut old };
                *side = (side.0 + 1, side.1 + u64::from(dice.unit() < ratio));
            }
            let old = Against::Beside(Count::new(old.0, old.1));
            take(&mut sums, stake(window), &factors(&ERROR_ODDS, Count::new(new.0, new.1), old));
            best = best.max(worth(&sums));
        }
        for (n, times) in [5.0_f64, 20.0, 100.0].into_iter().zip(&mut reached) {
            *times += u32::from(best >= n.ln());
        }
    }
    println!("a worth of 5, 20, 100 was reached {reached:?} times in {DEPLOYMENTS}");
    assert!(
        reached[0] <= DEPLOYMENTS / 5 && reached[1] <= DEPLOYMENTS / 20 && reached[2] <= DEPLOYMENTS / 100
    );
    assert!(reached[0] > 0, "it is not so careful that it never grows");
}
