//! The edge: one connection, TCP or Unix, plain or inside TLS, to be read and written. It decides nothing.

use super::records::Secrets;
use crate::socket;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A socket, and what was read from it too early.
#[derive(Debug)]
pub struct Plain {
    socket: Socket,
    read: Vec<u8>,
}

/// A socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl From<Socket> for Plain {
    fn from(socket: Socket) -> Self {
        Plain { socket, read: Vec::new() }
    }
}

impl Plain {
    /// Bytes that were read and are to be read again, first.
    pub(crate) fn with_read(self, read: Vec<u8>) -> Self {
        Plain { read, ..self }
    }
}

/// One connection.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Plain),
    /// TLS that a client began.
    Accepted(Box<server::TlsStream<Plain>>),
    /// TLS that we began.
    Connected(Box<client::TlsStream<Plain>>),
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Stream::Plain(socket.into())
    }
}

/// The address of the other side; that of a client which has gone is not known.
pub(crate) fn host_of(stream: &TcpStream) -> String {
    stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.ip().to_canonical().to_string())
}

impl Stream {
    /// Where the other side is, as a server names it in its messages.
    pub fn host(&self) -> String {
        let plain = match self {
            Stream::Plain(plain) => plain,
            Stream::Accepted(stream) => stream.get_ref().0,
            Stream::Connected(stream) => stream.get_ref().0,
        };
        match &plain.socket {
            Socket::Tcp(stream) => host_of(stream),
            Socket::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The socket and the keys of a client's connection, to go on in another process; none where something is
    /// under way, or of an older version of TLS.
    pub(crate) fn take_apart(self) -> Option<(Socket, Secrets)> {
        let Stream::Accepted(stream) = self else { return None };
        let (plain, connection) = stream.into_inner();
        plain.read.is_empty().then_some((plain.socket, Secrets::of(connection)?))
    }

    /// Whether nobody on the way can listen.
    #[must_use]
    pub fn is_private(&self) -> bool {
        !matches!(self, Stream::Plain(Plain { socket: Socket::Tcp(_), .. }))
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let n = self.read.len().min(buf.remaining());
            buf.put_slice(self.read.get(..n).unwrap_or_default());
            self.read.drain(..n);
            return Poll::Ready(Ok(()));
        }
        let space = buf.initialize_unfilled();
        let n = ready!(match &self.socket {
            Socket::Tcp(one) => socket::poll_read(one, cx, space),
            Socket::Unix(one) => socket::poll_read(one, cx, space),
        })?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &self.socket {
            Socket::Tcp(one) => socket::poll_write(one, cx, bytes),
            Socket::Unix(one) => socket::poll_write(one, cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(one) => Pin::new(one).poll_write_vectored(cx, slices),
            Socket::Unix(one) => Pin::new(one).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(one) => Pin::new(one).poll_flush(cx),
            Socket::Unix(one) => Pin::new(one).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(one) => Pin::new(one).poll_shutdown(cx),
            Socket::Unix(one) => Pin::new(one).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(one) => Pin::new(one).poll_read(cx, buf),
            Stream::Accepted(one) => Pin::new(one).poll_read(cx, buf),
            Stream::Connected(one) => Pin::new(one).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(one) => Pin::new(one).poll_write(cx, bytes),
            Stream::Accepted(one) => Pin::new(one).poll_write(cx, bytes),
            Stream::Connected(one) => Pin::new(one).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(one) => Pin::new(one).poll_write_vectored(cx, slices),
            Stream::Accepted(one) => Pin::new(one).poll_write_vectored(cx, slices),
            Stream::Connected(one) => Pin::new(one).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(one) => Pin::new(one).poll_flush(cx),
            Stream::Accepted(one) => Pin::new(one).poll_flush(cx),
            Stream::Connected(one) => Pin::new(one).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(one) => Pin::new(one).poll_shutdown(cx),
            Stream::Accepted(one) => Pin::new(one).poll_shutdown(cx),
            Stream::Connected(one) => Pin::new(one).poll_shutdown(cx),
        }
    }
}
