//! The answers the balancer gives in its own name: small, and saying which instance failed and how.

use super::headers;
use super::request::{Request, RequestId};
use super::response::{write_connection, write_status};
use std::time::{SystemTime, UNIX_EPOCH};

/// After how many seconds a 503 asks to be tried again, unless it knows better.
pub(crate) const RETRY_AFTER: u8 = 5;

/// An answer of our own.
pub(crate) struct Page<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// What went wrong, in a few words, without markup.
    pub(crate) why: &'a str,
    /// The request, where it was understood.
    pub(crate) request: Option<&'a Request>,
    /// The identifier the web face gave to the request.
    pub(crate) id: Option<&'a RequestId>,
    /// The connection stays open.
    pub(crate) keeps: bool,
    /// With 503: after how many seconds another try is worth it.
    pub(crate) retry_after: u8,
}

/// The reason phrase of a status we answer with.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

impl Page<'_> {
    /// Appends the whole answer to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let reason = reason(self.status);
        let html = self.request.is_some_and(|request| request.html);
        let (status, why) = (self.status, self.why);
        let body = if html {
            format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{status} {reason}</title>\
                 <body style=\"font-family:sans-serif;margin:4em auto;max-width:36em\">\
                 <h1>{reason}</h1><p>{status}: {why}</p></body></html>\n"
            )
        } else {
            format!("{status}: {why}\n")
        };
        out.extend_from_slice(b"HTTP/1.1 ");
        write_status(out, status);
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        headers::write(out, "Date", date(SystemTime::now()).as_bytes());
        let kind: &[u8] = if html { b"text/html; charset=utf-8" } else { b"text/plain; charset=utf-8" };
        headers::write(out, "Content-Type", kind);
        headers::write_length(out, body.len() as u64);
        headers::write(out, "Cache-Control", b"no-store");
        match status {
            405 => headers::write(out, "Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            503 => headers::write(out, "Retry-After", self.retry_after.to_string().as_bytes()),
            _ => {}
        }
        match self.request {
            Some(request) => write_connection(out, self.keeps, request),
            None => out.extend_from_slice(b"Connection: close\r\n"),
        }
        if let Some(id) = self.id {
            headers::write(out, "X-Request-Id", id);
        }
        out.extend_from_slice(b"\r\n");
        if !self.request.is_some_and(|request| request.head_only) {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

/// The form of a date that RFC 9110, 5.6.7 asks for.
fn date(now: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of the year 0, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month as usize).copied().unwrap_or_default();
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
        ] {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_page_is_plain_where_nobody_asks_for_html() {
        let mut out = Vec::new();
        let why = "app-3 closed the connection before answering";
        Page { status: 502, why, request: None, id: None, keeps: false, retry_after: RETRY_AFTER }
            .write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 50\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n502: app-3 closed the connection before answering\n"), "{text}");
    }
}
