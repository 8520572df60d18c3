//! What is worth acting on, and its words: chance being ruled out is not enough.
//!
//! A difference that is real may still be too small to take a release back for; and a histogram's buckets
//! may make a small one look large. Nothing here decides whether it was chance.

use stoa_model::control::DURATION_BOUNDS_MS;
use stoa_model::deployment::{Evidence, Tally, bucket_ms};

/// So much more of the answers must fail: half a percentage point.
pub(super) const ERRORS_MORE: f64 = 0.005;

/// So many times longer must the median or nine tenths take …
const TIMES_SLOWER: f64 = 1.4;

/// … and the mean …
const MEAN_SLOWER: f64 = 1.3;

/// … and so many milliseconds more: what nobody notices is no reason.
const SLOWER_MS: f64 = 5.0;

/// The part of the answers that the mean is taken of to confirm what the buckets say.
const BODY: f64 = 0.95;

/// Two tallies that may be compared, and how they lie to each other.
struct Compared<'a> {
    new: &'a Tally,
    old: &'a Tally,
    when: &'static str,
}

/// The sentence, where the new release errs more often by enough.
pub(super) fn errs_more(evidence: &Evidence, least: u64, worth: f64) -> Option<String> {
    compared(evidence, least, |tally| tally.requests).find_map(|Compared { new, old, when }| {
        let enough = new.error_ratio() >= old.error_ratio() + ERRORS_MORE;
        let (of_new, of_old) = (errors(new), errors(old));
        enough.then(|| {
            format!("{of_new} of the new release failed, of the old one {when} {of_old}; {}", chance(worth))
        })
    })
}

/// The sentence, where the new release is slower by enough.
pub(super) fn is_slower(evidence: &Evidence, least: u64, worth: f64) -> Option<String> {
    compared(evidence, least, Tally::timed).find_map(|Compared { new, old, when }| {
        let (part, of_new, of_old) = [(0.5, "half"), (0.9, "one in ten")]
            .into_iter()
            .find_map(|(q, part)| slower_at(q, new, old).map(|(new, old)| (part, new, old)))?;
        Some(format!(
            "{part} of {} answers of the new release took {} or longer, of {} of the old one {when} {}; {}",
            new.timed(),
            ms(of_new),
            old.timed(),
            ms(of_old),
            chance(worth)
        ))
    })
}

/// "12 of 240 answers (5.0 %)".
pub(super) fn errors(tally: &Tally) -> String {
    let percent = tally.error_ratio() * 100.0;
    let places = if percent > 0.0 && percent < 0.05 { 2 } else { 1 };
    format!("{} of {} answers ({percent:.places$} %)", tally.errors, tally.requests)
}

/// What may be compared, that with the most answers of the new release first. The other one counts where it
/// has `least` of them and a tenth of what the first one has: a smaller sample would let the first seconds
/// after a switch outweigh minutes of a canary.
fn compared(evidence: &Evidence, least: u64, size: fn(&Tally) -> u64) -> impl Iterator<Item = Compared<'_>> {
    let beside = Compared { new: &evidence.beside.new, old: &evidence.beside.old, when: "at the same time" };
    let alone = Compared { new: &evidence.alone, old: &evidence.old, when: "before" };
    let (more, less) = if size(alone.new) > size(beside.new) { (alone, beside) } else { (beside, alone) };
    let enough = size(less.new) >= least.max(size(more.new) / 10);
    std::iter::once(more).chain(enough.then_some(less))
}

/// What the part `q` of the answers of both took at most, where the new release is slower there by enough.
fn slower_at(q: f64, new: &Tally, old: &Tally) -> Option<(f64, f64)> {
    let (of_new, of_old) = (new.quantile_ms(q)?, old.quantile_ms(q)?);
    // Of few answers a quantile is uncertain by this much: the benefit of the doubt is the new one's.
    let doubt = 1.5 * (q * (1.0 - q) / new.timed() as f64).sqrt();
    let likely = new.quantile_ms(q - doubt)?;
    let (at_least, at_most) = (edges(likely).0, edges(of_old).1);
    let slower = is_longer(likely, of_old) && (is_longer(at_least, at_most) || mean_confirms(new, old));
    slower.then_some((of_new, of_old))
}

fn is_longer(new: f64, old: f64) -> bool {
    new >= old * TIMES_SLOWER && new >= old + SLOWER_MS
}

/// From where to where the bucket of a duration reaches.
fn edges(ms: f64) -> (f64, f64) {
    bucket_ms(DURATION_BOUNDS_MS.partition_point(|bound| (*bound as f64) < ms))
}

/// Whether the sum of the durations, which is exact, confirms what the buckets say.
///
/// Where every answer takes 99 ms, 101 ms instead moves all of them from a bucket that ends at 100 ms into
/// one that ends at 250 ms. The slowest are left out of the sum, as far as they can be: they are few and
/// outweigh all others.
fn mean_confirms(new: &Tally, old: &Tally) -> bool {
    let within =
        |tally: &Tally, bound: usize| tally.above(bound) as f64 <= (1.0 - BODY) * tally.timed() as f64;
    let last = DURATION_BOUNDS_MS.len();
    let bound = (0..last).find(|bound| within(new, *bound) && within(old, *bound)).unwrap_or(last);
    mean_ms(new, bound) >= mean_ms(old, bound) * MEAN_SLOWER
}

/// The mean duration of what took no longer than `bound`; what took longer is taken out as the middle of
/// its bucket.
fn mean_ms(tally: &Tally, bound: usize) -> f64 {
    let longer = tally.durations.iter().enumerate().skip(bound + 1);
    let sum_longer: f64 = longer
        .map(|(bucket, count)| {
            let (from, to) = bucket_ms(bucket);
            *count as f64 * (from + to) / 2.0
        })
        .sum();
    let answers = (tally.timed() - tally.above(bound)).max(1);
    (tally.duration_sum_us as f64 / 1000.0 - sum_longer) / answers as f64
}

fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn chance(worth: f64) -> String {
    let times = worth.exp();
    let once_in = [1_000_000.0, 100_000.0, 10_000.0].into_iter().find(|n| times >= *n).unwrap_or(1000.0);
    format!("so far apart by chance less than once in {once_in}")
}
