//! Traces: how many requests arrive in each second. Made from a seed here, or read from an access log.

use super::rng::Rng;

/// How many requests arrive in each second.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) counts: Vec<u32>,
    /// The mean requests a second in each minute of the days before, the oldest first: whole days.
    pub(crate) before: Vec<f64>,
    /// What everything random in a run of it is drawn from.
    pub(crate) seed: u64,
}

/// The minutes of a day.
pub(crate) const DAY: usize = 24 * 60;
const HOUR: usize = 3600;

/// All that are made from a seed.
pub(crate) fn all(seed: u64) -> Vec<Trace> {
    vec![diurnal(seed), flash_crowd(seed), ramp(seed), on_off(seed), steady(seed)]
}

fn trace(name: &str, seed: u64, before: Vec<f64>, rates: impl Iterator<Item = f64>) -> Trace {
    let mut rng = Rng::part(seed, 1);
    let counts = rates.map(|rate| rng.poisson(rate.max(0.0))).collect();
    Trace { name: name.to_owned(), counts, before, seed }
}

/// A day with a quiet night, a noon and a busier evening, after three days of the same kind: no two of the
/// same height or exactly at the same time, each with slow noise of its own.
fn diurnal(seed: u64) -> Trace {
    let mut rng = Rng::part(seed, 2);
    let mut before = Vec::new();
    for _ in 0..3 {
        let day: Vec<_> = day(&mut rng).collect();
        before.extend(day.chunks(60).map(|minute| minute.iter().sum::<f64>() / 60.0));
    }
    let today: Vec<_> = day(&mut rng).collect();
    trace("diurnal", seed, before, today.into_iter())
}

fn day(rng: &mut Rng) -> impl Iterator<Item = f64> + '_ {
    let height = 1.0 + 0.1 * rng.normal();
    let shift = 600.0 * rng.normal();
    let mut noise = 0.0;
    (0..24 * HOUR).map(move |second| {
        noise = noise * 0.998 + 0.004 * rng.normal();
        let hour = (second as f64 + shift) / HOUR as f64;
        let hump = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        let shape = 0.1 + 0.6 * hump(12.5, 3.0) + 0.9 * hump(20.0, 2.2);
        180.0 * height * shape * (1.0 + noise)
    })
}

/// Ten times the requests within five seconds, twice; the second crowd stays for three minutes only.
fn flash_crowd(seed: u64) -> Trace {
    let crowd = |second: usize, start: usize, stay: f64, times: f64| {
        let since = second as f64 - start as f64;
        if since < 0.0 {
            return 0.0;
        }
        let leaving = ((since - stay) / 120.0).max(0.0);
        (times - 1.0) * (since / 5.0).min(1.0) * (-leaving).exp()
    };
    let rates = (0..2 * HOUR)
        .map(|second| 15.0 * (1.0 + crowd(second, 1800, 600.0, 10.0) + crowd(second, 5000, 180.0, 10.0)));
    trace("flash crowd", seed, Vec::new(), rates)
}

/// Up in twenty minutes, down in ten; then the same in five and two.
fn ramp(seed: u64) -> Trace {
    let points = [
        (0.0, 15.0),
        (900.0, 15.0),
        (2100.0, 170.0),
        (3000.0, 170.0),
        (3600.0, 15.0),
        (4500.0, 15.0),
        (4800.0, 170.0),
        (5700.0, 170.0),
        (5820.0, 15.0),
        (7200.0, 15.0),
    ];
    let rates = (0..2 * HOUR).map(move |second| {
        let at = second as f64;
        let next = points.iter().position(|(time, _)| *time > at).unwrap_or(points.len() - 1).max(1);
        let ((t0, r0), (t1, r1)) = (points[next - 1], points[next]);
        r0 + (r1 - r0) * (at - t0) / (t1 - t0)
    });
    trace("ramp", seed, Vec::new(), rates)
}

/// Twelve sources that are each on and off for heavy-tailed times: bursts on every scale of time.
fn on_off(seed: u64) -> Trace {
    let mut rng = Rng::part(seed, 3);
    let mut rates = vec![10.0; 4 * HOUR];
    for _ in 0..12 {
        let mut at = 0.0;
        let mut on = rng.share() < 0.4;
        while (at as usize) < rates.len() {
            let stay = rng.pareto(if on { 20.0 } else { 40.0 }, 1.4);
            if on {
                let until = ((at + stay) as usize).min(rates.len());
                rates[at as usize..until].iter_mut().for_each(|rate| *rate += 12.0);
            }
            at += stay;
            on = !on;
        }
    }
    trace("on/off, heavy tail", seed, Vec::new(), rates.into_iter())
}

/// The same load all the time: what a controller does when there is nothing to do.
fn steady(seed: u64) -> Trace {
    trace("steady", seed, Vec::new(), (0..2 * HOUR).map(|_| 80.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_trace_and_another_another() {
        for (one, again) in all(7).into_iter().zip(all(7)) {
            assert_eq!(one.counts, again.counts, "{}", one.name);
            assert_eq!(one.before.len() % DAY, 0);
        }
        assert_ne!(flash_crowd(7).counts, flash_crowd(8).counts);
    }

    #[test]
    fn a_flash_crowd_is_ten_times_the_load_within_seconds() {
        let counts = flash_crowd(1).counts;
        let mean = |from: usize, to: usize| {
            counts[from..to].iter().map(|n| f64::from(*n)).sum::<f64>() / (to - from) as f64
        };
        let (before, after) = (mean(1700, 1800), mean(1805, 1905));
        assert!((9.0..11.0).contains(&(after / before)), "{before} to {after}");
    }

    #[test]
    fn chance_has_the_mean_that_was_asked_for() {
        let mut rng = Rng::new(3);
        for mean in [0.5, 8.0, 200.0] {
            let all: u32 = (0..20_000).map(|_| rng.poisson(mean)).sum();
            assert!((f64::from(all) / 20_000.0 / mean - 1.0).abs() < 0.02, "{mean}");
        }
    }
}
