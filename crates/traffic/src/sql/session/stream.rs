//! Commands too long to hold, and files of the client's: they pass as they come.

use super::exchange::{Ended, Fault, Progress};
use super::perform::{Onward, Work};
use super::station::Target;
use super::{Over, Session};
use crate::sql::classify::{Effects, Kind, Statement, classify};
use crate::sql::digest::digest;
use crate::sql::position::Position;
use crate::sql::settings::STREAM_BUFFER;
use crate::sql::wire::capability::Capabilities;
use crate::sql::wire::command::Command;
use crate::sql::wire::packet::{self, HEADER, Header, Passage, Upload};
use crate::sql::wire::response::Reply;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

/// How much of a long text is judged.
const JUDGED: usize = 64 << 10;

/// How much of a long command is waited for: an execution's null bitmap, and the types of as many
/// parameters as there may be.
const FRONT: usize = 160 << 10;

impl Session {
    /// Passes a command on to the primary that is longer than what is held.
    pub(super) async fn stream_command(&mut self) -> Result<(), Over> {
        let Some(header) = Header::read(self.line.inbound.data()) else { return Err(Over) };
        while self.line.inbound.len() < HEADER + FRONT.min(header.length) {
            let (line, member) = (&mut self.line, &self.member);
            let read = poll_fn(|cx| match line.poll_fill(cx, STREAM_BUFFER.max(2 * FRONT)) {
                Poll::Pending if member.order().is_some() => Poll::Ready(Ok(0)),
                read => read,
            });
            // Nothing of it was done, and what comes yet could not be told from the next command.
            if read.await? == 0 {
                return Err(Over);
            }
        }
        let payload = self.line.inbound.data().get(HEADER..).unwrap_or_default();
        let parsed = Command::parse(payload, self.capabilities);
        let (sql, reply) = match parsed {
            Ok(Command::Query(query)) => {
                (query.sql, parsed.map_or(Reply::One, |command| command.reply(self.capabilities)))
            }
            Ok(Command::Execute { statement, .. } | Command::BulkExecute { statement, .. }) => {
                return self.stream_execution(header, statement).await;
            }
            Ok(Command::SendLongData { statement, .. }) => return self.hold_piece(statement).await,
            // Nothing else is that long.
            _ => {
                let message = "Got a packet bigger than 'max_allowed_packet' bytes";
                self.refuse(1, 1153, b"08S01", message).await?;
                return Err(Over);
            }
        };
        let front = sql.get(..JUDGED).unwrap_or(sql);
        let verdict = self.judge_front(front);
        let work = Work {
            verdict,
            digest: Some(digest(front, &self.dialect)),
            reply,
            length: 0,
            text: (0, 0),
            statement: None,
            since: Instant::now(),
        };
        self.stream_work(&work, header).await
    }

    /// Passes an execution on to the primary whose parameters are longer than what is held.
    async fn stream_execution(&mut self, header: Header, statement: u32) -> Result<(), Over> {
        let number = self.statements.meant(statement);
        let Some((verdict, digest)) = self.verdict_of(number) else {
            self.unknown_statement(number, "mysqld_stmt_execute").await?;
            return Err(Over);
        };
        let work = Work {
            verdict,
            digest: Some(digest),
            reply: Reply::Executed,
            length: 0,
            text: (0, 0),
            statement: Some(number),
            since: Instant::now(),
        };
        self.stream_work(&work, header).await?;
        self.statements.clear_long(number);
        Ok(())
    }

    async fn stream_work(&mut self, work: &Work, mut header: Header) -> Result<(), Over> {
        if self.is_compressed() {
            header.sequence = 0;
        }
        if self.severed && !self.restore(work).await? {
            return Err(Over);
        }
        self.need = Position::default();
        let target = if self.held.is_some() && self.is_bound() { Target::Held } else { Target::Primary };
        if let Err(no) = self.station(work, target).await {
            // What comes yet could not be told from the next command.
            self.turn_away(no).await?;
            return Err(Over);
        }
        self.consumed = true;
        let mut progress = Progress::default();
        match self.pass_command(work, header, &mut progress).await {
            Ok(_) => self.finish(work),
            Err(fault) => {
                // Half of it may be there yet: nothing that follows could be told from it.
                if let Onward::Again = self.recover(work, fault, &progress).await? {
                    let message =
                        "Stoa: the database server was lost while it was sent a long statement; try again";
                    self.refuse(1, 1213, b"40001", message).await?;
                }
                Err(Over)
            }
        }
    }

    /// Whether the client's frames come from inside compression.
    fn is_compressed(&self) -> bool {
        self.capabilities.intersects(Capabilities::COMPRESS.union(Capabilities::ZSTD))
    }

