//! How long to pause before something that failed is tried again. Only arithmetic.

use stoa_model::{Millis, Tier};

const LONGEST: u64 = 30;
/// For a role of our own: it starts in milliseconds and costs nothing, and with the last of its tier a face of
/// the site would be silent for as long.
const LONGEST_OF_A_ROLE: u64 = 2;

/// The pause before a process of `tier` is started again that ended `crashes` times in a row before it had been
/// healthy for a while: none the first time, because one death is no pattern.
pub(crate) fn after_crashes(tier: Tier, crashes: u32) -> Millis {
    let longest = if tier.is_role() { LONGEST_OF_A_ROLE } else { LONGEST };
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
        let after = |tier| (0..9).map(|n| after_crashes(tier, n).0 / 1000).collect::<Vec<u64>>();
        assert_eq!(after(Tier::App), [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after(Tier::Splitter), [0, 0, 1, 2, 2, 2, 2, 2, 2]);
        let failures: Vec<u64> = (1..8).map(|n| after_failures(n).0 / 1000).collect();
        assert_eq!(failures, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after_crashes(Tier::App, u32::MAX), Millis::from_secs(30));
    }
}
