//! Bytes read and not yet written on: one growing, bounded buffer with a moving front.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// What a buffer begins with; it doubles from there as far as its user allows.
const FIRST_SIZE: usize = 4 << 10;
/// The free space in front of what was read, where there is some.
const LEAD: usize = 16;

/// Bytes read and not yet written on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all the room there was: more is probably waiting, and each read is a system call.
    filled: bool,
    /// What is read into it while it is empty stands behind so much free space, for what is put in.
    lead: usize,
}

impl Buffer {
    /// An empty one, in front of whose bytes something may be put in: see [`splice`](Buffer::splice).
    pub(crate) fn cleared(mut self) -> Self {
        self.lead = LEAD;
        self.clear();
        self
    }

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
        self.start = self.lead.min(self.bytes.len());
        self.end = self.start;
    }

    /// Puts `insert` in the place of the `remove` bytes at `at`, by moving what is before or behind them,
    /// whichever is shorter and has the room; whether it was done. Never moves more than `most` bytes.
    pub(crate) fn splice(&mut self, at: usize, remove: usize, insert: &[u8], most: usize) -> bool {
        let (front, back) = (self.start + at, self.start + at + remove);
        if back > self.end {
            return false;
        }
        let (before, behind) = (at, self.end - back);
        let from_front = before <= most && self.start + remove >= insert.len();
        let from_back = behind <= most && self.end + insert.len() <= self.bytes.len() + remove;
        let place = if from_back && (behind <= before || !from_front) {
            self.bytes.copy_within(back..self.end, front + insert.len());
            self.end = front + insert.len() + behind;
            front
        } else if from_front {
            let start = self.start + remove - insert.len();
            self.bytes.copy_within(self.start..front, start);
            self.start = start;
            start + before
        } else {
            return false;
        };
        self.bytes[place..place + insert.len()].copy_from_slice(insert);
        true
    }

    /// How many bytes it has room for, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(self.lead)
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
        if self.filled && self.capacity() < limit {
            self.bytes.resize((self.capacity() * 4).min(limit) + self.lead, 0);
        }
        if self.end < self.bytes.len().min(self.start + limit) {
            return;
        }
        if self.start > self.lead {
            self.bytes.copy_within(self.start..self.end, self.lead);
            self.end -= self.start - self.lead;
            self.start = self.lead;
        }
        if self.end == self.bytes.len() {
            let size = (self.capacity() * 2).clamp(FIRST_SIZE, limit.max(FIRST_SIZE)) + self.lead;
            self.bytes.resize(size.max(self.end + 1), 0);
            if self.is_empty() {
                self.clear();
            }
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

    #[test]
    fn what_is_put_in_moves_the_shorter_side_and_never_much() {
        let filled = || {
            let mut buffer = Buffer::default().cleared();
            assert_eq!(fill(&mut buffer, b"head and a long body", BODY), 20);
            buffer
        };
        let mut buffer = filled();
        assert!(buffer.splice(4, 0, b"er", 4) && buffer.data() == b"header and a long body");
        assert!(buffer.splice(18, 4, b"tail", 0) && buffer.data() == b"header and a long tail");
        assert!(buffer.splice(18, 4, b"end", 0) && buffer.data() == b"header and a long end");
        assert!(buffer.splice(6, 4, b"", 6) && buffer.data() == b"header a long end");
        assert!(!buffer.splice(8, 0, b"very ", 4), "both sides are longer");
        assert!(!buffer.splice(17, 1, b"", 100), "nothing is there");
        assert_eq!(buffer.data(), b"header a long end");
        buffer.consume(3);
        assert!(buffer.splice(0, 3, b"", 0) && buffer.data() == b" a long end");
        let mut buffer = filled();
        assert!(buffer.splice(4, 0, &[b'-'; 17], 100), "longer than the space in front");
        assert_eq!(buffer.data(), b"head----------------- and a long body");
        let mut buffer = Buffer::default().cleared();
        assert!(buffer.data().is_empty() && buffer.splice(0, 0, b"", 0) && !buffer.splice(0, 0, b"x", 0));
    }

    #[test]
    fn the_space_in_front_is_there_again_when_it_is_empty_and_when_it_is_full() {
        let mut buffer = Buffer::default().cleared();
        let bytes = vec![7_u8; 64 << 10];
        for _ in 0..3 {
            while buffer.len() < BODY {
                assert!(fill(&mut buffer, &bytes, BODY) > 0);
            }
            assert!(buffer.splice(4, 0, &[9; LEAD], 4));
            assert_eq!(buffer.data()[..6], [7, 7, 7, 7, 9, 9]);
            buffer.consume(BODY + LEAD - 3);
            assert_eq!(buffer.data(), [7, 7, 7]);
        }
        buffer.consume(3);
        assert!(fill(&mut buffer, b"end", BODY) == 3 && buffer.splice(1, 0, &[9; LEAD], 1));
    }

    const BODY: usize = 16 << 10;
}
