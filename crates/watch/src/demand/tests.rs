//! Reports in, samples out, as tables.

use super::*;
use stoa_model::control::{DURATION_BOUNDS_MS, Queue, Traffic};
use stoa_model::demand::Demand;

const APP_1: &str = "app-1";

/// A report that is built up as a balancer's counters grow.
#[derive(Clone, Default)]
struct Balancer(Report);

impl Balancer {
    /// `app-1` answers so many more requests, each in so many milliseconds.
    fn answers(&mut self, count: u64, ms: u64) -> &mut Self {
        self.instance_answers(APP_1, count, ms)
    }

    fn instance_answers(&mut self, id: &str, count: u64, ms: u64) -> &mut Self {
        let instance = self.0.instances.entry(id.parse().unwrap()).or_default();
        for traffic in [&mut instance.traffic, &mut self.0.app_face] {
            traffic.status[1] += count;
            traffic.durations[DURATION_BOUNDS_MS.partition_point(|bound| *bound < ms)] += count;
            traffic.duration_sum_us += count * ms * 1000;
        }
        self.0.app_queue.arrived += count;
        self
    }

    /// What `app-1` holds now: requests and tunnels.
    fn holds(&mut self, requests: u32, tunnels: u32) -> &mut Self {
        let instance = self.0.instances.entry(APP_1.parse().unwrap()).or_default();
        (instance.in_flight, instance.tunnels) = (requests + tunnels, tunnels);
        self
    }

