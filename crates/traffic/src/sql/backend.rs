//! One connection to a server: how it is opened, what state its session is in, what is prepared on it.

use super::line::{Line, LineError};
use super::placed::{Placed, Placements, Text};
use super::pool::{Slot, Want};
use super::server::Server;
use super::state::{From as Origin, State};
use super::table::{Shared, Upstream};
use super::wire::auth::client::{AuthError, Channel, Next, Prover};
use super::wire::auth::{Account, Password};
use super::wire::capability::{self, Capabilities, Incapable};
use super::wire::follower::Follower;
use super::wire::handshake::{Greeting, HandshakeError, Login, default_plugin};
use super::wire::packet;
use super::wire::response::{Next as Step, Outcome, Reply, ResponseError};
use super::wire::status::ServerError;
use crate::stream::Stream;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stoa_model::routes::DATABASE_CERTIFICATE;
use stoa_model::{Endpoint, Term};
use tokio::sync::OwnedSemaphorePermit;

/// The longest packet of a server's before it has let us in.
const HANDSHAKE_MAX: usize = 64 << 10;
/// The longest packet of an answer to a question of ours: MySQL's positions grow with the gaps in them.
const ANSWER_MAX: usize = 1 << 20;

/// A connection to a server, logged in.
#[derive(Debug)]
pub(crate) struct Link {
    /// The connection.
    pub(crate) line: Line<Server>,
    /// What both sides agreed on.
    pub(crate) capabilities: Capabilities,
    /// What the server said of itself.
    pub(crate) greeting: Greeting,
    quiet: Follower,
}

/// A connection to a server that sessions use.
#[derive(Debug)]
pub(crate) struct Backend {
    /// The connection.
    pub(crate) link: Link,
    /// To which server.
    pub(crate) slot: Rc<Slot>,
    /// As whom.
    pub(crate) account: usize,
    /// What the clients it serves have agreed on.
    pub(crate) kind: Capabilities,
    /// The slot's epoch it was opened in.
    pub(crate) epoch: u64,
    /// What it was last seen to take writes by, see [`Slot::proof`].
    pub(crate) writable: Option<(Term, u64)>,
    /// What state its session is in.
    pub(crate) standing: Standing,
    /// What `LAST_INSERT_ID()` gives there: whichever session's it is.
    pub(crate) inserted: u64,
    placed: Placements,
    counted: Counted,
    _permit: OwnedSemaphorePermit,
}

/// What a connection counts as at its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Nothing: it is not used.
    Nothing,
    /// A statement, or an open transaction.
    InFlight,
    /// A session without a statement that is bound to it.
    Pinned,
}

/// What is known of the state of a connection's session.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It has just logged in.
    Fresh,
    /// Everything.
    Known(Rc<State>),
    /// Nothing.
    Unknown,
}

/// A server could not be logged in to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be reached.
    #[error("{endpoint}: cannot connect to the database server: {source}")]
    Connect {
        /// Where it should be.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("{0}: the database server did not answer in time")]
    Late(Endpoint),
    /// The connection broke.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It does not begin as a server does.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It does not let us in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// It cannot do what the client was promised.
    #[error(transparent)]
    Incapable(#[from] Incapable),
    /// It answers what is no answer.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// It refuses a statement of ours.
    #[error("the database server refuses to begin a session: {0}")]
    Refused(ServerError),
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.count(Counted::Nothing);
        // A server takes a connection that ends without a word for one that broke, and logs it.
        self.link.line.stream.try_say(&[1, 0, 0, 0, 1]);
    }
}

impl OpenError {
    /// What the server itself said, where it did.
    pub(crate) fn server_error(&self) -> Option<&ServerError> {
        match self {
            OpenError::Auth(AuthError::Refused(error))
            | OpenError::Handshake(HandshakeError::Refused(error))
            | OpenError::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it may be gone a moment later: the server starts, ends, or has too many connections.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            OpenError::Auth(AuthError::Refused(error))
            | OpenError::Handshake(HandshakeError::Refused(error)) => {
                matches!(error.code, 1040 | 1053 | 1129 | 1203 | 1226 | 1927)
            }
            OpenError::Auth(_) | OpenError::Incapable(_) | OpenError::Refused(_) => false,
            _ => true,
        }
    }
}

impl Link {
    /// Connects to a server and logs in as `account`.
    pub(crate) async fn open(
        upstream: &Upstream,
        account: &Account,
        kind: Capabilities,
        span: Duration,
    ) -> Result<Link, OpenError> {
        let endpoint = &upstream.endpoint;
        let opened = tokio::time::timeout(span, async {
            let stream = Stream::connect(endpoint, span).await;
            let stream =
                stream.map_err(|source| OpenError::Connect { endpoint: endpoint.clone(), source })?;
            Link::log_in(Line::new(Server::Plain(stream)), upstream, account, kind).await
        });
        opened.await.map_err(|_| OpenError::Late(endpoint.clone()))?
    }

