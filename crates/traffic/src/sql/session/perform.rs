//! Has one command run: gets it a connection, sends it, and goes on elsewhere where that may be done.

use super::exchange::{Ended, Exchange, Expect, Fault, Progress};
use super::replay::Checksum;
use super::station::Target;
use super::{Over, Session};
use crate::sql::classify::{Effects, Kind, Reads, Route, Statement, Transaction};
use crate::sql::digest::Digest;
use crate::sql::roll::End;
use crate::sql::state::Path;
use crate::sql::wire::command;
use crate::sql::wire::packet;
use crate::sql::wire::response::Reply;
use crate::sql::worker::NoConnection;
use std::future::poll_fn;
use std::time::Instant;

/// How often a command is tried on another connection, beside waiting for a primary.
const TRIES: u32 = 5;

/// What a statement may do twice as well as once.
const HARMLESS: Effects = Effects::SESSION_VARIABLE
    .union(Effects::DATABASE)
    .union(Effects::DIALECT)
    .union(Effects::STOA_SETTING)
    .union(Effects::FOUND_ROWS)
    .union(Effects::LAST_INSERT_ID);

/// A command of the client's. Its payload stands at the front of what has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// What it is.
    pub(super) verdict: Statement,
    /// Its kind, where statements of it are counted.
    pub(super) digest: Option<Digest>,
    /// How it is answered.
    pub(super) reply: Reply,
    /// How long its payload is.
    pub(super) length: usize,
    /// Where in it its text stands.
    pub(super) text: (usize, usize),
    /// The prepared statement it is about.
    pub(super) statement: Option<u32>,
    /// When it came.
    pub(super) since: Instant,
}

/// How the next attempt goes on.
pub(super) enum Onward {
    /// On another connection.
    Again,
    /// It is over: answered, one way or another.
    Answered,
}

impl Work {
    /// Whether running it twice does no more than running it once.
    pub(super) fn is_repeatable(&self) -> bool {
        let reads =
            matches!(self.verdict.kind, Kind::Select | Kind::Show | Kind::Explain | Kind::ShowWarnings);
        let sets = matches!(self.verdict.kind, Kind::Set | Kind::Use | Kind::Empty);
        self.verdict.route == Route::Replica
            || ((reads || sets) && self.verdict.effects.without(HARMLESS).is_empty())
    }

    /// Whether it does nothing but read, be it what only one connection knows.
    pub(super) fn only_reads(&self) -> bool {
        let reads = matches!(
            self.verdict.kind,
            // To prepare is to do nothing yet.
            Kind::Empty | Kind::Select | Kind::Show | Kind::ShowWarnings | Kind::Explain | Kind::Diagnostics
        );
        let sets = HARMLESS.union(Effects::USER_VARIABLE);
        reads && self.verdict.effects.without(sets).is_empty()
    }

    /// Whether warnings outlive it at MariaDB: it uses no table, and runs nothing else.
    pub(super) fn leaves_diagnostics(&self) -> bool {
        let runs = Effects::UNKNOWN.union(Effects::STORED_CODE).union(Effects::WRITE);
        let plain = matches!(
            self.verdict.kind,
            Kind::Select
                | Kind::Set
                | Kind::Use
                | Kind::Do
                | Kind::Explain
                | Kind::Transaction(_)
                | Kind::ShowWarnings
                | Kind::Diagnostics
        );
        plain && !self.verdict.tables && !self.verdict.effects.intersects(runs)
    }

    /// Whether it only begins a transaction, or ends one that was not begun: outside of one it leaves nothing
    /// on a server that was lost.
    pub(super) fn opens(&self) -> bool {
        let begins = |kind| matches!(kind, Transaction::Begin { .. } | Transaction::Rollback(_));
        matches!(self.verdict.kind, Kind::Transaction(kind) if begins(kind))
    }

    /// Whether it may end the transaction for good.
    pub(super) fn commits(&self) -> bool {
        matches!(self.verdict.kind, Kind::Transaction(Transaction::Commit(_) | Transaction::Xa))
            || self.verdict.effects.intersects(Effects::IMPLICIT_COMMIT.union(Effects::UNKNOWN))
            || self.verdict.autocommit.is_some()
    }
}

