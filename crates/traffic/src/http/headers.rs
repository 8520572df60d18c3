//! Which header fields mean something to a proxy, and what a `Connection` field may take away.

/// A header field by what a proxy does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `Connection`: this connection's alone, and names further ones that are.
    Connection,
    /// `Content-Length`: framing, written anew.
    ContentLength,
    /// `Transfer-Encoding`: framing, written anew.
    TransferEncoding,
    /// `Host`.
    Host,
    /// `Expect`.
    Expect,
    /// `Upgrade`: this connection's alone unless a tunnel is asked for.
    Upgrade,
    /// `Accept`, read to choose the form of our own pages.
    Accept,
    /// `Trailer`, meaningful only beside a chunked body whose trailer is passed on.
    Trailer,
    /// Who the visitor is and how he came: set by the web face alone.
    Forwarding,
    /// `X-Request-Id`: likewise.
    RequestId,
    /// This connection's alone (RFC 9110, 7.6.1), and `Proxy`, which CGI programs take for a setting.
    Hop,
    /// Passed on untouched.
    Plain,
}

/// What the fields named `Connection` of one message say together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions {
    /// `close`.
    pub(crate) close: bool,
    /// `keep-alive`.
    pub(crate) keep_alive: bool,
    /// `upgrade`.
    pub(crate) upgrade: bool,
    /// It names other fields.
    pub(crate) names_fields: bool,
}

/// Sorts a field by its name. `_` counts as `-`, because to CGI programs both are the same name: an
/// `X_Forwarded_For` would stand beside ours.
pub(crate) fn field(name: &str) -> Field {
    let is = |known: &str| {
        name.len() == known.len()
            && name.bytes().zip(known.bytes()).all(|(a, b)| {
                let a = if a == b'_' { b'-' } else { a.to_ascii_lowercase() };
                a == b
            })
    };
    // Framing fields are exact: `Content_Length` frames nothing and is passed on as what it is.
    let exact = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if exact("te") => Field::Hop,
        4 if exact("host") => Field::Host,
        5 if exact("proxy") => Field::Hop,
        6 if exact("expect") => Field::Expect,
        6 if exact("accept") => Field::Accept,
        7 if exact("upgrade") => Field::Upgrade,
        7 if exact("trailer") => Field::Trailer,
        9 if exact("forwarded") => Field::Forwarding,
        9 if is("x-real-ip") => Field::Forwarding,
        10 if exact("connection") => Field::Connection,
        10 if exact("keep-alive") => Field::Hop,
        12 if is("x-request-id") => Field::RequestId,
        14 if exact("content-length") => Field::ContentLength,
        14 if exact("http2-settings") => Field::Hop,
        15 if is("x-forwarded-for") => Field::Forwarding,
        16 if is("x-forwarded-host") || is("x-forwarded-port") => Field::Forwarding,
        16 if exact("proxy-connection") => Field::Hop,
        17 if exact("transfer-encoding") => Field::TransferEncoding,
        17 if is("x-forwarded-proto") => Field::Forwarding,
        18 if exact("proxy-authenticate") => Field::Hop,
        19 if exact("proxy-authorization") => Field::Hop,
        _ => Field::Plain,
    }
}

/// The members of a comma-separated list.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

impl ConnectionOptions {
    /// Adds what one more `Connection` field says.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields = true;
            }
        }
    }
}

/// Whether a `Connection` field takes `name` away. Only what is `Plain` can be: a visitor must not be
/// able to strip what says who he is, nor who signed in.
pub(crate) fn is_nominated(headers: &[httparse::Header<'_>], name: &str) -> bool {
    if ["authorization", "cookie"].iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
        return false;
    }
    headers
        .iter()
        .filter(|header| field(header.name) == Field::Connection)
        .any(|header| list(header.value).any(|option| option.eq_ignore_ascii_case(name.as_bytes())))
}

/// Whether a trailer field may be passed on: nothing that frames, routes, authenticates or describes the
/// content, all of which has been acted on by then (RFC 9110, 6.5.1).
pub(crate) fn is_plain_trailer(name: &str) -> bool {
    const NEVER: [&str; 6] =
        ["authorization", "cookie", "set-cookie", "cache-control", "www-authenticate", "location"];
    field(name) == Field::Plain
        && !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

/// Writes one header field.
pub(crate) fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a `Content-Length` field.
pub(crate) fn write_length(out: &mut Vec<u8>, length: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut left = length;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    write(out, "Content-Length", &digits[at..]);
}

/// A `Content-Length` as RFC 9110 has it: digits and nothing else, within what can be counted.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        let cases = [
            ("Content-Length", Field::ContentLength),
            ("Content_Length", Field::Plain),
            ("X-Forwarded-For", Field::Forwarding),
            ("x_forwarded_for", Field::Forwarding),
            ("X_Real-IP", Field::Forwarding),
            ("FORWARDED", Field::Forwarding),
            ("x-request-id", Field::RequestId),
            ("Proxy", Field::Hop),
            ("Keep-Alive", Field::Hop),
            ("HTTP2-Settings", Field::Hop),
            ("Cookie", Field::Plain),
        ];
        for (name, expected) in cases {
            assert_eq!(field(name), expected, "{name}");
        }
    }

    #[test]
    fn lengths() {
        for (text, expected) in
            [("0", Some(0)), ("007", Some(7)), ("123456789012345678", Some(123456789012345678))]
        {
            assert_eq!(length(text.as_bytes()), expected);
        }
        for text in ["", "+1", "-1", "1 ", "1,1", "0x1", "1.0", "18446744073709551616", "9999999999999999999"]
        {
            assert_eq!(length(text.as_bytes()), None, "{text}");
        }
        let mut out = Vec::new();
        write_length(&mut out, 0);
        write_length(&mut out, u64::MAX);
        assert_eq!(out, b"Content-Length: 0\r\nContent-Length: 18446744073709551615\r\n");
    }
}
