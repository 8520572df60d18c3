//! What all balancers had counted when they were read last, and what they have counted since.

use super::{Reports, SPAN_MAX_MS};
use std::collections::BTreeMap;
use stoa_model::control::{DURATION_BOUNDS_MS, Report, Traffic};
use stoa_model::{InstanceId, Tier, Time};

/// From so few answers no variation is told.
const VARIATION_MIN: u64 = 20;
/// What is assumed of an answer above the last bound, as a multiple of it.
const ABOVE_LAST: f64 = 1.5;

/// Buckets of durations.
type Buckets = [u64; DURATION_BOUNDS_MS.len() + 1];

/// What an instance has answered before it was named.
const NOTHING: (u64, u64, Buckets) = (0, 0, [0; DURATION_BOUNDS_MS.len() + 1]);

/// What all balancers had counted when they were read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    at: Option<Time>,
    balancers: BTreeMap<InstanceId, Counted>,
}

/// What all balancers have counted in a span, and hold at its end. Times are in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth {
    pub(super) arrived: f64,
    pub(super) answered: f64,
    pub(super) waited: f64,
    pub(super) shed: f64,
    pub(super) waiting: f64,
    pub(super) web_arrived: f64,
    pub(super) web_answered: f64,
    /// Requests that an instance held or that waited, at the beginning and at the end.
    held: [f64; 2],
    by_instances: Answers,
}

/// What instances have answered.
#[derive(Debug, Clone, Default)]
struct Answers {
    count: u64,
    time: f64,
    durations: Buckets,
}

/// What one balancer had counted.
#[derive(Debug, Clone)]
struct Counted {
    started: Time,
    arrived: u64,
    waited_us: u64,
    shed: u64,
    /// Answered, and arrived: at the app face and at the web face.
    app: u64,
    web: [u64; 2],
    held: f64,
    waiting: u32,
    /// By instance: answers, their time in microseconds, their durations. One that a report does not name is
    /// forgotten, and counted from zero when it comes again.
    instances: BTreeMap<InstanceId, (u64, u64, Buckets)>,
}

impl Reading {
    /// Takes the reports in the place of those before. The length of the span between them in seconds, and
    /// what was counted in it; none where that is not known in full.
    pub(super) fn follow(&mut self, now: Time, reports: Reports<'_>) -> Option<(f64, Growth)> {
        let before = self.at;
        if before == Some(now) {
            // No time has passed: what was counted meanwhile belongs to the span that ends next.
            return None;
        }
        self.at = Some(now);
        let balancers = std::mem::take(&mut self.balancers);
        self.balancers
            .extend(reports.iter().map(|(id, started, report)| (*id, Counted::new(*started, report))));
        let span = now.0.checked_sub(before?.0).filter(|span| (1..=SPAN_MAX_MS).contains(span))?;
        // Nobody reports, or not the same ones as before: a part of the span is missing.
        if balancers.is_empty() || !balancers.keys().eq(self.balancers.keys()) {
            return None;
        }
        let mut growth = Growth::default();
        for (old, new) in balancers.values().zip(self.balancers.values()) {
            growth.add(old, new)?;
        }
        Some((span as f64 / 1000.0, growth))
    }
}

impl Counted {
    fn new(started: Time, report: &Report) -> Self {
        let answered = |traffic: &Traffic| traffic.status.iter().sum::<u64>();
        let of_app = || report.instances.iter().filter(|(id, _)| id.tier == Tier::App);
        let instances = of_app().map(|(id, upstream)| {
            let traffic = &upstream.traffic;
            (*id, (answered(traffic), traffic.duration_sum_us, traffic.durations))
        });
        let instances = instances.collect();
        // A tunnel may be open for hours and ask for nothing.
        let held: u32 = of_app().map(|(_, up)| up.in_flight.saturating_sub(up.tunnels)).sum();
        let web = answered(&report.web_face);
        Counted {
            started,
            arrived: report.app_queue.arrived,
            waited_us: report.app_queue.waited_us,
            shed: report.app_queue.shed,
            app: answered(&report.app_face),
            web: [web, web + report.web_face.broken],
            held: f64::from(held) + f64::from(report.app_queue.waiting),
            waiting: report.app_queue.waiting,
            instances,
        }
    }
}

