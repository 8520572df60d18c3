//! What was asked of a tier, second by second, from what the balancers report.
//!
//! It takes differences of counters that only grow and decides which of them mean something: a span that
//! was not measured in full gives no sample, because missing is not zero. It reads no clock and no file,
//! and never says how many instances there should be.

mod machine;
mod reading;

#[cfg(test)]
mod tests;

pub use machine::{Machine, MachineReader};

use reading::Reading;
use stoa_model::control::Report;
use stoa_model::demand::Sample;
use stoa_model::{InstanceId, Time};

/// A longer span is no measurement of a second: the daemon or the machine stood still.
const SPAN_MAX_MS: u64 = 30_000;

/// What each balancer of a site reports: who it is, when its process started, what it says. One whose last
/// report is old is left out.
pub type Reports<'a> = &'a [(InstanceId, Time, &'a Report)];

/// Makes samples of reports. It remembers the reports before, so one serves one site.
#[derive(Debug, Clone, Default)]
pub struct Sampler {
    app: Reading,
    web: Reading,
}

impl Sampler {
    /// One that has seen nothing: its first reports begin a span and give no sample.
    pub fn new() -> Self {
        Self::default()
    }

    /// The demand on the app tier since the last call, with so many routed `instances`. None where the span
    /// was not measured in full: nothing was read before, a balancer is missing, is new or was restarted, or
    /// the clock went back, stood still or jumped ahead.
    pub fn app(
        &mut self,
        now: Time,
        reports: Reports<'_>,
        instances: usize,
        machine: Machine,
    ) -> Option<Sample> {
        let (span, growth) = self.app.follow(now, reports)?;
        Some(Sample {
            arrivals: growth.arrived / span,
            answered: growth.answered / span,
            concurrency: growth.concurrency(span),
            waiting: growth.waiting,
            // Who waited may have arrived in the span before.
            wait: growth.waited / growth.arrived.max(growth.answered).max(1.0),
            service: growth.service(),
            variation: growth.variation(),
            shed: growth.shed / span,
            ..bare(now, span, instances, machine)
        })
    }

    /// The demand on the web tier since the last call, where all of it kept `busy_cores` processors busy: it
    /// is processor time that nginx runs short of, not connections. None as for the app tier, and where the
    /// processor time could not be read.
    pub fn web(
        &mut self,
        now: Time,
        busy_cores: Option<f64>,
        reports: Reports<'_>,
        instances: usize,
        machine: Machine,
    ) -> Option<Sample> {
        // Followed in any case: what could not be told now is not told of the next span.
        let followed = self.web.follow(now, reports);
        let busy = busy_cores.filter(|busy| busy.is_finite() && *busy >= 0.0)?;
        let (span, growth) = followed?;
        let answered = growth.web_answered / span;
        Some(Sample {
            arrivals: growth.web_arrived / span,
            answered,
            concurrency: busy,
            service: (answered > 0.0).then(|| busy / answered),
            ..bare(now, span, instances, machine)
        })
    }
}

/// A sample that says nothing but when and where.
fn bare(at: Time, span: f64, instances: usize, machine: Machine) -> Sample {
    let Machine { cpu, memory } = machine;
    Sample { at, span, instances: instances as f64, cpu, memory, ..Sample::default() }
}
