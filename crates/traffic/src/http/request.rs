//! The head of a request: read strictly, written anew for the instance it goes to.
//!
//! Decides what is refused (RFC 9112 and RFC 9110, 7.6.1) and what of it an instance gets to see. It
//! chooses no instance and reads no body.

use super::body::Framing;
use super::headers::{self, ConnectionOptions, Field};
use super::limits::HEADERS_MAX;
use super::scan::ScanError;
use super::target::{Target, is_host};
use httparse::Header;
use std::mem::MaybeUninit;

/// A request's identifier: 32 hexadecimal digits.
pub(crate) type RequestId = [u8; 32];

/// Room for the fields of a head.
pub(crate) type HeaderSlots<'a> = [MaybeUninit<Header<'a>>; HEADERS_MAX];

/// What is known of a request once its head has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Sending it twice is the same as sending it once (RFC 9110, 9.2.2).
    pub(crate) idempotent: bool,
    /// `HEAD`: the answer has no body.
    pub(crate) head_only: bool,
    /// HTTP/1.0: no chunked answer, no interim one.
    pub(crate) old: bool,
    /// How the body is framed; never [`Framing::UntilClose`].
    pub(crate) framing: Framing,
    /// The client means to send another one.
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// A tunnel is asked for.
    pub(crate) upgrade: Option<Upgrade>,
    /// Pages of our own are HTML: a browser asks.
    pub(crate) html: bool,
    /// Understood, but not to be sent on: the framing is intact.
    pub(crate) refused: Option<Refusal>,
}

/// The protocol a tunnel is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// WebSocket: its frames are known, so it can be closed politely.
    WebSocket,
    /// Anything else.
    Other,
}

/// A request that is answered by the balancer itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: u16,
    /// What is wrong with it, for whoever sent it.
    pub(crate) why: &'static str,
}

/// What the web face says of a visitor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'a> {
    /// The fields that are the same for every request of the connection, as lines.
    pub(crate) fields: &'a [u8],
    /// The visitor as a `for=` parameter.
    pub(crate) node: &'a [u8],
    /// The identifier of this request.
    pub(crate) id: &'a RequestId,
}

/// What is gathered from the fields before any of them is written.
#[derive(Default)]
struct Facts<'a> {
    options: ConnectionOptions,
    length: Option<u64>,
    chunked: bool,
    host: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    upgrades: u32,
    expects_continue: bool,
    unknown_expectation: bool,
    html: bool,
}

pub(crate) const fn refusal(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Refusal {
        match error {
            ScanError::LineTooLong => refusal(414, "the request line is longer than 8 KiB"),
            ScanError::TooLarge => refusal(431, "the head has more than 32 KiB or 100 fields"),
            ScanError::BadLine => refusal(400, "a line of the head does not end with CR LF"),
        }
    }
}

/// Reads a complete head and appends to `out` what an instance gets. `visitor` is given by the web face;
/// what the app face gets was written by nginx and is passed on.
pub(crate) fn read(head: &[u8], visitor: Option<Visitor<'_>>, out: &mut Vec<u8>) -> Result<Request, Refusal> {
    let mut slots: HeaderSlots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut slots) {
        Ok(httparse::Status::Complete(n)) if n == head.len() => {}
        Ok(_) => return Err(refusal(400, "the head is not one request")),
        Err(httparse::Error::Version) if names_a_version(head) => {
            return Err(refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        Err(httparse::Error::TooManyHeaders) => return Err(ScanError::TooLarge.into()),
        Err(_) => return Err(refusal(400, "the head is not valid HTTP/1.1")),
    }
    let (Some(method), Some(path), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(refusal(400, "the head is not valid HTTP/1.1"));
    };
    if method == "CONNECT" {
        return Err(refusal(405, "CONNECT is not served here"));
    }
    let target = Target::read(method, path).ok_or(refusal(400, "the request target is not valid"))?;
    let old = version == 0;
    let facts = gather(parsed.headers, old)?;
    let framing = match (facts.chunked, facts.length) {
        (true, _) => Framing::Chunked,
        (false, Some(n)) if n > 0 => Framing::Length(n),
        _ => Framing::None,
    };
    let request = Request {
        idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        head_only: method == "HEAD",
        old,
        framing,
        keep_alive: if old { facts.options.keep_alive } else { true } && !facts.options.close,
        expects_continue: facts.expects_continue && !old && framing != Framing::None,
        upgrade: facts.upgrade(old, framing),
        html: facts.html,
        refused: if facts.unknown_expectation {
            Some(refusal(417, "only 100-continue can be expected"))
        } else if visitor.is_some() && target.is_own_space() {
            Some(refusal(404, "nothing is served here"))
        } else {
            None
        },
    };
    write(out, method, &target, parsed.headers, &facts, &request, visitor);
    Ok(request)
}

/// Whether the request line is one but for its version.
fn names_a_version(head: &[u8]) -> bool {
    let mut words = head.split(|b| *b == b'\r').next().unwrap_or_default().split(|b| *b == b' ');
    let version = words.nth(2).and_then(|version| version.strip_prefix(b"HTTP/"));
    let numbered =
        version.is_some_and(|v| matches!(v, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit()));
    numbered && words.next().is_none()
}

fn gather<'a>(fields: &[Header<'a>], old: bool) -> Result<Facts<'a>, Refusal> {
    let mut facts = Facts::default();
    for Header { name, value } in fields {
        match headers::field(name) {
            Field::Connection => facts.options.add(value),
            Field::ContentLength => {
                let length = headers::length(value).ok_or(refusal(400, "Content-Length is not a number"))?;
                if facts.length.replace(length).is_some() {
                    return Err(refusal(400, "Content-Length is given more than once"));
                }
            }
            Field::TransferEncoding => {
                if facts.chunked {
                    return Err(refusal(400, "Transfer-Encoding is given more than once"));
                }
                facts.chunked = is_chunked(value)?;
            }
            Field::Host => {
                if facts.host.replace(value).is_some() {
                    return Err(refusal(400, "Host is given more than once"));
                }
                if !is_host(value) {
                    return Err(refusal(400, "Host is not a host"));
                }
            }
            Field::Expect if value.eq_ignore_ascii_case(b"100-continue") => facts.expects_continue = true,
            Field::Expect => facts.unknown_expectation = true,
            Field::Upgrade => {
                facts.upgrade = Some(value);
                facts.upgrades += 1;
            }
            Field::Accept => {
                facts.html |= value.windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"))
            }
            _ => {}
        }
    }
    if facts.chunked && facts.length.is_some() {
        return Err(refusal(400, "both Content-Length and Transfer-Encoding are given"));
    }
    if facts.chunked && old {
        return Err(refusal(400, "HTTP/1.0 has no Transfer-Encoding"));
    }
    if facts.host.is_none() && !old {
        return Err(refusal(400, "Host is missing"));
    }
    Ok(facts)
}

