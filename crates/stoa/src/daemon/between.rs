//! Passes on what one splitter of this host asks of another: `KILL` of a session that is the other's.
//!
//! Holds nothing beyond a link: what cannot be passed on is answered as unknown, or not at all, and the
//! splitter that asked tells its client so.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use stoa_model::control::{KillAnswer, KillOutcome, Order, Report, splitter_place};
use stoa_model::{InstanceId, Tier};
use tokio::sync::mpsc;

/// The most orders that wait for one role: it takes them at once, or it hangs.
const WAITING: usize = 256;

/// Where each role of this host is reached.
#[derive(Debug, Default)]
pub(super) struct Between(Mutex<BTreeMap<InstanceId, mpsc::Sender<Order>>>);

impl Between {
    /// A role is linked to: these are the orders for it.
    pub(super) fn open(&self, role: InstanceId) -> mpsc::Receiver<Order> {
        let (sender, orders) = mpsc::channel(WAITING);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(role, sender);
        orders
    }

    /// Takes out of a splitter's report what is for another, and passes it on.
    pub(super) fn pass(&self, asker: InstanceId, report: &mut Report) {
        let Some(sql) = &mut report.sql else { return };
        for kill in std::mem::take(&mut sql.kills) {
            let (ticket, from) = (kill.ticket, kill.from);
            if !self.send(|role| splitter_place(role) == kill.to(), Order::Kill(kill.clone())) {
                // Nobody has it: its splitter has ended, and all its sessions with it.
                let answer = KillAnswer { ticket, from, outcome: KillOutcome::Unknown };
                self.send(|role| role == asker, Order::Killed(answer));
            }
        }
        for answer in std::mem::take(&mut sql.killed) {
            self.send(|role| splitter_place(role) == answer.from, Order::Killed(answer));
        }
    }

    /// Whether there was somebody to send it to.
    fn send(&self, is: impl Fn(InstanceId) -> bool, order: Order) -> bool {
        let roles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let role =
            roles.iter().find(|(role, link)| role.tier == Tier::Splitter && is(**role) && !link.is_closed());
        role.is_some_and(|(role, link)| {
            if let Err(error) = link.try_send(order) {
                tracing::warn!("{role}: {error}");
            }
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::control::{KillOrder, PLACE_SHIFT, SqlReport};

    fn asks(session: u32) -> Report {
        let kill = KillOrder { ticket: 7, from: 2, session, query_only: true, owner: None };
        Report { sql: Some(SqlReport { kills: vec![kill], ..SqlReport::default() }), ..Report::default() }
    }

    #[test]
    fn an_order_goes_to_whose_session_it_is_and_the_answer_back() {
        let between = Between::default();
        let [first, second] = [1, 2].map(|number| InstanceId::new(Tier::Splitter, number));
        assert_eq!([first, second].map(splitter_place), [2, 3]);
        let (mut to_first, mut to_second) = (between.open(first), between.open(second));
        let mut report = asks(3 << PLACE_SHIFT | 5);
        between.pass(first, &mut report);
        assert_eq!(report.sql.as_ref().unwrap().kills, [], "it is passed on once");
        let Ok(Order::Kill(order)) = to_second.try_recv() else { panic!("no order came") };
        assert_eq!((order.session & 0xFF, order.query_only), (5, true));
        let answer = KillAnswer { ticket: order.ticket, from: order.from, outcome: KillOutcome::Denied };
        let sql = Some(SqlReport { killed: vec![answer], ..SqlReport::default() });
        between.pass(second, &mut Report { sql, ..Report::default() });
        assert_eq!(to_first.try_recv(), Ok(Order::Killed(answer)));
        // Nobody's, and one whose splitter has gone.
        drop(to_second);
        for place in [3, 9] {
            between.pass(first, &mut asks(place << PLACE_SHIFT | 5));
            let answer = KillAnswer { ticket: 7, from: 2, outcome: KillOutcome::Unknown };
            assert_eq!(to_first.try_recv(), Ok(Order::Killed(answer)));
        }
    }
}
