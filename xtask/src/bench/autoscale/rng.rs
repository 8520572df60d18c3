//! Random numbers from a seed, the same on every machine: splitmix64 (Steele, Lea, Flood 2014).

/// A source of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// A source of its own for one part of what a seed stands for.
    pub(crate) fn part(seed: u64, part: u64) -> Self {
        let mut rng = Rng(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of mean 0 and variance 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// How many arrive by chance where `mean` are expected.
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let limit = (-mean).exp();
        let mut product = self.share();
        let mut count = 0;
        while product > limit {
            product *= self.share();
            count += 1;
        }
        count
    }

    /// At least `least`, with a tail that falls as x^-shape.
    pub(crate) fn pareto(&mut self, least: f64, shape: f64) -> f64 {
        least / (1.0 - self.share()).powf(1.0 / shape)
    }
}
