//! How long requests wait for one of many workers: Erlang's C formula with the correction of Allen and
//! Cunneen for arrivals and service times that vary more or less than at random. It knows nothing of
//! tiers or instances' states; all figures are given.
//!
//! With `a` = arrivals x service time (the offered load in erlangs, how many workers it keeps busy) and `c`
//! workers, a request must wait with the probability C(c, a). Who waits does so for s·v / (c - a) in the
//! mean, about exponentially distributed, where v = (Ca² + Cs²) / 2.

/// A kind of server: how long it works on one request, on how many at once, and how irregular things are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    /// The mean time for one request, in seconds.
    pub(super) service: f64,
    /// How many it works on at once; above zero.
    pub(super) concurrency: f64,
    /// (Ca² + Cs²) / 2: 1 for random arrivals and exponential service times.
    pub(super) variability: f64,
}

/// What waiting is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// The mean wait of all requests, in seconds.
    pub(super) mean: f64,
    /// A wait in seconds, and the share of requests that may wait longer.
    pub(super) tail: (f64, f64),
    /// How busy the workers may be, 0 to 1.
    pub(super) busy: f64,
}

/// How long requests wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Waits {
    /// The mean, in seconds, of all requests, those that need not wait included.
    pub(super) mean: f64,
    probability: f64,
    decay: f64,
}

impl Waits {
    const NONE: Waits = Waits { mean: 0.0, probability: 0.0, decay: f64::INFINITY };
    const FOR_EVER: Waits = Waits { mean: f64::INFINITY, probability: 1.0, decay: 0.0 };

    /// The share of requests that wait longer than so many seconds.
    pub(super) fn longer_than(&self, seconds: f64) -> f64 {
        if self.probability == 0.0 { 0.0 } else { self.probability * (-self.decay * seconds).exp() }
    }
}

/// Erlang's B formula, one worker more at a time: the recursion that stays within 0 and 1 and so is exact
/// for any number of workers.
struct Blocking {
    load: f64,
    workers: u32,
    probability: f64,
}

impl Blocking {
    fn new(load: f64) -> Self {
        Blocking { load, workers: 0, probability: 1.0 }
    }

    /// As many workers; never fewer than before.
    fn with(&mut self, workers: u32) -> &Self {
        while self.workers < workers {
            self.workers += 1;
            let product = self.load * self.probability;
            self.probability = product / (f64::from(self.workers) + product);
        }
        self
    }

    fn waits(&self, service: f64, variability: f64) -> Waits {
        let free = f64::from(self.workers) - self.load;
        if self.load <= 0.0 {
            return Waits::NONE;
        }
        if free <= 0.0 {
            return Waits::FOR_EVER;
        }
        let busy = self.load / f64::from(self.workers);
        let must_wait = self.probability / (1.0 - busy * (1.0 - self.probability));
        let scale = service * variability / free;
        Waits { mean: must_wait * scale, probability: must_wait, decay: 1.0 / scale.max(1e-9) }
    }
}

/// How long requests wait for `count` servers under a load in erlangs.
pub(super) fn waits(load: f64, server: &Server, count: u16) -> Waits {
    Blocking::new(load).with(workers(server, count)).waits(server.service, server.variability)
}

/// The fewest servers, at most `most`, that keep the waits within the bound; `most` where none does.
pub(super) fn fewest(load: f64, server: &Server, bound: &Bound, most: u16) -> u16 {
    let mut blocking = Blocking::new(load);
    let busy_enough = load / (server.concurrency * bound.busy);
    let first = if busy_enough < f64::from(most) { busy_enough.ceil() as u16 } else { most };
    let holds = |count: &u16| {
        let waits = blocking.with(workers(server, *count)).waits(server.service, server.variability);
        waits.mean <= bound.mean && waits.longer_than(bound.tail.0) <= bound.tail.1
    };
    (first.max(1)..most).find(holds).unwrap_or(most)
}

fn workers(server: &Server, count: u16) -> u32 {
    ((f64::from(count) * server.concurrency + 1e-6) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPONENTIAL: Server = Server { service: 1.0, concurrency: 1.0, variability: 1.0 };

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-3 * b.abs().max(1e-3), "{a} is not {b}");
    }

    #[test]
    fn one_worker_is_the_textbook_queue() {
        // M/M/1 at 80 %: a request waits 4 service times; four of five must wait at all.
        let waits = waits(0.8, &EXPONENTIAL, 1);
        near(waits.mean, 4.0);
        near(waits.longer_than(0.0), 0.8);
        near(waits.longer_than(5.0), 0.8 * (-1.0f64).exp());
    }

    #[test]
    fn the_tables_of_erlang_c_are_met() {
        for (load, workers, probability) in [(2.0, 3, 0.4444), (5.0, 8, 0.1673), (8.0, 10, 0.4092)] {
            near(waits(load, &EXPONENTIAL, workers).longer_than(0.0), probability);
        }
    }

    #[test]
    fn steady_service_halves_the_wait_and_bursts_lengthen_it() {
        let steady = Server { variability: 0.5, ..EXPONENTIAL };
        let bursts = Server { variability: 3.0, ..EXPONENTIAL };
        near(waits(0.8, &steady, 1).mean, 2.0);
        near(waits(0.8, &bursts, 1).mean, 12.0);
    }

    #[test]
    fn thousands_of_workers_are_no_trouble() {
        let server = Server { concurrency: 16.0, ..EXPONENTIAL };
        for load in [0.0, 1e-9, 100.0, 7_900.0, 7_999.0, 8_000.0, 1e9] {
            let waits = waits(load, &server, 500);
            assert!(waits.mean >= 0.0 && (0.0..=1.0).contains(&waits.longer_than(0.1)), "{load}: {waits:?}");
            assert_eq!(waits.mean.is_finite(), load < 8_000.0);
        }
    }

    #[test]
    fn the_fewest_that_hold_are_found() {
        let bound = Bound { mean: 0.1, tail: (0.1, 1.0), busy: 1.0 };
        let server = Server { concurrency: 4.0, ..EXPONENTIAL };
        for load in [0.5, 3.0, 10.0, 62.0, 300.0] {
            let fewest = fewest(load, &server, &bound, 500);
            assert!(waits(load, &server, fewest).mean <= bound.mean);
            assert!(fewest == 1 || waits(load, &server, fewest - 1).mean > bound.mean);
        }
        assert_eq!(fewest(1e9, &server, &bound, 7), 7);
        assert_eq!(fewest(0.0, &server, &bound, 7), 1);
    }
}
