//! A chosen instance, and the wait for one.
//!
//! Decides who goes first where requests wait, and how many may. Which instance it is, `balance` says.

use super::balance::{self, Terms, Tried};
use super::pages::RETRY_AFTER;
use super::pool::Slot;
use super::table::{Face, InFlight};
use super::worker::Worker;
use crate::stats::Shard;
use crate::stream::Stream;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A chosen instance, which holds the request as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The instance, with this thread's connections to it.
    pub(crate) slot: Rc<Slot>,
    /// What counts the request.
    pub(crate) in_flight: InFlight,
    /// Since when, where it had to be waited for.
    pub(crate) since: Option<Instant>,
}

/// No instance could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoInstance {
    /// None is usable, and as many requests as may wait are waiting.
    #[error("too many requests are waiting for a server")]
    Full,
    /// All are as busy as the routes allow, and as many requests as may wait are waiting.
    #[error("all servers are busy")]
    Busy,
    /// None became usable in time.
    #[error("no server is ready to answer")]
    InTime,
    /// The client did not wait.
    #[error("the client has gone")]
    ClientGone,
}

impl NoInstance {
    /// After how many seconds another try is worth it.
    pub(crate) fn retry_after(self) -> u8 {
        match self {
            // A queue is gone in a moment; what has crashed takes longer to come back.
            NoInstance::Busy => 1,
            NoInstance::Full | NoInstance::InTime | NoInstance::ClientGone => RETRY_AFTER,
        }
    }
}

impl Worker {
    /// Chooses an instance of `face`; none where one has to be waited for.
    pub(crate) fn choose(&self, face: Face, tried: &Tried) -> Option<Ticket> {
        let terms = self.terms(face);
        // Nobody overtakes those that wait for their turn, but who has been failed by an instance.
        let queues = terms.most.is_some() && !tried.any() && !self.shared.face(face).queue.is_empty();
        if queues { None } else { self.pick(face, tried, terms) }
    }

    /// Waits for an instance of `face` until `until`, which is set by the first wait, or until the client
    /// has `gone`, which is asked whenever the task wakes.
    pub(crate) async fn wait_for(
        &self,
        face: Face,
        tried: &Tried,
        until: &mut Option<Instant>,
        mut gone: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Result<Ticket, NoInstance> {
        let (queue, limits) = (&self.shared.face(face).queue, &self.shared.limits);
        let shard = queue.shard(self.index);
        let began = Instant::now();
        let until = *until.get_or_insert_with(|| began + limits.wait);
        let (most, refusal) = self.most_waiting(face);
        let Some(place) = queue.join(tried.any(), most) else {
            shard.shed();
            return Err(refusal);
        };
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(until));
        let found = poll_fn(|cx| {
            // Listen first, look second: what becomes usable in between is not missed.
            let first = place.is_first(cx);
            let terms = self.terms(face);
            if (first || terms.most.is_none())
                && let Some(ticket) = self.pick(face, tried, terms)
            {
                return Poll::Ready(Ok(ticket));
            }
            if gone(cx) {
                return Poll::Ready(Err(NoInstance::ClientGone));
            }
            sleep.as_mut().poll(cx).map(|()| Err(NoInstance::InTime))
        })
        .await;
        let now = Instant::now();
        shard.waited(now - began);
        let ticket = found?;
        place.leave();
        // Several places may have become free while only the first in the line was woken.
        if self.has_usable(face) {
            queue.wake_first();
        }
        Ok(Ticket { since: Some(now), ..ticket })
    }

    /// How many may wait, and what the next one is told: those that wait for their turn are bounded by the
    /// routes, those that wait for the only instance to come back are not fewer because it was well before.
    fn most_waiting(&self, face: Face) -> (u32, NoInstance) {
        let limit = self.shared.limits.waiting;
        match self.admission(face) {
            Some(admission) if self.slots(face).iter().any(|slot| !slot.upstream.is_ejected()) => {
                (admission.waiting, NoInstance::Busy)
            }
            Some(admission) => (limit.max(admission.waiting), NoInstance::Full),
            None => (limit, NoInstance::Full),
        }
    }

    fn has_usable(&self, face: Face) -> bool {
        let terms = self.terms(face);
        self.slots(face).iter().any(|slot| balance::is_usable(&slot.upstream, terms))
    }

    fn pick(&self, face: Face, tried: &Tried, terms: Terms) -> Option<Ticket> {
        let slots = self.slots(face);
        loop {
            let place = balance::choose(slots.iter().map(|slot| &slot.upstream), tried, terms, &self.rng)?;
            let slot = slots.get(place)?;
            // Another thread may have taken the last place of it meanwhile.
            if let Some(in_flight) = slot.upstream.take(terms.most) {
                return Some(Ticket { slot: slot.clone(), in_flight, since: None });
            }
        }
    }
}

impl Ticket {
    /// Connects anew.
    pub(crate) async fn connect(&self, limits: &super::limits::Limits) -> io::Result<Stream> {
        Stream::connect(&self.slot.upstream.endpoint, limits.connect).await
    }

    /// The name of the instance.
    pub(crate) fn name(&self) -> &str {
        &self.slot.upstream.instance.name
    }

    /// This thread's counters of the instance.
    pub(crate) fn shard(&self, worker: &Worker) -> &Shard {
        self.slot.upstream.instance.counters.shard(worker.index)
    }
}
