//! Bytes read and not yet written on: one growing, bounded buffer with a moving front.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// What a buffer begins with; it doubles from there as far as its user allows.
const FIRST_SIZE: usize = 4 << 10;

/// Bytes read and not yet written on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all the room there was: more is probably waiting, and each read is a system call.
    filled: bool,
}

impl Buffer {
    /// What has been read.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// What has been read, to be changed in place.
    pub(crate) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// How much has been read.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `n` bytes, or all where there are fewer.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n));
        if self.start == self.end {
            self.clear();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// How many bytes it holds on to, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Reads once. The caller makes sure that fewer than `limit` bytes are held; zero means the end.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit);
        let most = self.bytes.len().min(self.start + limit);
        let mut free = ReadBuf::new(&mut self.bytes[self.end..most]);
        ready!(Pin::new(reader).poll_read(cx, &mut free))?;
        let n = free.filled().len();
        self.end += n;
        self.filled = self.end == most;
        Poll::Ready(Ok(n))
    }

    fn make_room(&mut self, limit: usize) {
        debug_assert!(self.len() < limit, "a full buffer reads as the end of the stream");
        if self.filled && self.bytes.len() < limit {
            self.bytes.resize((self.bytes.len() * 4).min(limit), 0);
        }
        if self.end < self.bytes.len().min(self.start + limit) {
            return;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let size = (self.bytes.len() * 2).clamp(FIRST_SIZE, limit.max(FIRST_SIZE));
            self.bytes.resize(size.max(self.end + 1), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn fill(buffer: &mut Buffer, mut bytes: &[u8], limit: usize) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match buffer.poll_fill(&mut cx, &mut bytes, limit) {
            Poll::Ready(Ok(n)) => n,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_grows_to_its_limit_and_moves_its_front() {
        let mut buffer = Buffer::default();
        let bytes = vec![7_u8; 64 << 10];
        while buffer.len() < BODY {
            assert!(fill(&mut buffer, &bytes, BODY) > 0);
        }
        assert_eq!(buffer.len(), BODY);
        buffer.consume(BODY - 3);
        assert_eq!(buffer.data(), [7, 7, 7]);
        assert_eq!(fill(&mut buffer, b"end", BODY), 3);
        assert_eq!(buffer.data(), b"\x07\x07\x07end");
        assert_eq!(buffer.capacity(), BODY);
        buffer.consume(100);
        assert!(buffer.is_empty());
    }

    #[test]
    fn it_grows_when_a_read_takes_all_its_room_even_if_it_was_emptied() {
        let mut buffer = Buffer::default();
        let bytes = vec![7_u8; 64 << 10];
        let mut reads = Vec::new();
        for _ in 0..4 {
            reads.push(fill(&mut buffer, &bytes, 4 * BODY));
            buffer.consume(usize::MAX);
        }
        assert_eq!(reads, [4 << 10, 16 << 10, 64 << 10, 64 << 10]);
        assert_eq!(fill(&mut buffer, b"end", 4 * BODY), 3);
        buffer.consume(3);
        assert_eq!(buffer.capacity(), 4 * BODY, "a short read asks for no more");
    }

    const BODY: usize = 16 << 10;
}
