//! FastCGI at the app face: an instance is chosen a connection at a time and the bytes are passed through.
//!
//! Decides only what is tried again: a connection that cannot be made, and one that breaks before the
//! first byte of the answer while everything sent so far is still held and its method may be repeated.
//! Of the protocol it reads the method and the status, and changes nothing.

use super::balance::Tried;
use super::limits::{BODY_BUFFER, TRIES_MAX};
use super::pages::RETRY_AFTER;
use super::relay::{Pipe, poll_both};
use super::table::Face;
use super::ticket::{NoInstance, Ticket};
use super::worker::Worker;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::stream::{ReadHalf, Stream, WriteHalf, fill, write_all};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

const RECORD_HEAD: usize = 8;
const PARAMS: u8 = 4;
const STDOUT: u8 = 6;
const END_REQUEST: u8 = 3;
/// How long nginx is waited for where there is nothing to pass on.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the first part of a connection ended.
enum First {
    /// The answer has begun, or more has been sent than is held.
    Settled,
    /// The instance broke the connection; whether it can be asked elsewhere.
    Broken { again: bool },
    /// nginx has gone.
    ClientGone,
}

/// What nginx has sent, kept until the answer begins.
#[derive(Default)]
struct Held {
    buffer: Buffer,
    sent: usize,
}

/// An answer in our own name.
struct Refusal {
    status: u16,
    why: String,
    retry_after: u8,
}

/// Serves one connection to its end.
pub(crate) async fn serve(mut client: Stream, worker: Rc<Worker>) {
    let _open = worker.register(Face::App).await;
    let (shard, limits) = (worker.shard(Face::App), &worker.shared.limits);
    let began = Instant::now();
    let mut tried = Tried::default();
    let mut until = None;
    let mut held = Held::default();
    let mut refusal = Refusal::from(NoInstance::InTime);
    worker.arrived(Face::App);
    for attempt in 1..=TRIES_MAX {
        let ticket = match worker.choose(Face::App, &tried) {
            Some(ticket) => Ok(ticket),
            None => wait(&worker, &mut client, &mut held, &tried, &mut until).await,
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(NoInstance::ClientGone) => return shard.broken(),
            Err(none) => {
                refusal = none.into();
                break;
            }
        };
        let started = Instant::now();
        let upstream = &ticket.slot.upstream;
        tried.add(upstream.instance.id);
        let first = match ticket.connect(limits).await {
            Ok(mut stream) => {
                held.sent = 0;
                let mut answer = Buffer::default();
                match begin(&mut client, &mut stream, &mut held, &mut answer).await {
                    First::Settled => {
                        settled(&worker, client, stream, held, answer, &ticket, [began, started]).await;
                        return;
                    }
                    First::Broken { again } => {
                        upstream.eject("closed the connection before answering");
                        refusal = Refusal::broken(&ticket, "closed the connection before answering");
                        First::Broken { again }
                    }
                    gone => gone,
                }
            }
            Err(_) => {
                upstream.eject("refused the connection");
                refusal = Refusal::broken(&ticket, "refused the connection");
                First::Broken { again: true }
            }
        };
        ticket.shard(&worker).broken();
        match first {
            First::Broken { again: true } if attempt < TRIES_MAX => {
                shard.retried();
                ticket.shard(&worker).retried();
            }
            First::ClientGone => return shard.broken(),
            _ => break,
        }
    }
    shard.answered(refusal.status, began.elapsed());
    refuse(&mut client, &mut held.buffer, &refusal).await;
}

/// Waits for an instance as long as nginx does, which is read from meanwhile.
async fn wait(
    worker: &Worker,
    client: &mut Stream,
    held: &mut Held,
    tried: &Tried,
    until: &mut Option<Instant>,
) -> Result<Ticket, NoInstance> {
    let (mut reader, _) = client.halves();
    let gone = |cx: &mut Context<'_>| {
        while held.buffer.len() < BODY_BUFFER {
            match held.buffer.poll_fill(cx, &mut reader, BODY_BUFFER) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
            }
        }
        false
    };
    worker.wait_for(Face::App, tried, until, gone).await
}