fn is_chunked(value: &[u8]) -> Result<bool, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    match headers::list(value).last() {
        Some(last) if last.eq_ignore_ascii_case(b"chunked") => {
            Err(refusal(501, "no transfer coding but chunked is known"))
        }
        _ => Err(refusal(400, "Transfer-Encoding is not chunked")),
    }
}

impl Facts<'_> {
    fn upgrade(&self, old: bool, framing: Framing) -> Option<Upgrade> {
        let protocol = self.upgrade.filter(|_| self.upgrades == 1 && self.options.upgrade)?;
        let starts = |with: &[u8]| protocol.get(..with.len()).is_some_and(|p| p.eq_ignore_ascii_case(with));
        // Another version of HTTP in a tunnel would carry requests past every rule of this face.
        let is_http = starts(b"h2c") || starts(b"http") || starts(b"tls");
        if old || framing != Framing::None || is_http || protocol.contains(&b',') {
            return None;
        }
        let websocket = protocol.eq_ignore_ascii_case(b"websocket");
        Some(if websocket { Upgrade::WebSocket } else { Upgrade::Other })
    }
}

fn write(
    out: &mut Vec<u8>,
    method: &str,
    target: &Target<'_>,
    fields: &[Header<'_>],
    facts: &Facts<'_>,
    request: &Request,
    visitor: Option<Visitor<'_>>,
) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    target.write(out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // RFC 9112, 3.2.2: the authority of an absolute target stands for whatever Host says. An HTTP/1.0
    // client may send neither.
    let host = target.authority.map(str::as_bytes).or(facts.host).unwrap_or(b"localhost");
    headers::write(out, "Host", host);
    for Header { name, value } in fields {
        let kept = match headers::field(name) {
            Field::Accept => true,
            Field::Plain => !(facts.options.names_fields && headers::is_nominated(fields, name)),
            Field::Forwarding | Field::RequestId => visitor.is_none(),
            Field::Upgrade => request.upgrade.is_some(),
            Field::Expect => request.expects_continue,
            Field::Connection | Field::ContentLength | Field::TransferEncoding => false,
            // The trailer of a request is dropped, so its announcement is too.
            Field::Host | Field::Trailer | Field::Hop => false,
        };
        if kept {
            headers::write(out, name, value);
        }
    }
    if request.upgrade.is_some() {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    match request.framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // A length of zero says of a POST that nothing follows, so it is passed on where it was said.
        _ => {
            if let Some(length) = facts.length {
                headers::write_length(out, length);
            }
        }
    }
    if let Some(visitor) = visitor {
        describe(out, &visitor, host);
    }
    out.extend_from_slice(b"\r\n");
}

/// Says who the visitor is. After everything that came with the request, so that nothing in it can take
/// this away.
fn describe(out: &mut Vec<u8>, visitor: &Visitor<'_>, host: &[u8]) {
    out.extend_from_slice(visitor.fields);
    headers::write(out, "X-Forwarded-Host", host);
    headers::write(out, "X-Request-Id", visitor.id);
    out.extend_from_slice(b"Forwarded: for=");
    out.extend_from_slice(visitor.node);
    // A host is checked before: it holds no quote. Quoted always, since a port's colon needs it.
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\";proto=http\r\n");
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
