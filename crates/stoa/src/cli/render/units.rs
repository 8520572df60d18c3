//! Numbers as a reader takes them in at a glance.

use stoa_model::Millis;

/// `45s`, `12m 3s`, `2h 5m`, `3d 4h`.
pub(crate) fn span(time: Millis) -> String {
    let seconds = time.0 / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `3.2 s` for what somebody waited for.
pub(crate) fn seconds(time: Millis) -> String {
    format!("{:.1} s", time.0 as f64 / 1000.0)
}

/// `118 MB`, `1.2 GB`; a MB is 2^20 bytes, as in `stoa.toml`.
pub(crate) fn bytes(count: u64) -> String {
    const KB: u64 = 1 << 10;
    const MB: u64 = 1 << 20;
    const GB: u64 = 1 << 30;
    match count {
        0..MB => format!("{} KB", count / KB),
        MB..GB => format!("{} MB", count / MB),
        _ => format!("{:.1} GB", count as f64 / GB as f64),
    }
}

/// `0.4`, `12`, `1540`: one digit after the point only where it says something.
pub(crate) fn rate(value: f64) -> String {
    if value > 0.0 && value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// The UTC date and time of `unix_ms`, `2026-11-23 06:39:50`.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of the day `days` after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}
