//! For how long nobody was answered, from the times of all answers. Pure.

use std::time::Duration;

/// The longest time without an answer that reaches into the time between `from` and `to`. An answer that
/// never came counts until `to`. The times are in order.
pub(crate) fn longest(answers: &[Duration], from: Duration, to: Duration) -> Duration {
    let first = answers.partition_point(|at| *at <= from);
    let before = first.checked_sub(1).and_then(|at| answers.get(at)).copied().unwrap_or(from);
    let (mut last, mut longest) = (before, Duration::ZERO);
    for at in answers.iter().skip(first) {
        longest = longest.max(*at - last);
        last = *at;
        if last >= to {
            return longest;
        }
    }
    longest.max(to.saturating_sub(last))
}

/// The value that `percent` of a hundred do not exceed.
pub(crate) fn quantile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_millis).collect()
    }

    fn longest_ms(answers: &[u64], from: u64, to: u64) -> u128 {
        longest(&ms(answers), Duration::from_millis(from), Duration::from_millis(to)).as_millis()
    }

    #[test]
    fn the_longest_gap_around_a_fault() {
        assert_eq!(longest_ms(&[10, 20, 30, 300, 310, 320], 25, 315), 270);
        assert_eq!(longest_ms(&[10, 20, 30, 300, 310, 320], 30, 315), 270, "an answer at the very moment");
        assert_eq!(longest_ms(&[0, 500, 510, 520, 530], 515, 525), 10, "a gap before it is another's");
        assert_eq!(longest_ms(&[10, 20, 30, 40, 900], 15, 35), 10, "and one after it too");
    }

    #[test]
    fn a_gap_counts_from_the_answer_before_it_to_the_one_behind_it() {
        assert_eq!(longest_ms(&[100, 700], 200, 600), 600);
        assert_eq!(longest_ms(&[100], 200, 600), 500, "no answer came");
        assert_eq!(longest_ms(&[], 200, 600), 400, "none ever");
    }

    #[test]
    fn quantiles() {
        let times = ms(&[5, 1, 3, 2, 4]);
        assert_eq!([50, 99, 100].map(|q| quantile(&times, q).as_millis()), [3, 5, 5]);
        assert_eq!(quantile(&[], 50), Duration::ZERO);
    }
}
