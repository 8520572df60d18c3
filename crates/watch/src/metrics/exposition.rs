//! The text format of Prometheus, version 0.0.4: families with their help and type, samples with their
//! labels, histograms with cumulative buckets. It knows the format, not what is measured.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text in the making. Families come out by name, the samples of each in the order they were added.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

/// The names and values that tell one sample of a family from another.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A measured number; whole ones keep every digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count or a size.
    Whole(u64),
    /// Anything else.
    Real(f64),
}

/// A distribution as it is counted: observations up to each bound, and those above the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// The upper bounds of the buckets, rising, in the unit of the family.
    pub bounds: &'a [f64],
    /// The observations of each bucket alone, one count more than there are bounds.
    pub counts: &'a [u64],
    /// The sum of all observations.
    pub sum: f64,
}

#[derive(Debug, Clone)]
struct Family {
    help: &'static str,
    kind: &'static str,
    samples: String,
}

impl Exposition {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number that goes up and down.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        value: impl Into<Value>,
    ) {
        self.family(name, help, "gauge").sample(name, "", labels, None, value.into());
    }

    /// Adds a number that only grows, but for a restart of what counts it; its name ends with `_total`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        value: impl Into<Value>,
    ) {
        self.family(name, help, "counter").sample(name, "", labels, None, value.into());
    }

    /// Adds a distribution.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        histogram: Histogram<'_>,
    ) {
        let family = self.family(name, help, "histogram");
        let mut count = 0_u64;
        let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, observations) in bounds.zip(histogram.counts) {
            count = count.saturating_add(*observations);
            family.sample(name, "_bucket", labels, Some(bound), Value::Whole(count));
        }
        family.sample(name, "_sum", labels, None, Value::Real(histogram.sum));
        family.sample(name, "_count", labels, None, Value::Whole(count));
    }

    /// The text.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for (name, family) in self.families {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            text.push_str(&format!(
                "# HELP {name} {help}\n# TYPE {name} {}\n{}",
                family.kind, family.samples
            ));
        }
        text
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: &'static str) -> &mut Family {
        self.families.entry(name).or_insert_with(|| Family { help, kind, samples: String::new() })
    }
}

impl Family {
    fn sample(&mut self, name: &str, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: Value) {
        let mut all: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        all.extend(bound.map(|bound| format!("le=\"{}\"", Value::Real(bound))));
        let labels = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
        // Writing to a String cannot fail.
        let _ = writeln!(self.samples, "{name}{suffix}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Whole(number) => write!(f, "{number}"),
            Value::Real(number) if *number == f64::INFINITY => f.write_str("+Inf"),
            Value::Real(number) if *number == f64::NEG_INFINITY => f.write_str("-Inf"),
            Value::Real(number) => write!(f, "{number}"),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Whole(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Whole(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Real(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Value::Whole(is.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut metrics = Exposition::new();
        metrics.gauge("a", "one\nline \\", &[("why", "a \"b\"\\\nc")], 1_u64);
        let expected = "# HELP a one\\nline \\\\\n# TYPE a gauge\na{why=\"a \\\"b\\\"\\\\\\nc\"} 1\n";
        assert_eq!(metrics.finish(), expected);
    }

    #[test]
    fn a_family_has_one_head_whatever_the_order() {
        let mut metrics = Exposition::new();
        metrics.counter("b_total", "B.", &[("n", "1")], 1_u64);
        metrics.gauge("a", "A.", &[], 0.5);
        metrics.counter("b_total", "B.", &[("n", "2")], u64::MAX);
        insta::assert_snapshot!(metrics.finish());
    }

    #[test]
    fn buckets_are_cumulative() {
        let mut metrics = Exposition::new();
        let histogram = Histogram { bounds: &[0.1, 1.0], counts: &[3, 0, 2], sum: 7.25 };
        metrics.histogram("took_seconds", "Time.", &[("face", "web")], histogram);
        insta::assert_snapshot!(metrics.finish());
    }

    #[test]
    fn odd_numbers_have_their_names() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e300]
            .map(|number| Value::from(number).to_string());
        assert_eq!(values[..4], ["NaN", "+Inf", "-Inf", "0"]);
        assert_eq!(values[4].parse(), Ok(1e300));
    }
}
