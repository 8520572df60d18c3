//! One request to one instance: the request on its way there and the answer on its way back, at once.
//!
//! Decides when the answer begins to go to the client: at once where it streams, and only when it is
//! complete where it is small, so that until then another instance can be asked. It never asks another:
//! that is `forward`'s.

use super::body::{Body, Framing, write_size_line};
use super::connection::Connection;
use super::forward::Job;
use super::headers;
use super::limits::{BODY_BUFFER, HEAD_MAX, Limits, STREAM_BUFFER};
use super::response::{self, Kind, Response, Towards};
use super::scan::Scan;
use super::worker::{Buffers, Worker};
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::stream::{ReadHalf, Stop, Stream, WriteHalf, fill, write_all};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Interim answers that one request may get.
const INTERIMS_MAX: u32 = 16;
/// A payload up to this is copied behind its head: one plain write is cheaper than a gathered one.
const COPY_MAX: usize = 4 << 10;

/// What has happened so far; it outlives the exchange, however that ends.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// A byte of the answer has come.
    pub(crate) heard: Cell<bool>,
    /// A byte of the answer has been sent to the client.
    pub(crate) committed: Cell<bool>,
    /// Some of the body has left the buffer: it cannot be sent a second time.
    pub(crate) touched: Cell<bool>,
    /// All of the body has been sent.
    pub(crate) sent: Cell<bool>,
    /// The instance takes no more of the body.
    stuck: Cell<bool>,
    progress: Cell<Option<Instant>>,
}

/// How an exchange came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The status of the answer.
    pub(crate) status: u16,
    /// From here on both connections are a tunnel.
    pub(crate) switched: bool,
    /// The connection to the client can be used again.
    pub(crate) client_keeps: bool,
    /// The connection to the instance can be used again.
    pub(crate) upstream_keeps: bool,
}

/// Why there is no answer, or none that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The instance broke the connection.
    Broken,
    /// The instance took too long.
    Silent,
    /// The instance sent what is no answer; what it was.
    Malformed(&'static str),
    /// The client left, or takes nothing any more.
    ClientGone,
    /// The client's body stopped coming.
    ClientSlow,
    /// The client's body is not valid; why.
    ClientBad(&'static str),
}

/// What both halves of an exchange look at.
struct Shared<'a> {
    worker: &'a Worker,
    job: &'a Job<'a>,
    flow: &'a Flow,
    limits: &'a Limits,
    timeout: Duration,
}

/// Sends the request in `buffers.request` and what follows of `body`, and passes on the answer.
pub(crate) async fn exchange(
    connection: &mut Connection,
    upstream: &mut Stream,
    buffers: &mut Buffers,
    body: &mut Body,
    job: &Job<'_>,
    flow: &Flow,
) -> Result<Answered, Failure> {
    let Buffers { inbound, request, upload, answer, response } = buffers;
    let Connection { stream, face, worker, patience, client_patience, .. } = connection;
    let limits = &worker.shared.limits;
    let timeout = worker.answer_timeout(*face);
    let shared = Shared { worker, job, flow, limits, timeout };
    let (mut client_read, mut client_write) = stream.halves();
    let (mut upstream_read, mut upstream_write) = upstream.halves();
    answer.clear();
    let written = write_all(&mut upstream_write, [request, b"", b""], limits.progress, patience).await;
    flow.sent.set(written.is_ok() && body.is_done());
    flow.stuck.set(written.is_err());
    // An instance that takes no more may have answered before it stopped: what it said counts.
    let upstream_write = written.is_ok().then_some(&mut upstream_write);
    let mut answering =
        pin!(answering(&shared, &mut upstream_read, &mut client_write, answer, response, patience));
    let mut asking =
        pin!(asking(&shared, &mut client_read, inbound, upstream_write, body, upload, client_patience));
    poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => asking.as_mut().poll(cx).map(Err),
    })
    .await
}

