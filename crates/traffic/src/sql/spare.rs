//! The buffers of one thread that nobody uses at present. The one given back last is lent first: it is in the
//! processor's cache, and a hundred sessions that work by turns keep few buffers there.

use super::settings::STREAM_BUFFER;
use crate::buffer::Buffer;
use std::cell::RefCell;

/// Buffers kept for the next statements.
const MOST: usize = 64;
/// A buffer that has grown beyond this is not kept.
const LARGEST: usize = STREAM_BUFFER;

/// Buffers without a user.
#[derive(Debug, Default)]
pub(crate) struct Spare(RefCell<Vec<Buffer>>);

impl Spare {
    /// An empty one.
    pub(crate) fn lend(&self) -> Buffer {
        self.0.borrow_mut().pop().unwrap_or_else(|| Buffer::default().cleared())
    }

    /// Takes one back, whatever is in it.
    pub(crate) fn give_back(&self, buffer: Buffer) {
        let mut spare = self.0.borrow_mut();
        if buffer.capacity() > 0 && spare.len() < MOST && buffer.capacity() <= LARGEST {
            spare.push(buffer.cleared());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn what_is_given_back_is_lent_empty_and_what_has_grown_is_not_kept() {
        let spare = Spare::default();
        let mut cx = Context::from_waker(Waker::noop());
        for (limit, kept) in [(LARGEST, true), (4 * LARGEST, false)] {
            let mut buffer = spare.lend();
            assert!(buffer.is_empty());
            while buffer.len() < limit {
                let mut bytes = &[7_u8; 64 << 10][..];
                assert!(matches!(buffer.poll_fill(&mut cx, &mut bytes, limit), Poll::Ready(Ok(1..))));
            }
            spare.give_back(buffer);
            let next = spare.lend();
            assert_eq!((next.len(), next.capacity() == limit), (0, kept));
        }
    }
}
