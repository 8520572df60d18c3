//! The boot clock and the boot it belongs to. The one place in this room that reads a clock for the model.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use stoa_model::Time;

/// The present on `CLOCK_BOOTTIME`.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Time(seconds.saturating_mul(1000) + nanos / 1_000_000)
}

/// Milliseconds since the Unix epoch: for people, nothing is decided by it.
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The id of this boot: an instant or a pid of another boot means nothing in this one.
pub fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_goes_forward_within_one_named_boot() {
        let first = super::now();
        assert!(super::now() >= first);
        assert!(first.0 > 0);
        assert_eq!(super::boot().len(), 36);
    }
}
