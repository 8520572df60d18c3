//! The parsers as plain functions of bytes, for fuzzing and for properties. Nothing of it is served.

use super::body::{Body, Framing};
use super::request::{self, Visitor};
use super::response::{self, Towards};
use super::scan::Scan;

/// Who came, for heads that are rewritten here.
const VISITOR: Visitor<'static> =
    Visitor { fields: b"X-Real-IP: 192.0.2.1\r\n", node: b"192.0.2.1", id: &[b'0'; 32] };

/// What a parser made of some bytes, as text that can be compared.
pub type Verdict = Result<String, String>;

/// Reads a request's head that arrives in pieces ending at `cuts`.
pub fn request_head(bytes: &[u8], cuts: &[usize]) -> Verdict {
    let (from, to) = head(bytes, cuts)?;
    let mut out = Vec::new();
    let read =
        request::read(&bytes[from..to], Some(VISITOR), &mut out).map_err(|error| format!("{error:?}"))?;
    Ok(format!("{to} {read:?} {}", String::from_utf8_lossy(&out)))
}

/// Reads the head of an answer to `GET` (or `HEAD`) that arrives in pieces ending at `cuts`.
pub fn response_head(bytes: &[u8], cuts: &[usize], head_only: bool) -> Verdict {
    let (from, to) = head(bytes, cuts)?;
    let method = if head_only { "HEAD" } else { "GET" };
    let asked =
        format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let request =
        request::read(asked.as_bytes(), None, &mut Vec::new()).map_err(|error| format!("{error:?}"))?;
    let towards = Towards { request: &request, keep: true, id: Some(VISITOR.id) };
    let mut out = Vec::new();
    let read = response::read(&bytes[from..to], &towards, &mut out)?;
    Ok(format!("{to} {read:?} {}", String::from_utf8_lossy(&out)))
}

/// Reads a chunked body that arrives in pieces ending at `cuts`; the text is its payload and length.
pub fn chunked_body(bytes: &[u8], cuts: &[usize]) -> Verdict {
    let mut body = Body::new(Framing::Chunked);
    let (mut held, mut payload, mut used, mut from) = (Vec::new(), Vec::new(), 0, 0);
    for to in pieces(bytes.len(), cuts) {
        held.extend_from_slice(&bytes[from..to]);
        from = to;
        let run = body.decode(&mut held).map_err(|error| format!("{error:?}"))?;
        payload.extend_from_slice(&held[run.payload]);
        held.drain(..run.raw);
        used += run.raw;
        if body.is_done() {
            break;
        }
    }
    // What is left of an unfinished body may be held or dealt with, as the pieces fall.
    let used = if body.is_done() { used } else { bytes.len() };
    Ok(format!("{used} {} {}", body.is_done(), String::from_utf8_lossy(&payload)))
}

fn head(bytes: &[u8], cuts: &[usize]) -> Result<(usize, usize), String> {
    let mut scan = Scan::default();
    for to in pieces(bytes.len(), cuts) {
        if let Some(head) = scan.advance(&bytes[..to]).map_err(|error| format!("{error:?}"))? {
            return Ok((head.from, head.to));
        }
    }
    Err("incomplete".to_owned())
}

fn pieces(length: usize, cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (length + 1)).chain([length]).collect();
    ends.sort_unstable();
    ends
}
