//! A connection that has been upgraded: bytes both ways until both sides have had enough.
//!
//! Decides when a tunnel is closed while its role drains or its instance retires, and closes a WebSocket the way its protocol has it, so
//! that the client connects again instead of reporting an error.

use super::connection::Connection;
use super::limits::STREAM_BUFFER;
use super::pool::Slot;
use super::relay::{Pipe, poll_both};
use super::request::Upgrade;
use super::websocket::GOING_AWAY;
use super::worker::{Buffers, Worker};
use crate::buffer::Buffer;
use crate::stream::{Stream, write_all};
use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How long a WebSocket's client is given to answer the close frame.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs a tunnel to its end.
pub(crate) async fn run(
    connection: &mut Connection,
    mut upstream: Stream,
    slot: &Slot,
    buffers: &mut Buffers,
    upgrade: Option<Upgrade>,
) {
    let Connection { stream, worker, patience, .. } = connection;
    let (mut client, mut upstream) = (stream.halves(), upstream.halves());
    let (mut up, mut down) = (Pipe::new(take(&mut buffers.inbound)), Pipe::new(take(&mut buffers.answer)));
    let websocket = upgrade == Some(Upgrade::WebSocket);
    if websocket {
        down.follow_frames();
    }
    // Not all at once: every client comes back at once, and others have to take them.
    let lot = worker.rng.below(1000) as f64 / 1000.0;
    let mut leaving = pin!(slot.leaving.notified());
    let (mut closing, mut ending) = (false, false);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(end) = poll_both(cx, &mut up, &mut down, &mut client, &mut upstream) {
            return Poll::Ready(end);
        }
        // Listen first, look second; once it has been told there is nothing more to hear.
        if slot.retired().is_none() {
            let _ = leaving.as_mut().poll(cx);
        }
        if let Some(turn) = turn(worker, slot, lot) {
            closing = true;
            patience.at(turn);
        } else if !ending && (up.has_ended() || down.has_ended()) {
            // What is half closed has something left to say, but not for ever.
            ending = true;
            patience.within(worker.shared.limits.progress);
        }
        if closing || ending {
            patience.poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into()))
        } else {
            Poll::Pending
        }
    })
    .await;
    let in_time = |error: &std::io::Error| error.kind() == std::io::ErrorKind::TimedOut;
    if !(websocket && closing && ended.as_ref().is_err_and(in_time)) {
        return;
    }
    patience.within(FAREWELL);
    down.stop_after_frame();
    let at_boundary = poll_fn(|cx| match down.poll(cx, &mut upstream.0, &mut client.1) {
        Poll::Ready(end) => Poll::Ready(end.is_ok()),
        Poll::Pending => patience.poll(cx).map(|()| false),
    })
    .await;
    if !at_boundary || write_all(&mut client.1, [&GOING_AWAY, b"", b""], FAREWELL, patience).await.is_err() {
        return;
    }
    // The client's own close frame goes on to the instance, which then closes its side. What that still
    // says is read and dropped: nothing follows a close frame.
    patience.within(FAREWELL);
    let mut unheard = Buffer::default();
    poll_fn(|cx| {
        if up.poll(cx, &mut client.0, &mut upstream.1).is_ready() {
            return Poll::Ready(());
        }
        while let Poll::Ready(read) = unheard.poll_fill(cx, &mut upstream.0, STREAM_BUFFER) {
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(());
            }
            unheard.clear();
        }
        patience.poll(cx)
    })
    .await;
}

/// When a tunnel is to be closed that has drawn `lot`, from 0 to 1; none while nothing asks for it.
fn turn(worker: &Worker, slot: &Slot, lot: f64) -> Option<Instant> {
    let limits = &worker.shared.limits;
    let drained = worker.draining().map(|since| since + limits.drain_tunnels.mul_f64(lot));
    let retired = slot.retired().map(|since| since + limits.retire_tunnels.mul_f64(lot));
    drained.into_iter().chain(retired).min()
}