/// Answers with the identifier of the request in nginx' first record: an answer of its own with a status
/// and not a record that says "overloaded", of which nginx makes a 502.
async fn refuse(client: &mut Stream, sent: &mut Buffer, refusal: &Refusal) {
    let Refusal { status, why, retry_after } = refusal;
    let (mut reader, mut writer) = client.halves();
    let mut patience = Deadline::new();
    patience.within(FAREWELL);
    while sent.len() < RECORD_HEAD {
        if !matches!(fill(&mut reader, sent, BODY_BUFFER, &mut patience).await, Ok(1..)) {
            return;
        }
    }
    let id = [sent.data()[2], sent.data()[3]];
    let retry = if *status == 503 { format!("Retry-After: {retry_after}\r\n") } else { String::new() };
    let text = format!(
        "Status: {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{retry}\r\n{status}: {why}\n"
    );
    let length = (text.len() as u16).to_be_bytes();
    let answer = [
        &[1, STDOUT, id[0], id[1], length[0], length[1], 0, 0][..],
        text.as_bytes(),
        &[1, END_REQUEST, id[0], id[1], 0, 8, 0, 0],
        &[0; 8],
    ]
    .concat();
    if write_all(&mut writer, [&answer, b"", b""], FAREWELL, &mut patience).await.is_err()
        || poll_fn(|cx| Pin::new(&mut writer).poll_shutdown(cx)).await.is_err()
    {
        return;
    }
    patience.within(FAREWELL);
    loop {
        sent.clear();
        if !matches!(fill(&mut reader, sent, BODY_BUFFER, &mut patience).await, Ok(1..)) {
            return;
        }
    }
}

/// Passes on what nginx sends, keeping it, until the answer begins.
async fn begin(client: &mut Stream, upstream: &mut Stream, held: &mut Held, answer: &mut Buffer) -> First {
    let mut client = client.halves();
    let mut upstream = upstream.halves();
    poll_fn(|cx| {
        match answer.poll_fill(cx, &mut upstream.0, BODY_BUFFER) {
            Poll::Ready(Ok(1..)) => return Poll::Ready(First::Settled),
            Poll::Ready(_) => return Poll::Ready(First::Broken { again: held.may_be_repeated() }),
            Poll::Pending => {}
        }
        held.poll(cx, &mut client.0, &mut upstream.1)
    })
    .await
}

impl Refusal {
    fn broken(ticket: &Ticket, how: &str) -> Self {
        Refusal { status: 502, why: format!("{} {how}", ticket.name()), retry_after: RETRY_AFTER }
    }
}

impl From<NoInstance> for Refusal {
    fn from(none: NoInstance) -> Self {
        Refusal { status: 503, why: none.to_string(), retry_after: none.retry_after() }
    }
}

impl Held {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut ReadHalf<'_>,
        upstream: &mut WriteHalf<'_>,
    ) -> Poll<First> {
        loop {
            let unsent = &self.buffer.data()[self.sent..];
            if !unsent.is_empty() {
                match ready!(Pin::new(&mut *upstream).poll_write(cx, unsent)) {
                    Ok(n) if n > 0 => self.sent += n,
                    _ => return Poll::Ready(First::Broken { again: self.may_be_repeated() }),
                }
            } else if self.buffer.len() >= BODY_BUFFER {
                return Poll::Ready(First::Settled);
            } else {
                match ready!(self.buffer.poll_fill(cx, client, BODY_BUFFER)) {
                    Ok(1..) => {}
                    _ => return Poll::Ready(First::ClientGone),
                }
            }
        }
    }

    fn may_be_repeated(&self) -> bool {
        let method = request_method(self.buffer.data());
        method.is_some_and(|method| {
            matches!(method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
        })
    }
}

