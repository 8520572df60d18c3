//! The connection to a client: plain, or inside TLS, and on top of either compressed, as its login asked.

use super::wire::compress::{CompressError, Compressed, Method};
use super::wire::packet::FULL;
use super::wire::records::{Records, Secrets};
use super::wire::stream::{Socket, Stream as Wire, host_of};
use super::wire::tls::Acceptor;
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once of what is compressed.
const READ: usize = 16 << 10;
/// Above this nothing more is compressed before it has been written.
const UNWRITTEN: usize = 256 << 10;

/// The connection to a client.
#[derive(Debug)]
pub(crate) enum Client {
    /// As most are.
    Plain(Stream),
    /// Inside TLS.
    Encrypted(Box<Wire>),
    /// Inside TLS that another splitter began.
    Resumed(Box<Records<Stream>>),
    /// Either, compressed.
    Compressed(Box<Squeezed>),
    /// Taken apart, to be put together anew.
    Nowhere,
}

/// A compressed connection.
#[derive(Debug)]
pub(crate) struct Squeezed {
    below: Client,
    method: Method,
    codec: Compressed,
    /// What has come and was not taken apart.
    raw: Vec<u8>,
    /// What was taken apart, from `at` on not given on.
    plain: Vec<u8>,
    at: usize,
    /// What is to be written; what stands before `written` has been.
    out: Vec<u8>,
    written: usize,
}

/// What lies on top of a client's connection.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Layers {
    secrets: Option<Secrets>,
    compressed: Option<Method>,
}

impl Layers {
    fn with(self, secrets: Secrets) -> Self {
        Layers { secrets: Some(secrets), ..self }
    }
}

impl Client {
    /// Begins TLS, after `read` was read of it already.
    pub(crate) async fn encrypt(&mut self, acceptor: &Acceptor, read: Vec<u8>) -> io::Result<()> {
        let socket = match std::mem::replace(self, Client::Nowhere) {
            Client::Plain(Stream::Tcp(stream)) => Socket::Tcp(stream),
            Client::Plain(Stream::Unix(stream)) => Socket::Unix(stream),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        *self = Client::Encrypted(Box::new(acceptor.accept(socket.into(), read).await?));
        Ok(())
    }

    /// Everything is compressed from now on, both ways.
    pub(crate) fn compress(&mut self, method: Method) -> Result<(), CompressError> {
        let codec = Compressed::new(method, FULL)?;
        let below = std::mem::replace(self, Client::Nowhere);
        let (raw, plain, out) = (Vec::new(), Vec::new(), Vec::new());
        *self = Client::Compressed(Box::new(Squeezed {
            below,
            method,
            codec,
            raw,
            plain,
            at: 0,
            out,
            written: 0,
        }));
        Ok(())
    }

    /// Its connection and what lies on top, to go on in another process; none where it cannot.
    pub(crate) fn take_apart(self) -> Option<(OwnedFd, Layers)> {
        let plain = Layers::default();
        let (stream, layers) = match self {
            Client::Plain(stream) => (stream, plain),
            Client::Encrypted(stream) => match stream.take_apart()? {
                (Socket::Tcp(stream), secrets) => (Stream::Tcp(stream), plain.with(secrets)),
                (Socket::Unix(stream), secrets) => (Stream::Unix(stream), plain.with(secrets)),
            },
            Client::Resumed(records) => {
                let (stream, secrets) = records.take_apart()?;
                (stream, plain.with(secrets))
            }
            Client::Compressed(squeezed) => {
                let rests = squeezed.raw.is_empty() && squeezed.at == squeezed.plain.len();
                if !rests || !squeezed.out.is_empty() {
                    return None;
                }
                let (connection, layers) = squeezed.below.take_apart()?;
                return Some((connection, Layers { compressed: Some(squeezed.method), ..layers }));
            }
            Client::Nowhere => return None,
        };
        Some((stream.into_descriptor().ok()?, layers))
    }

    /// The client of another process.
    pub(crate) fn put_together(connection: OwnedFd, layers: Layers) -> io::Result<Client> {
        let stream = Stream::from_descriptor(connection)?;
        let mut client = match layers.secrets {
            None => Client::Plain(stream),
            Some(secrets) => Client::Resumed(Box::new(Records::new(stream, secrets)?)),
        };
        if let Some(method) = layers.compressed {
            client.compress(method).map_err(io::Error::other)?;
        }
        Ok(client)
    }

    /// Where the client is, as a server names it in its messages.
    pub(crate) fn host(&self) -> String {
        match self {
            Client::Plain(stream) => host(stream),
            Client::Encrypted(stream) => stream.host(),
            Client::Resumed(records) => host(records.socket()),
            Client::Compressed(squeezed) => squeezed.below.host(),
            Client::Nowhere => "localhost".to_owned(),
        }
    }

    /// Ready when there may be something to read. Needs no buffer for a plain connection; another cannot say,
    /// and is always ready to be tried.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Client::Plain(stream) => stream.poll_readable(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn host(stream: &Stream) -> String {
    match stream {
        Stream::Tcp(stream) => host_of(stream),
        Stream::Unix(_) => "localhost".to_owned(),
    }
}

impl Squeezed {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.out.get(self.written..)
            && !left.is_empty()
        {
            match ready!(Pin::new(&mut self.below).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(left) = self.plain.get(self.at..)
                && !left.is_empty()
            {
                let n = left.len().min(buf.remaining());
                buf.put_slice(left.get(..n).unwrap_or_default());
                self.at += n;
                return Poll::Ready(Ok(()));
            }
            self.plain.clear();
            self.at = 0;
            let taken = self.codec.take(&self.raw, &mut self.plain).map_err(io::Error::other)?;
            if taken > 0 {
                self.raw.drain(..taken);
                continue;
            }
            let mut space = [0; READ];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.below).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.raw.extend_from_slice(read.filled());
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() > UNWRITTEN {
            ready!(self.poll_drain(cx))?;
        }
        self.codec.put(bytes, &mut self.out).map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Client::Encrypted(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
            Client::Resumed(records) => Pin::new(&mut **records).poll_read(cx, buf),
            Client::Compressed(squeezed) => squeezed.poll_read(cx, buf),
            Client::Nowhere => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Client::Encrypted(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Client::Resumed(records) => Pin::new(&mut **records).poll_write(cx, bytes),
            Client::Compressed(squeezed) => squeezed.poll_write(cx, bytes),
            Client::Nowhere => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing is held back, and this is asked several times a statement.
            Client::Plain(_) | Client::Nowhere => Poll::Ready(Ok(())),
            Client::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Client::Resumed(records) => Pin::new(&mut **records).poll_flush(cx),
            Client::Compressed(squeezed) => {
                ready!(squeezed.poll_drain(cx))?;
                Pin::new(&mut squeezed.below).poll_flush(cx)
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Client::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Client::Resumed(records) => Pin::new(&mut **records).poll_shutdown(cx),
            Client::Compressed(squeezed) => Pin::new(&mut squeezed.below).poll_shutdown(cx),
            Client::Nowhere => Poll::Ready(Ok(())),
        }
    }
}
