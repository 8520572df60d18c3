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

/// What may be compared, that with the most answers of the new release first. What has fewer than `least`
/// of them is too little to measure by beside one that has more.
fn compared(evidence: &Evidence, least: u64, size: fn(&Tally) -> u64) -> impl Iterator<Item = Compared<'_>> {
    let beside = Compared { new: &evidence.beside.new, old: &evidence.beside.old, when: "at the same time" };
    let alone = Compared { new: &evidence.alone, old: &evidence.old, when: "before" };
    let (more, less) = if size(alone.new) > size(beside.new) { (alone, beside) } else { (beside, alone) };
    let enough = size(less.new) >= least;
    std::iter::once(more).chain(enough.then_some(less))
}

/// What the part `q` of the answers of both took at most, where the new release is slower there by enough.
fn slower_at(q: f64, new: &Tally, old: &Tally) -> Option<(f64, f64)> {
    let (of_new, of_old) = (new.quantile_ms(q)?, old.quantile_ms(q)?);
    let at_least = edges(of_new).0;
    let at_most = edges(of_old).1;
    let slower = is_longer(of_new, of_old) && (is_longer(at_least, at_most) || mean_confirms(new, old));
    slower.then_some((of_new, of_old))
}

fn is_longer(new: f64, old: f64) -> bool {
    new >= old * TIMES_SLOWER && new >= old + SLOWER_MS
}

/// From where to where the bucket of a duration reaches.
fn edges(ms: f64) -> (f64, f64) {
    bucket_ms(DURATION_BOUNDS_MS.partition_point(|bound| (*bound as f64) < ms))
}

/// Whether the sum of the durations, which is exact, has grown by at least half of what the buckets say.
///
/// Where every answer takes 99 ms, 101 ms instead moves all of them from a bucket that ends at 100 ms into
/// one that ends at 250 ms. The slowest are left out of the sum, as far as they can be: they are few and
/// outweigh all others.
fn mean_confirms(new: &Tally, old: &Tally) -> bool {
    let within =
        |tally: &Tally, bound: usize| tally.above(bound) as f64 <= (1.0 - BODY) * tally.timed() as f64;
    let last = DURATION_BOUNDS_MS.len();
    let bound = (0..last).find(|bound| within(new, *bound) && within(old, *bound)).unwrap_or(last);
    let (exact_new, coarse_new) = means(new, bound);
    let (exact_old, coarse_old) = means(old, bound);
    exact_new - exact_old >= ((coarse_new - coarse_old) / 2.0).max(0.0)
}

/// The mean duration of what took no longer than `bound`: by the sum, and by the buckets' middles.
fn means(tally: &Tally, bound: usize) -> (f64, f64) {
    let middle = |bucket: usize| {
        let (from, to) = bucket_ms(bucket);
        (from + to) / 2.0
    };
    let sum = |buckets: &mut dyn Iterator<Item = (usize, &u64)>| -> f64 {
        buckets.map(|(bucket, count)| *count as f64 * middle(bucket)).sum()
    };
    let body = sum(&mut tally.durations.iter().enumerate().take(bound + 1));
    let tail = sum(&mut tally.durations.iter().enumerate().skip(bound + 1));
    let answers = (tally.timed() - tally.above(bound)).max(1) as f64;
    ((tally.duration_sum_us as f64 / 1000.0 - tail) / answers, body / answers)
}

fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn chance(worth: f64) -> String {
    let times = worth.exp();
    let once_in = [1_000_000.0, 100_000.0, 10_000.0].into_iter().find(|n| times >= *n).unwrap_or(1000.0);
    format!("so far apart by chance less than once in {once_in}")
}
