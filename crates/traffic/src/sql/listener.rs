//! Accepting at both sockets. They are the daemon's and outlive this role; other roles and threads accept
//! from them too, so finding nothing to accept is ordinary.

use super::session;
use super::worker::Worker;
use crate::stream::Stream;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_local;

/// The pause after a failure that lasts, such as no file descriptor being left: the connections wait in the
/// socket's queue, and this thread ends sessions meanwhile, which frees descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts applications that come over TCP.
pub(crate) async fn tcp(listener: TcpListener, worker: Rc<Worker>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Not set, an answer in two writes may wait for the client's delayed acknowledgement; it
                // fails only where the client has gone again.
                let _ = stream.set_nodelay(true);
                spawn_local(session::serve(Stream::Tcp(stream), worker.clone()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Accepts applications that come over the Unix socket.
pub(crate) async fn unix(listener: UnixListener, worker: Rc<Worker>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spawn_local(session::serve(Stream::Unix(stream), worker.clone()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn pause(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        tracing::warn!(%error, "accepting failed, trying again");
        tokio::time::sleep(PAUSE).await;
    }
}
