//! What happens when a connection is lost, or its server is not the primary any more: what was not done is
//! done elsewhere, what may have been done is never done twice, and what cannot be known is said.

use super::exchange::{Ended, Expect, Fault, Progress};
use super::perform::{Onward, Work};
use super::replay::{Checksum, Limits, Repeat, Step};
use super::{Held, Over, Session};
use crate::sql::backend::Link;
use crate::sql::classify::{Kind, Transaction};
use crate::sql::roll::End;
use crate::sql::state::Path;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::packet;
use crate::sql::wire::status::Status;
use std::time::Instant;
use tokio::task::spawn_local;

/// What a client is told where nobody can know whether its write was done: the number and state of "Got error
/// during COMMIT", which no driver takes for a reason to try again.
///
/// No position decides it instead. A transaction is given its number while it commits, and the only word of it
/// is the OK that did not come: `last_gtid` and `session_track_gtids` stand in that packet. What others
/// wrote in the meantime has numbers too, so that one more of them on the new primary says nothing, and to
/// give the number beforehand (`gtid_seq_no`, `gtid_next`) takes rights that no application has, and an order
/// of all writers' commits that two splitters do not know.
const UNKNOWN_OUTCOME: (u16, &[u8; 5]) = (1180, b"HY000");
/// What a client is told where its transaction is undone, and doing it again may succeed: a deadlock's.
const UNDONE: (u16, &[u8; 5]) = (1213, b"40001");

impl Session {
    /// Goes on after `fault` has ended an attempt at `work`.
    pub(super) async fn recover(
        &mut self,
        work: &Work,
        fault: Fault,
        progress: &Progress,
    ) -> Result<Onward, Over> {
        let in_transaction = self.status.contains(Status::IN_TRANS);
        match fault {
            Fault::Client => {
                // Nobody waits for the answer: the server need not work on it.
                self.stop_at_server();
                Err(Over)
            }
            Fault::Told(end) => self.give_up(end, progress).await,
            Fault::TooManyRows => {
                self.drop_held();
                let message = "Stoa: the statement gives more rows than its limit allows";
                self.break_off(progress, 1226, b"42000", message).await
            }
            // Nothing was done that counts: it is read where all is shown.
            Fault::Ahead => {
                self.drop_held();
                if progress.delivered {
                    self.forget_transaction();
                    let message = "Stoa: the primary does not show what a replica does; try again";
                    return self.break_off(progress, UNDONE.0, UNDONE.1, message).await;
                }
                self.go_on(work, in_transaction).await
            }
            Fault::Refused(error) => {
                self.drop_held();
                self.forget_transaction();
                self.refuse(1, error.code, &error.sqlstate, &error.message).await?;
                Ok(Onward::Answered)
            }
            Fault::ReadOnly if self.held.as_ref().is_some_and(|held| !held.primary) => {
                self.refused_by_replica(work, in_transaction).await
            }
            Fault::ReadOnly => {
                // Nothing was done. What the transaction did before is gone with its server's role.
                if let Some(held) = &self.held {
                    held.backend.slot.distrust();
                }
                self.drop_held();
                self.go_on(work, in_transaction).await
            }
            Fault::Lost => {
                if let Some(held) = &self.held {
                    held.backend.slot.upstream.counters.shard(self.worker.index).broken();
                }
                self.drop_held();
                let sent = progress.left;
                if progress.delivered {
                    let message =
                        "Stoa: the database server broke off in the middle of its answer; try again";
                    self.forget_transaction();
                    return self.break_off(progress, UNDONE.0, UNDONE.1, message).await;
                }
                let unknown = sent
                    && if in_transaction { work.commits() } else { !work.is_repeatable() && !work.opens() };
                if unknown {
                    self.forget_transaction();
                    let message = "Stoa: outcome unknown: the database server was lost before it answered; \
                                   the statement may or may not have been done, and was not done again";
                    self.refuse(1, UNKNOWN_OUTCOME.0, UNKNOWN_OUTCOME.1, message).await?;
                    return Ok(Onward::Answered);
                }
                self.go_on(work, in_transaction).await
            }
        }
    }

    /// A replica refuses what was taken for a read: the primary may be asked, but within a transaction that was
    /// to write nothing.
    async fn refused_by_replica(&mut self, work: &Work, in_transaction: bool) -> Result<Onward, Over> {
        if in_transaction && work.commits() {
            // A write was refused in it before, after which the server refuses to commit nothing too.
            self.drop_held();
            self.forget_transaction();
            self.okay().await?;
            return Ok(Onward::Answered);
        }
        if in_transaction {
            let message = "Cannot execute statement in a READ ONLY transaction";
            self.refuse(1, 1792, b"25006", message).await?;
            return Ok(Onward::Answered);
        }
        self.leave();
        Ok(Onward::Again)
    }

