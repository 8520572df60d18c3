//! A request is answered: by an instance, by another one where that fails, or by a page of our own.
//!
//! Decides what is sent again and what ejects an instance. A request is sent again only where nobody
//! can have noticed that it was sent before: nothing of it was sent, or it is idempotent, all of it is
//! still held and nothing has been said to the client.

use super::balance::Tried;
use super::body::{Body, Framing};
use super::connection::{Connection, Next};
use super::exchange::{Answered, Failure, Flow, exchange};
use super::limits::{BODY_BUFFER, HEAD_MAX, TRIES_MAX};
use super::pages::{Page, RETRY_AFTER};
use super::request::{Request, RequestId};
use super::ticket::{NoInstance, Ticket};
use super::tunnel;
use super::worker::Buffers;
use crate::buffer::Buffer;
use crate::stream::{Stop, Stream, fill};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The most of a refused request's body that is read to keep the connection.
const DISCARD_MAX: u64 = 64 << 10;

/// A request to be answered.
pub(crate) struct Job<'a> {
    /// Its head.
    pub(crate) request: &'a Request,
    /// Its identifier, at the web face.
    pub(crate) id: Option<&'a RequestId>,
    /// When its head was complete.
    pub(crate) started: Instant,
}

/// What a page of our own says.
struct Own<'a> {
    status: u16,
    why: &'a str,
    retry_after: u8,
}

/// How far a request has come.
#[derive(Default)]
struct Attempts {
    tried: Tried,
    count: u32,
    /// Unused connections may have been closed by the instance a moment ago, which only shows once a
    /// request has been sent on one; whether it was acted on is then unknown. So what must not be sent
    /// twice gets a connection of its own, as does the second try of what found one dead.
    fresh: bool,
    /// Some of the body has been sent and some not: where it ends on the connection is not known.
    lost: bool,
    /// How long it may wait for an instance, set by the first wait.
    until: Option<Instant>,
    /// Since when it is to be sent elsewhere, where it has been sent before.
    again: Option<Instant>,
}

/// A request that was sent to an instance.
struct Sent {
    upstream: Stream,
    ticket: Ticket,
    asked: Instant,
}

/// What to do after a failure.
enum Verdict {
    /// Ask again.
    Again,
    /// Answer with a page of our own.
    Page(u16, String),
    /// The client has gone, or half an answer has been sent.
    End(Next),
}

/// Answers `job`, whose head for the instance stands in `buffers.request`.
pub(crate) async fn answer(connection: &mut Connection, buffers: &mut Buffers, job: &Job<'_>) -> Next {
    let request = job.request;
    let mut body = Body::new(request.framing);
    if let Some(refused) = request.refused {
        return page(connection, buffers, job, Some(&mut body), Own::new(refused.status, refused.why)).await;
    }
    if let Framing::Length(length) = request.framing
        && length <= BODY_BUFFER as u64
        && !request.expects_continue
    {
        match take_body(connection, buffers, length as usize).await {
            Ok(()) => body = Body::new(Framing::None),
            Err(Stop::Broken) => {
                connection.worker.shard(connection.face).broken();
                return Next::Close;
            }
            Err(Stop::TimedOut) => {
                let own = Own::new(408, "the body did not arrive in time");
                return page(connection, buffers, job, None, own).await;
            }
        }
    }
    let mut attempts = Attempts { fresh: !request.idempotent, ..Attempts::default() };
    connection.worker.arrived(connection.face);
    loop {
        let worker = connection.worker.clone();
        let ticket = match worker.choose(connection.face, &attempts.tried) {
            Some(ticket) => Ok(ticket),
            None => wait(connection, &mut buffers.inbound, &mut attempts).await,
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(NoInstance::ClientGone) => {
                worker.shard(connection.face).broken();
                return Next::Close;
            }
            Err(none) => {
                let body = (!attempts.lost).then_some(&mut body);
                let own = Own { status: 503, why: &none.to_string(), retry_after: none.retry_after() };
                return page(connection, buffers, job, body, own).await;
            }
        };
        match attempt(connection, buffers, job, &mut body, &mut attempts, ticket).await {
            Ok(next) => return next,
            Err(Verdict::Again) => attempts.again = Some(Instant::now()),
            Err(Verdict::Page(status, why)) => {
                let body = (!attempts.lost).then_some(&mut body);
                return page(connection, buffers, job, body, Own::new(status, &why)).await;
            }
            Err(Verdict::End(next)) => {
                worker.shard(connection.face).broken();
                return next;
            }
        }
    }
}

