//! A connection that has been upgraded: bytes both ways until both sides have had enough.
//!
//! Decides when a tunnel is closed while draining, and closes a WebSocket the way its protocol has it, so
//! that the client connects again instead of reporting an error.

use super::connection::Connection;
use super::relay::{Pipe, poll_both};
use super::request::Upgrade;
use super::stream::{Stream, write_all};
use super::websocket::GOING_AWAY;
use super::worker::Buffers;
use std::future::poll_fn;
use std::mem::take;
use std::task::Poll;
use std::time::Duration;

/// How long a WebSocket's client is given to answer the close frame.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs a tunnel to its end.
pub(crate) async fn run(
    connection: &mut Connection,
    mut upstream: Stream,
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
    // Not all at once: every client comes back at once, and another role has to take them.
    let stagger = worker.shared.limits.drain_tunnels.mul_f64(worker.rng.below(1000) as f64 / 1000.0);
    let (mut closing, mut ending) = (false, false);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(end) = poll_both(cx, &mut up, &mut down, &mut client, &mut upstream) {
            return Poll::Ready(end);
        }
        if let Some(since) = worker.draining()
            && !closing
        {
            closing = true;
            patience.at(since + stagger);
        } else if !closing && !ending && (up.has_ended() || down.has_ended()) {
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
    // The client's own close frame goes on to the instance, which then closes its side.
    patience.within(FAREWELL);
    poll_fn(|cx| match up.poll(cx, &mut client.0, &mut upstream.1) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => patience.poll(cx),
    })
    .await;
}
