//! One connection from below: its requests one after another, until one side has had enough.
//!
//! Decides how long is waited for a head and how the connection ends. What is answered is decided in
//! `forward`.

use super::forward::{self, Job};
use super::limits::HEAD_MAX;
use super::listener::Origin;
use super::pages::{Page, RETRY_AFTER};
use super::request::{self, Refusal, Visitor};
use super::scan::{Head, Scan};
use super::table::Face;
use super::worker::{Buffers, Worker};
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::stream::{Stop, Stream, fill, write_all};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// How long a connection is read after its last answer, so that the answer is not lost with it.
const LINGER: Duration = Duration::from_secs(2);

/// A connection from below.
pub(crate) struct Connection {
    /// The connection itself.
    pub(crate) stream: Stream,
    /// Where it came in.
    pub(crate) face: Face,
    /// Whose it is; at the app face nginx has said so in every request.
    pub(crate) origin: Option<Origin>,
    /// The thread that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Times what is sent to the client and what comes from the instance.
    pub(crate) patience: Deadline,
    /// Times what comes from the client while the other is at work.
    pub(crate) client_patience: Deadline,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next request.
    Keep,
    /// It is closed.
    Close,
    /// It is closed once the client has seen the answer: closing it with unread bytes would reset it,
    /// and a reset takes away what is still on its way (RFC 9112, 9.6).
    Linger,
    /// It is reset: the answer is cut and must not look whole.
    Reset,
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: Stream, face: Face, origin: Option<Origin>, worker: Rc<Worker>) {
    let _open = worker.register(face).await;
    let mut connection = Connection {
        stream,
        face,
        origin,
        worker: worker.clone(),
        patience: Deadline::new(),
        client_patience: Deadline::new(),
    };
    let mut patience = worker.shared.limits.head;
    while connection.has_request(patience).await {
        let mut buffers = worker.buffers();
        let next = connection.requests(&mut buffers).await;
        if next == Next::Linger {
            connection.linger(&mut buffers.inbound).await;
        }
        worker.recycle(buffers);
        match next {
            Next::Keep => {}
            Next::Close | Next::Linger => return,
            Next::Reset => return connection.stream.reset_on_close(),
        }
        patience = worker.shared.limits.idle;
    }
}

impl Connection {
    /// Waits for the first byte of a request, without a buffer for it.
    async fn has_request(&mut self, patience: Duration) -> bool {
        let Connection { stream, worker, patience: deadline, .. } = self;
        let begun = Instant::now();
        deadline.at(begun + patience);
        poll_fn(|cx| {
            if let Poll::Ready(ready) = stream.poll_readable(cx) {
                return Poll::Ready(ready.is_ok());
            }
            if let Some(since) = worker.draining() {
                // Not at once: a request may be on its way, and would be lost.
                let until = since.max(begun) + worker.shared.limits.drain_idle;
                deadline.at(until.min(begun + patience));
            }
            deadline.poll(cx).map(|()| false)
        })
        .await
    }

    /// Answers requests as long as some have been read.
    async fn requests(&mut self, buffers: &mut Buffers) -> Next {
        loop {
            let next = self.request(buffers).await;
            if next != Next::Keep || buffers.inbound.is_empty() {
                return next;
            }
        }
    }

    async fn request(&mut self, buffers: &mut Buffers) -> Next {
        let head = match self.head(&mut buffers.inbound).await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(refusal) => return self.refuse(refusal, buffers).await,
        };
        let started = Instant::now();
        let id = self.origin.as_ref().map(|_| self.worker.request_id());
        let visitor = self.origin.as_ref().zip(id.as_ref()).map(|(origin, id)| Visitor {
            fields: origin.fields.as_bytes(),
            node: origin.node.as_bytes(),
            id,
        });
        buffers.request.clear();
        let bytes = &buffers.inbound.data()[head.from..head.to];
        match request::read(bytes, visitor, &mut buffers.request) {
            Ok(request) => {
                buffers.inbound.consume(head.to);
                forward::answer(self, buffers, &Job { request: &request, id: id.as_ref(), started }).await
            }
            Err(refusal) => self.refuse(refusal, buffers).await,
        }
    }

    /// Reads until a head is complete; `None` where the client left instead.
    async fn head(&mut self, inbound: &mut Buffer) -> Result<Option<Head>, Refusal> {
        let (mut reader, _) = self.stream.halves();
        let mut scan = Scan::default();
        self.patience.within(self.worker.shared.limits.head);
        loop {
            if let Some(head) = scan.advance(inbound.data())? {
                return Ok(Some(head));
            }
            // A little more than a head may have, so that the scan sees what is too much.
            match fill(&mut reader, inbound, HEAD_MAX + 16, &mut self.patience).await {
                Ok(0) | Err(Stop::Broken) => return Ok(None),
                Ok(_) => {}
                Err(Stop::TimedOut) if inbound.is_empty() => return Ok(None),
                Err(Stop::TimedOut) => {
                    return Err(request::refusal(408, "the head of the request did not arrive in time"));
                }
            }
        }
    }

    /// Answers what is no request. Where it ends nobody knows, so the connection ends with it.
    async fn refuse(&mut self, refusal: Refusal, buffers: &mut Buffers) -> Next {
        let Refusal { status, why } = refusal;
        self.worker.shard(self.face).answered(status, Duration::ZERO);
        let page = Page { status, why, request: None, id: None, keeps: false, retry_after: RETRY_AFTER };
        match self.send_page(&page, buffers).await {
            Ok(()) => Next::Linger,
            Err(_) => Next::Close,
        }
    }

    /// Sends an answer of our own.
    pub(crate) async fn send_page(&mut self, page: &Page<'_>, buffers: &mut Buffers) -> Result<(), Stop> {
        buffers.response.clear();
        page.write(&mut buffers.response);
        let (_, mut writer) = self.stream.halves();
        let span = self.worker.shared.limits.progress;
        write_all(&mut writer, [&buffers.response, b"", b""], span, &mut self.patience).await
    }

    async fn linger(&mut self, inbound: &mut Buffer) {
        let (mut reader, mut writer) = self.stream.halves();
        if poll_fn(|cx| Pin::new(&mut writer).poll_shutdown(cx)).await.is_err() {
            return;
        }
        self.patience.at(Instant::now() + LINGER);
        loop {
            inbound.clear();
            if !matches!(fill(&mut reader, inbound, HEAD_MAX, &mut self.patience).await, Ok(1..)) {
                return;
            }
        }
    }
}