/// Sends the body, then watches whether the client stays. Ends only when there is no point in an answer.
async fn asking(
    shared: &Shared<'_>,
    client: &mut ReadHalf<'_>,
    inbound: &mut Buffer,
    upstream: Option<&mut WriteHalf<'_>>,
    body: &mut Body,
    framing: &mut Vec<u8>,
    patience: &mut Deadline,
) -> Failure {
    let (Some(upstream), flow) = (upstream, shared.flow) else { return pending().await };
    while !body.is_done() {
        let chunked = shared.job.request.framing == Framing::Chunked;
        let run = match body.decode(inbound.data_mut()) {
            Ok(run) => run,
            Err(_) => return Failure::ClientBad("the chunked body is not valid"),
        };
        framing.clear();
        let payload = &inbound.data()[run.payload.clone()];
        let suffix = frame(framing, chunked, payload.len(), run.end);
        if !(payload.is_empty() && suffix.is_empty()) {
            flow.touched.set(true);
            let parts = [framing.as_slice(), payload, suffix];
            if write_all(upstream, parts, shared.limits.progress, patience).await.is_err() {
                // It takes no more, but may answer all the same.
                flow.stuck.set(true);
                return pending().await;
            }
            flow.progress.set(Some(Instant::now()));
        }
        inbound.consume(run.raw);
        if run.end {
            break;
        }
        patience.within(shared.limits.progress);
        match fill(client, inbound, BODY_BUFFER, patience).await {
            Ok(0) | Err(Stop::Broken) => return Failure::ClientGone,
            Ok(_) => {}
            Err(Stop::TimedOut) => return Failure::ClientSlow,
        }
    }
    flow.sent.set(true);
    loop {
        if inbound.len() >= BODY_BUFFER {
            return pending().await;
        }
        let watched = poll_fn(|cx| inbound.poll_fill(cx, client, BODY_BUFFER)).await;
        if !matches!(watched, Ok(1..)) {
            // The end of its side: it has gone, unless there are requests before that end.
            return if inbound.is_empty() { Failure::ClientGone } else { pending().await };
        }
    }
}

/// Reads the answer and sends it to the client.
async fn answering(
    shared: &Shared<'_>,
    upstream: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    answer: &mut Buffer,
    out: &mut Vec<u8>,
    patience: &mut Deadline,
) -> Result<Answered, Failure> {
    let flow = shared.flow;
    let mut interims = 0;
    let head = loop {
        let head = head(shared, upstream, answer, out, patience).await?;
        match head.kind {
            Kind::Final => break head,
            Kind::Switch => {
                flow.committed.set(true);
                send(shared, client, [out, b"", b""], patience).await?;
                let status = head.status;
                return Ok(Answered { status, switched: true, client_keeps: false, upstream_keeps: false });
            }
            Kind::Interim => {
                interims += 1;
                if interims > INTERIMS_MAX {
                    return Err(Failure::Malformed("it sent interim answers without end"));
                }
                if !shared.job.request.old {
                    send(shared, client, [out, b"", b""], patience).await?;
                }
            }
        }
    };
    if let Framing::Length(length) = head.framing
        && length <= BODY_BUFFER as u64
    {
        while (answer.len() as u64) < length {
            more(shared, upstream, answer, patience).await?;
        }
    }
    pass_on(shared, &head, upstream, client, answer, out, patience).await?;
    Ok(Answered {
        status: head.status,
        switched: false,
        client_keeps: head.client_keeps,
        // Bytes behind the answer belong to nothing that was asked: they must not become the next answer.
        upstream_keeps: head.upstream_keeps && flow.sent.get() && answer.is_empty(),
    })
}

/// Reads one head and writes it anew into `out`.
async fn head(
    shared: &Shared<'_>,
    upstream: &mut ReadHalf<'_>,
    answer: &mut Buffer,
    out: &mut Vec<u8>,
    patience: &mut Deadline,
) -> Result<Response, Failure> {
    let mut scan = Scan::default();
    let head = loop {
        match scan.advance(answer.data()) {
            Ok(Some(head)) if head.from == 0 => break head,
            Ok(None) => more(shared, upstream, answer, patience).await?,
            _ => return Err(Failure::Malformed("its head is not valid HTTP/1.1")),
        }
    };
    out.clear();
    let towards = Towards {
        request: shared.job.request,
        // A body still on its way is not waited for: the connection ends with this answer.
        keep: shared.flow.sent.get() && shared.worker.draining().is_none(),
        id: shared.job.id,
    };
    let response = response::read(&answer.data()[..head.to], &towards, out).map_err(Failure::Malformed)?;
    answer.consume(head.to);
    Ok(response)
}

