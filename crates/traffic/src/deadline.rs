//! A time-out that is moved far more often than it runs out.
//!
//! Arming a timer takes tokio's timer wheel; a request would do so half a dozen times. So the timer
//! stays armed where it is while the deadline moves away from it, and only when it fires is it
//! looked at whether the time has really come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A moving time-out. It holds no timer until it is first waited for.
#[derive(Debug)]
pub(crate) struct Deadline {
    span: Duration,
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// One that is set before it is used.
    pub(crate) fn new() -> Self {
        Deadline { span: Duration::ZERO, at: None, timer: None }
    }

    /// Runs out `span` after the next wait has begun; a wait that needs no waiting reads no clock.
    pub(crate) fn within(&mut self, span: Duration) {
        self.span = span;
        self.at = None;
    }

    /// Runs out at `at`.
    pub(crate) fn at(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// Ready once it has run out.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = *self.at.get_or_insert_with(|| Instant::now() + self.span);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}