    async fn go_on(&mut self, work: &Work, in_transaction: bool) -> Result<Onward, Over> {
        self.severed = in_transaction || !self.pins.is_empty();
        if self.severed && !self.restore(work).await? {
            return Ok(Onward::Answered);
        }
        Ok(Onward::Again)
    }

    /// Makes again, on the primary there is now, what the session had on the connection it lost. Where that
    /// cannot be done, the client is told, and the answer is no.
    pub(super) async fn restore(&mut self, work: &Work) -> Result<bool, Over> {
        self.severed = false;
        if !self.status.contains(Status::IN_TRANS) && !self.pins.hinder_replay() {
            return Ok(true);
        }
        let again = if self.pins.hinder_replay() { None } else { self.transcript.again() };
        let replayed = match again {
            Some(again) => Box::pin(self.replay(work, &again)).await,
            None => Err("what it held cannot be made again"),
        };
        match replayed {
            Ok(()) => Ok(true),
            Err(why) => {
                self.drop_held();
                self.forget_transaction();
                self.pins = super::Pins::default();
                let message = format!(
                    "Stoa: the database server was lost with an open transaction or session, and {why}; try again"
                );
                self.refuse(1, UNDONE.0, UNDONE.1, &message).await?;
                Ok(false)
            }
        }
    }

