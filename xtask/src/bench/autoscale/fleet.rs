//! The fleet: instances that each work on so many requests at once behind one balancer, an event at a time.
//! Requests are served in their order, from one queue: a request inside an instance waits no longer than
//! one in the balancer. New instances serve after a start-up; one that is taken away finishes what it has.

use super::rng::Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A second in the fleet's unit of time.
pub(crate) const SECOND: u64 = 1_000_000;

/// What all controllers are given alike.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// How many requests an instance works on at once.
    pub(crate) concurrency: u16,
    /// The fewest and the most instances.
    pub(crate) min: u16,
    pub(crate) max: u16,
    /// From the decision to serving, in seconds, give or take a tenth.
    pub(crate) start_up: f64,
    /// The mean service time, in seconds; lognormal, with this squared coefficient of variation.
    pub(crate) service: f64,
    pub(crate) variation: f64,
    /// A longer wait is over target, in seconds.
    pub(crate) target: f64,
}

/// What the balancer lets through, of all balancers together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// Requests inside one instance.
    pub(crate) per_instance: u64,
    /// Requests that wait outside; further ones are refused.
    pub(crate) waiting: u64,
}

/// What was seen in one second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Second {
    pub(crate) arrived: u64,
    pub(crate) answered: u64,
    pub(crate) shed: u64,
    /// The mean number of requests in the balancer and the instances.
    pub(crate) concurrency: f64,
    /// The mean number of workers that were busy.
    pub(crate) busy: f64,
    /// Requests that wait outside the instances at its end.
    pub(crate) waiting: u64,
    /// The mean wait outside, the mean and squared variation of the time inside, in seconds.
    pub(crate) wait: f64,
    pub(crate) inside: Option<f64>,
    pub(crate) variation: Option<f64>,
    /// Requests whose work began, how many of them had waited too long, and their mean wait, in seconds.
    pub(crate) begun: u64,
    pub(crate) late: u64,
    pub(crate) waited: f64,
    pub(crate) serving: u16,
    /// Instances that were asked for and do not serve yet.
    pub(crate) starting: u16,
}

/// A request that is not worked on yet; `entered` an instance at that time.
struct Queued {
    arrived: u64,
    entered: u64,
}

/// Instances and requests.
pub(crate) struct Fleet {
    world: World,
    gate: Option<Gate>,
    serving: u16,
    /// When those that are starting will serve.
    starting: VecDeque<u64>,
    /// When each request that is worked on ends, and when it had entered.
    busy: BinaryHeap<Reverse<(u64, u64)>>,
    queue: VecDeque<Queued>,
    /// How many of the queue's first are inside an instance.
    inside: usize,
    services: Vec<u32>,
    seed: u64,
    rng: Rng,
    now: u64,
    tally: Tally,
}

/// Sums over the second under way.
#[derive(Default)]
struct Tally {
    seen: Second,
    concurrency: u64,
    busy: u64,
    wait: u64,
    entered: u64,
    waited: u64,
    inside: f64,
    inside_squared: f64,
}

impl Fleet {
    pub(crate) fn new(world: &World, seed: u64) -> Self {
        Fleet {
            world: world.clone(),
            gate: None,
            serving: world.min,
            starting: VecDeque::new(),
            busy: BinaryHeap::new(),
            queue: VecDeque::new(),
            inside: 0,
            services: services(world, seed),
            seed,
            rng: Rng::part(seed, 5),
            now: 0,
            tally: Tally::default(),
        }
    }

    pub(crate) fn serving(&self) -> u16 {
        self.serving
    }

    /// Asks for so many instances. Those that do not serve yet go first, the newest of them first.
    pub(crate) fn want(&mut self, count: u16) {
        let count = count.clamp(self.world.min, self.world.max);
        while self.serving + (self.starting.len() as u16) < count {
            let takes = self.world.start_up * (0.9 + 0.2 * self.rng.share());
            self.starting.push_back(self.now + (takes * SECOND as f64) as u64);
        }
        while self.serving + self.starting.len() as u16 > count {
            if self.starting.pop_back().is_none() {
                self.serving -= 1;
            }
        }
        self.starting.make_contiguous().sort_unstable();
    }

    pub(crate) fn let_through(&mut self, gate: Option<Gate>) {
        self.gate = gate;
        self.enter();
    }

    /// One second, in which so many requests arrive.
    pub(crate) fn second(&mut self, number: u64, count: u32) -> Second {
        let mut rng = Rng::part(self.seed, 1000 + number);
        let start = number * SECOND;
        let mut arrivals: Vec<_> = (0..count).map(|_| start + rng.next() % SECOND).collect();
        arrivals.sort_unstable();
        for arrival in arrivals {
            self.run(arrival);
            self.arrive();
        }
        self.run(start + SECOND);
        self.seen()
    }

