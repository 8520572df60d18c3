//! The sequential tests as bets: what is staked on "worse" grows only where the new release is worse.
//!
//! A bet on an odds ratio `r` pays `r^x` where `x` answers of the new release hit (failed, or were slow),
//! and costs what that pays on average where both releases are alike: its worth is a martingale then, a
//! supermartingale where the new one is better, and reaches `n` with a probability of at most `1/n` however
//! often one looks (Ville 1939). It knows nothing of releases, time or what is worth acting on.

/// The odds ratios that are tried for errors: from half as many more to all of them.
pub(super) const ERROR_ODDS: [f64; 5] = [1.5, 3.0, 8.0, 40.0, 1000.0];

/// The same for "took longer than a bound".
pub(super) const SLOW_ODDS: [f64; 3] = [2.0, 6.0, 40.0];

/// The most nats that one window adds: no single second convicts, since what fails in one second
/// seldom fails independently.
const MOST: f64 = 3.0;

/// Of a release that no longer answers, the bound of its ratio is wrong at most once in so many.
const BOUND_ONCE_IN: f64 = 1000.0;

/// Longer series are bounded instead of summed up.
const SUMMED: u64 = 10_000;

/// The sums are kept in so many parts of a nat.
const SCALE: f64 = (1 << 20) as f64;

/// Answers, and how many of them hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    answers: u64,
    hits: u64,
}

impl Count {
    /// Never more hits than answers.
    pub(super) fn new(answers: u64, hits: u64) -> Self {
        Count { answers, hits: hits.min(answers) }
    }
}

/// What the new release is held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Against {
    /// What the old one answered in the same window.
    Beside(Count),
    /// What it answered as long as it did.
    Before(Count),
}

/// The part of a bet that is staked at the `window`th window, from 1: half of it at the first, all of it in
/// the end. So a release that turns bad late is not given credit for the time it was good.
pub(super) fn stake(window: u32) -> f64 {
    let window = f64::from(window.max(1));
    (window * (window + 1.0)).recip()
}

/// By how many nats a window moves the bet on each of `odds`; rather too few than too many.
pub(super) fn factors(odds: &[f64], new: Count, against: Against) -> Vec<f64> {
    let price: &dyn Fn(f64) -> f64 = match against {
        Against::Beside(old) => {
            let urn = Urn::new(new, old);
            &move |odds| urn.price(odds)
        }
        Against::Before(old) => {
            let ratio = at_most(old);
            &move |odds| new.answers as f64 * (ratio * (odds - 1.0)).ln_1p()
        }
    };
    odds.iter().map(|odds| new.hits as f64 * odds.ln() - price(*odds)).collect()
}

/// Moves `sums` by a window's `factors`, of which each also gets a new stake.
pub(super) fn take(sums: &mut Vec<i64>, stake: f64, factors: &[f64]) {
    if sums.len() != factors.len() {
        sums.clear();
    }
    let first = sums.is_empty();
    if first {
        sums.resize(factors.len(), 0);
    }
    for (sum, factor) in sums.iter_mut().zip(factors) {
        let staked = if first { stake.ln() } else { log_add(*sum as f64 / SCALE, stake.ln()) };
        *sum = ((staked + factor.min(MOST)) * SCALE).floor() as i64;
    }
}

/// What all bets together are worth, in nats: one stake spread evenly over them.
pub(super) fn worth(sums: &[i64]) -> f64 {
    let all = sums.iter().map(|sum| *sum as f64 / SCALE).reduce(log_add);
    all.map_or(f64::NEG_INFINITY, |all| all - (sums.len() as f64).ln())
}

/// The answers of both in one window, of which some hit. Where they fell on the new release by chance, their
/// number is hypergeometric, whatever the common ratio of hits is and however it changes between windows.
#[derive(Debug, Clone, Copy)]
struct Urn {
    new: u64,
    old: u64,
    hits: u64,
    /// The logarithm of the sum of the weights alone.
    plain: f64,
}

impl Urn {
    fn new(new: Count, old: Count) -> Self {
        let mut urn = Urn { new: new.answers, old: old.answers, hits: new.hits + old.hits, plain: 0.0 };
        urn.plain = if urn.most() - urn.fewest() > SUMMED { 0.0 } else { urn.log_series(1.0) };
        urn
    }

    /// How many hits the new release has at least.
    fn fewest(&self) -> u64 {
        self.hits.saturating_sub(self.old)
    }

    /// How many it has at most.
    fn most(&self) -> u64 {
        self.hits.min(self.new)
    }

    /// The logarithm of what `odds^x` pays on average.
    fn price(&self, odds: f64) -> f64 {
        if self.most() - self.fewest() > SUMMED {
            // Drawing without replacement is never wider than drawing with it (Hoeffding 1963, theorem 4).
            let share = self.new as f64 / (self.new + self.old) as f64;
            return self.hits as f64 * (share * (odds - 1.0)).ln_1p();
        }
        self.fewest() as f64 * odds.ln() + self.log_series(odds) - self.plain
    }

    /// The logarithm of the sum of the weights times `odds^x`, both relative to the first.
    fn log_series(&self, odds: f64) -> f64 {
        const HUGE: f64 = 1e250;
        let (mut term, mut sum, mut scale) = (1.0_f64, 1.0_f64, 0.0);
        for x in self.fewest()..self.most() {
            let up = (self.new - x) as f64 * (self.hits - x) as f64;
            let down = (x + 1) as f64 * (self.old + x + 1 - self.hits) as f64;
            let ratio = odds * up / down;
            term *= ratio;
            sum += term;
            if ratio < 1.0 && term < sum * 1e-18 {
                // The weights have one peak, and it is passed.
                break;
            }
            if sum > HUGE {
                (term, sum, scale) = (term / HUGE, sum / HUGE, scale + HUGE.ln());
            }
        }
        scale + sum.ln()
    }
}

/// What the ratio of hits is at most, by the Chernoff bound: the highest ratio that what was counted does
/// not refute.
fn at_most(count: Count) -> f64 {
    if count.answers == 0 {
        return 1.0;
    }
    let (seen, answers) = (count.hits as f64 / count.answers as f64, count.answers as f64);
    let refuted = |ratio: f64| answers * divergence(seen, ratio) > BOUND_ONCE_IN.ln();
    let (mut low, mut high) = (seen, 1.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if refuted(middle) { high = middle } else { low = middle }
    }
    high
}

/// The Kullback-Leibler divergence of two coins, in nats.
fn divergence(seen: f64, ratio: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(seen, ratio) + part(1.0 - seen, 1.0 - ratio)
}

fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}
