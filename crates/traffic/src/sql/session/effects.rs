//! What a command has left behind: in the session's state, in its transaction, on its connection.

use super::exchange::Expect;
use super::perform::Work;
use super::pins::{Pins, Ran};
use super::{Past, Session};
use crate::sql::backend::Standing;
use crate::sql::classify::{Assignment, Effects, Hint, Kind, Value, assignments, is_system_schema, made};
use crate::sql::digest::digest_text;
use crate::sql::lexer::Dialect;
use crate::sql::position::{Mark, Position};
use crate::sql::state::State;
use crate::sql::top::Count;
use crate::sql::wire::status::{Change, Status};
use std::rc::Rc;
use std::time::Instant;

/// The number of "You have an error in your SQL syntax".
const PARSE_ERROR: u16 = 1064;

impl Session {
    /// Takes down what `work`, which has been answered, left behind, and lets its connection go where nothing
    /// binds the session to it.
    pub(super) fn absorb(&mut self, work: &Work) {
        let before = self.status;
        let outcome = self.follower.outcome();
        let failed = outcome.error.is_some();
        // An error carries no status: that of before it stands.
        if !failed || outcome.results > 1 {
            self.status = outcome.status;
        }
        self.remember(work);
        let in_transaction = self.status.contains(Status::IN_TRANS);
        self.pin(work, in_transaction);
        self.take_changes(work);
        self.take_inserted(work);
        self.take_settings(work, failed);
        self.record(work, before.contains(Status::IN_TRANS));
        if self.expects.contains(&Expect::CaughtUp)
            && let Some(held) = &self.held
        {
            held.backend.slot.upstream.applied.reached_all(&self.need);
        }
        // The second of two readings a command; some twenty nanoseconds each.
        self.clock = Instant::now();
        let took = self.clock.duration_since(work.since);
        self.count(work, failed, took);
        if let Some(held) = &self.held {
            self.last = Rc::downgrade(&held.backend.slot);
        }
        let asked_next = self.has_diagnostics() && !self.unshared
            || work.verdict.effects.intersects(Effects::FOUND_ROWS.union(Effects::LAST_INSERT_ID));
        if !self.is_bound() && !asked_next {
            self.leave();
        }
    }

    /// What ties the session to its connection from now on, or no more.
    fn pin(&mut self, work: &Work, in_transaction: bool) {
        let outcome = self.follower.outcome();
        let code = outcome.error.as_ref().map(|error| error.code);
        let text = self.statement_text(work);
        let made = self.pins.need_names(&work.verdict).then(|| made(text, &self.dialect)).flatten();
        let ran = Ran {
            failed: code.is_some(),
            // An unknown first word runs no text that the server might have failed to read later.
            not_understood: code == Some(PARSE_ERROR)
                && work.verdict.kind == Kind::Other
                && outcome.results <= 1,
            in_transaction,
            made: made.as_ref(),
            schema: self.state.schema(),
        };
        self.pins.ran(&work.verdict, &ran);
    }

    /// What the next statement may ask for.
    fn remember(&mut self, work: &Work) {
        let outcome = self.follower.outcome();
        let failed = outcome.error.is_some();
        let gives_rows =
            outcome.rows > 0 || matches!(work.verdict.kind, Kind::Select | Kind::Show | Kind::Explain);
        let quiet = self.has_diagnostics() && !failed && outcome.warnings == 0;
        let stay = quiet && work.leaves_diagnostics() && !self.worker.shared.is_mysql();
        let (warnings, errors) =
            if stay { (self.past.warnings, self.past.errors) } else { (outcome.warnings, failed.into()) };
        if !stay {
            self.diagnostics = Vec::new();
        }
        // Those that were taken from their connection are told from here as long as they stay.
        self.unshared = !self.diagnostics.is_empty();
        let affected = i64::try_from(outcome.affected_rows).unwrap_or(i64::MAX);
        self.past = Past {
            last_insert_id: match outcome.last_insert_id {
                0 => self.past.last_insert_id,
                id => id,
            },
            row_count: if failed || gives_rows { -1 } else { affected },
            // What SHOW gives is most often read from a table too.
            found_rows: if matches!(work.verdict.kind, Kind::Select | Kind::Show) {
                outcome.rows
            } else {
                self.past.found_rows
            },
            warnings,
            errors,
        };
    }

    /// What `LAST_INSERT_ID()` gives on the connection from now on.
    fn take_inserted(&mut self, work: &Work) {
        let Some(held) = &mut self.held else { return };
        let told =
            self.follower.outcome().changes().any(|change| {
                matches!(change, Change::Variable { name: b"last_insert_id" | b"identity", .. })
            });
        if work.verdict.effects.contains(Effects::LAST_INSERT_ID) {
            // Whatever an expression gave: only this connection knows, so the session stays on it.
            held.backend.inserted = u64::MAX;
            self.pins.look_back();
        } else if told || self.follower.outcome().last_insert_id > 0 {
            held.backend.inserted = self.past.last_insert_id;
        }
    }