/// Puts a small body behind the head, so that both are sent at once and can be sent again.
async fn take_body(connection: &mut Connection, buffers: &mut Buffers, length: usize) -> Result<(), Stop> {
    let Connection { stream, worker, patience, .. } = connection;
    let (mut reader, _) = stream.halves();
    while buffers.inbound.len() < length {
        patience.within(worker.shared.limits.progress);
        if fill(&mut reader, &mut buffers.inbound, HEAD_MAX, patience).await? == 0 {
            return Err(Stop::Broken);
        }
    }
    buffers.request.extend_from_slice(&buffers.inbound.data()[..length]);
    buffers.inbound.consume(length);
    Ok(())
}

/// Waits for an instance, as long as the client does: what nobody waits for need not be answered.
async fn wait(
    connection: &mut Connection,
    inbound: &mut Buffer,
    attempts: &mut Attempts,
) -> Result<Ticket, NoInstance> {
    let Connection { stream, worker, face, .. } = connection;
    let (mut reader, _) = stream.halves();
    let gone = |cx: &mut Context<'_>| {
        while inbound.len() < BODY_BUFFER {
            match inbound.poll_fill(cx, &mut reader, BODY_BUFFER) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                // The end of its side: it has gone, unless there is more to do before that end.
                Poll::Ready(Ok(_)) => return inbound.is_empty(),
                Poll::Ready(Err(_)) => return true,
            }
        }
        false
    };
    worker.wait_for(*face, &attempts.tried, &mut attempts.until, gone).await
}

/// Asks one instance.
async fn attempt(
    connection: &mut Connection,
    buffers: &mut Buffers,
    job: &Job<'_>,
    body: &mut Body,
    attempts: &mut Attempts,
    ticket: Ticket,
) -> Result<Next, Verdict> {
    let worker = connection.worker.clone();
    let pooled = if attempts.fresh { None } else { ticket.slot.check_out() };
    let reused = pooled.is_some();
    let mut upstream = match pooled {
        Some(stream) => stream,
        None => match ticket.connect(&worker.shared.limits).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(instance = ticket.name(), %error, "connecting failed");
                return Err(attempts.unreachable(&ticket, connection));
            }
        },
    };
    let flow = Flow::default();
    let result = exchange(connection, &mut upstream, buffers, body, job, &flow).await;
    match result {
        Ok(answered) => {
            // What an instance is blamed for begins when it was asked.
            let asked = ticket.since.or(attempts.again).unwrap_or(job.started);
            let sent = Sent { upstream, ticket, asked };
            Ok(finish(connection, buffers, job, &flow, answered, sent).await)
        }
        Err(failure) => {
            drop(upstream);
            attempts.lost |= flow.touched.get() && !flow.sent.get();
            Err(attempts.judge(failure, &flow, reused, job, &ticket, connection))
        }
    }
}

/// Counts an answer and puts both connections where they belong.
async fn finish(
    connection: &mut Connection,
    buffers: &mut Buffers,
    job: &Job<'_>,
    flow: &Flow,
    answered: Answered,
    sent: Sent,
) -> Next {
    let Sent { upstream, ticket, asked } = sent;
    let worker = &connection.worker;
    let now = Instant::now();
    worker.shard(connection.face).answered(answered.status, now.duration_since(job.started));
    ticket.shard(worker).answered(answered.status, now.duration_since(asked));
    if answered.switched {
        ticket.in_flight.becomes_tunnel();
        tunnel::run(connection, upstream, &ticket.slot, buffers, job.request.upgrade).await;
        return Next::Close;
    }
    if answered.upstream_keeps {
        ticket.slot.check_in(upstream, now, worker.shared.limits.pool_size);
    }
    if answered.client_keeps {
        Next::Keep
    } else if flow.sent.get() && !job.request.keep_alive {
        Next::Close
    } else {
        // More may have been sent than was read.
        Next::Linger
    }
}

impl<'a> Own<'a> {
    fn new(status: u16, why: &'a str) -> Self {
        Own { status, why, retry_after: RETRY_AFTER }
    }
}

impl Attempts {
    /// No connection could be made: nothing was sent, so anything may be sent elsewhere.
    fn unreachable(&mut self, ticket: &Ticket, connection: &Connection) -> Verdict {
        ticket.slot.upstream.eject("refused the connection");
        ticket.shard(&connection.worker).broken();
        self.again_or(ticket, connection, |name| format!("{name} refused the connection"))
    }

