//! The head of an answer: read as strictly as a request's, written anew for the client.
//!
//! Decides how the body is framed on both sides and whether either connection can be used again. A head
//! that is not valid is an error of the instance, never passed on.

use super::body::Framing;
use super::headers::{self, ConnectionOptions, Field};
use super::limits::HEADERS_MAX;
use super::request::{HeaderSlots, Request, RequestId};
use httparse::Header;
use std::mem::MaybeUninit;

/// What is known of an answer once its head has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    /// Its status.
    pub(crate) status: u16,
    /// What it is.
    pub(crate) kind: Kind,
    /// How the body comes from the instance.
    pub(crate) framing: Framing,
    /// How the body goes to the client.
    pub(crate) towards_client: Framing,
    /// The connection to the instance can be used again.
    pub(crate) upstream_keeps: bool,
    /// The connection to the client can be used again.
    pub(crate) client_keeps: bool,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer.
    Final,
    /// `100` to `199`: the answer is still to come.
    Interim,
    /// `101`: from here on a tunnel.
    Switch,
}

/// What the answer is written for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Towards<'a> {
    /// The request that is answered.
    pub(crate) request: &'a Request,
    /// The client's connection may be used again, as far as our own side is concerned.
    pub(crate) keep: bool,
    /// The identifier the web face gave to the request.
    pub(crate) id: Option<&'a RequestId>,
}

#[derive(Default)]
struct Facts {
    options: ConnectionOptions,
    length: Option<u64>,
    chunked: bool,
}

/// Reads a complete head and appends to `out` what the client gets. The error says what is wrong with it.
pub(crate) fn read(head: &[u8], towards: &Towards<'_>, out: &mut Vec<u8>) -> Result<Response, &'static str> {
    let mut slots: HeaderSlots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut slots) {
        Ok(httparse::Status::Complete(n)) if n == head.len() => {}
        _ => return Err("its head is not valid HTTP/1.1"),
    }
    let (Some(version), Some(status)) = (parsed.version, parsed.code) else {
        return Err("its head is not valid HTTP/1.1");
    };
    if !(100..=599).contains(&status) {
        return Err("its status is not one");
    }
    let facts = gather(parsed.headers)?;
    if facts.chunked && (facts.length.is_some() || version == 0) {
        return Err("its framing is contradictory");
    }
    let request = towards.request;
    let kind = match status {
        101 if request.upgrade.is_some() && facts.options.upgrade => Kind::Switch,
        101 => return Err("it switched protocols unasked"),
        100..=199 => Kind::Interim,
        _ => Kind::Final,
    };
    let framing = match (facts.chunked, facts.length) {
        _ if kind != Kind::Final || request.head_only || matches!(status, 204 | 304) => Framing::None,
        (true, _) => Framing::Chunked,
        (false, Some(0)) => Framing::None,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::UntilClose,
    };
    let towards_client = match framing {
        // What has no length gets chunks: the client can then tell the end from a broken connection.
        Framing::Chunked | Framing::UntilClose if !request.old => Framing::Chunked,
        Framing::Chunked | Framing::UntilClose => Framing::UntilClose,
        other => other,
    };
    let old_keeps = version == 1 || facts.options.keep_alive;
    let response = Response {
        status,
        kind,
        framing,
        towards_client,
        upstream_keeps: old_keeps && !facts.options.close && framing != Framing::UntilClose,
        client_keeps: towards.keep && request.keep_alive && towards_client != Framing::UntilClose,
    };
    let reason = parsed.reason.unwrap_or_default();
    write(out, reason, parsed.headers, &facts, &response, towards);
    Ok(response)
}

fn gather(fields: &[Header<'_>]) -> Result<Facts, &'static str> {
    let mut facts = Facts::default();
    for Header { name, value } in fields {
        match headers::field(name) {
            Field::Connection => facts.options.add(value),
            Field::ContentLength => {
                let length = headers::length(value).ok_or("its Content-Length is not a number")?;
                if facts.length.replace(length).is_some_and(|other| other != length) {
                    return Err("it has two lengths");
                }
            }
            Field::TransferEncoding if facts.chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                return Err("its transfer coding is not known");
            }
            Field::TransferEncoding => facts.chunked = true,
            _ => {}
        }
    }
    Ok(facts)
}

fn write(
    out: &mut Vec<u8>,
    reason: &str,
    fields: &[Header<'_>],
    facts: &Facts,
    response: &Response,
    towards: &Towards<'_>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_status(out, response.status);
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    for Header { name, value } in fields {
        let kept = match headers::field(name) {
            Field::Plain => !(facts.options.names_fields && headers::is_nominated(fields, name)),
            Field::Upgrade => response.kind == Kind::Switch,
            Field::RequestId => towards.id.is_none(),
            Field::Trailer => response.towards_client == Framing::Chunked,
            Field::Connection | Field::ContentLength | Field::TransferEncoding | Field::Hop => false,
            Field::Host | Field::Expect | Field::Accept | Field::Forwarding => true,
        };
        if kept {
            headers::write(out, name, value);
        }
    }
    match (response.kind, response.towards_client) {
        (Kind::Interim, _) => {}
        (Kind::Switch, _) => out.extend_from_slice(b"Connection: Upgrade\r\n"),
        (Kind::Final, Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (Kind::Final, _) => {
            // 204 has no length (RFC 9110, 8.6); for HEAD and 304 it is that of the body not sent.
            if let Some(length) = facts.length.filter(|_| response.status != 204) {
                headers::write_length(out, length);
            }
        }
    }
    if response.kind == Kind::Final {
        write_connection(out, response.client_keeps, towards.request);
    }
    if let Some(id) = towards.id.filter(|_| response.kind != Kind::Interim) {
        headers::write(out, "X-Request-Id", id);
    }
    out.extend_from_slice(b"\r\n");
}

/// Says whether the connection stays open, where the version's default says otherwise.
pub(crate) fn write_connection(out: &mut Vec<u8>, keeps: bool, request: &Request) {
    if !keeps {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if request.old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
}

/// Writes a status of three digits.
pub(crate) fn write_status(out: &mut Vec<u8>, status: u16) {
    for unit in [100, 10, 1] {
        out.push(b'0' + (status / unit % 10) as u8);
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
