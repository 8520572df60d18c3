//! `KILL` of a session that another splitter has: that one is asked by way of the daemon, and answers the
//! same way. Without a daemon nobody can be asked, which is said after [`PATIENCE`].

use super::errand::Errand;
use super::roll;
use super::table::Shared;
use super::worker::{Command, Worker};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use stoa_model::control::{KillAnswer, KillOrder, KillOutcome, SqlReport};
use tokio::sync::{mpsc, oneshot};

/// How long the other splitter may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A `KILL` that a thread has another splitter asked for.
#[derive(Debug)]
pub(crate) struct Killing {
    /// Whose session.
    pub(crate) session: u32,
    /// Only its statement.
    pub(crate) query_only: bool,
    /// Only if it is this user's.
    pub(crate) owner: Option<String>,
    /// Told what became of it.
    pub(crate) known: oneshot::Sender<KillOutcome>,
}

/// What is asked of other splitters, and what they ask.
#[derive(Debug, Default)]
pub(crate) struct Killings {
    last: Cell<u64>,
    /// Whoever waits for an answer, by the number of the order.
    asked: RefCell<BTreeMap<u64, oneshot::Sender<KillOutcome>>>,
    /// For the next report.
    orders: RefCell<Vec<KillOrder>>,
    answers: RefCell<Vec<KillAnswer>>,
}

impl Killings {
    /// Takes one, for the next report.
    pub(crate) fn ask(&self, from: u8, killing: Killing) {
        let ticket = self.last.get() + 1;
        self.last.set(ticket);
        let Killing { session, query_only, owner, known } = killing;
        let mut asked = self.asked.borrow_mut();
        asked.retain(|_, waits| !waits.is_closed());
        asked.insert(ticket, known);
        self.orders.borrow_mut().push(KillOrder { ticket, from, session, query_only, owner });
    }

    /// Another splitter has answered.
    pub(crate) fn answered(&self, answer: KillAnswer) {
        if let Some(waits) = self.asked.borrow_mut().remove(&answer.ticket) {
            // Who asked may have gone.
            let _ = waits.send(answer.outcome);
        }
    }

    /// An answer for another splitter, for the next report.
    pub(crate) fn answer(&self, answer: KillAnswer) {
        self.answers.borrow_mut().push(answer);
    }

    /// Moves what waits into a report. An order whose asker was told that nobody can be asked is not given.
    pub(crate) fn report(&self, sql: &mut SqlReport) {
        let asked = self.asked.borrow();
        sql.kills = self.orders.take();
        sql.kills.retain(|kill| asked.get(&kill.ticket).is_some_and(|waits| !waits.is_closed()));
        sql.killed = self.answers.take();
    }
}

impl Worker {
    /// Passes a `KILL` on to whoever has the session: a thread of this splitter, or another splitter. None where
    /// the others were not heard in time.
    pub(crate) async fn kill(
        &self,
        session: u32,
        query_only: bool,
        owner: Option<usize>,
    ) -> Option<KillOutcome> {
        match kill_here(session, query_only, owner, &self.siblings).await {
            None => {}
            outcome => return outcome,
        }
        let owner = owner.and_then(|at| Some(self.shared.accounts.get(at)?.user.clone()));
        let (known, answer) = oneshot::channel();
        // Received as long as the role lives.
        let _ = self.errands.send(Errand::Kill(Killing { session, query_only, owner, known }));
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }
}

/// Does what another splitter asks.
pub(crate) async fn carry_out(
    order: &KillOrder,
    shared: &Shared,
    threads: &[mpsc::UnboundedSender<Command>],
) -> KillOutcome {
    let account = |owner: &String| shared.accounts.iter().position(|account| account.user == *owner);
    // A user that is not known here has no session here.
    let owner = order.owner.as_ref().map(|owner| account(owner).unwrap_or(usize::MAX));
    kill_here(order.session, order.query_only, owner, threads).await.unwrap_or(KillOutcome::Unknown)
}

/// Has the threads of this splitter end a session, or its statement, that one of them may have: it may have come
/// from another splitter, and is known by the id that it was given there. None where the id says nothing to them.
pub(crate) async fn kill_here(
    session: u32,
    query_only: bool,
    owner: Option<usize>,
    threads: &[mpsc::UnboundedSender<Command>],
) -> Option<KillOutcome> {
    let first = roll::thread_of(session);
    let (own, others) = (threads.get(first), threads.iter().enumerate());
    let others = others.filter(|(index, _)| *index != first).map(|(_, thread)| thread);
    for thread in own.into_iter().chain(others) {
        let (known, answer) = oneshot::channel();
        // A thread that is gone has no session, and answers nothing.
        let _ = thread.send(Command::Kill { session, query_only, owner, known });
        if let Ok(Some(outcome)) = answer.await {
            return Some(outcome);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_whose_asker_has_gone_is_not_given() {
        let killings = Killings::default();
        let ask = |session| {
            let (known, answer) = oneshot::channel();
            killings.ask(1, Killing { session, query_only: false, owner: None, known });
            answer
        };
        let (stays, goes) = (ask(5), ask(6));
        drop(goes);
        let mut report = SqlReport::default();
        killings.report(&mut report);
        let sessions: Vec<u32> = report.kills.iter().map(|kill| kill.session).collect();
        assert_eq!(sessions, [5]);
        killings.report(&mut report);
        assert!(report.kills.is_empty(), "each stands in one report only");
        killings.answered(KillAnswer { ticket: 1, from: 1, outcome: KillOutcome::Done });
        assert_eq!(stays.blocking_recv(), Ok(KillOutcome::Done));
    }
}