impl Growth {
    /// Adds what one balancer has counted. None where it was restarted, or counted backwards all the same.
    fn add(&mut self, old: &Counted, new: &Counted) -> Option<()> {
        if old.started != new.started {
            return None;
        }
        let grown = |old: u64, new: u64| new.checked_sub(old).map(|grown| grown as f64);
        self.arrived += grown(old.arrived, new.arrived)?;
        self.waited += grown(old.waited_us, new.waited_us)? / 1e6;
        let shed = grown(old.shed, new.shed)?;
        self.shed += shed;
        // What was shed got an answer, but not of an instance.
        self.answered += (grown(old.app, new.app)? - shed).max(0.0);
        self.web_answered += grown(old.web[0], new.web[0])?;
        self.web_arrived += grown(old.web[1], new.web[1])?;
        self.waiting += f64::from(new.waiting);
        self.held[0] += old.held;
        self.held[1] += new.held;
        for (id, (count, time_us, durations)) in &new.instances {
            let (old_count, old_time_us, old_durations) = old.instances.get(id).unwrap_or(&NOTHING);
            self.by_instances.count += count.checked_sub(*old_count)?;
            self.by_instances.time += grown(*old_time_us, *time_us)? / 1e6;
            let sums = self.by_instances.durations.iter_mut();
            for ((sum, old), new) in sums.zip(old_durations).zip(durations) {
                *sum += new.checked_sub(*old)?;
            }
        }
        Some(())
    }

    /// The mean number of requests that were worked on or waited. By Little's law from the time they took,
    /// of which no more than the span lay in it; and no less than was seen at its two ends, since what takes
    /// long ends in few of the spans that it lies in.
    pub(super) fn concurrency(&self, span: f64) -> f64 {
        let beyond: f64 = counts(&self.by_instances.durations)
            .map(|(count, seconds)| count * (seconds - span).max(0.0))
            .sum();
        let by_time = ((self.by_instances.time - beyond).max(0.0) + self.waited) / span;
        let at_most = self.held[0] + self.arrived;
        by_time.min(at_most).max((self.held[0] + self.held[1]) / 2.0)
    }

    /// The mean time an instance took to answer.
    pub(super) fn service(&self) -> Option<f64> {
        let Answers { count, time, .. } = self.by_instances;
        (count > 0).then(|| time / count as f64)
    }

    /// The squared coefficient of variation of that time, each answer taken as the middle of its bucket.
    pub(super) fn variation(&self) -> Option<f64> {
        let durations = &self.by_instances.durations;
        let total: u64 = durations.iter().sum();
        if total < VARIATION_MIN {
            return None;
        }
        let total = total as f64;
        let mean = counts(durations).map(|(count, seconds)| count * seconds).sum::<f64>() / total;
        let square = |seconds: f64| (seconds - mean) * (seconds - mean);
        let variance = counts(durations).map(|(count, seconds)| count * square(seconds)).sum::<f64>() / total;
        Some(variance / (mean * mean))
    }
}

/// How many answers there are of each bucket, and the middle of it in seconds.
fn counts(durations: &Buckets) -> impl Iterator<Item = (f64, f64)> + '_ {
    durations.iter().enumerate().map(|(bucket, count)| {
        let bound = |bucket: usize| DURATION_BOUNDS_MS.get(bucket).map(|bound| *bound as f64 / 1000.0);
        let from = bucket.checked_sub(1).and_then(bound).unwrap_or(0.0);
        let middle = bound(bucket).map_or(from * ABOVE_LAST, |to| f64::midpoint(from, to));
        (*count as f64, middle)
    })
}