/// Passes on the rest, both ways. It has taken from the first instant for nginx, from the second for the
/// instance.
async fn settled(
    worker: &Rc<Worker>,
    mut client: Stream,
    mut upstream: Stream,
    mut held: Held,
    answer: Buffer,
    ticket: &Ticket,
    since: [Instant; 2],
) {
    held.buffer.consume(held.sent);
    let mut status = status(answer.data());
    let (mut up, mut down) = (Pipe::new(held.buffer), Pipe::new(answer));
    let (mut client, mut upstream) = (client.halves(), upstream.halves());
    let mut patience = Deadline::new();
    let mut ending = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(end) = poll_both(cx, &mut up, &mut down, &mut client, &mut upstream) {
            return Poll::Ready(end);
        }
        if !ending && (up.has_ended() || down.has_ended()) {
            ending = true;
            patience.within(worker.shared.limits.progress);
        }
        if ending { patience.poll(cx).map(Ok) } else { Poll::Pending }
    })
    .await;
    match ended {
        // nginx may close as soon as it has the end of the answer: the instance has done its part.
        _ if down.has_ended() || up.has_ended() => {}
        Ok(()) => {}
        Err(error) => {
            tracing::debug!(instance = ticket.name(), %error, "a FastCGI connection broke");
            status = None;
        }
    }
    for (shard, since) in [worker.shard(Face::App), ticket.shard(worker)].into_iter().zip(since) {
        match status {
            Some(status) => shard.answered(status, since.elapsed()),
            None => shard.broken(),
        }
    }
}

/// The status in the first record of an answer. PHP writes it first, and leaves it out for 200.
fn status(answer: &[u8]) -> Option<u16> {
    let status = answer
        .get(RECORD_HEAD..)
        .filter(|_| answer.get(1) == Some(&STDOUT))
        .and_then(|content| content.strip_prefix(b"Status: "))
        .and_then(|text| std::str::from_utf8(text.get(..3)?).ok()?.parse().ok());
    Some(status.unwrap_or(200))
}

/// The request's method, where all that says it has come.
fn request_method(records: &[u8]) -> Option<Vec<u8>> {
    let mut params = Vec::new();
    let mut rest = records;
    while let [_, kind, _, _, high, low, padding, _, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(content) = rest.get(RECORD_HEAD..RECORD_HEAD + length) else { break };
        if kind == PARAMS {
            params.extend_from_slice(content);
        }
        rest = rest.get(RECORD_HEAD + length + usize::from(padding)..).unwrap_or_default();
    }
    let mut rest = params.as_slice();
    loop {
        let name_length = take_length(&mut rest)?;
        let value_length = take_length(&mut rest)?;
        let name = rest.get(..name_length)?;
        let value = rest.get(name_length..name_length.checked_add(value_length)?)?;
        if name == b"REQUEST_METHOD" {
            return Some(value.to_vec());
        }
        rest = rest.get(name_length + value_length..)?;
    }
}

/// A length of one byte, or of four with the highest bit set.
fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, size) = match **bytes {
        [first, ..] if first < 0x80 => (u32::from(first), 1),
        [a, b, c, d, ..] => (u32::from_be_bytes([a & 0x7f, b, c, d]), 4),
        _ => return None,
    };
    *bytes = bytes.get(size..)?;
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let length = (content.len() as u16).to_be_bytes();
        let mut record = vec![1, kind, 0, 1, length[0], length[1], padding, 0];
        record.extend_from_slice(content);
        record.extend(vec![0; usize::from(padding)]);
        record
    }

    fn pair(name: &str, value: &str) -> Vec<u8> {
        [&[name.len() as u8, 0x80, 0, 0, value.len() as u8][..], name.as_bytes(), value.as_bytes()].concat()
    }

    #[test]
    fn the_method_is_found_across_records() {
        let params = [pair("SCRIPT_NAME", "/index.php"), pair("REQUEST_METHOD", "GET")].concat();
        let (a, b) = params.split_at(7);
        let wire =
            [record(1, &[0, 1, 0, 0, 0, 0, 0, 0], 0), record(PARAMS, a, 3), record(PARAMS, b, 0)].concat();
        assert_eq!(request_method(&wire).as_deref(), Some(b"GET".as_slice()));
        for cut in 0..wire.len() {
            assert_eq!(request_method(&wire[..cut]), None, "{cut}");
        }
        assert_eq!(request_method(&record(PARAMS, &[0xff; 64], 0)), None);
    }

    #[test]
    fn the_status_is_read_where_it_is_given() {
        assert_eq!(status(&record(STDOUT, b"Status: 404 Not Found\r\n\r\n", 0)), Some(404));
        assert_eq!(status(&record(STDOUT, b"Content-type: text/html\r\n\r\n", 0)), Some(200));
        assert_eq!(status(b"\x01"), Some(200));
    }
}
