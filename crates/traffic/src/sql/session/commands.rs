//! The commands that few clients ever send: a session begun anew, a change of user, cursors.

use super::command::Other;
use super::perform::Work;
use super::{Over, Past, Session, login};
use crate::sql::classify::Aim;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::reply;
use crate::sql::wire::status::{EofPacket, OkPacket, Status};

impl Session {
    pub(super) async fn seldom(&mut self, command: Other, work: Work) -> Result<(), Over> {
        match command {
            Other::Kill(id) => match self.aims_at(Aim::Connection(id.into())) {
                Some(session) => self.kill(session, false).await,
                None => self.perform(&work).await,
            },
            Other::Reset => {
                self.begin_anew();
                self.okay().await
            }
            Other::ChangeUser => login::change_user(self, work.length).await,
            Other::SetOption(multi_statements) => self.set_option(multi_statements).await,
            Other::ResetStatement(statement) => self.reset_statement(statement, work).await,
            Other::Fetch(statement) => self.fetch(statement, work).await,
            Other::Administration => self.perform(&work).await,
            Other::Unknown => self.refuse(1, 1047, b"08S01", "Unknown command").await,
        }
    }

    /// Answers OK to a statement.
    pub(super) async fn okay_statement(&mut self) -> Result<(), Over> {
        let Past { last_insert_id, found_rows, .. } = self.past;
        self.past = Past { last_insert_id, found_rows, ..Past::default() };
        self.unshared = true;
        self.diagnostics = Vec::new();
        self.okay().await
    }

    /// Answers OK.
    pub(super) async fn okay(&mut self) -> Result<(), Over> {
        let packet = OkPacket { status: self.status, ..OkPacket::default() };
        reply::ok(&mut self.line.outbound, 1, &packet, self.capabilities);
        Ok(self.line.send().await?)
    }

    /// Everything of the session is as after its login.
    pub(super) fn begin_anew(&mut self) {
        if self.is_bound() {
            // Locks, tables and the transaction end with their connection, at once.
            self.held = None;
        }
        self.pins = super::Pins::default();
        self.severed = false;
        self.status = Status::AUTOCOMMIT;
        self.transcript.end();
        self.statements.clear();
        self.past = Past::default();
        self.unshared = false;
        self.diagnostics = Vec::new();
        self.hint = super::Hint::default();
        self.state = self.initial.clone();
        self.dialect = self.initial_dialect;
        self.leave();
    }

    async fn set_option(&mut self, multi_statements: bool) -> Result<(), Over> {
        let capability = Capabilities::MULTI_STATEMENTS;
        if self.is_bound() {
            // It would have to be told to the connection that cannot be left.
            let message = "Stoa: this option cannot be changed within a transaction";
            return self.refuse(1, 1235, b"42000", message).await;
        }
        self.leave();
        self.capabilities.set(capability, multi_statements);
        self.kind.set(capability, multi_statements);
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            return self.okay().await;
        }
        let packet = EofPacket { warnings: 0, status: self.status };
        reply::eof(&mut self.line.outbound, 1, packet);
        Ok(self.line.send().await?)
    }

    async fn reset_statement(&mut self, statement: u32, work: Work) -> Result<(), Over> {
        let number = self.statements.meant(statement);
        let Some(open) = self.statements.get(number).map(|known| known.cursor) else {
            return self.unknown_statement(number, "mysqld_stmt_reset").await;
        };
        self.statements.clear_long(number);
        if open && self.is_placed(number) {
            let work = Work { statement: Some(number), ..work };
            self.perform(&work).await?;
            self.set_cursor(number, false);
            return Ok(());
        }
        self.okay().await
    }

    async fn fetch(&mut self, statement: u32, work: Work) -> Result<(), Over> {
        let number = self.statements.meant(statement);
        let open = self.statements.get(number).is_some_and(|known| known.cursor);
        if !open || !self.is_placed(number) {
            return self.unknown_statement(number, "mysqld_stmt_fetch").await;
        }
        let work = Work { statement: Some(number), ..work };
        self.perform(&work).await?;
        let ended = self.follower.outcome().status.contains(Status::LAST_ROW_SENT);
        if ended || self.follower.outcome().error.is_some() {
            self.set_cursor(number, false);
        }
        Ok(())
    }
}