    fn again_or(
        &mut self,
        ticket: &Ticket,
        connection: &Connection,
        why: impl FnOnce(&str) -> String,
    ) -> Verdict {
        self.count += 1;
        self.tried.add(ticket.slot.upstream.instance.id);
        if self.count >= TRIES_MAX {
            return Verdict::Page(502, why(ticket.name()));
        }
        connection.worker.shard(connection.face).retried();
        ticket.shard(&connection.worker).retried();
        Verdict::Again
    }

    fn judge(
        &mut self,
        failure: Failure,
        flow: &Flow,
        reused: bool,
        job: &Job<'_>,
        ticket: &Ticket,
        connection: &Connection,
    ) -> Verdict {
        let name = ticket.name();
        let committed = flow.committed.get();
        let reused_and_dead = reused && !flow.heard.get() && !flow.touched.get();
        let of_instance = matches!(failure, Failure::Broken | Failure::Silent | Failure::Malformed(_));
        if of_instance && !(reused_and_dead && failure == Failure::Broken) {
            ticket.shard(&connection.worker).broken();
        }
        match failure {
            Failure::Broken if reused_and_dead => {
                // Not a sign of failure: the instance closed what it had not used for long.
                self.fresh = true;
                ticket.slot.clear();
                Verdict::Again
            }
            Failure::Broken => {
                let how = if flow.heard.get() {
                    "broke the connection while answering"
                } else {
                    "closed the connection before answering"
                };
                ticket.slot.upstream.eject(how);
                ticket.slot.clear();
                if committed {
                    Verdict::End(Next::Reset)
                } else if job.request.idempotent && !flow.touched.get() {
                    self.fresh = true;
                    self.again_or(ticket, connection, |name| format!("{name} {how}"))
                } else {
                    Verdict::Page(502, format!("{name} {how}"))
                }
            }
            Failure::Silent | Failure::Malformed(_) if committed => Verdict::End(Next::Reset),
            Failure::Silent => Verdict::Page(504, format!("{name} did not answer in time")),
            Failure::Malformed(what) => {
                tracing::warn!(instance = name, what, "bad answer");
                Verdict::Page(502, format!("{name} sent a bad answer: {what}"))
            }
            Failure::ClientGone => Verdict::End(Next::Close),
            Failure::ClientSlow | Failure::ClientBad(_) if committed => Verdict::End(Next::Reset),
            Failure::ClientSlow => Verdict::Page(408, "the body did not arrive in time".to_owned()),
            Failure::ClientBad(why) => Verdict::Page(400, why.to_owned()),
        }
    }
}

/// Answers with a page of our own. `body` is what is left of the request where that is known: then it is
/// read and the connection kept.
async fn page(
    connection: &mut Connection,
    buffers: &mut Buffers,
    job: &Job<'_>,
    body: Option<&mut Body>,
    own: Own<'_>,
) -> Next {
    let Job { request, id, started } = *job;
    let Own { status, why, retry_after } = own;
    let worker = connection.worker.clone();
    let rest = body.filter(|body| match body.remaining() {
        Some(left) => left == 0 || (left <= DISCARD_MAX && !request.expects_continue),
        None => false,
    });
    let keeps = rest.is_some() && request.keep_alive && worker.draining().is_none();
    let page = Page { status, why, request: Some(request), id, keeps, retry_after };
    worker.shard(connection.face).answered(status, started.elapsed());
    if connection.send_page(&page, buffers).await.is_err() {
        return Next::Close;
    }
    match rest.filter(|_| keeps) {
        Some(body) => discard(connection, buffers, body).await,
        None => Next::Linger,
    }
}

/// Reads the rest of a request that nobody wants, so that the next one is found behind it.
async fn discard(connection: &mut Connection, buffers: &mut Buffers, body: &mut Body) -> Next {
    let Connection { stream, worker, patience, .. } = connection;
    let (mut reader, _) = stream.halves();
    let inbound = &mut buffers.inbound;
    loop {
        match body.decode(inbound.data_mut()) {
            Ok(run) => inbound.consume(run.raw),
            Err(_) => return Next::Linger,
        }
        if body.is_done() {
            return Next::Keep;
        }
        patience.within(worker.shared.limits.progress);
        if !matches!(fill(&mut reader, inbound, HEAD_MAX, patience).await, Ok(1..)) {
            return Next::Close;
        }
    }
}
