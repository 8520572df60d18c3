//! Sends what waits for a server and passes its answer on to the client: the way of every byte.
//!
//! What is hot: one write to the server, one read from it, one write to the client. Rows pass from the
//! buffer they were read into. Nothing is allocated, no lock is taken, and no system call is made to find out
//! that there is nothing to read.

use super::replay::Checksum;
use crate::sql::backend::{Backend, Standing};
use crate::sql::client::Client;
use crate::sql::line::Line;
use crate::sql::placed::Text;
use crate::sql::roll::{End, Member};
use crate::sql::settings::STREAM_BUFFER;
use crate::sql::spare::Spare;
use crate::sql::state::State;
use crate::sql::wire::follower::Follower;
use crate::sql::wire::response::{Next, Reply};
use crate::sql::wire::status::ServerError;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How much of what the client sends ahead is read while its last command runs.
const AHEAD: usize = 64 << 10;

/// The most bytes of an answer that are moved to put in, or leave out, what its client is told otherwise.
const MOVED: usize = 4 << 10;

/// How much of an answer that is to be withheld is held as a whole.
const WITHHELD: usize = 64 << 10;

/// A command of ours, sent ahead of the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expect {
    /// The session begins anew.
    Reset,
    /// Variables are set.
    Set,
    /// The schema is changed.
    Schema,
    /// Something runs that leaves what the session's last statement left.
    Past,
    /// A row comes if the replica has what the session needs to see.
    CaughtUp,
    /// A statement of the client's is prepared here too.
    Prepare(Rc<Text>),
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All is answered.
    Done,
    /// The client's file is asked for.
    File,
    /// The replica did not catch up; the answer was not passed on.
    Behind,
}

/// Why it did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client has gone.
    Client,
    /// The connection to the server broke, or is not to be used any more.
    Lost,
    /// The server takes no writes: it is not the primary any more. Nothing was passed on.
    ReadOnly,
    /// The client's statement, or the whole session, is to end.
    Told(End),
    /// A command of ours was refused. Nothing was passed on.
    Refused(ServerError),
    /// More rows than a statement of its kind may give.
    TooManyRows,
    /// The replica shows what the primary does not show.
    Ahead,
}

/// One exchange.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a mut Line<Client>,
    pub(super) backend: &'a mut Backend,
    /// Lends the space for what the server answers.
    pub(super) spare: &'a Spare,
    pub(super) follower: &'a mut Follower,
    pub(super) member: &'a Member,
    /// What was sent ahead, in order.
    pub(super) expects: &'a [Expect],
    /// The state the session is in once all that has been answered.
    pub(super) state: &'a Rc<State>,
    /// What the client's command is answered with; none where only what was sent ahead is waited for.
    pub(super) main: Option<Reply>,
    /// What the first frame of that answer bears.
    pub(super) sequence: u8,
    /// Nothing of it is passed on.
    pub(super) mute: bool,
    /// The most rows that are passed on.
    pub(super) rows: u64,
    /// What has passed is summed up here.
    pub(super) sum: Option<&'a mut Checksum>,
    pub(super) progress: &'a mut Progress,
}

/// Writing to the client failed.
impl From<std::io::Error> for Fault {
    fn from(_: std::io::Error) -> Self {
        Fault::Client
    }
}

/// How far an exchange has come.
#[derive(Debug, Default, Clone)]
pub(super) struct Progress {
    /// All is sent.
    sent: bool,
    /// So many of the commands sent ahead are answered.
    settled: usize,
    /// The one after them is being answered.
    begun: bool,
    /// So many bytes at the front of what has come go to the client.
    forward: usize,
    /// They, or what was written before, are being written to the client.
    delivering: bool,
    /// So many bytes have to stand before more of it can be told.
    needed: usize,
    /// The answer has ended.
    ended: Option<Next>,
    /// Bytes have gone to the client.
    pub(super) delivered: bool,
    /// Bytes have gone to the server.
    pub(super) left: bool,
    /// The end of the answer is not sent: it stays among what is to be sent to the client.
    pub(super) withhold: bool,
    behind: bool,
    refused: Option<ServerError>,
}

impl Progress {
    /// Goes on after the client's file has been sent.
    pub(super) fn resume(&mut self) {
        self.sent = true;
        self.ended = None;
    }
}

