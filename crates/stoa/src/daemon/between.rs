//! Passes on what one splitter of this host has for another: sessions that are to go on there, because it is to
//! end, and `KILL` of a session that may be the other's.
//!
//! Holds nothing beyond a link: a session that nobody takes ends, and a splitter that gets no answer tells its
//! client so. Never reads what a session is in.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stoa_model::control::{KillAnswer, KillOrder, KillOutcome, MovedSession, Report, splitter_place};
use stoa_model::{Generation, InstanceId, Tier};
use tokio::sync::mpsc;

/// The most that waits for one role: it takes it at once, or it hangs.
const WAITING: usize = 1024;
/// The most orders whose answers are waited for; of more the oldest has long been given up.
const ASKED_MAX: usize = 256;

/// What is passed on to a role.
#[derive(Debug)]
pub(super) enum Passed {
    /// To end a session that it may have.
    Kill(KillOrder),
    /// What became of the `KILL` it asked for.
    Killed(KillAnswer),
    /// A session to go on with.
    Session {
        /// What it is in.
        form: MovedSession,
        /// Its client's connection.
        connection: OwnedFd,
    },
}

/// Where each splitter of this host is reached, and what is asked.
#[derive(Debug, Default)]
pub(super) struct Between(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<InstanceId, Link>,
    /// Who asked, their number for it, and how many have not answered yet; the oldest first.
    asked: VecDeque<((u8, u64), usize)>,
}

#[derive(Debug)]
struct Link {
    sender: mpsc::Sender<Passed>,
    /// How many sessions it has; none where it was not heard to serve yet, or is to end.
    sessions: Option<u32>,
}

impl Between {
    /// A role is linked to: this is what is passed on to it.
    pub(super) fn open(&self, role: InstanceId) -> mpsc::Receiver<Passed> {
        let (sender, passed) = mpsc::channel(WAITING);
        if role.tier == Tier::Splitter {
            self.state().links.insert(role, Link { sender, sessions: None });
        }
        passed
    }

