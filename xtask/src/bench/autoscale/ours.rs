//! Stoa's own controller, run by what the balancers would tell it: samples once a second, and the same hour
//! of earlier days as it keeps it, by minutes.

use super::controller::Controller;
use super::fleet::{Gate, Second, World};
use super::trace::{DAY, Trace};
use stoa_decide::autoscale::{ScaleRules, Target, next};
use stoa_model::demand::Sample;
use stoa_model::{Demand, Millis, Scaling, Time};

/// How many balancers there are.
const BALANCERS: u16 = 2;
/// Minutes of earlier days that it is told ahead.
const AHEAD: usize = 10;
/// The clock does not begin at zero.
const BEGIN: u64 = 1_000_000;

/// The controller with its memory and its eyes.
pub(crate) struct Ours {
    rules: ScaleRules,
    scaling: Option<Scaling>,
    demand: Demand,
    /// The mean concurrency of each minute so far, those of the days before first.
    minutes: Vec<f64>,
    minute: (f64, u32),
    /// The processors of the one machine: a quarter more than what the most instances can keep busy.
    processors: f64,
    /// Decisions with their reasons, where somebody wants to read them.
    pub(crate) told: Vec<String>,
    pub(crate) tells: bool,
}

impl Ours {
    pub(crate) fn new(world: &World, trace: &Trace, learns: bool) -> Self {
        let concurrency = (!learns).then_some(world.concurrency);
        let target = Target::Wait(Millis((world.target * 1000.0) as u64));
        let rules = ScaleRules { min: world.min, max: world.max, target, concurrency, balancers: BALANCERS };
        Ours {
            rules,
            scaling: None,
            demand: Demand::default(),
            minutes: trace.before.iter().map(|rate| rate * world.service).collect(),
            minute: (0.0, 0),
            processors: 1.25 * f64::from(world.max) * f64::from(world.concurrency),
            told: Vec::new(),
            tells: false,
        }
    }

    fn keep(&mut self, now: u64, seen: &Second) {
        let span = |count: u64| count as f64;
        self.demand.samples.push(Sample {
            at: Time(BEGIN + (now + 1) * 1000),
            span: 1.0,
            arrivals: span(seen.arrived),
            answered: span(seen.answered),
            concurrency: seen.concurrency,
            waiting: span(seen.waiting),
            wait: seen.wait,
            service: seen.inside,
            variation: seen.variation,
            shed: span(seen.shed),
            instances: f64::from(seen.serving),
            cpu: Some((seen.busy / self.processors).min(1.0)),
            memory: Some(0.5),
        });
        if self.demand.samples.len() > Demand::KEPT {
            self.demand.samples.remove(0);
        }
        self.minute = (self.minute.0 + seen.concurrency, self.minute.1 + 1);
        if (now + 1).is_multiple_of(60) {
            let (sum, count) = std::mem::take(&mut self.minute);
            self.minutes.push(sum / f64::from(count));
            self.look_up();
        }
    }

    /// The same minutes of all earlier days, in the mean.
    fn look_up(&mut self) {
        let minute = self.minutes.len();
        self.demand.same_hour.clear();
        for ahead in 0..=AHEAD {
            let at = minute + ahead;
            let days = (1..=at / DAY).filter_map(|days| self.minutes.get(at - days * DAY));
            let (sum, count) = days.fold((0.0, 0), |(sum, count), load| (sum + load, count + 1));
            if count > 0 {
                self.demand.same_hour.insert(60 * ahead as u32, sum / f64::from(count));
            }
        }
    }
}

impl Controller for Ours {
    fn name(&self) -> String {
        if self.rules.concurrency.is_some() { "stoa" } else { "stoa, learning" }.to_owned()
    }

    fn tick(&mut self, now: u64, seen: &Second) -> Option<u16> {
        self.keep(now, seen);
        let time = Time(BEGIN + (now + 1) * 1000);
        let scaling = next(&self.rules, self.scaling.as_ref(), &self.demand, seen.serving, time);
        if self.tells {
            let before = self.scaling.as_ref();
            if before.is_none_or(|before| before.wanted != scaling.wanted) {
                self.told.push(format!("{now:>6} s  {:>3}  {}", scaling.wanted, scaling.because));
            }
            if let Some(ceiling) =
                scaling.ceiling.as_ref().filter(|_| before.is_none_or(|b| b.ceiling.is_none()))
            {
                self.told.push(format!("{now:>6} s  at most {}: {}", ceiling.instances, ceiling.because));
            }
        }
        let wanted = scaling.wanted;
        self.scaling = Some(scaling);
        Some(wanted)
    }

    fn gate(&self) -> Option<Option<Gate>> {
        let admission = self.scaling.as_ref().and_then(|scaling| scaling.admission);
        Some(admission.map(|admission| Gate {
            per_instance: u64::from(admission.per_instance) * u64::from(BALANCERS),
            waiting: u64::from(admission.waiting) * u64::from(BALANCERS),
        }))
    }
}
