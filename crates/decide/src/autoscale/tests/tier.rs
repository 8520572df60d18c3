//! A tier to scale, as water in pipes: what arrives is answered as fast as the instances can, the rest waits.

use crate::autoscale::{ScaleRules, Target, next};
use stoa_model::demand::Sample;
use stoa_model::routes::Admission;
use stoa_model::{Demand, Millis, Scaling, Time};

/// A tier, what is asked of it, and how it really is.
pub(super) struct Tier {
    pub(super) rules: ScaleRules,
    pub(super) scaling: Option<Scaling>,
    pub(super) demand: Demand,
    pub(super) now: Time,
    /// What one instance really does: so many at once, each in so many seconds.
    pub(super) concurrency: f64,
    pub(super) service: f64,
    /// The most that all of them together answer a second, whatever their count: a database.
    pub(super) shared: f64,
    /// Seconds until a new instance serves.
    pub(super) start_up: u64,
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) serving: u16,
    starting: Vec<Time>,
    /// Requests that arrived and are not worked on.
    behind: f64,
}

/// Between 2 and 20 instances that each work on 4 requests of 200 ms at once.
pub(super) fn rules() -> ScaleRules {
    let target = Target::Wait(Millis(100));
    ScaleRules { min: 2, max: 20, target, concurrency: Some(4), balancers: 2 }
}

impl Tier {
    pub(super) fn new(rules: ScaleRules) -> Self {
        Tier {
            serving: rules.min,
            rules,
            scaling: None,
            demand: Demand::default(),
            now: Time(10_000_000),
            concurrency: 4.0,
            service: 0.2,
            shared: f64::INFINITY,
            start_up: 10,
            cpu: Some(0.3),
            memory: Some(0.5),
            starting: Vec::new(),
            behind: 0.0,
        }
    }

    /// That has had this load for five minutes.
    pub(super) fn settled(rules: ScaleRules, rate: f64) -> Self {
        let mut tier = Tier::new(rules);
        tier.seconds(300, rate);
        tier
    }

    pub(super) fn wanted(&self) -> u16 {
        self.scaling.as_ref().map_or(0, |scaling| scaling.wanted)
    }

    pub(super) fn state(&self) -> &Scaling {
        self.scaling.as_ref().unwrap()
    }

    /// So many seconds of a load; what was wanted after each.
    pub(super) fn seconds(&mut self, count: usize, rate: f64) -> Vec<u16> {
        self.trace((0..count).map(|_| rate))
    }

    pub(super) fn trace(&mut self, rates: impl IntoIterator<Item = f64>) -> Vec<u16> {
        rates.into_iter().map(|rate| self.second(rate)).collect()
    }

    /// Seconds in which nothing is measured, though the controller is asked.
    pub(super) fn unmeasured(&mut self, count: usize) -> Vec<u16> {
        (0..count)
            .map(|_| {
                self.now = self.now + Millis(1000);
                self.decide()
            })
            .collect()
    }

    fn second(&mut self, rate: f64) -> u16 {
        self.now = self.now + Millis(1000);
        let ready = self.starting.iter().filter(|at| **at <= self.now).count();
        self.starting.retain(|at| *at > self.now);
        self.serving += ready as u16;
        let sample = self.serve(rate);
        self.demand.samples.push(sample);
        if self.demand.samples.len() > Demand::KEPT {
            self.demand.samples.remove(0);
        }
        self.decide()
    }

    fn decide(&mut self) -> u16 {
        let scaling = next(&self.rules, self.scaling.as_ref(), &self.demand, self.serving, self.now);
        let wanted = scaling.wanted;
        self.scaling = Some(scaling);
        while self.serving + (self.starting.len() as u16) < wanted {
            self.starting.push(self.now + Millis::from_secs(self.start_up));
        }
        while self.serving + self.starting.len() as u16 > wanted {
            if self.starting.pop().is_none() {
                self.serving -= 1;
            }
        }
        wanted
    }

    /// One second of the water: Little's law gives the times.
    fn serve(&mut self, rate: f64) -> Sample {
        let instances = f64::from(self.serving);
        let workers = instances * self.concurrency;
        let able = (workers / self.service).min(self.shared);
        let answered = able.min(rate + self.behind);
        let held = answered * self.service + self.behind + rate - answered;
        let admission = self.scaling.as_ref().and_then(|scaling| scaling.admission);
        let room = |a: Admission| instances * f64::from(a.per_instance) * f64::from(self.rules.balancers);
        let inside = admission.map_or(held, |admission| held.min(room(admission)));
        let most =
            admission.map_or(f64::INFINITY, |a| f64::from(a.waiting) * f64::from(self.rules.balancers));
        let waiting = (held - inside).min(most);
        let shed = held - inside - waiting;
        self.behind = (inside + waiting - answered * self.service).max(0.0);
        Sample {
            at: self.now,
            span: 1.0,
            arrivals: rate,
            answered,
            concurrency: inside + waiting,
            waiting,
            wait: if answered > 0.0 { waiting / answered } else { 0.0 },
            service: (answered > 0.0).then(|| (inside / answered).max(self.service)),
            variation: (answered > 4.0).then_some(1.0),
            shed,
            instances,
            cpu: self.cpu,
            memory: self.memory,
        }
    }
}

/// How often the count changed, and how often it turned round.
pub(super) fn changes(counts: &[u16]) -> (usize, usize) {
    let steps: Vec<_> = counts.windows(2).map(|w| w[1].cmp(&w[0])).filter(|step| step.is_ne()).collect();
    (steps.len(), steps.windows(2).filter(|w| w[0] != w[1]).count())
}
