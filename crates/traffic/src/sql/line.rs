//! One connection of the protocol, to a client or to a server: its stream, what has come and was not dealt
//! with, and what waits to be sent.

use super::wire::packet::{self, Front, HEADER, PacketError};
use crate::buffer::Buffer;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// What is kept of the space for what is sent.
const KEPT: usize = 16 << 10;

/// A connection and its buffers.
#[derive(Debug)]
pub(crate) struct Line<S> {
    /// The connection.
    pub(crate) stream: S,
    /// What has come.
    pub(crate) inbound: Buffer,
    /// What is to be sent; what stands before `sent` has been.
    pub(crate) outbound: Vec<u8>,
    sent: usize,
}

/// A packet could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side closed it.
    #[error("the other side closed the connection")]
    Closed,
    /// What came is no packet that may pass.
    #[error(transparent)]
    Packet(#[from] PacketError),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// One on which nothing has been said.
    pub(crate) fn new(stream: S) -> Self {
        Line { stream, inbound: Buffer::default(), outbound: Vec::new(), sent: 0 }
    }

    /// Sends what is to be sent.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.outbound.get(self.sent..)
            && !left.is_empty()
        {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.forget();
        // Costs nothing where nothing is held back: a plain connection.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Throws away what was to be sent.
    pub(crate) fn forget(&mut self) {
        self.sent = 0;
        self.outbound.clear();
        if self.outbound.capacity() > KEPT {
            self.outbound.shrink_to(KEPT);
        }
    }

    /// Whether any of what is to be sent has been.
    pub(crate) fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// Reads once; zero means the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        self.inbound.poll_fill(cx, &mut self.stream, limit)
    }

    /// Sends what is to be sent.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx)).await
    }

    /// Waits for a whole packet of at most `limit` bytes and answers its sequence number and length; it
    /// stands behind [`HEADER`] bytes at the front of what has come.
    pub(crate) async fn packet(&mut self, limit: usize) -> Result<(u8, usize), LineError> {
        loop {
            if let Front::Whole { sequence, payload } = packet::front(self.inbound.data(), limit)? {
                return Ok((sequence, payload.len()));
            }
            if poll_fn(|cx| self.poll_fill(cx, limit + 2 * HEADER)).await? == 0 {
                return Err(LineError::Closed);
            }
        }
    }

    /// The payload that [`packet`](Line::packet) has found.
    pub(crate) fn payload(&self, length: usize) -> &[u8] {
        self.inbound.data().get(HEADER..HEADER + length).unwrap_or_default()
    }

    /// Is done with the packet that [`packet`](Line::packet) has found.
    pub(crate) fn consume_packet(&mut self, length: usize) {
        self.inbound.consume(HEADER + length);
    }
}
