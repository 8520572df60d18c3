//! What can be told from the samples of one tier: which of them are to be trusted, how recent they are,
//! and means over spans that end now. A second that was not measured stays unknown.

use stoa_model::demand::Sample;
use stoa_model::{Demand, Millis, Time};

/// Older samples say nothing of now.
pub(super) const FRESH: Millis = Millis::from_secs(15);

/// The samples that can be trusted, oldest first.
pub(super) struct Window<'a> {
    samples: Vec<&'a Sample>,
    now: Time,
}

impl<'a> Window<'a> {
    /// A sample later than now was taken on another clock, one that holds what cannot be is none.
    pub(super) fn new(demand: &'a Demand, now: Time) -> Self {
        let mut samples: Vec<_> =
            demand.samples.iter().filter(|sample| sample.at <= now && is_sane(sample)).collect();
        if !samples.is_sorted_by(|a, b| a.at < b.at) {
            samples.sort_by_key(|sample| sample.at);
            samples.dedup_by_key(|sample| sample.at);
        }
        Window { samples, now }
    }

    /// The newest, unless it is too old to say anything of now.
    pub(super) fn newest(&self) -> Option<&'a Sample> {
        self.samples.last().copied().filter(|sample| self.now.since(sample.at) <= FRESH)
    }

    /// Those of the last seconds.
    pub(super) fn last(&self, seconds: f64) -> &[&'a Sample] {
        let from = self.samples.partition_point(|sample| self.age(sample) >= seconds);
        self.samples.get(from..).unwrap_or_default()
    }

    /// How many seconds ago it was taken.
    pub(super) fn age(&self, sample: &Sample) -> f64 {
        seconds(self.now.since(sample.at))
    }

    /// The mean over the last seconds of what `of` finds, each weighed by its span; none where it finds
    /// nothing.
    pub(super) fn mean(&self, seconds: f64, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        weighted(self.last(seconds).iter().filter_map(|sample| Some((of(sample)?, sample.span))))
    }

    /// The part of the last seconds that was measured, 0 to 1.
    pub(super) fn covered(&self, seconds: f64) -> f64 {
        let spans: f64 =
            self.last(seconds).iter().map(|sample| sample.span.min(FRESH.0 as f64 / 1000.0)).sum();
        (spans / seconds).min(1.0)
    }

    /// The means of spans of so many seconds, newest first; none where nothing was measured.
    pub(super) fn bins(&self, width: f64, count: usize, of: impl Fn(&Sample) -> f64) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0.0); count];
        for sample in self.last(width * count as f64) {
            if let Some((sum, spans)) = sums.get_mut((self.age(sample) / width) as usize) {
                *sum += of(sample) * sample.span;
                *spans += sample.span;
            }
        }
        sums.into_iter().map(|(sum, spans)| (spans > 0.0).then(|| sum / spans)).collect()
    }
}

/// The mean of values with weights; none where nothing weighs anything.
pub(super) fn weighted(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weights) = values.fold((0.0, 0.0), |(sum, all), (value, w)| (sum + value * w, all + w));
    (weights > 0.0).then(|| sum / weights)
}

/// A span in seconds.
pub(super) fn seconds(span: Millis) -> f64 {
    span.0 as f64 / 1000.0
}

/// The value below which so large a share of the values lies; none where there are none.
pub(super) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let at = ((values.len().checked_sub(1)?) as f64 * share).round() as usize;
    values.sort_unstable_by(f64::total_cmp);
    values.get(at).copied()
}

fn is_sane(sample: &Sample) -> bool {
    let fits = |value: f64| (0.0..=1e9).contains(&value);
    let maybe = |value: Option<f64>| value.is_none_or(fits);
    let Sample { at: _, span, arrivals, answered, concurrency, waiting, wait, .. } = *sample;
    let Sample { service, variation, shed, instances, cpu, memory, .. } = *sample;
    span > 0.0
        && [span, arrivals, answered, concurrency, waiting, wait, shed, instances].into_iter().all(fits)
        && [service, variation, cpu, memory].into_iter().all(maybe)
}
