//! One connection, TCP or Unix, and reading and writing it with a time-out.

use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::socket;
use rustix::net::AddressFamily;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use stoa_model::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// The pause before a Unix socket with a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// One connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// The half that is read.
pub(crate) enum ReadHalf<'a> {
    /// TCP.
    Tcp(tcp::ReadHalf<'a>),
    /// A Unix socket.
    Unix(unix::ReadHalf<'a>),
}

/// The half that is written.
pub(crate) enum WriteHalf<'a> {
    /// TCP.
    Tcp(tcp::WriteHalf<'a>),
    /// A Unix socket.
    Unix(unix::WriteHalf<'a>),
}

/// Why reading or writing came to nothing.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The time was over.
    TimedOut,
    /// The connection broke.
    Broken,
}

impl Stream {
    /// Connects, within `span`.
    pub(crate) async fn connect(endpoint: &Endpoint, span: Duration) -> io::Result<Stream> {
        match tokio::time::timeout(span, Self::open(endpoint)).await {
            Ok(opened) => opened,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn open(endpoint: &Endpoint) -> io::Result<Stream> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Endpoint::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    // A full accept queue is EAGAIN on a Unix socket (connect(2)): alive but busy.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(QUEUE_PAUSE).await;
                    }
                    opened => return opened.map(Stream::Unix),
                }
            },
        }
    }

    /// Takes the connection out of this process' hands.
    pub(crate) fn into_descriptor(self) -> io::Result<OwnedFd> {
        match self {
            Stream::Tcp(stream) => Ok(stream.into_std()?.into()),
            Stream::Unix(stream) => Ok(stream.into_std()?.into()),
        }
    }

    /// The connection that another process had.
    pub(crate) fn from_descriptor(connection: OwnedFd) -> io::Result<Stream> {
        rustix::io::ioctl_fionbio(&connection, true)?;
        match rustix::net::getsockname(&connection)?.address_family() {
            AddressFamily::UNIX => UnixStream::from_std(connection.into()).map(Stream::Unix),
            AddressFamily::INET | AddressFamily::INET6 => {
                TcpStream::from_std(connection.into()).map(Stream::Tcp)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Both halves, to be used at once.
    pub(crate) fn halves(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Stream::Tcp(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Stream::Unix(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        }
    }

    /// Ready when there is something to read, the end included. Reads nothing and needs no buffer.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether an unused connection has seen nothing: neither its end nor bytes nobody asked for. Costs
    /// a system call only where the last poll found something.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0_u8];
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a few last bytes, if they can be sent at once.
    pub(crate) fn try_say(&self, bytes: &[u8]) {
        // Whoever is gone needs no last word.
        let _ = match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        };
    }

    /// Makes the close of a TCP connection a reset, so that a cut answer is not taken for a whole one.
    pub(crate) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            // Where it cannot be set, the peer sees an orderly end: no worse than not trying.
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let space = buf.initialize_unfilled();
        let n = ready!(match self.get_mut() {
            Stream::Tcp(stream) => socket::poll_read(stream, cx, space),
            Stream::Unix(stream) => socket::poll_read(stream, cx, space),
        })?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => socket::poll_write(stream, cx, buf),
            Stream::Unix(stream) => socket::poll_write(stream, cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let space = buf.initialize_unfilled();
        let n = ready!(match self.get_mut() {
            ReadHalf::Tcp(half) => socket::poll_read::<TcpStream>(half.as_ref(), cx, space),
            ReadHalf::Unix(half) => socket::poll_read::<UnixStream>(half.as_ref(), cx, space),
        })?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => socket::poll_write::<TcpStream>(half.as_ref(), cx, buf),
            WriteHalf::Unix(half) => socket::poll_write::<UnixStream>(half.as_ref(), cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write_vectored(cx, bufs),
            WriteHalf::Unix(half) => Pin::new(half).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            WriteHalf::Unix(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}

/// Reads once, until `deadline`. Zero means the end; the caller has made sure of room below `limit`.
pub(crate) async fn fill(
    reader: &mut ReadHalf<'_>,
    buffer: &mut Buffer,
    limit: usize,
    deadline: &mut Deadline,
) -> Result<usize, Stop> {
    poll_fn(|cx| match buffer.poll_fill(cx, reader, limit) {
        Poll::Ready(Ok(n)) => Poll::Ready(Ok(n)),
        Poll::Ready(Err(_)) => Poll::Ready(Err(Stop::Broken)),
        Poll::Pending => deadline.poll(cx).map(|()| Err(Stop::TimedOut)),
    })
    .await
}

/// Writes all of `parts`, giving up when nothing has moved for `span`.
pub(crate) async fn write_all(
    writer: &mut WriteHalf<'_>,
    parts: [&[u8]; 3],
    span: Duration,
    deadline: &mut Deadline,
) -> Result<(), Stop> {
    let [mut first, mut second, mut third] = parts;
    deadline.within(span);
    poll_fn(|cx| {
        while !(first.is_empty() && second.is_empty() && third.is_empty()) {
            let wrote = if second.is_empty() && third.is_empty() {
                Pin::new(&mut *writer).poll_write(cx, first)
            } else {
                let slices = [IoSlice::new(first), IoSlice::new(second), IoSlice::new(third)];
                Pin::new(&mut *writer).poll_write_vectored(cx, &slices)
            };
            match wrote {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::Broken)),
                Poll::Ready(Ok(mut n)) => {
                    for part in [&mut first, &mut second, &mut third] {
                        let taken = n.min(part.len());
                        *part = &part[taken..];
                        n -= taken;
                    }
                    deadline.within(span);
                }
                Poll::Pending => return deadline.poll(cx).map(|()| Err(Stop::TimedOut)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
