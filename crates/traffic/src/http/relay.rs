//! Bytes from one connection to another, with back-pressure and half-close: tunnels and FastCGI.

use super::limits::STREAM_BUFFER;
use super::websocket::Frames;
use crate::buffer::Buffer;
use crate::stream::{ReadHalf, WriteHalf};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    buffer: Buffer,
    frames: Option<Frames>,
    stopping: bool,
    ended: bool,
    shut: bool,
}

impl Pipe {
    /// Begins with what `buffer` holds.
    pub(crate) fn new(buffer: Buffer) -> Self {
        Pipe { buffer, frames: None, stopping: false, ended: false, shut: false }
    }

    /// Follows WebSocket frames, so that the pipe can be stopped between two of them.
    pub(crate) fn follow_frames(&mut self) {
        self.frames = Some(Frames::default());
    }

    /// From now on only the frame that has begun is written on.
    pub(crate) fn stop_after_frame(&mut self) {
        self.stopping = true;
    }

    /// Moves what can be moved. Ready when the source has ended and the sink has been told, or when the
    /// pipe was to stop and has.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.shut || (self.stopping && self.frames.is_none_or(|frames| frames.at_boundary())) {
                return Poll::Ready(Ok(()));
            }
            if !self.buffer.is_empty() {
                ready!(self.poll_write(cx, to))?;
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
            } else {
                let n = ready!(self.buffer.poll_fill(cx, from, STREAM_BUFFER))?;
                self.ended = n == 0;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut WriteHalf<'_>) -> Poll<io::Result<()>> {
        let data = self.buffer.data();
        let data = match &self.frames {
            Some(frames) if self.stopping => &data[..frames.rest_of_frame(data)],
            _ => data,
        };
        let n = ready!(Pin::new(to).poll_write(cx, data))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if let Some(frames) = &mut self.frames {
            frames.advance(&data[..n]);
        }
        self.buffer.consume(n);
        Poll::Ready(Ok(()))
    }
}

/// Moves bytes both ways; ready when both directions have ended, or either broke.
pub(crate) fn poll_both(
    cx: &mut Context<'_>,
    up: &mut Pipe,
    down: &mut Pipe,
    client: &mut (ReadHalf<'_>, WriteHalf<'_>),
    upstream: &mut (ReadHalf<'_>, WriteHalf<'_>),
) -> Poll<io::Result<()>> {
    let down = down.poll(cx, &mut upstream.0, &mut client.1)?;
    let up = up.poll(cx, &mut client.0, &mut upstream.1)?;
    if down.is_ready() && up.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
}

impl Pipe {
    /// Whether the source has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}