    /// Takes out of a splitter's report what is for another, and passes it on. The connections are those of the
    /// sessions that are to go on elsewhere, in their order.
    pub(super) fn pass(&self, asker: InstanceId, report: &mut Report, connections: Vec<OwnedFd>) {
        let serves = report.serving > Generation(0);
        let Some(sql) = &mut report.sql else { return };
        let mut state = self.state();
        if let Some(link) = state.links.get_mut(&asker) {
            link.sessions = (serves && !sql.draining).then_some(sql.sessions);
        }
        for (form, connection) in std::mem::take(&mut sql.moving).into_iter().zip(connections) {
            state.move_session(asker, Passed::Session { form, connection });
        }
        for kill in std::mem::take(&mut sql.kills) {
            state.ask(asker, kill);
        }
        for answer in std::mem::take(&mut sql.killed) {
            state.answer(answer);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// To the one with the fewest sessions of those that serve and are not to end themselves.
    fn move_session(&mut self, from: InstanceId, session: Passed) {
        let open = self.links.iter_mut().filter(|(role, link)| **role != from && !link.sender.is_closed());
        let serving = open.filter_map(|(role, link)| Some((role, &link.sender, link.sessions.as_mut()?)));
        let Some((to, sender, sessions)) = serving.min_by_key(|(_, _, sessions)| **sessions) else {
            return tracing::warn!("{from} is to end, and no other splitter goes on with its clients");
        };
        match sender.try_send(session) {
            Ok(()) => *sessions += 1,
            Err(error) => tracing::warn!("{to}: {error}"),
        }
    }

    /// Asks all others: whose number an id bears need not be who has the session now.
    fn ask(&mut self, asker: InstanceId, kill: KillOrder) {
        let KillOrder { ticket, from, .. } = kill;
        let asked = self.links.iter().filter(|(role, link)| {
            **role != asker && link.sender.try_send(Passed::Kill(kill.clone())).is_ok()
        });
        match asked.count() {
            0 => self.tell(KillAnswer { ticket, from, outcome: KillOutcome::Unknown }),
            count => {
                // A splitter that was started again counts from the beginning.
                self.asked.retain(|(key, _)| *key != (from, ticket));
                self.asked.push_back(((from, ticket), count));
            }
        }
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
    }

    /// Passes on the answer of who has the session, or that of the last, that nobody has it.
    fn answer(&mut self, answer: KillAnswer) {
        let key = (answer.from, answer.ticket);
        let Some(at) = self.asked.iter().position(|(known, _)| *known == key) else { return };
        let (_, left) = &mut self.asked[at];
        *left -= 1;
        if answer.outcome != KillOutcome::Unknown || *left == 0 {
            self.asked.remove(at);
            self.tell(answer);
        }
    }

    fn tell(&self, answer: KillAnswer) {
        let asker = self.links.iter().find(|(role, _)| splitter_place(**role) == answer.from);
        if let Some((role, link)) = asker
            && let Err(error) = link.sender.try_send(Passed::Killed(answer))
        {
            tracing::warn!("{role}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::control::SqlReport;

    fn splitters<const N: usize>(between: &Between) -> [(InstanceId, mpsc::Receiver<Passed>); N] {
        std::array::from_fn(|at| {
            let id = InstanceId::new(Tier::Splitter, at as u16 + 1);
            (id, between.open(id))
        })
    }

    fn report(sql: SqlReport) -> Report {
        Report { serving: Generation(1), sql: Some(sql), ..Report::default() }
    }

    fn asks(session: u32) -> Report {
        let kill = KillOrder { ticket: 7, from: 2, session, query_only: true, owner: None };
        report(SqlReport { kills: vec![kill], ..SqlReport::default() })
    }

    fn answer(passed: &mut mpsc::Receiver<Passed>) -> Option<KillAnswer> {
        match passed.try_recv() {
            Ok(Passed::Killed(answer)) => Some(answer),
            Ok(other) => panic!("{other:?} is no answer"),
            Err(_) => None,
        }
    }

    #[test]
    fn all_others_are_asked_for_a_session_and_who_has_it_answers() {
        use KillOutcome::{Denied, Done, Unknown};
        let answers = [
            ([Unknown, Denied], [None, Some(Denied)]),
            ([Done, Unknown], [Some(Done), None]),
            ([Unknown, Unknown], [None, Some(Unknown)]),
        ];
        for (answers, told) in answers {
            let between = Between::default();
            let [(first, mut to_first), (second, mut to_second), (third, mut to_third)] = splitters(&between);
            let mut asking = asks(5);
            between.pass(first, &mut asking, Vec::new());
            assert_eq!(asking.sql.as_ref().unwrap().kills, [], "it is passed on once");
            assert_eq!(answer(&mut to_first), None);
            for to in [&mut to_second, &mut to_third] {
                let Ok(Passed::Kill(kill)) = to.try_recv() else { panic!("no order came") };
                assert_eq!((kill.session, kill.query_only), (5, true));
            }
            for (who, (outcome, told)) in [second, third].into_iter().zip(answers.into_iter().zip(told)) {
                let killed = vec![KillAnswer { ticket: 7, from: 2, outcome }];
                let mut answering = report(SqlReport { killed, ..SqlReport::default() });
                between.pass(who, &mut answering, Vec::new());
                let told = told.map(|outcome| KillAnswer { ticket: 7, from: 2, outcome });
                assert_eq!(answer(&mut to_first), told, "{answers:?}");
            }
        }
    }

    #[test]
    fn where_nobody_else_is_a_session_is_nobodys() {
        let between = Between::default();
        let [(first, mut to_first), (_, to_second)] = splitters(&between);
        drop(to_second);
        between.pass(first, &mut asks(5), Vec::new());
        let nobodys = KillAnswer { ticket: 7, from: 2, outcome: KillOutcome::Unknown };
        assert_eq!(answer(&mut to_first), Some(nobodys));
    }

    #[test]
    fn sessions_go_to_who_has_the_fewest_and_stays() {
        let between = Between::default();
        let [
            (first, _to_first),
            (second, mut to_second),
            (third, mut to_third),
            (fourth, mut to_fourth),
            (_silent, mut to_silent),
        ] = splitters(&between);
        for (who, sessions, draining) in [(second, 3, false), (third, 2, false), (fourth, 0, true)] {
            let sql = SqlReport { sessions, draining, ..SqlReport::default() };
            between.pass(who, &mut report(sql), Vec::new());
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let connections = [&ours, &ours, &theirs, &theirs].map(|end| OwnedFd::from(end.try_clone().unwrap()));
        let moving = ["a", "b", "c", "d"].map(|form| MovedSession(form.to_owned())).to_vec();
        let sql = SqlReport { moving, draining: true, ..SqlReport::default() };
        between.pass(first, &mut report(sql), connections.into());
        let forms = |passed: &mut mpsc::Receiver<Passed>| {
            let form = |passed| match passed {
                Passed::Session { form, .. } => form.0,
                other => panic!("{other:?} is no session"),
            };
            std::iter::from_fn(|| passed.try_recv().ok()).map(form).collect::<Vec<_>>().concat()
        };
        assert_eq!([forms(&mut to_second), forms(&mut to_third)], ["bd", "ac"]);
        assert_eq!([forms(&mut to_fourth), forms(&mut to_silent)], ["", ""], "it ends; it was never heard");
    }
}