impl Session {
    /// Has `work` run and answered, and takes down what it left behind.
    pub(super) async fn perform(&mut self, work: &Work) -> Result<(), Over> {
        if self.held.as_ref().is_some_and(|held| held.backend.is_cut()) {
            self.sever();
        }
        if self.severed && !self.restore(work).await? {
            return Ok(());
        }
        if work.verdict.effects.contains(Effects::TRANSACTION) {
            self.transcript.begin(&self.state);
        }
        let mut patience = true;
        for _ in 0..TRIES {
            let target = self.target(work, patience);
            let replica = matches!(target, Target::Replica(_));
            if self.held.is_some() && !self.is_bound() && work.leaves_diagnostics() && self.has_diagnostics()
            {
                self.save_diagnostics(&target).await;
            }
            if let Err(no) = self.station(work, target).await {
                if replica && !matches!(no, NoConnection::Ended) {
                    patience = false;
                    continue;
                }
                return self.turn_away(no).await;
            }
            let mut progress = Progress::default();
            let fault = match self.attempt(work, &mut progress).await {
                // Boxed: most sessions never read so.
                Ok(Ended::Done) if progress.withhold => match Box::pin(self.release()).await {
                    Ok(()) => return self.finish(work),
                    Err(fault) => fault,
                },
                Ok(Ended::Done) => return self.finish(work),
                Ok(Ended::File) => match self.upload(work, &mut progress).await {
                    Ok(()) => return self.finish(work),
                    Err(fault) => fault,
                },
                Ok(Ended::Behind) => {
                    patience = false;
                    if let Some(held) = &self.held {
                        held.backend.slot.upstream.was_slow();
                    }
                    self.leave();
                    continue;
                }
                Err(fault) => fault,
            };
            patience &= !replica;
            if progress.withhold && !progress.delivered {
                self.line.forget();
            }
            match self.recover(work, fault, &progress).await? {
                Onward::Again => {}
                Onward::Answered => return Ok(()),
            }
        }
        self.held = None;
        self.refuse(1, 1205, b"HY000", "Stoa: the database servers broke off again and again; try again")
            .await
    }

    /// Sends `work` on the connection that is held, and what has to go ahead of it.
    async fn attempt(&mut self, work: &Work, progress: &mut Progress) -> Result<Ended, Fault> {
        self.compose(work)?;
        let ahead = self.expects.iter().any(|expect| *expect != Expect::CaughtUp);
        // A read whose preparation fails is thrown away and nothing is lost; a write would be done in the
        // wrong state, so it waits.
        if ahead && (work.verdict.route != Route::Replica || work.statement.is_some()) {
            let ended = self.exchange(None, 1, false, progress, None).await?;
            // What has to be seen is not there: what was sent ahead stays, the read goes elsewhere.
            if ended == Ended::Behind {
                return Ok(ended);
            }
            *progress = Progress::default();
            self.expects.clear();
        }
        // The last look at whether it may be sent there: from here to the socket nothing is waited for.
        if self.held.as_ref().is_none_or(|held| held.backend.is_cut()) {
            return Err(Fault::Lost);
        }
        self.put_command(work)?;
        progress.withhold = self.is_withheld(work);
        let mut sum = self.transcript.sums_up().then(Checksum::default);
        let ended = self.exchange(Some(work.reply), 1, false, progress, sum.as_mut()).await?;
        if let Some(sum) = sum {
            self.transcript.sum = sum;
        }
        Ok(ended)
    }

    /// Puts together what brings the connection into the session's state.
    pub(super) fn compose(&mut self, work: &Work) -> Result<(), Fault> {
        self.expects.clear();
        let Some(held) = &mut self.held else { return Err(Fault::Lost) };
        let backend = &mut *held.backend;
        if !backend.is_in(&self.state) {
            let mysql = self.worker.shared.is_mysql();
            let mut sql = Vec::new();
            let Path::Steps { reset, set, schema } = self.state.path(&backend.origin(), mysql, &mut sql)
            else {
                return Err(Fault::Lost);
            };
            if reset {
                backend.link.put(0x1F, &[]);
                self.expects.push(Expect::Reset);
            }
            if set {
                backend.link.put(0x03, &sql);
                self.expects.push(Expect::Set);
            }
            if schema {
                backend.link.put(0x02, self.state.schema());
                self.expects.push(Expect::Schema);
            }
        }
        let may_ask = work.verdict.reads.contains(Reads::LAST_INSERT_ID)
            || work.verdict.effects.intersects(Effects::UNKNOWN.union(Effects::STORED_CODE));
        if may_ask && ![self.past.last_insert_id, u64::MAX].contains(&backend.inserted) {
            // Another session's, or one that this session has had elsewhere.
            let sql = format!("SET last_insert_id={}", self.past.last_insert_id);
            backend.link.put(0x03, sql.as_bytes());
            self.expects.push(Expect::Set);
            backend.inserted = self.past.last_insert_id;
        }
        self.compose_wait();
        if let Some(statement) = work.statement {
            self.refuse_others_types(statement);
            self.compose_statement(statement)?;
        }
        self.compose_past();
        Ok(())
    }

