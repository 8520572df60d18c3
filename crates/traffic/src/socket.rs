//! Reads from sockets and writes to them with nothing between but the system call: no second look at what tokio
//! knows of them, and none of what the C library does around a call for threads that are cancelled. It decides nothing.

use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop;

/// A socket that tokio watches.
pub(crate) trait Watched: AsFd {
    /// Ready when there may be something to read, the end included.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ready when there may be room to write.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Has `call` done unless it is known to have to wait. Where it says that it would have to, that is known.
    fn attempt(&self, interest: Interest, call: impl FnOnce() -> io::Result<()>) -> io::Result<()>;
}

impl Watched for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn attempt(&self, interest: Interest, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.try_io(interest, call)
    }
}

impl Watched for UnixStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn attempt(&self, interest: Interest, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.try_io(interest, call)
    }
}

/// Reads once into `space`, which is not empty; zero means the end.
#[inline]
pub(crate) fn poll_read<S: Watched>(
    socket: &S,
    cx: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        // Who asks has mostly been told that something has come: that is not asked again.
        if coop::has_budget_remaining() {
            match try_read(socket, space) {
                Err(error) if passes(&error) => {}
                read => {
                    // A task that always finds something to read lets others run now and then.
                    if let Poll::Ready(turn) = coop::poll_proceed(cx) {
                        turn.made_progress();
                    }
                    return Poll::Ready(read);
                }
            }
        }
        ready!(socket.poll_readable(cx))?;
    }
}

/// Reads what has come already.
#[inline]
fn try_read<S: Watched>(socket: &S, space: &mut [u8]) -> io::Result<usize> {
    let mut read = None;
    let attempt = socket.attempt(Interest::READABLE, || {
        let size = space.len();
        let (_, n) = recv(socket, space, RecvFlags::empty())?;
        read = Some(n);
        part(n, size)
    });
    read.map_or_else(|| attempt.map(|()| 0), Ok)
}

/// Writes once; how much was written.
#[inline]
pub(crate) fn poll_write<S: Watched>(
    socket: &S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut wrote = None;
        let attempt = socket.attempt(Interest::WRITABLE, || {
            let n = send(socket, bytes, SendFlags::NOSIGNAL)?;
            wrote = Some(n);
            part(n, bytes.len())
        });
        match (wrote, attempt) {
            (Some(n), _) => return Poll::Ready(Ok(n)),
            (None, Ok(())) => return Poll::Ready(Ok(0)),
            // There is mostly room: who is to be told when there is, is noted only where there is none.
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(socket.poll_writable(cx))?;
            }
            (None, Err(error)) if passes(&error) => {}
            (None, Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}

/// Whether a call did all that it could: where it did not, the next one would have to wait, which epoll tells the end
/// of (epoll(7), "edge-triggered") and no system call has to find out.
fn part(done: usize, of: usize) -> io::Result<()> {
    if 0 < done && done < of { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn read(socket: &UnixStream, space: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| poll_read(socket, cx, space)).await
    }

    #[tokio::test]
    async fn what_is_written_is_read_in_pieces_to_its_end() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut space = [0; 4];
        assert!(poll_fn(|cx| Poll::Ready(poll_read(&other, cx, &mut space))).await.is_pending());
        for _ in 0..3 {
            assert_eq!(poll_fn(|cx| poll_write(&one, cx, b"abcdef")).await.unwrap(), 6);
            assert_eq!(read(&other, &mut space).await.unwrap(), 4);
            assert_eq!((read(&other, &mut space).await.unwrap(), &space[..2]), (2, &b"ef"[..]));
        }
        assert_eq!(poll_fn(|cx| poll_write(&one, cx, b"!")).await.unwrap(), 1);
        drop(one);
        assert_eq!(read(&other, &mut space).await.unwrap(), 1);
        assert_eq!(read(&other, &mut space).await.unwrap(), 0, "its end");
        assert!(poll_fn(|cx| poll_write(&other, cx, b"x")).await.is_err(), "nobody reads it");
    }

    #[tokio::test]
    async fn who_always_finds_something_to_read_lets_others_run() {
        let (one, other) = UnixStream::pair().unwrap();
        one.writable().await.unwrap();
        assert_eq!(one.try_write(b"x").unwrap(), 1);
        other.readable().await.unwrap();
        let mut reads = 0;
        poll_fn(|cx| {
            while reads < 100_000 {
                assert!(poll_write(&one, cx, b"x").is_ready());
                if poll_read(&other, cx, &mut [0]).is_pending() {
                    return Poll::Ready(());
                }
                reads += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!((1..1000).contains(&reads), "{reads}");
    }

    #[tokio::test]
    async fn who_writes_more_than_there_is_room_for_waits_and_goes_on() {
        let (one, other) = UnixStream::pair().unwrap();
        let all = vec![7; 4 << 20];
        let writes = async {
            let mut left = &all[..];
            while !left.is_empty() {
                let n = poll_fn(|cx| poll_write(&one, cx, left)).await.unwrap();
                left = &left[n..];
            }
        };
        let reads = async {
            let (mut space, mut all) = ([0; 1000], 0);
            while all < 4 << 20 {
                all += read(&other, &mut space).await.unwrap();
            }
            all
        };
        assert_eq!(tokio::join!(writes, reads).1, 4 << 20);
    }
}