    /// What the server says that changed.
    fn take_changes(&mut self, work: &Work) {
        let mut state: Option<State> = None;
        let (mut touched, mut unmovable) = (false, false);
        let mut dialect = self.dialect;
        for change in self.follower.outcome().changes() {
            match change {
                Change::Variable { name: b"last_gtid", value } => {
                    match std::str::from_utf8(value).ok().and_then(Mark::parse) {
                        Some(mark) => {
                            self.written.reach(mark);
                            // Commits come in the order of the log: those before it are shown too.
                            if let Some(held) = self.held.as_ref().filter(|held| held.primary) {
                                held.backend.slot.upstream.applied.reached(mark);
                            }
                        }
                        // Empty until something is written.
                        None if value.is_empty() => {}
                        None => self.written.reach_untold(),
                    }
                }
                Change::Gtids(set) => match std::str::from_utf8(set).ok().and_then(Position::parse_written) {
                    Some(set) => self.written.reach_all(&set),
                    None => self.written.reach_untold(),
                },
                Change::Variable { name: b"last_insert_id" | b"identity", value } => {
                    let id = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    self.past.last_insert_id = id.unwrap_or(self.past.last_insert_id);
                }
                // MySQL counts statements in a variable, and tells of it as if it had been set.
                Change::Variable { name: b"statement_id", .. } => {}
                Change::Variable { name, value } => {
                    dialect = read_dialect(dialect, name, value);
                    match state.as_ref().unwrap_or(&self.state).with_variable(name, value) {
                        Ok(new) => state = Some(new),
                        Err(_) => unmovable = true,
                    }
                }
                Change::Schema(schema) => {
                    dialect.in_system_schema = is_system_schema(schema);
                    state = Some(state.as_ref().unwrap_or(&self.state).with_schema(schema));
                }
                Change::State(changed) => touched |= changed,
                Change::Characteristics(_) | Change::Transaction(_) | Change::Other(..) => {}
            }
        }
        if unmovable {
            self.pins.unmovable();
        } else if touched && state.is_none() && !Pins::explain(&work.verdict) {
            self.pins.unknown();
        }
        self.dialect = dialect;
        let Some(mut state) = state else { return };
        if work.verdict.kind == Kind::Set
            && let Some(names) = self.names_of(work)
        {
            state = state.with_names(&names);
        }
        self.enter(state);
    }

    /// The session, and the connection it holds, are in `state` from now on.
    pub(super) fn enter(&mut self, state: State) {
        self.state = self.worker.intern(state);
        if let Some(held) = &mut self.held {
            held.backend.standing = Standing::Known(self.state.clone());
        }
    }

    /// What stands behind `SET NAMES`, where that is all that `work` sets: the server reports the character
    /// sets and not the collation.
    fn names_of(&self, work: &Work) -> Option<Vec<u8>> {
        let mut all = assignments(self.text(work), &self.dialect);
        let (Some(Assignment::Names { charset, collation }), None) = (all.next(), all.next()) else {
            return None;
        };
        let mut names = plain(charset)?.to_vec();
        if let Some(collation) = collation {
            names.extend_from_slice(b" COLLATE ");
            names.extend_from_slice(plain(collation)?);
        }
        Some(names)
    }

    /// The text of a command.
    pub(super) fn text(&self, work: &Work) -> &[u8] {
        if self.consumed {
            return &[];
        }
        let (start, end) = work.text;
        self.line.payload(work.length).get(start..end).unwrap_or_default()
    }

    fn take_settings(&mut self, work: &Work, failed: bool) {
        if failed || !work.verdict.effects.contains(Effects::STOA_SETTING) {
            return;
        }
        let set = work.verdict.settings;
        self.hint = Hint {
            target: set.target.or(self.hint.target),
            consistency: set.consistency.or(self.hint.consistency),
            lag: set.lag.or(self.hint.lag),
        };
    }

    fn count(&mut self, work: &Work, failed: bool, took: std::time::Duration) {
        let Some(held) = &self.held else { return };
        let upstream = &held.backend.slot.upstream;
        let index = self.worker.index;
        // The classes are HTTP's: what was done, and what was not.
        upstream.counters.shard(index).answered(if failed { 500 } else { 200 }, took);
        let Some(digest) = work.digest else { return };
        let rows = self.follower.outcome().rows;
        let count = Count { digest, by_primary: held.primary, failed, rows, took };
        let text = || digest_text(self.statement_text(work), &self.dialect);
        self.worker.top().count(&count, text);
        if took >= self.worker.shared.settings.slow {
            tracing::info!(
                instance = %upstream.name, ms = took.as_millis() as u64, rows, failed,
                digest = %format_args!("{:016x}", digest.0), statement = %text(), "slow statement"
            );
        }
    }
}

fn plain<'t>(value: Value<'t>) -> Option<&'t [u8]> {
    match value {
        Value::Word(word) => Some(word),
        // A name of a character set needs no quotes.
        Value::Text(text) if text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') => {
            Some(text)
        }
        Value::Text(_) | Value::Default | Value::Expression(_) => None,
    }
}

fn read_dialect(dialect: Dialect, name: &[u8], value: &[u8]) -> Dialect {
    let value = String::from_utf8_lossy(value);
    match name {
        b"sql_mode" => dialect.with_sql_mode(&value),
        b"character_set_client" => dialect.with_charset(&value),
        _ => dialect,
    }
}