    /// Makes the connection look as after the session's last statement, which it did not run: without
    /// warnings, above all another's. How many rows there were is told as far as none, one and "none to
    /// count" go; more are told by the splitter itself, or in the text of who asks (see `answers`).
    fn compose_past(&mut self) {
        let Some(held) = self.held.as_mut().filter(|_| self.prime) else { return };
        // A statement without a table leaves the warnings of the one before it.
        let sql: &[u8] = match (self.past.row_count, self.past.found_rows) {
            (-1, 0) => b"SELECT 1 FROM (SELECT 1 AS x) AS t WHERE x = 0",
            (-1, _) => b"SELECT 1 FROM (SELECT 1 AS x) AS t",
            _ => b"DO (SELECT 1 FROM (SELECT 1 AS x) AS t)",
        };
        held.backend.link.put(0x03, sql);
        self.expects.push(Expect::Past);
    }

    /// Appends the client's command to what is to be sent.
    fn put_command(&mut self, work: &Work) -> Result<(), Fault> {
        match work.statement {
            Some(statement) => self.put_statement_command(work, statement),
            None => {
                let Some(held) = &mut self.held else { return Err(Fault::Lost) };
                let payload = self.line.payload(work.length);
                let outbound = &mut held.backend.link.line.outbound;
                match &self.told {
                    Some(told) => {
                        let before = payload.get(..work.text.0).unwrap_or_default();
                        packet::put(outbound, 0, &[before, told].concat());
                    }
                    None => {
                        packet::put(outbound, 0, payload);
                    }
                }
                Ok(())
            }
        }
    }

    /// Runs an exchange on the connection that is held.
    pub(super) async fn exchange(
        &mut self,
        main: Option<Reply>,
        sequence: u8,
        mute: bool,
        progress: &mut Progress,
        sum: Option<&mut Checksum>,
    ) -> Result<Ended, Fault> {
        let rows = self.worker.shared.settings.limits.rows.unwrap_or(u64::MAX);
        let Some(held) = &mut self.held else { return Err(Fault::Lost) };
        let mut exchange = Exchange {
            client: &mut self.line,
            backend: &mut held.backend,
            spare: &self.worker.spare,
            follower: &mut self.follower,
            member: &self.member,
            expects: &self.expects,
            state: &self.state,
            main,
            sequence,
            mute,
            rows,
            sum,
            progress,
        };
        poll_fn(|cx| exchange.poll(cx)).await
    }

    /// Takes down what a command that was answered has left behind.
    pub(super) fn finish(&mut self, work: &Work) -> Result<(), Over> {
        if let Some(prepared) = self.follower.outcome().prepared {
            self.took_statement(self.statements.next(), work, prepared);
        }
        if work.reply == Reply::Executed
            && let Some(number) = work.statement
        {
            self.executed(number);
        }
        self.absorb(work);
        match self.member.order() {
            Some(End::Session) => Err(Over),
            Some(End::Statement) => {
                // It has ended by itself.
                self.member.obeyed();
                Ok(())
            }
            None if work.verdict.effects.contains(Effects::RELEASES_CONNECTION) => Err(Over),
            None => Ok(()),
        }
    }
}

/// Appends a command about a statement, with the server's number of it.
pub(super) fn put_renumbered(outbound: &mut Vec<u8>, payload: &[u8], statement: u32) {
    let start = outbound.len() + packet::HEADER;
    packet::put(outbound, 0, payload);
    if let Some(payload) = outbound.get_mut(start..) {
        renumber(payload, statement);
    }
}

/// The payload of a command with another statement number in it.
pub(super) fn renumber(payload: &mut [u8], statement: u32) {
    // Only called for commands about a statement.
    let _ = command::set_statement(payload, statement);
}