    /// What a text may do of which only the front is known.
    fn judge_front(&self, front: &[u8]) -> Statement {
        let verdict = classify(front, &self.dialect);
        let plain = matches!(verdict.kind, Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete);
        // A text that may hold more statements may do anything.
        let closed = plain && !self.capabilities.contains(Capabilities::MULTI_STATEMENTS);
        let effects = if closed { Effects::WRITE } else { Effects::WRITE.union(Effects::UNKNOWN) };
        Statement { kind: verdict.kind, effects, ..self.nothing() }
    }

    async fn pass_command(
        &mut self,
        work: &Work,
        header: Header,
        progress: &mut Progress,
    ) -> Result<Ended, Fault> {
        self.compose(work)?;
        self.exchange(None, 1, false, progress, None).await?;
        *progress = Progress::default();
        self.expects.clear();
        progress.left = true;
        let limit = self.worker.shared.settings.packet;
        let mut passage = match work.statement {
            Some(number) => self.begin_execution(number, header, limit)?,
            None => Passage::new(header.sequence, 0, limit),
        };
        if self.is_compressed() {
            passage = passage.unnumbered();
        }
        loop {
            let Some(held) = &mut self.held else { return Err(Fault::Lost) };
            let inbound = &mut self.line.inbound;
            let passed = passage.advance(inbound.data_mut()).map_err(|_| Fault::Client)?;
            let outbound = &mut held.backend.link.line.outbound;
            outbound.extend_from_slice(inbound.data().get(..passed.bytes).unwrap_or_default());
            inbound.consume(passed.bytes);
            self.pass_on().await?;
            if passed.done {
                break;
            }
            self.take_more().await?;
        }
        let ended = self.exchange(Some(work.reply), passage.next_sequence(), false, progress, None).await?;
        match ended {
            Ended::File => self.upload(work, progress).await.map(|()| Ended::Done),
            ended => Ok(ended),
        }
    }

    /// Sends the server what is for it, as long as it is routed to and nobody ends the statement.
    async fn pass_on(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| {
            let Some(held) = &mut self.held else { return Poll::Ready(Err(Fault::Lost)) };
            if let Poll::Ready(sent) = held.backend.link.line.poll_send(cx) {
                return Poll::Ready(sent.map_err(|_| Fault::Lost));
            }
            match self.member.order() {
                Some(end) => Poll::Ready(Err(Fault::Told(end))),
                None if held.backend.is_cut() => Poll::Ready(Err(Fault::Lost)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Reads more of what the client sends, likewise.
    async fn take_more(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| match self.line.poll_fill(cx, STREAM_BUFFER) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Fault::Client)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Pending => match self.member.order() {
                Some(end) => Poll::Ready(Err(Fault::Told(end))),
                None if self.held.as_ref().is_some_and(|held| held.backend.is_cut()) => {
                    Poll::Ready(Err(Fault::Lost))
                }
                None => Poll::Pending,
            },
        })
        .await
    }

    /// Sends the server the client's file, and passes on what it says to it.
    pub(super) async fn upload(&mut self, work: &Work, progress: &mut Progress) -> Result<(), Fault> {
        // What comes next is the file; it cannot be sent a second time.
        self.consume(work.length);
        self.transcript.spoil();
        loop {
            let shift = self.follower.shift();
            let first = self.follower.next_client_sequence();
            let limit = self.worker.shared.settings.packet;
            let mut upload = Upload::new(first, 0_u8.wrapping_sub(shift), limit);
            if self.is_compressed() {
                upload = upload.unnumbered();
            }
            loop {
                let Some(held) = &mut self.held else { return Err(Fault::Lost) };
                let inbound = &mut self.line.inbound;
                let passed = upload.advance(inbound.data_mut()).map_err(|_| Fault::Client)?;
                let outbound = &mut held.backend.link.line.outbound;
                outbound.extend_from_slice(inbound.data().get(..passed.bytes).unwrap_or_default());
                inbound.consume(passed.bytes);
                self.pass_on().await?;
                if passed.done {
                    break;
                }
                self.take_more().await?;
            }
            self.follower.uploaded(upload.next_sequence().wrapping_sub(shift));
            progress.resume();
            match self.exchange(Some(work.reply), 1, false, progress, None).await? {
                Ended::File => {}
                Ended::Done | Ended::Behind => return Ok(()),
            }
        }
    }

    /// Keeps a long piece of a parameter, as the short ones are.
    async fn hold_piece(&mut self, statement: u32) -> Result<(), Over> {
        let most = self.worker.shared.settings.long_data.min(packet::FULL - 1);
        // There is no answer to this command that could say why the session is ended.
        let (_, length) = self.line.packet(most).await?;
        let number = self.statements.meant(statement);
        self.keep_long(number, length)?;
        self.consume(length);
        Ok(())
    }
}
