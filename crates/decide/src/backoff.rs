//! How long to pause before something that failed is tried again. Only arithmetic.

use stoa_model::Millis;

const LONGEST: u64 = 30;
/// Where visitors may wait for as long.
const LONGEST_NEEDED: u64 = 2;

/// The pause before a process is started again that ended `crashes` times in a row before it had been healthy for a
/// while: none the first time, because one death is no pattern. Short for one that nothing else stands in for and
/// that visitors may wait for: it is `needed`.
pub(crate) fn after_crashes(needed: bool, crashes: u32) -> Millis {
    let longest = if needed { LONGEST_NEEDED } else { LONGEST };
    match crashes {
        0 | 1 => Millis(0),
        n => doubled(n - 2).min(Millis::from_secs(longest)),
    }
}

/// The pause before a step is tried again that failed `attempts` times in a row.
pub(crate) fn after_failures(attempts: u32) -> Millis {
    doubled(attempts.saturating_sub(1))
}

fn doubled(times: u32) -> Millis {
    Millis::from_secs(1u64.checked_shl(times).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let after = |needed| (0..9).map(|n| after_crashes(needed, n).0 / 1000).collect::<Vec<u64>>();
        assert_eq!(after(false), [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after(true), [0, 0, 1, 2, 2, 2, 2, 2, 2]);
        let failures: Vec<u64> = (1..8).map(|n| after_failures(n).0 / 1000).collect();
        assert_eq!(failures, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after_crashes(false, u32::MAX), Millis::from_secs(30));
    }
}
