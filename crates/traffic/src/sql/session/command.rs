//! Reads what a command is and has it dealt with.

use super::answers::written;
use super::perform::Work;
use super::{Arrival, Over, Session};
use crate::sql::classify::{Kind, Statement, classify};
use crate::sql::digest::Digest;
use crate::sql::wire::command::Command;
use crate::sql::wire::response::Reply;
use std::time::Instant;

/// Deals with the command that has come.
pub(super) async fn run(session: &mut Session, arrival: Arrival) -> Result<(), Over> {
    // The first of two readings a command.
    session.clock = Instant::now();
    session.member.busy(session.clock);
    session.consumed = false;
    match arrival {
        Arrival::Whole(length) => {
            session.command(length).await?;
            session.consume(length);
            Ok(())
        }
        Arrival::None => Ok(()),
        Arrival::Long => Box::pin(session.stream_command()).await,
    }
}

impl Session {
    /// The command has been dealt with.
    pub(super) fn consume(&mut self, length: usize) {
        if !std::mem::replace(&mut self.consumed, true) {
            self.line.consume_packet(length);
        }
    }

    async fn command(&mut self, length: usize) -> Result<(), Over> {
        let since = self.clock;
        let payload = self.line.payload(length);
        let Ok(command) = Command::parse(payload, self.capabilities) else {
            return self.refuse(1, 1047, b"08S01", "Unknown command").await;
        };
        let reply = command.reply(self.capabilities);
        let work = |verdict: Statement| Work {
            verdict,
            digest: None,
            reply,
            length,
            text: (1, length),
            statement: None,
            since,
        };
        match command {
            Command::Query(query) => {
                let text = (length - query.sql.len(), length);
                let (verdict, digest) = self.worker.examine(query.sql, &self.dialect);
                let work = Work { digest: Some(digest), text, ..work(verdict) };
                self.query(&work).await
            }
            Command::Execute { statement, cursor } => self.execute(work, statement, cursor == 0).await,
            Command::BulkExecute { statement, .. } => self.execute(work, statement, false).await,
            Command::Prepare(sql) => {
                let (verdict, digest) = self.worker.examine(sql, &self.dialect);
                let work = Work { digest: Some(digest), ..work(verdict) };
                self.prepare(work).await
            }
            Command::Quit => Err(Over),
            Command::Close(statement) => {
                self.close_statement(statement);
                Ok(())
            }
            Command::SendLongData { statement, .. } => {
                let statement = self.statements.meant(statement);
                self.keep_long(statement, length)
            }
            Command::Ping => self.okay().await,
            Command::InitDb(_) => {
                let verdict = Statement { kind: Kind::Use, ..self.nothing() };
                self.perform(&work(verdict)).await
            }
            Command::FieldList(_) | Command::Statistics | Command::ProcessInfo => {
                let verdict = Statement { kind: Kind::Show, ..self.nothing() };
                self.perform(&work(verdict)).await
            }
            other => {
                let other = Other::from(other);
                Box::pin(self.seldom(other, work(self.nothing()))).await
            }
        }
    }

    /// The verdict on a text without a statement.
    pub(super) fn nothing(&self) -> Statement {
        classify(b"", &self.dialect)
    }

    async fn query(&mut self, work: &Work) -> Result<(), Over> {
        if work.verdict.count != 1 || !self.is_told_here(work).await? {
            return self.perform_limited(work).await;
        }
        Ok(())
    }