    fn sheds(&mut self, count: u64) -> &mut Self {
        self.0.app_queue.arrived += count;
        self.0.app_queue.shed += count;
        self.0.app_face.status[4] += count;
        self
    }
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

/// What is made of the reports of one balancer.
fn sample(sampler: &mut Sampler, at: u64, balancer: &Balancer) -> Option<Sample> {
    sampler.app(Time(at), &[(id("balancer-1"), Time(1), &balancer.0)], 2, Machine::default())
}

/// The sample of one second in which `grow` happened.
fn second(before: impl Fn(&mut Balancer), grow: impl Fn(&mut Balancer)) -> Sample {
    let (mut sampler, mut balancer) = (Sampler::new(), Balancer::default());
    balancer.answers(1000, 10).sheds(7);
    balancer.0.app_queue.waited_us = 5_000_000;
    before(&mut balancer);
    assert_eq!(sample(&mut sampler, 10_000, &balancer), None, "the first reports begin a span");
    grow(&mut balancer);
    sample(&mut sampler, 11_000, &balancer).unwrap()
}

#[track_caller]
fn near(what: &str, a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{what}: {a} is not {b}");
}

type Grow = fn(&mut Balancer);

/// What grows before the second and in it, and what the second comes to.
struct Row {
    name: &'static str,
    before: Grow,
    grow: Grow,
    arrivals: f64,
    answered: f64,
    concurrency: f64,
    wait: f64,
    service: Option<f64>,
    shed: f64,
}

const ROWS: [Row; 8] = [
    Row {
        name: "nothing asked",
        before: |_| {},
        grow: |_| {},
        arrivals: 0.0,
        answered: 0.0,
        concurrency: 0.0,
        wait: 0.0,
        service: None,
        shed: 0.0,
    },
    Row {
        name: "short requests, by Little's law",
        before: |_| {},
        grow: |b| {
            b.answers(200, 20);
        },
        arrivals: 200.0,
        answered: 200.0,
        concurrency: 4.0,
        wait: 0.0,
        service: Some(0.02),
        shed: 0.0,
    },
    Row {
        name: "with the time they waited",
        before: |_| {},
        grow: |b| {
            b.answers(100, 20).0.app_queue.waited_us += 3_000_000;
        },
        arrivals: 100.0,
        answered: 100.0,
        concurrency: 5.0,
        wait: 0.03,
        service: Some(0.02),
        shed: 0.0,
    },
    Row {
        name: "long requests, none of which ends: what is held and waits, at both ends",
        before: |b| {
            b.holds(4, 0);
        },
        grow: |b| {
            b.holds(6, 0).0.app_queue.waiting = 2;
            b.0.app_queue.arrived += 4;
        },
        arrivals: 4.0,
        answered: 0.0,
        concurrency: 6.0,
        wait: 0.0,
        service: None,
        shed: 0.0,
    },
    Row {
        name: "a long request that ends was only for a second of this second",
        before: |b| {
            b.holds(1, 0);
        },
        grow: |b| {
            b.answers(1, 30_000).holds(0, 0).0.app_queue.arrived -= 1;
        },
        arrivals: 0.0,
        answered: 1.0,
        concurrency: 1.0,
        wait: 0.0,
        service: Some(30.0),
        shed: 0.0,
    },
    Row {
        name: "a long one among short ones adds one",
        before: |b| {
            b.holds(1, 0);
        },
        // Of its 20 s, the middle of its bucket, 19 lay in earlier spans.
        grow: |b| {
            b.answers(100, 20).answers(1, 20_000).holds(0, 0).0.app_queue.arrived -= 1;
        },
        arrivals: 100.0,
        answered: 101.0,
        concurrency: 3.0,
        wait: 0.0,
        service: Some(22.0 / 101.0),
        shed: 0.0,
    },
    Row {
        name: "tunnels ask for nothing",
        before: |b| {
            b.holds(0, 500);
        },
        grow: |b| {
            b.answers(100, 10).holds(0, 500);
        },
        arrivals: 100.0,
        answered: 100.0,
        concurrency: 1.0,
        wait: 0.0,
        service: Some(0.01),
        shed: 0.0,
    },
    Row {
        name: "what is shed arrived and was not answered by an instance",
        before: |_| {},
        grow: |b| {
            b.answers(100, 10).sheds(40);
        },
        arrivals: 140.0,
        answered: 100.0,
        concurrency: 1.0,
        wait: 0.0,
        service: Some(0.01),
        shed: 40.0,
    },
];

#[test]
fn what_a_second_of_requests_comes_to() {
    for row in ROWS {
        let got = second(row.before, row.grow);
        near(row.name, got.span, 1.0);
        near(row.name, got.arrivals, row.arrivals);
        near(row.name, got.answered, row.answered);
        near(row.name, got.concurrency, row.concurrency);
        near(row.name, got.wait, row.wait);
        near(row.name, got.shed, row.shed);
        near(row.name, got.instances, 2.0);
        assert_eq!(got.service.is_some(), row.service.is_some(), "{}", row.name);
        near(row.name, got.service.unwrap_or_default(), row.service.unwrap_or_default());
        assert_eq!(got.at, Time(11_000), "{}", row.name);
    }
}

#[test]
fn the_variation_of_the_time() {
    // All in one bucket; half at 1.5 ms and half at 7.5 ms (mean 4.5, deviation 3); too few.
    for (grow, expected) in [
        (vec![(100, 20)], Some(0.0)),
        (vec![(50, 2), (50, 10)], Some(9.0 / 20.25)),
        (vec![(19, 20)], None),
        (vec![(20, 20)], Some(0.0)),
        (vec![], None),
    ] {
        let got = second(|_| {}, |b| grow.iter().for_each(|(n, ms)| drop(b.answers(*n, *ms).clone())));
        assert_eq!(got.variation.is_some(), expected.is_some(), "{grow:?}");
        near(&format!("{grow:?}"), got.variation.unwrap_or_default(), expected.unwrap_or_default());
    }
}

#[test]
fn a_span_that_was_not_measured_in_full_gives_no_sample() {
    /// A row: when, the balancers with their starts, and whether there is a sample.
    type Row = (&'static str, u64, &'static [(&'static str, u64)], bool);
    let both: &[(&str, u64)] = &[("balancer-1", 1), ("balancer-2", 1)];
    let rows: [Row; 18] = [
        ("the first", 1000, both, false),
        ("a full span", 2000, both, true),
        ("one is missing", 3000, &[("balancer-1", 1)], false),
        ("it has been gone for a whole span", 4000, &[("balancer-1", 1)], true),
        ("it comes back", 5000, both, false),
        ("and is counted", 6000, both, true),
        ("one was restarted", 7000, &[("balancer-1", 1), ("balancer-2", 6500)], false),
        ("and is counted again", 8000, &[("balancer-1", 1), ("balancer-2", 6500)], true),
        ("nobody reports", 9000, &[], false),
        ("still nobody", 10_000, &[], false),
        ("they are back", 11_000, both, false),
        ("and counted", 12_000, both, true),
        ("no time has passed", 12_000, both, false),
        ("the span goes on from there", 13_000, both, true),
        ("the clock went back", 5000, both, false),
        ("and on", 6000, both, true),
        ("the clock jumped ahead, or all stood still", 600_000, both, false),
        ("and on", 601_500, both, true),
    ];
    let (mut sampler, mut balancer) = (Sampler::new(), Balancer::default());
    let machine = Machine { cpu: Some(0.5), memory: None };
    for (name, at, who, is) in rows {
        balancer.answers(100, 10);
        balancer.0.web_face.status[1] += 100;
        let reports: Vec<_> = who.iter().map(|(name, start)| (id(name), Time(*start), &balancer.0)).collect();
        let app = sampler.app(Time(at), &reports, 3, machine);
        let web = sampler.web(Time(at), Some(0.5), &reports, 1, machine);
        assert_eq!((app.is_some(), web.is_some()), (is, is), "{name}");
        for sample in app.iter().chain(&web) {
            assert_eq!((sample.at, sample.cpu, sample.memory), (Time(at), Some(0.5), None), "{name}");
            // A sample is of its span alone, with nothing of what was missed; one of no time at all leaves
            // what it saw to the next.
            let steps = if at == 13_000 { 2.0 } else { 1.0 };
            near(name, sample.arrivals * sample.span, 100.0 * steps * who.len() as f64);
        }
    }
}

#[test]
fn counters_that_went_back_are_no_measurement() {
    let (mut sampler, mut balancer) = (Sampler::new(), Balancer::default());
    balancer.answers(100, 10);
    sample(&mut sampler, 1000, &balancer);
    assert_eq!(sample(&mut sampler, 2000, &Balancer::default()), None);
    assert!(sample(&mut sampler, 3000, &balancer).is_some());
}

#[test]
fn instances_come_and_go_within_the_reports() {
    let (mut sampler, mut balancer) = (Sampler::new(), Balancer::default());
    balancer.answers(100, 10);
    sample(&mut sampler, 1000, &balancer);
    // Named for the first time: what it has answered, it has answered since the last report.
    let mut both = balancer.clone();
    both.instance_answers("app-2", 50, 40);
    let got = sample(&mut sampler, 2000, &both).unwrap();
    near("service", got.service.unwrap(), 0.04);
    near("concurrency", got.concurrency, 2.0);
    // Forgotten by the balancer, and counted from zero when it comes again: as another release, perhaps.
    both.0.instances.remove(&id("app-2"));
    let got = sample(&mut sampler, 3000, &both).unwrap();
    assert_eq!((got.concurrency, got.service), (0.0, None));
    both.instance_answers("app-2", 10, 40);
    let got = sample(&mut sampler, 4000, &both).unwrap();
    near("service", got.service.unwrap(), 0.04);
    near("concurrency", got.concurrency, 0.4);
    // Forgotten and back within one span: some of it is missing.
    both.0.instances.remove(&id("app-2"));
    both.instance_answers("app-2", 5, 40);
    assert_eq!(sample(&mut sampler, 5000, &both), None);
}

#[test]
fn two_balancers_add_up() {
    let (mut sampler, mut one, mut two) = (Sampler::new(), Balancer::default(), Balancer::default());
    one.holds(0, 0);
    two.holds(0, 0);
    let ask = |sampler: &mut Sampler, at, one: &Balancer, two: &Balancer| {
        let reports = [(id("balancer-1"), Time(1), &one.0), (id("balancer-2"), Time(2), &two.0)];
        sampler.app(Time(at), &reports, 4, Machine::default())
    };
    assert_eq!(ask(&mut sampler, 1000, &one, &two), None);
    one.answers(100, 10).0.app_queue.waiting = 1;
    two.answers(50, 40).0.app_queue.waiting = 2;
    let got = ask(&mut sampler, 3000, &one, &two).unwrap();
    near("arrivals", got.arrivals, 75.0);
    near("waiting", got.waiting, 3.0);
    near("service", got.service.unwrap(), 0.02);
    near("concurrency", got.concurrency, 1.5);
}

#[test]
fn the_web_tier_is_measured_by_its_processors() {
    let web = |status, broken| Report {
        web_face: Traffic { status: [0, status, 0, 0, 0], broken, ..Traffic::default() },
        app_queue: Queue { arrived: status * 9, waiting: 4, ..Queue::default() },
        ..Report::default()
    };
    let mut sampler = Sampler::new();
    let mut ask = |at, busy, report: &Report| {
        sampler.web(Time(at), busy, &[(id("balancer-1"), Time(1), report)], 2, Machine::default())
    };
    assert_eq!(ask(1000, Some(0.1), &web(0, 0)), None);
    let got = ask(2000, Some(0.5), &web(1000, 10)).unwrap();
    assert_eq!((got.arrivals, got.answered, got.concurrency), (1010.0, 1000.0, 0.5));
    assert_eq!((got.service, got.wait, got.waiting, got.variation), (Some(0.0005), 0.0, 0.0, None));
    for unknown in [None, Some(f64::NAN), Some(-1.0)] {
        assert_eq!(ask(3000, unknown, &web(3000, 10)), None, "{unknown:?}");
    }
    let got = ask(4000, Some(0.25), &web(3000, 10)).unwrap();
    assert_eq!((got.arrivals, got.answered, got.service), (0.0, 0.0, None));
    // What could not be told in its second is not told of the next one.
    assert_eq!(ask(5000, None, &web(9000, 10)), None);
    assert_eq!(ask(6000, Some(1.0), &web(9100, 10)).unwrap().answered, 100.0);
}

#[test]
fn so_many_samples_are_kept() {
    let mut demand = Demand::default();
    for at in 1..=700 {
        demand.keep(Sample { at: Time(at * 1000), ..Sample::default() });
    }
    let ends = |demand: &Demand| (demand.samples[0].at.0, demand.samples[demand.samples.len() - 1].at.0);
    assert_eq!((demand.samples.len(), ends(&demand)), (Demand::KEPT, (101_000, 700_000)));
    // The clock went back: what was measured after that is not known to be later.
    demand.keep(Sample { at: Time(650_500), ..Sample::default() });
    assert_eq!((demand.samples.len(), ends(&demand)), (551, (101_000, 650_500)));
}
