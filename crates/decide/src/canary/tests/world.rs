//! A site under a deployment, request by request, with a seed: what the judge is measured on.

use crate::canary::{Side, Verdict, gather, judge};
use std::collections::BTreeMap;
use stoa_model::control::{DURATION_BOUNDS_MS, Report, Traffic};
use stoa_model::deployment::Evidence;
use stoa_model::site::DeployRules;
use stoa_model::{InstanceId, Tier, Time};

/// How the site answers, whatever the release.
#[derive(Clone, Copy)]
pub(super) struct Site {
    /// Requests a second.
    pub(super) rate: f64,
    /// The part that fails.
    pub(super) errors: f64,
    /// From when to when, in seconds, half of all fail whoever answers.
    pub(super) burst: Option<(f64, f64)>,
    /// The median duration.
    pub(super) median_ms: f64,
    /// The standard deviation of its logarithm.
    pub(super) sigma: f64,
    /// By how much everything is slower at the end than at the beginning.
    pub(super) drift: f64,
    /// Whether each instance stalls for a second, about once in a minute, by itself.
    pub(super) stalls: bool,
    /// The part of the requests that is fifty times heavier, and fails twenty times as often.
    pub(super) heavy: f64,
}

/// How the new release differs.
#[derive(Clone, Copy)]
pub(super) struct Release {
    /// The part that fails beside the site's own.
    pub(super) errors: f64,
    /// How many times longer it takes.
    pub(super) slower: f64,
}

/// So long the new release gets this part of the requests.
pub(super) type Phase = (f64, f64);

/// What became of a deployment.
pub(super) struct Ended {
    /// How long after its first request the new release was found worse.
    pub(super) worse_after: Option<f64>,
    /// How many requests of visitors failed at the new release until then.
    pub(super) failed: u64,
}

pub(super) const SITE: Site = Site {
    rate: 100.0,
    errors: 0.001,
    burst: None,
    median_ms: 40.0,
    sigma: 0.8,
    drift: 0.0,
    stalls: false,
    heavy: 0.0,
};

pub(super) const SAME: Release = Release { errors: 0.0, slower: 1.0 };

/// Old alone, 5, 25 and 50 % for a minute each, a rolling replacement, the watch.
pub(super) const CANARY: [Phase; 8] =
    [(20.0, 0.0), (60.0, 0.05), (60.0, 0.25), (60.0, 0.5), (5.0, 0.5), (5.0, 0.67), (5.0, 0.83), (60.0, 1.0)];

/// Numbers that only the seed decides (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        // A number is drawn so that the streams of two seeds are not the same one, shifted.
        let first = Dice(seed.wrapping_mul(0xd6e8_feb8_6659_fd93)).unit();
        Dice(first.to_bits().wrapping_mul(0x2545_f491_4f6c_dd1d) ^ seed)
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (floor, mut product, mut n) = ((-mean).exp(), self.unit(), 0);
        while product > floor {
            product *= self.unit();
            n += 1;
        }
        n
    }
}

const TICK: f64 = 0.5;
const OLD: u16 = 4;

/// Plays a deployment to its end or until the judge finds the new release worse.
pub(super) fn play(seed: u64, site: &Site, release: &Release, phases: &[Phase]) -> Ended {
    let mut dice = Dice::new(seed);
    let mut balancers = [Report::default(), Report::default()];
    let ids = [InstanceId::new(Tier::Balancer, 1), InstanceId::new(Tier::Balancer, 2)];
    let mut evidence = Evidence::default();
    let rules = DeployRules::default();
    let length: f64 = phases.iter().map(|(long, _)| long).sum();
    let mut stalled: BTreeMap<u16, f64> = BTreeMap::new();
    let (mut at, mut first, mut failed) = (0.0, None, 0);
    for (long, share) in phases {
        let end = at + long;
        while at < end {
            // Each balancer reports once a second, half a second after the other.
            let turn = (at / TICK) as usize % 2;
            let mut fresh = balancers.clone();
            for _ in 0..dice.poisson(site.rate * TICK) {
                let new = dice.unit() < *share;
                let among = if new { (OLD as f64 * share).ceil() } else { f64::from(OLD) };
                let instance = (dice.unit() * among) as u16 + if new { 100 } else { 0 };
                let (fails, ms) = answer(&mut dice, site, release, new, at / length, at);
                let until = stalled.entry(instance).or_insert(0.0);
                if site.stalls && at > *until && dice.unit() < among / site.rate / 60.0 {
                    *until = at + 1.0;
                }
                let ms = if at < *until { ms + 500.0 } else { ms };
                let balancer = usize::from(dice.unit() < 0.5);
                let id = InstanceId::new(Tier::App, instance);
                count(&mut fresh[balancer].instances.entry(id).or_default().traffic, fails, ms);
                failed += u64::from(new && fails);
                first = first.or(new.then_some(at));
            }
            at += TICK;
            balancers = fresh;
            let reports = [(ids[turn], Time(1), &balancers[turn])];
            let side = |id: InstanceId| Some(if id.number >= 100 { Side::New } else { Side::Old });
            gather(&mut evidence, &reports, &side, Time((at * 1000.0) as u64));
            if let (Verdict::Worse(_), Some(first)) = (judge(&evidence, &rules), first) {
                return Ended { worse_after: Some(at - first), failed };
            }
        }
    }
    Ended { worse_after: None, failed }
}

fn answer(dice: &mut Dice, site: &Site, release: &Release, new: bool, part: f64, at: f64) -> (bool, f64) {
    let heavy = dice.unit() < site.heavy;
    let mut errors = if heavy { site.errors * 20.0 } else { site.errors };
    let mut median = site.median_ms * (1.0 + site.drift * part) * if heavy { 50.0 } else { 1.0 };
    if site.burst.is_some_and(|(from, to)| (from..to).contains(&at)) {
        errors = errors.max(0.5);
    }
    if new {
        errors = errors.max(0.0) + release.errors;
        median *= release.slower;
    }
    (dice.unit() < errors, median * (site.sigma * dice.normal()).exp())
}

fn count(traffic: &mut Traffic, fails: bool, ms: f64) {
    traffic.status[if fails { 4 } else { 1 }] += 1;
    traffic.durations[DURATION_BOUNDS_MS.partition_point(|bound| (*bound as f64) < ms)] += 1;
    traffic.duration_sum_us += (ms * 1000.0) as u64;
}
