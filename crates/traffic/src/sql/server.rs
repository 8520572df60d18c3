//! The connection to a server: plain, or inside TLS, as its route says.

use super::wire::stream::{Socket, Stream as Wire};
use super::wire::tls::Connector;
use crate::stream::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection to a server.
#[derive(Debug)]
pub(crate) enum Server {
    /// As it is on one machine.
    Plain(Stream),
    /// Inside TLS.
    Encrypted(Box<Wire>),
}

impl Server {
    /// Begins TLS: nothing has been read beyond the server's greeting.
    pub(crate) async fn encrypt(self, connector: &Connector, name: &str) -> io::Result<Server> {
        let socket = match self {
            Server::Plain(Stream::Tcp(stream)) => Socket::Tcp(stream),
            Server::Plain(Stream::Unix(stream)) => Socket::Unix(stream),
            Server::Encrypted(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Server::Encrypted(Box::new(connector.connect(socket.into(), name).await?)))
    }

    /// Whether an unused connection has seen nothing: neither its end nor bytes nobody asked for. Inside TLS, what
    /// is no data (a new session ticket) is dealt with and is nothing.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Server::Plain(stream) => stream.is_quiet(),
            Server::Encrypted(stream) => {
                let mut byte = [0];
                let mut read = ReadBuf::new(&mut byte);
                let mut nobody = Context::from_waker(Waker::noop());
                Pin::new(&mut **stream).poll_read(&mut nobody, &mut read).is_pending()
            }
        }
    }

    /// Ready when there may be something to read. Inside TLS nobody can say: it is always ready to be tried.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Server::Plain(stream) => stream.poll_readable(cx),
            Server::Encrypted(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends a few last bytes, if they can be sent at once.
    pub(crate) fn try_say(&mut self, bytes: &[u8]) {
        match self {
            Server::Plain(stream) => stream.try_say(bytes),
            Server::Encrypted(stream) => {
                let (mut stream, mut nobody) = (Pin::new(&mut **stream), Context::from_waker(Waker::noop()));
                // Whoever is gone needs no last word.
                let _ = stream.as_mut().poll_write(&mut nobody, bytes);
                let _ = stream.poll_flush(&mut nobody);
            }
        }
    }
}

impl AsyncRead for Server {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Server::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Server::Encrypted(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Server {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Server::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Server::Encrypted(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing is held back.
            Server::Plain(_) => Poll::Ready(Ok(())),
            Server::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Server::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Server::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