/// Reads more of the answer.
async fn more(
    shared: &Shared<'_>,
    upstream: &mut ReadHalf<'_>,
    answer: &mut Buffer,
    patience: &mut Deadline,
) -> Result<(), Failure> {
    patience.within(shared.timeout);
    loop {
        match fill(upstream, answer, HEAD_MAX + BODY_BUFFER, patience).await {
            Ok(0) | Err(Stop::Broken) => return Err(Failure::Broken),
            Ok(_) => {
                shared.flow.heard.set(true);
                return Ok(());
            }
            Err(Stop::TimedOut) if shared.awaits_body() => patience.within(shared.timeout),
            Err(Stop::TimedOut) => {
                let moved = shared.flow.progress.get().map(|at| at + shared.timeout);
                match moved.filter(|until| *until > Instant::now()) {
                    Some(until) => patience.at(until),
                    None => return Err(Failure::Silent),
                }
            }
        }
    }
}

impl Shared<'_> {
    /// Whether the instance need not answer yet, because it is still to be sent the body: then the
    /// client's slowness is what is timed. A client that waits to be told to go on is not slow.
    fn awaits_body(&self) -> bool {
        let waits = self.job.request.expects_continue && !self.flow.touched.get();
        !(self.flow.sent.get() || self.flow.stuck.get() || waits)
    }
}

/// Sends the head in `out` and the body behind it, as it comes.
async fn pass_on(
    shared: &Shared<'_>,
    head: &Response,
    upstream: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    answer: &mut Buffer,
    out: &mut Vec<u8>,
    patience: &mut Deadline,
) -> Result<(), Failure> {
    let chunked = head.towards_client == Framing::Chunked;
    let mut body = Body::new(head.framing);
    let mut ended = false;
    loop {
        let malformed = |_| Failure::Malformed("its chunked body is not valid");
        let run = body.decode(answer.data_mut()).map_err(malformed)?;
        ended |= run.end;
        let payload = &answer.data()[run.payload.clone()];
        let mut suffix = frame(out, chunked, payload.len(), ended);
        let trailer = &answer.data()[run.trailer.clone()];
        let with_trailer;
        if chunked && !trailer.is_empty() {
            with_trailer = [&suffix[..suffix.len() - 2], &kept_trailer(trailer), b"\r\n"].concat();
            suffix = &with_trailer;
        }
        if payload.len() <= COPY_MAX {
            out.extend_from_slice(payload);
            out.extend_from_slice(suffix);
            if !out.is_empty() {
                shared.flow.committed.set(true);
                send(shared, client, [out, b"", b""], patience).await?;
            }
        } else {
            shared.flow.committed.set(true);
            send(shared, client, [out, payload, suffix], patience).await?;
        }
        answer.consume(run.raw);
        out.clear();
        if ended {
            return Ok(());
        }
        patience.within(shared.timeout.max(shared.limits.progress));
        match fill(upstream, answer, STREAM_BUFFER, patience).await {
            Ok(0) if body.ends_with_connection() => ended = true,
            Ok(0) | Err(Stop::Broken) => return Err(Failure::Broken),
            Ok(_) => {}
            Err(Stop::TimedOut) => return Err(Failure::Silent),
        }
    }
}

async fn send(
    shared: &Shared<'_>,
    client: &mut WriteHalf<'_>,
    parts: [&[u8]; 3],
    patience: &mut Deadline,
) -> Result<(), Failure> {
    let sent = write_all(client, parts, shared.limits.progress, patience).await;
    sent.map_err(|_| Failure::ClientGone)
}

/// Appends to `out` what goes before so many bytes of payload, and returns what goes behind them.
fn frame(out: &mut Vec<u8>, chunked: bool, payload: usize, end: bool) -> &'static [u8] {
    if !chunked {
        return b"";
    }
    if payload > 0 {
        write_size_line(out, payload);
    }
    match (payload > 0, end) {
        (true, true) => b"\r\n0\r\n\r\n",
        (true, false) => b"\r\n",
        (false, true) => b"0\r\n\r\n",
        (false, false) => b"",
    }
}

/// The trailer fields a client may see. The bytes are known to be fields.
fn kept_trailer(trailer: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(trailer.len());
    for line in trailer.split_inclusive(|b| *b == b'\n') {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        if std::str::from_utf8(name).is_ok_and(headers::is_plain_trailer) {
            kept.extend_from_slice(line);
        }
    }
    kept
}
