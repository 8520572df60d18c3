//! Reads a trace from an access log in the Common or Combined Log Format: when each request came. It reads
//! no more than it was told and keeps nothing of a line but its second; a line that is none is counted.

use super::rng::Rng;
use super::trace::Trace;
use std::fmt::Write as _;
use std::io::BufRead;

/// Longer lines are bad ones, and read over without being kept.
const LINE_MAX: usize = 16 << 10;
/// A log of more lines is cut off there.
pub(crate) const LINES_MAX: u64 = 50_000_000;
/// A log over a longer time is cut off there: a week of seconds.
const SECONDS_MAX: u64 = 7 * 86_400;

/// What was read.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) trace: Trace,
    pub(crate) good: u64,
    pub(crate) bad: u64,
    /// Why the rest was left out.
    pub(crate) cut: Option<String>,
}

/// Reads a log. The first good line is where time begins; a line may be up to a minute older, as servers
/// write a line when its request ends.
pub(crate) fn read(name: &str, mut lines: impl BufRead, seed: u64) -> std::io::Result<Log> {
    let (mut good, mut bad, mut cut) = (0, 0, None);
    let mut first: Option<u64> = None;
    let mut counts: Vec<u32> = Vec::new();
    let mut line = Vec::new();
    loop {
        if good + bad >= LINES_MAX {
            cut = Some(format!("it has more than {LINES_MAX} lines"));
            break;
        }
        match next_line(&mut lines, &mut line)? {
            Line::End => break,
            Line::Long => bad += 1,
            Line::Read => match second(&line) {
                None => bad += 1,
                Some(at) => {
                    let first = *first.get_or_insert(at.saturating_sub(60));
                    match at.checked_sub(first) {
                        None => bad += 1,
                        Some(at) if at >= SECONDS_MAX => {
                            cut = Some("it is of more than a week".to_owned());
                            break;
                        }
                        Some(at) => {
                            let at = at as usize;
                            counts.resize(counts.len().max(at + 1), 0);
                            counts[at] += 1;
                            good += 1;
                        }
                    }
                }
            },
        }
    }
    let start = counts.iter().position(|count| *count > 0).unwrap_or(0);
    counts.drain(..start);
    Ok(Log { trace: Trace { name: name.to_owned(), counts, before: Vec::new(), seed }, good, bad, cut })
}

enum Line {
    Read,
    Long,
    End,
}

fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Line> {
    line.clear();
    let mut long = false;
    loop {
        let part = lines.fill_buf()?;
        if part.is_empty() {
            let nothing = line.is_empty() && !long;
            return Ok(if nothing {
                Line::End
            } else if long {
                Line::Long
            } else {
                Line::Read
            });
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let used = end.unwrap_or(part.len());
        long |= line.len() + used > LINE_MAX;
        if !long {
            line.extend_from_slice(&part[..used]);
        }
        lines.consume(used + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(if long { Line::Long } else { Line::Read });
        }
    }
}

/// The second since 1970 in which the request of a line came: `host ident user [10/Oct/2000:13:55:36 -0700]
/// "GET / HTTP/1.0" 200 2326 …`.
fn second(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (who, rest) = line.split_once(" [")?;
    if who.split(' ').count() < 3 || who.is_empty() {
        return None;
    }
    let (time, rest) = rest.split_once("] \"")?;
    let (_, after) = rest.rsplit_once("\" ").filter(|_| rest.contains('"'))?;
    // The combined format has quoted fields after these; the status is in front of the first of them.
    let answer =
        if after.starts_with(|c: char| c.is_ascii_digit()) { after } else { rest.split("\" ").nth(1)? };
    let status = answer.split(' ').next()?;
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    clock(time)
}

/// `10/Oct/2000:13:55:36 -0700`.
fn clock(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, zone) = text.split_once(' ')?;
    let mut parts = date.split(['/', ':']);
    let (day, month) = (number(parts.next()?, 31)?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year = number(parts.next()?, 9999)?;
    let (hour, minute, second) =
        (number(parts.next()?, 23)?, number(parts.next()?, 59)?, number(parts.next()?, 60)?);
    if day == 0 || parts.next().is_some() || zone.len() != 5 || !zone.is_ascii() {
        return None;
    }
    let (sign, digits) = zone.split_at(1);
    let (hours, minutes) = (number(&digits[..2], 23)?, number(&digits[2..], 59)?);
    let east = match sign {
        "+" => 60 * (60 * hours + minutes),
        "-" => -60 * (60 * hours + minutes),
        _ => return None,
    };
    let days = days(year, month, day);
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second - east).ok()
}