    fn seen(&mut self) -> Second {
        let tally = std::mem::take(&mut self.tally);
        let mean =
            |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 / SECOND as f64 };
        let answered = tally.seen.answered as f64;
        let inside = (tally.seen.answered > 0).then(|| tally.inside / answered);
        let squared = (tally.seen.answered > 4).then(|| tally.inside_squared / answered);
        Second {
            concurrency: tally.concurrency as f64 / SECOND as f64,
            busy: tally.busy as f64 / SECOND as f64,
            waiting: (self.queue.len() - self.inside) as u64,
            wait: mean(tally.wait, tally.entered),
            waited: mean(tally.waited, tally.seen.begun),
            inside,
            variation: inside.zip(squared).map(|(mean, squared)| (squared / mean / mean - 1.0).max(0.0)),
            serving: self.serving,
            starting: self.starting.len() as u16,
            ..tally.seen
        }
    }

    /// Everything that happens until then by itself.
    fn run(&mut self, until: u64) {
        loop {
            let end = self.busy.peek().map(|Reverse((end, _))| *end);
            let ready = self.starting.front().copied();
            let Some(next) = end.into_iter().chain(ready).min().filter(|next| *next <= until) else { break };
            self.pass(next);
            if Some(next) == ready {
                self.starting.pop_front();
                self.serving += 1;
            } else if let Some(Reverse((end, entered))) = self.busy.pop() {
                let inside = (end - entered) as f64 / SECOND as f64;
                self.tally.seen.answered += 1;
                self.tally.inside += inside;
                self.tally.inside_squared += inside * inside;
            }
            self.enter();
            self.begin();
        }
        self.pass(until);
    }

    fn pass(&mut self, until: u64) {
        let span = until - self.now;
        self.tally.concurrency += span * (self.busy.len() + self.queue.len()) as u64;
        self.tally.busy += span * self.busy.len() as u64;
        self.now = until;
    }

    fn arrive(&mut self) {
        self.tally.seen.arrived += 1;
        let outside = (self.queue.len() - self.inside) as u64;
        if self.room() == 0 && self.gate.is_some_and(|gate| outside >= gate.waiting) {
            self.tally.seen.shed += 1;
            return;
        }
        self.queue.push_back(Queued { arrived: self.now, entered: 0 });
        self.enter();
        self.begin();
    }

    /// How many more requests the instances take in.
    fn room(&self) -> u64 {
        let most = self.gate.map_or(u64::MAX / 2, |gate| u64::from(self.serving) * gate.per_instance);
        if self.serving == 0 { 0 } else { most.saturating_sub((self.busy.len() + self.inside) as u64) }
    }

    fn enter(&mut self) {
        let mut room = self.room();
        while room > 0 && self.inside < self.queue.len() {
            let queued = &mut self.queue[self.inside];
            queued.entered = self.now;
            self.tally.wait += self.now - queued.arrived;
            self.tally.entered += 1;
            self.inside += 1;
            room -= 1;
        }
    }

    fn begin(&mut self) {
        let workers = usize::from(self.serving) * usize::from(self.world.concurrency);
        while self.busy.len() < workers && self.inside > 0 {
            let Some(queued) = self.queue.pop_front() else { return };
            self.inside -= 1;
            let waited = self.now - queued.arrived;
            self.tally.waited += waited;
            self.tally.seen.begun += 1;
            self.tally.seen.late += u64::from(waited as f64 > self.world.target * SECOND as f64);
            // Its moment decides how long it takes, so that all controllers meet the same requests.
            let service = self.services[(queued.arrived.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize];
            self.busy.push(Reverse((self.now + u64::from(service), queued.entered)));
        }
    }

    /// Requests that are still not worked on.
    pub(crate) fn left(&self) -> u64 {
        self.queue.len() as u64
    }
}

/// Service times to draw from, in microseconds: lognormal, scaled to have exactly the mean.
fn services(world: &World, seed: u64) -> Vec<u32> {
    let mut rng = Rng::part(seed, 6);
    let sigma = (1.0 + world.variation).ln().sqrt();
    let drawn: Vec<_> = (0..1 << 16).map(|_| (sigma * rng.normal()).exp()).collect();
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    drawn.iter().map(|x| (x / mean * world.service * SECOND as f64).round().max(1.0) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World { concurrency: 1, min: 1, max: 9, start_up: 10.0, service: 0.2, variation: 1.0, target: 0.1 }
    }

    #[test]
    fn one_worker_waits_as_the_textbook_says() {
        // M/G/1 (Pollaczek, Khinchine): s · load / (1 - load) · (1 + Cs²) / 2.
        let mut fleet = Fleet::new(&world(), 1);
        let mut rng = Rng::new(2);
        let (mut waited, mut begun) = (0.0, 0);
        for second in 0..200_000 {
            let seen = fleet.second(second, rng.poisson(3.0));
            waited += seen.waited * seen.begun as f64;
            begun += seen.begun;
        }
        let mean = waited / begun as f64;
        assert!((mean / 0.3 - 1.0).abs() < 0.08, "{mean}");
    }

    #[test]
    fn nothing_is_lost_and_an_instance_taken_away_finishes_its_work() {
        let mut fleet = Fleet::new(&world(), 1);
        fleet.want(5);
        let (mut arrived, mut answered) = (0, 0);
        for second in 0..300 {
            let seen = fleet.second(second, if second < 200 { 12 } else { 0 });
            arrived += seen.arrived;
            answered += seen.answered;
            match second {
                8 => assert_eq!((seen.serving, seen.starting), (1, 4)),
                11 => assert_eq!((seen.serving, seen.starting), (5, 0)),
                100 => fleet.want(3),
                _ => {}
            }
        }
        assert_eq!((arrived, answered, fleet.left()), (2400, 2400, 0));
    }

    #[test]
    fn the_gate_keeps_requests_outside_and_refuses_the_rest() {
        let mut fleet = Fleet::new(&world(), 1);
        fleet.let_through(Some(Gate { per_instance: 1, waiting: 5 }));
        let seen = fleet.second(0, 100);
        assert!(seen.shed > 80 && seen.waiting <= 5 && seen.wait > 0.1, "{seen:?}");
        let mut open = Fleet::new(&world(), 1);
        let seen = open.second(0, 100);
        assert_eq!((seen.shed, seen.waiting, seen.wait), (0, 0, 0.0));
        assert!(open.second(1, 0).inside.unwrap() > 0.5, "what waits inside is taken for service");
    }
}