    /// Does a transaction again. Its answers have to be what they were.
    async fn replay(&mut self, work: &Work, again: &Repeat) -> Result<(), &'static str> {
        let (now, began) = (self.state.clone(), Instant::now());
        self.state = again.state.clone();
        let acquired = Box::pin(self.reacquire(work.since.max(began))).await;
        let done = match acquired {
            Ok(()) => self.repeat(again).await,
            Err(why) => Err(why),
        };
        self.state = now;
        if let Some(held) = &mut self.held {
            held.backend.standing = crate::sql::backend::Standing::Known(self.state.clone());
        }
        let steps = again.steps.len();
        tracing::info!(steps, outcome = ?done, "a transaction is run again on another primary");
        done
    }

    async fn reacquire(&mut self, since: Instant) -> Result<(), &'static str> {
        let (worker, errand) = (self.worker.clone(), self.errand());
        let wait = Box::pin(async move { worker.acquire_primary(&errand.want(), |_| None, since).await });
        let acquired = self.attend(wait).await.and_then(|acquired| acquired);
        let mut backend = acquired.map_err(|_| "there is no other in time")?;
        backend.count(crate::sql::backend::Counted::InFlight);
        self.held = Some(Held { backend, primary: true });
        self.expects.clear();
        let Some(Held { backend, .. }) = &mut self.held else { return Err("there is no other") };
        let mut sql = Vec::new();
        let mysql = self.worker.shared.is_mysql();
        let Path::Steps { reset, set, schema } = self.state.path(&backend.origin(), mysql, &mut sql) else {
            return Err("its state cannot be made again");
        };
        let commands: [(bool, u8, &[u8], Expect); 3] = [
            (reset, 0x1F, &[], Expect::Reset),
            (set, 0x03, &sql, Expect::Set),
            (schema, 0x02, self.state.schema(), Expect::Schema),
        ];
        for (_, command, text, expect) in commands.into_iter().filter(|(needed, ..)| *needed) {
            backend.link.put(command, text);
            self.expects.push(expect);
        }
        Ok(())
    }

    async fn repeat(&mut self, again: &Repeat) -> Result<(), &'static str> {
        const LOST: &str = "the other was lost too";
        self.exchange(None, 1, true, &mut Progress::default(), None).await.map_err(|_| LOST)?;
        for (step, payload) in &again.steps {
            self.expects.clear();
            if let Some(statement) = step.statement {
                self.compose_statement(statement).map_err(|_| LOST)?;
                self.exchange(None, 1, true, &mut Progress::default(), None).await.map_err(|_| LOST)?;
                self.expects.clear();
            }
            self.put_step(step, payload).map_err(|_| LOST)?;
            let mut sum = Checksum::default();
            let done =
                self.exchange(Some(step.reply), 1, true, &mut Progress::default(), Some(&mut sum)).await;
            match done {
                Ok(Ended::Done) if sum == step.sum => {}
                Ok(_) => return Err("doing it again gives other results"),
                Err(_) => return Err(LOST),
            }
        }
        Ok(())
    }

    fn put_step(&mut self, step: &Step, payload: &[u8]) -> Result<(), Fault> {
        let number = match step.statement {
            Some(statement) => {
                let placed = self.placed(statement).ok_or(Fault::Lost)?;
                // The step tells the server others, maybe.
                placed.types.clear();
                Some(placed.id)
            }
            None => None,
        };
        let Some(held) = &mut self.held else { return Err(Fault::Lost) };
        let outbound = &mut held.backend.link.line.outbound;
        match number {
            Some(number) => super::perform::put_renumbered(outbound, payload, number),
            None => {
                packet::put(outbound, 0, payload);
            }
        }
        Ok(())
    }

    /// Notes a command for doing its transaction again.
    pub(super) fn record(&mut self, work: &Work, was_in_transaction: bool) {
        if !self.status.contains(Status::IN_TRANS) {
            self.transcript.end();
            // With autocommit off any statement may begin the next transaction.
            if self.may_begin() {
                self.transcript.begin(&self.state);
            }
            return;
        }
        let begins = matches!(work.verdict.kind, Kind::Transaction(Transaction::Begin { .. }));
        let known = self.transcript.is_recording();
        if was_in_transaction && (begins || work.commits()) {
            // One transaction has ended and another begun.
            self.transcript.end();
        }
        self.transcript.begin(&self.state);
        let outcome = self.follower.outcome();
        let undone = outcome.error.as_ref().is_some_and(|error| matches!(error.code, 1213 | 1205));
        let unclear = was_in_transaction && !begins && work.commits();
        if !known || unclear || undone || self.pins.hinder_replay() || !self.stands_alone(work) {
            self.transcript.spoil();
            return;
        }
        let settings = &self.worker.shared.settings;
        let limits = Limits { bytes: settings.replay_bytes, steps: settings.replay_statements };
        let step = Step { statement: work.statement, reply: work.reply, sum: self.transcript.sum };
        let payload = self.line.payload(work.length);
        let known = work.statement.and_then(|number| self.statements.get(number));
        let put = |payloads: &mut Vec<u8>| match known {
            Some(known) => known.put_with_types(payload, self.capabilities, payloads),
            None => payloads.extend_from_slice(payload),
        };
        self.transcript.push(step, put, limits);
    }

    fn may_begin(&self) -> bool {
        !self.status.contains(Status::AUTOCOMMIT)
    }

    /// Whoever began the transaction has to begin it again.
    pub(super) fn forget_transaction(&mut self) {
        self.status.remove(Status::IN_TRANS | Status::IN_TRANS_READONLY);
        self.transcript.end();
        if self.may_begin() {
            self.transcript.begin(&self.state);
        }
    }

    fn drop_held(&mut self) {
        self.held = None;
    }

    /// Ends what the connection that is held runs at its server, which would not notice that it is closed.
    fn stop_at_server(&self) {
        let Some(held) = &self.held else { return };
        let (worker, slot, account) = (self.worker.clone(), held.backend.slot.clone(), self.account);
        let sql = format!("KILL {}", held.backend.link.greeting.connection);
        spawn_local(async move {
            let Some(account) = worker.shared.accounts.get(account) else { return };
            let span = worker.shared.settings.connect;
            let opened = Link::open(&slot.upstream, account, Capabilities::empty(), span).await;
            let done = match opened {
                Ok(mut link) => link.ask(&sql, |_| {}).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                // It has ended by itself, or the server has.
                tracing::debug!(%error, "a statement could not be ended");
            }
        });
    }

    /// The client's statement, or all of the session, was told to end.
    async fn give_up(&mut self, end: End, progress: &Progress) -> Result<Onward, Over> {
        self.stop_at_server();
        self.drop_held();
        self.forget_transaction();
        self.pins = super::Pins::default();
        if end == End::Session {
            return Err(Over);
        }
        self.member.obeyed();
        self.break_off(progress, 1317, b"70100", "Query execution was interrupted").await
    }

    /// Ends an answer, or answers, with an error.
    async fn break_off(
        &mut self,
        progress: &Progress,
        code: u16,
        sqlstate: &[u8; 5],
        message: &str,
    ) -> Result<Onward, Over> {
        if !progress.delivered {
            self.line.forget();
            self.refuse(1, code, sqlstate, message).await?;
            return Ok(Onward::Answered);
        }
        // Within an answer nothing can be said any more that its client would understand.
        tracing::info!(message, "a session is ended within an answer");
        Err(Over)
    }
}