fn number(text: &str, most: i64) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= most)
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A log of an hour and a half such as a small shop writes: a slow rise, a newsletter, a crawler.
pub(crate) fn sample(seed: u64) -> String {
    let mut rng = Rng::part(seed, 4);
    let mut text = String::new();
    for second in 0..5400u32 {
        let at = f64::from(second);
        let newsletter = if second > 2400 { 90.0 * (-(at - 2400.0) / 500.0).exp() } else { 0.0 };
        let crawler = if (3900..4200).contains(&second) { 40.0 } else { 0.0 };
        for _ in 0..rng.poisson(20.0 + at / 200.0 + newsletter + crawler) {
            let _ = writeln!(
                text,
                "203.0.113.{} - - [14/Mar/2025:{:02}:{:02}:{:02} +0100] \"GET /item/{} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0\"",
                rng.next() % 250,
                9 + second / 3600,
                second / 60 % 60,
                second % 60,
                rng.next() % 900,
                500 + rng.next() % 9000,
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;

    #[test]
    fn the_common_and_the_combined_format_are_read() {
        assert_eq!(second(LINE.as_bytes()), Some(971_211_336));
        let combined =
            format!(r#"{LINE} "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#);
        assert_eq!(second(combined.as_bytes()), Some(971_211_336));
        let quoted = LINE.replace("/apache_pb.gif", r#"/a\"b"#);
        assert_eq!(second(quoted.as_bytes()), Some(971_211_336));
        assert_eq!(clock("01/Jan/1970:00:00:00 +0000"), Some(0));
        assert_eq!(clock("29/Feb/2024:23:59:59 +0000"), Some(1_709_251_199));
    }

    #[test]
    fn what_is_no_line_of_a_log_is_counted_and_passed_over() {
        let bad = [
            "",
            "hello",
            r#"127.0.0.1 - - [10/Okt/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1"#,
            r#"127.0.0.1 - - [99/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1"#,
            r#"127.0.0.1 - - [10/Oct/2000:13:55:36] "GET / HTTP/1.0" 200 1"#,
            r#"127.0.0.1 - - [10/Oct/2000:13:55:36 +€0] "GET / HTTP/1.0" 200 1"#,
            r#"127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" OK 1"#,
            r#"[10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1"#,
        ];
        for line in bad {
            assert_eq!(second(line.as_bytes()), None, "{line}");
        }
        let long = "x".repeat(LINE_MAX + 1);
        let mut text = format!("{LINE}\n{long}\n{}\n{LINE}", bad.join("\n")).into_bytes();
        text.extend([b'\n', 0xff, 0xfe]);
        let log = read("log", text.as_slice(), 1).unwrap();
        assert_eq!((log.good, log.bad, log.trace.counts), (2, bad.len() as u64 + 2, vec![2]));
    }

    #[test]
    fn lines_are_put_into_their_second_also_out_of_order() {
        let at = |second: u32| LINE.replace(":36 ", &format!(":{second:02} "));
        let text = [at(10), at(12), at(11), at(12)].join("\n");
        assert_eq!(read("log", text.as_bytes(), 1).unwrap().trace.counts, [1, 1, 2]);
        let older = format!("{}\n{}", at(30), LINE.replace(":13:55:", ":13:50:"));
        assert_eq!(read("log", older.as_bytes(), 1).unwrap().bad, 1, "older than the log");
        let later = format!("{}\n{}", at(30), LINE.replace("/2000:", "/2001:"));
        assert!(read("log", later.as_bytes(), 1).unwrap().cut.is_some());
    }

    #[test]
    fn the_sample_is_read_in_full() {
        let text = sample(5);
        let log = read("sample", text.as_bytes(), 5).unwrap();
        assert_eq!((log.good, log.bad), (text.lines().count() as u64, 0));
        assert_eq!(log.trace.counts.len(), 5400);
        assert_eq!(log.trace.counts.iter().map(|n| u64::from(*n)).sum::<u64>(), log.good);
    }
}