    async fn log_in(
        mut line: Line<Server>,
        upstream: &Upstream,
        account: &Account,
        kind: Capabilities,
    ) -> Result<Link, OpenError> {
        let (sequence, length) = line.packet(HANDSHAKE_MAX).await?;
        let greeting = Greeting::parse(line.payload(length))?;
        line.consume_packet(length);
        let capabilities = capability::request(kind, greeting.capabilities)?;
        let password: &Password = &account.password;
        let channel = if upstream.tls.is_some() { Channel::Private } else { Channel::Open };
        let mut prover = Prover::new(password, greeting.nonce, default_plugin(&greeting)).over(channel);
        let proof = prover.proof();
        let mut login = Login {
            capabilities,
            max_packet: 1 << 30,
            charset: greeting.charset,
            user: account.user.as_bytes(),
            proof: &proof,
            plugin: Some(prover.plugin().name().as_bytes()),
            ..Login::default()
        };
        let (mut payload, mut next) = (Vec::new(), sequence.wrapping_add(1));
        if let Some(connector) = &upstream.tls {
            let failed = |source| OpenError::Connect { endpoint: upstream.endpoint.clone(), source };
            // What came behind the greeting came before TLS, from whomever.
            if !greeting.capabilities.contains(Capabilities::SSL) || !line.inbound.is_empty() {
                return Err(failed(io::Error::other("it does not encrypt, as it should")));
            }
            login.put_ssl_request(&mut payload);
            next = packet::put(&mut line.outbound, next, &payload);
            line.send().await.map_err(LineError::from)?;
            line = Line::new(line.stream.encrypt(connector, DATABASE_CERTIFICATE).await.map_err(failed)?);
            login.capabilities |= Capabilities::SSL;
            payload.clear();
        }
        login.put(&mut payload);
        next = packet::put(&mut line.outbound, next, &payload);
        loop {
            line.send().await.map_err(LineError::from)?;
            let (sequence, length) = line.packet(HANDSHAKE_MAX).await?;
            let answer = prover.answer(line.payload(length))?;
            line.consume_packet(length);
            next = match answer {
                Next::Send(payload) => packet::put(&mut line.outbound, sequence.wrapping_add(1), &payload),
                Next::Wait => next,
                Next::Done => break,
            };
        }
        let mut quiet = Follower::new(capabilities);
        quiet.track(None);
        Ok(Link { line, capabilities, greeting, quiet })
    }

    /// Appends a command to what is to be sent.
    pub(crate) fn put(&mut self, command: u8, text: &[u8]) {
        let start = self.line.outbound.len();
        // A query has named values then; ours has none, in one set (MySQL, COM_QUERY).
        let named = command == 0x03 && self.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        let values: &[u8] = if named { &[0, 1] } else { &[] };
        let length = (1 + values.len() + text.len()).min(packet::FULL - 1);
        let header = packet::Header { length, sequence: 0 };
        self.line.outbound.extend_from_slice(&header.to_bytes());
        self.line.outbound.push(command);
        self.line.outbound.extend_from_slice(values);
        self.line.outbound.extend_from_slice(text);
        // Our own commands are short; one that is not would break the framing.
        self.line.outbound.truncate(start + packet::HEADER + header.length);
    }

    /// The answer to a command of ours begins with what comes next.
    pub(crate) fn expect(&mut self, reply: Reply) {
        self.quiet.begin(reply, 1, self.capabilities);
    }

    /// Deals with what has come of that answer; whether it has ended.
    pub(crate) fn swallow(&mut self) -> Result<bool, ResponseError> {
        loop {
            let step = self.quiet.step(self.line.inbound.data_mut())?;
            let (used, next) = (step.used(), step.next);
            self.line.inbound.consume(used);
            match next {
                Step::Again => {}
                Step::Read(_) => return Ok(false),
                Step::File => return Err(ResponseError::FileNotAllowed),
                Step::Done => return Ok(true),
            }
        }
    }

    /// What came of it.
    pub(crate) fn outcome(&self) -> &Outcome {
        self.quiet.outcome()
    }