impl Exchange<'_> {
    /// Goes on as far as can be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Fault>> {
        if !self.progress.sent {
            match self.backend.link.line.poll_send(cx) {
                Poll::Ready(Ok(())) => {
                    self.progress.sent = true;
                    self.progress.left = true;
                }
                Poll::Ready(Err(_)) => {
                    self.progress.left |= self.backend.link.line.has_begun();
                    return Poll::Ready(Err(Fault::Lost));
                }
                Poll::Pending => self.progress.left |= self.backend.link.line.has_begun(),
            }
        }
        loop {
            if self.has_news() {
                ready!(self.poll_deliver(cx))?;
            }
            if let Some(ended) = self.progress.ended {
                return Poll::Ready(self.end(ended));
            }
            if self.advance()? {
                continue;
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::Lost)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return self.poll_around(cx),
            }
        }
    }

    /// Reads what the server answers. All connections use the same few buffers by turns, which so are in the
    /// processor's cache.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let line = &mut self.backend.link.line;
        if line.inbound.capacity() == 0 {
            // Mostly nothing has come yet: that needs no buffer.
            ready!(line.stream.poll_readable(cx))?;
            line.inbound = self.spare.lend();
        }
        let read = line.poll_fill(cx, STREAM_BUFFER.max(self.progress.needed));
        if read.is_pending() {
            self.give_back();
        }
        read
    }

    /// Gives up the space for an answer that is not needed at present.
    fn give_back(&mut self) {
        let inbound = &mut self.backend.link.line.inbound;
        if inbound.is_empty() {
            self.spare.give_back(std::mem::take(inbound));
        }
    }

    /// Whether what has come for the client is not to be sent: the end of an answer, or all of a short one.
    fn holds_back(&self) -> bool {
        let progress = &self.progress;
        let short = || !progress.delivered && self.client.outbound.len() < WITHHELD;
        progress.withhold && (progress.ended.is_some() || short())
    }

    /// Whether something is to be sent to the client.
    fn has_news(&self) -> bool {
        let progress = &self.progress;
        let any = progress.forward > 0 || progress.delivering || !self.client.outbound.is_empty();
        any && !self.holds_back()
    }

    fn end(&mut self, ended: Next) -> Result<Ended, Fault> {
        self.give_back();
        if let Some(error) = self.progress.refused.take() {
            return Err(Fault::Refused(error));
        }
        match ended {
            Next::File => Ok(Ended::File),
            _ if self.progress.behind => Ok(Ended::Behind),
            _ => Ok(Ended::Done),
        }
    }

    /// Writes to the client what is for it.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.progress.delivered |= self.progress.withhold;
        self.progress.delivering = true;
        // The two are never filled both: what stands between pieces of ours is copied to them.
        let sent = self.client.poll_send(cx);
        if let Poll::Ready(Err(_)) = sent {
            return Poll::Ready(Err(Fault::Client));
        }
        let mut wrote = false;
        while sent.is_ready() && self.progress.forward > 0 {
            let inbound = &mut self.backend.link.line.inbound;
            let data = inbound.data().get(..self.progress.forward).unwrap_or_default();
            match Pin::new(&mut self.client.stream).poll_write(cx, data) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::Client)),
                Poll::Ready(Ok(n)) => {
                    inbound.consume(n);
                    self.progress.forward -= n;
                    wrote = true;
                }
                Poll::Pending => return self.poll_stuck(),
            }
        }
        // What was sent first has been flushed, and is again when this is polled anew.
        if sent.is_pending() || wrote && Pin::new(&mut self.client.stream).poll_flush(cx)?.is_pending() {
            return self.poll_stuck();
        }
        self.member.stuck(false);
        self.progress.delivering = false;
        Poll::Ready(Ok(()))
    }

    /// The client takes nothing at present.
    fn poll_stuck(&mut self) -> Poll<Result<(), Fault>> {
        match self.member.order() {
            Some(end) => Poll::Ready(Err(Fault::Told(end))),
            None => {
                self.member.stuck(true);
                Poll::Pending
            }
        }
    }

    /// Deals with what has come; whether anything was dealt with that asks for another look.
    fn advance(&mut self) -> Result<bool, Fault> {
        while self.progress.settled < self.expects.len() {
            if !self.settle()? {
                return Ok(false);
            }
        }
        let Some(reply) = self.main else {
            self.progress.ended = Some(Next::Done);
            return Ok(true);
        };
        if !self.progress.begun {
            self.progress.begun = true;
            self.follower.begin(reply, self.sequence, self.backend.link.capabilities);
        }
        // Nothing has come that could be followed.
        if self.backend.link.line.inbound.is_empty() && !self.follower.is_done() {
            return Ok(false);
        }
        self.follow()
    }

    /// Deals with the answer to a command sent ahead; whether it has ended.
    fn settle(&mut self) -> Result<bool, Fault> {
        let Some(expect) = self.expects.get(self.progress.settled) else { return Ok(true) };
        let link = &mut self.backend.link;
        if !self.progress.begun {
            self.progress.begun = true;
            link.expect(match expect {
                Expect::Reset | Expect::Schema => Reply::One,
                Expect::Set | Expect::Past | Expect::CaughtUp => Reply::Results { local_infile: false },
                Expect::Prepare(_) => Reply::Prepared { rename: None },
            });
        }
        if !link.swallow().map_err(|_| Fault::Lost)? {
            return Ok(false);
        }
        let outcome = link.outcome();
        if let Some(error) = &outcome.error {
            self.progress.refused.get_or_insert_with(|| error.clone());
            self.backend.standing = Standing::Unknown;
        } else if *expect == Expect::CaughtUp {
            self.progress.behind = outcome.rows == 0;
        } else if let (Expect::Prepare(text), Some(prepared)) = (expect, outcome.prepared) {
            self.backend.place(text, prepared.id);
        } else if *expect == Expect::Reset {
            self.backend.was_reset();
        } else if matches!(expect, Expect::Set | Expect::Schema) && self.progress.refused.is_none() {
            // Where more of them follow, it is on its way through other states.
            let changes = |expect: &Expect| matches!(expect, Expect::Set | Expect::Schema);
            let later = self.expects.get(self.progress.settled + 1..).unwrap_or_default();
            self.backend.standing = match later.iter().any(changes) {
                true => Standing::Unknown,
                false => Standing::Known(self.state.clone()),
            };
        }
        self.progress.settled += 1;
        self.progress.begun = false;
        Ok(true)
    }

    /// Follows the answer to the client's command; whether there is something to deliver, or it has ended.
    fn follow(&mut self) -> Result<bool, Fault> {
        let mute = self.mute || self.progress.behind || self.progress.refused.is_some();
        let before = self.progress.delivered;
        loop {
            let inbound = &mut self.backend.link.line.inbound;
            let front = self.progress.forward;
            let bytes = inbound.data_mut().get_mut(front..).unwrap_or_default();
            let step = self.follower.step(bytes).map_err(|_| Fault::Lost)?;
            let (end, skip, next) = (front + step.forward, step.skip, step.next);
            if let Some(sum) = &mut self.sum {
                sum.add(inbound.data().get(front..end).unwrap_or_default());
                sum.add(step.insert);
            }
            let outbound = &mut self.client.outbound;
            if mute {
                inbound.consume(end + skip);
            } else if outbound.is_empty()
                && !self.progress.withhold
                && (skip == 0 && step.insert.is_empty() || inbound.splice(end, skip, step.insert, MOVED))
            {
                self.progress.forward = end + step.insert.len();
                self.progress.delivered |= self.progress.forward > 0;
            } else {
                // Pieces of ours and of the server's go out together: a copy costs less than another write.
                outbound.extend_from_slice(inbound.data().get(..end).unwrap_or_default());
                outbound.extend_from_slice(step.insert);
                inbound.consume(end + skip);
                self.progress.forward = 0;
                self.progress.delivered |= !self.progress.withhold;
            }
            if self.follower.outcome().error.is_some() && !mute {
                self.judge()?;
            }
            if self.follower.outcome().rows > self.rows {
                if !before {
                    // None of it has gone out: the client can be told.
                    self.progress.delivered = false;
                    self.progress.forward = 0;
                    self.client.forget();
                }
                return Err(Fault::TooManyRows);
            }
            match next {
                Next::Again => {}
                // What has come so far goes to the client before more is read.
                Next::Read(needed) => {
                    self.progress.needed = needed;
                    let more = self.progress.forward > 0 || !self.client.outbound.is_empty();
                    return Ok(more && !self.holds_back());
                }
                Next::File | Next::Done => {
                    self.progress.ended = Some(next);
                    return Ok(true);
                }
            }
        }
    }

    /// An error that is not for the client: the server ends, or is not the primary any more. Known before
    /// any of it has gone out where it is all there is.
    fn judge(&mut self) -> Result<(), Fault> {
        let outcome = self.follower.outcome();
        let Some(error) = &outcome.error else { return Ok(()) };
        let read_only = error.message.contains("read-only") || error.message.contains("read_only");
        let fault = match error.code {
            1290 if read_only => Fault::ReadOnly,
            1836 => Fault::ReadOnly,
            1053 | 1927 | 3169 | 4031 => Fault::Lost,
            _ => return Ok(()),
        };
        // Where more than the error has come, or gone, the client has to be told.
        if outcome.results > 1 || outcome.rows > 0 || self.client.has_begun() {
            return Ok(());
        }
        self.progress.delivered = false;
        // It has been dealt with: the next answer must not begin with it.
        self.backend.link.line.inbound.consume(std::mem::take(&mut self.progress.forward));
        self.client.forget();
        Err(fault)
    }

    /// Nothing has come from the server: whether there is still a reason to wait.
    fn poll_around(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Fault>> {
        if let Some(end) = self.member.order() {
            return Poll::Ready(Err(Fault::Told(end)));
        }
        if self.backend.is_cut() && !self.progress.delivered {
            return Poll::Ready(Err(Fault::Lost));
        }
        // A client that goes takes its statement with it. What it sends ahead is kept.
        while self.client.inbound.len() < AHEAD {
            // Mostly nothing has come: that costs no buffer.
            if self.client.stream.poll_readable(cx)?.is_pending() {
                break;
            }
            match self.client.poll_fill(cx, AHEAD) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::Client)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}