    /// Answers what the splitter can answer by itself; whether it was such a thing.
    async fn is_told_here(&mut self, work: &Work) -> Result<bool, Over> {
        match work.verdict.kind {
            Kind::Kill(kill) => {
                let Some(id) = self.aims_at(kill.aim) else { return Ok(false) };
                Box::pin(self.kill(id, kill.query_only)).await?;
            }
            Kind::Select if !work.verdict.reads.is_empty() => {
                let Some(answers) = self.remembered(work) else { return Ok(false) };
                self.answer_values(&answers, written(work)).await?;
            }
            Kind::ShowWarnings if !self.keeps_last() || !self.has_diagnostics() => {
                Box::pin(self.answer_diagnostics(work)).await?
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Has a statement run, unless as many of its kind run as may.
    async fn perform_limited(&mut self, work: &Work) -> Result<(), Over> {
        let Some(_admitted) = self.worker.admit(work.digest.unwrap_or(Digest(0))) else {
            let message = "Stoa: too many statements of this kind run at once";
            return self.refuse(1, 1226, b"42000", message).await;
        };
        self.perform(work).await
    }

    async fn prepare(&mut self, work: Work) -> Result<(), Over> {
        if self.statements.len() >= self.worker.shared.settings.prepared {
            let message = "Can't create more than max_prepared_stmt_count statements";
            return self.refuse(1, 1461, b"42000", message).await;
        }
        let number = self.statements.next();
        let reply = Reply::Prepared { rename: Some(number) };
        // To prepare is to do nothing yet: neither effects nor a transaction.
        let verdict = Statement {
            kind: Kind::Empty,
            route: work.verdict.route,
            tables: work.verdict.tables,
            reads: work.verdict.reads,
            hint: work.verdict.hint,
            ..self.nothing()
        };
        let asked = work.verdict;
        let preparing = Work { verdict, digest: None, reply, ..work };
        if self.held.is_some() && !self.is_bound() && self.has_diagnostics() && !asked.tables {
            // They stay, and it may be prepared elsewhere: what is left there is another session's.
            Box::pin(self.take_past()).await;
        }
        let kept = self.keeps_last();
        let before = (self.past, self.last.clone(), std::mem::take(&mut self.diagnostics));
        let unshared = self.unshared || !kept;
        self.perform(&preparing).await?;
        if self.statements.get(number).is_some() {
            // What the session's last statement left stays; the warnings as long as no table is named.
            (self.past, self.last, self.diagnostics) = before;
            self.unshared = unshared;
            if asked.tables {
                (self.past.warnings, self.past.errors) = (0, 0);
                self.diagnostics = Vec::new();
            }
        }
        self.statements.amend(number, asked, work.digest);
        Ok(())
    }

    async fn execute(
        &mut self,
        work: impl FnOnce(Statement) -> Work,
        statement: u32,
        at_once: bool,
    ) -> Result<(), Over> {
        let number = self.statements.meant(statement);
        let Some((verdict, digest)) = self.verdict_of(number) else {
            return self.unknown_statement(number, "mysqld_stmt_execute").await;
        };
        let work = Work { digest: Some(digest), statement: Some(number), ..work(verdict) };
        if at_once && self.is_told_here(&work).await? {
            return Ok(());
        }
        self.perform_limited(&work).await?;
        // What was sent ahead of it is used up.
        self.statements.clear_long(number);
        Ok(())
    }

    /// What a server says of a statement that was not prepared.
    pub(super) async fn unknown_statement(&mut self, number: u32, to: &str) -> Result<(), Over> {
        let message = format!("Unknown prepared statement handler ({number}) given to {to}");
        self.refuse(1, 1243, b"HY000", &message).await
    }
}

/// A command that few clients ever send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    Kill(u32),
    Reset,
    ChangeUser,
    SetOption(bool),
    ResetStatement(u32),
    Fetch(u32),
    /// Passed on to the primary: `COM_REFRESH`, `COM_DEBUG`, `COM_SHUTDOWN`.
    Administration,
    Unknown,
}

impl From<Command<'_>> for Other {
    fn from(command: Command<'_>) -> Self {
        match command {
            Command::ProcessKill(id) => Other::Kill(id),
            Command::ResetConnection => Other::Reset,
            Command::ChangeUser => Other::ChangeUser,
            Command::SetOption { multi_statements } => Other::SetOption(multi_statements),
            Command::Reset(statement) => Other::ResetStatement(statement),
            Command::Fetch { statement, .. } => Other::Fetch(statement),
            Command::Refresh(_) | Command::Debug | Command::Shutdown => Other::Administration,
            _ => Other::Unknown,
        }
    }
}