    /// Runs a statement of ours; `row` gets the payload of each row.
    pub(crate) async fn ask(&mut self, sql: &str, mut row: impl FnMut(&[u8])) -> Result<(), OpenError> {
        self.put(0x03, sql.as_bytes());
        self.line.send().await.map_err(LineError::from)?;
        self.expect(Reply::Results { local_infile: false });
        let mut rows = 0;
        loop {
            // Answers to our own questions are short: all of one is held, and looked at packet by packet.
            let (_, length) = self.line.packet(ANSWER_MAX).await?;
            let end = packet::HEADER + length;
            let before = self.line.inbound.data().get(packet::HEADER..end).unwrap_or_default().to_vec();
            let mut at = 0;
            loop {
                let bytes = self.line.inbound.data_mut().get_mut(at..end).unwrap_or_default();
                let step = self.quiet.step(bytes)?;
                at += step.used();
                match step.next {
                    Step::Again => {}
                    Step::Read(_) => break,
                    Step::File => return Err(ResponseError::FileNotAllowed.into()),
                    Step::Done => break,
                }
            }
            self.line.inbound.consume(at);
            if self.quiet.outcome().rows > rows {
                rows += 1;
                row(&before);
            }
            if self.quiet.is_done() {
                return match &self.quiet.outcome().error {
                    Some(error) => Err(OpenError::Refused(error.clone())),
                    None => Ok(()),
                };
            }
        }
    }
}

impl Backend {
    /// Opens a connection for `want`.
    pub(crate) async fn open(
        slot: &Rc<Slot>,
        want: &Want<'_>,
        permit: OwnedSemaphorePermit,
        shared: &Shared,
    ) -> Result<Box<Backend>, OpenError> {
        let epoch = slot.epoch();
        let Some(account) = shared.accounts.get(want.account) else {
            return Err(LineError::Closed.into());
        };
        let link = Link::open(&slot.upstream, account, want.kind, shared.settings.connect).await?;
        Ok(Box::new(Backend {
            link,
            slot: slot.clone(),
            account: want.account,
            kind: want.kind,
            epoch,
            writable: None,
            standing: Standing::Fresh,
            inserted: 0,
            placed: Placements::default(),
            counted: Counted::Nothing,
            _permit: permit,
        }))
    }

    /// Counts it as `counted` from now on.
    pub(crate) fn count(&mut self, counted: Counted) {
        if self.counted == counted {
            return;
        }
        let upstream = &self.slot.upstream;
        let gauge = |counted| match counted {
            Counted::Nothing => None,
            Counted::InFlight => Some(&upstream.in_flight),
            Counted::Pinned => Some(&upstream.pinned),
        };
        if let Some(less) = gauge(self.counted) {
            less.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(more) = gauge(counted) {
            more.fetch_add(1, Ordering::Relaxed);
        }
        self.counted = counted;
    }

    /// Whether nothing has come that nobody asked for, and it has not been closed.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.link.line.inbound.is_empty() && self.link.line.stream.is_quiet()
    }

    /// Whether its session is in `state`.
    pub(crate) fn is_in(&self, state: &Rc<State>) -> bool {
        matches!(&self.standing, Standing::Known(own) if Rc::ptr_eq(own, state))
    }

    /// Whether nothing is to be sent on it any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.epoch != self.slot.epoch() || self.slot.is_retired()
    }

    /// Whether its session is in no schema.
    pub(crate) fn has_no_schema(&self) -> bool {
        match &self.standing {
            Standing::Fresh => true,
            Standing::Known(state) => state.schema().is_empty(),
            Standing::Unknown => false,
        }
    }

    /// What its session is in, to go on from.
    pub(crate) fn origin(&self) -> Origin<'_> {
        match &self.standing {
            Standing::Fresh => Origin::Fresh,
            Standing::Known(state) => Origin::Known(state),
            Standing::Unknown => Origin::Unknown,
        }
    }

    /// Its session begins anew: nothing is prepared.
    pub(crate) fn was_reset(&mut self) {
        self.placed.clear();
        self.inserted = 0;
        self.standing = Standing::Unknown;
    }

    /// What is prepared here of `text` for the statement `number` of the session that has the connection.
    pub(crate) fn placed(&mut self, text: &Rc<Text>, number: u32) -> Option<&mut Placed> {
        self.placed.find(text, number)
    }

    /// `text` was prepared here. What is closed for it goes with the next command.
    pub(crate) fn place(&mut self, text: &Rc<Text>, id: u32) {
        let link = &mut self.link;
        self.placed.place(text, id, |closed| link.put(0x19, &closed.to_le_bytes()));
    }

    /// What [`placed`](Backend::placed) finds is of no more use.
    pub(crate) fn displace(&mut self, text: &Rc<Text>, number: u32) {
        if let Some(closed) = self.placed.remove(text, number) {
            self.link.put(0x19, &closed.to_le_bytes());
        }
    }

    /// Closes what no session needs any more.
    pub(crate) fn tidy(&mut self) {
        let link = &mut self.link;
        self.placed.tidy(|closed| link.put(0x19, &closed.to_le_bytes()));
    }

    /// Whether the server takes writes.
    pub(crate) async fn takes_writes(&mut self) -> Result<bool, OpenError> {
        let mut writes = false;
        self.link.ask("SELECT 1 FROM DUAL WHERE @@global.read_only = 0", |_| writes = true).await?;
        Ok(writes)
    }
}
