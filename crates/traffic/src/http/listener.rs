//! Accepting at both faces. The sockets are the daemon's and outlive this role; other roles and threads
//! accept from them too, so finding nothing to accept is ordinary.

use super::connection;
use super::fastcgi;
use super::table::Face;
use super::worker::Worker;
use crate::stream::Stream;
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use stoa_model::site::AppKind;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_local;

/// The pause after a failure that lasts, such as no file descriptor being left: the connections wait in
/// the socket's queue, and this thread ends requests meanwhile, which frees descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What the web face says of a visitor, the same for every request of a connection.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Header fields, as lines.
    pub(crate) fields: String,
    /// The visitor's address as the value of `for=` (RFC 7239, 6).
    pub(crate) node: String,
}

/// Accepts visitors, who connected to `port`.
pub(crate) async fn web(listener: TcpListener, port: u16, worker: Rc<Worker>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Not set, an answer in two writes may wait for the visitor's delayed acknowledgement;
                // it fails only where the visitor has gone again.
                let _ = stream.set_nodelay(true);
                let origin = Some(Origin::new(address, port));
                spawn_local(connection::serve(Stream::Tcp(stream), Face::Web, origin, worker.clone()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Accepts nginx.
pub(crate) async fn app(listener: UnixListener, worker: Rc<Worker>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream = Stream::Unix(stream);
                match worker.app_face().kind {
                    AppKind::Http => spawn_local(connection::serve(stream, Face::App, None, worker.clone())),
                    AppKind::Php => spawn_local(fastcgi::serve(stream, worker.clone())),
                };
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

impl Origin {
    /// A visitor who connected from `address` to `port`.
    pub(crate) fn new(address: SocketAddr, port: u16) -> Self {
        // An IPv4 visitor of a dual-stack socket is told as what he is.
        let ip = address.ip().to_canonical();
        let mut fields = String::with_capacity(128);
        // Writing to a string cannot fail.
        let _ = write!(
            fields,
            "X-Forwarded-For: {ip}\r\nX-Real-IP: {ip}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n"
        );
        let node = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        Origin { fields, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_quoted_where_they_must_be() {
        let node = |text: &str| Origin::new(text.parse().unwrap(), 80).node;
        assert_eq!(node("192.0.2.1:5000"), "192.0.2.1");
        assert_eq!(node("[::ffff:192.0.2.1]:5000"), "192.0.2.1");
        assert_eq!(node("[2001:db8::1]:5000"), "\"[2001:db8::1]\"");
        let fields = Origin::new("[2001:db8::1]:5000".parse().unwrap(), 8080).fields;
        assert!(fields.contains("X-Forwarded-For: 2001:db8::1\r\n"), "{fields}");
        assert!(fields.ends_with("X-Forwarded-Port: 8080\r\n"), "{fields}");
    }
}
