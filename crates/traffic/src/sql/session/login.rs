//! The beginning of a session: greeting, login, the schema it begins in; and a change of user later on.

use super::exchange::Fault;
use super::exchange::Progress;
use super::perform::Work;
use super::station::Target;
use super::{Over, Session};
use crate::sql::classify::classify;
use crate::sql::client::Client;
use crate::sql::identity::Identity;
use crate::sql::lexer::Dialect;
use crate::sql::line::Line;
use crate::sql::roll::Member;
use crate::sql::state::State;
use crate::sql::wire::auth::server::{DENIED, Verdict, Verifier};
use crate::sql::wire::auth::{Nonce, Password, Plugin};
use crate::sql::wire::capability::{self, Capabilities};
use crate::sql::wire::compress::Method;
use crate::sql::wire::handshake::{Answer, ChangeUser, Greeting};
use crate::sql::wire::packet::{self, LIMIT_BEFORE_LOGIN};
use crate::sql::wire::reply;
use crate::sql::wire::response::Reply;
use crate::sql::wire::status::{OkPacket, Status};
use crate::sql::worker::Worker;
use crate::stream::Stream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// How the splitter asks for passwords: as its servers do.
fn plugin(identity: &Identity) -> Plugin {
    if identity.is_mysql() { Plugin::CachingSha2 } else { Plugin::Native }
}

/// What a login said.
struct Asked {
    capabilities: Capabilities,
    zstd_level: u8,
    collation: u16,
    user: Vec<u8>,
    /// It came with a password.
    password: bool,
    schema: Vec<u8>,
}

/// Greets a client and logs it in.
pub(super) async fn greet(stream: Stream, worker: Rc<Worker>, member: Member) -> Result<Box<Session>, Over> {
    let span = worker.shared.settings.login;
    let mut line = Line::new(Client::Plain(stream));
    match tokio::time::timeout(span, log_in(&mut line, &worker, member.id)).await {
        Ok(Ok((asked, verifier, account, sequence))) => {
            let mut session = begin(line, worker, member, &asked, verifier, account).await?;
            session.open_schema(sequence).await?;
            let method = if asked.capabilities.contains(Capabilities::ZSTD) {
                Some(Method::Zstd { level: asked.zstd_level })
            } else {
                asked.capabilities.contains(Capabilities::COMPRESS).then_some(Method::Zlib)
            };
            if let Some(method) = method {
                session.line.stream.compress(method).map_err(|_| Over)?;
            }
            Ok(session)
        }
        Ok(Err(over)) => Err(over),
        Err(_) => Err(Over),
    }
}

/// What the servers say of themselves; waited for, where none has been asked yet.
async fn identity(worker: &Worker) -> Result<&Identity, Over> {
    let mut news = worker.shared.news.subscribe();
    loop {
        if let Some(identity) = worker.shared.identity.get() {
            return Ok(identity);
        }
        news.changed().await.map_err(|_| Over)?;
    }
}

async fn log_in(
    line: &mut Line<Client>,
    worker: &Worker,
    id: u32,
) -> Result<(Asked, Verifier, usize, u8), Over> {
    let identity = identity(worker).await?;
    let nonce = Nonce::random()?;
    let offered = capability::offer(identity.capabilities, worker.shared.proxy());
    let mut payload = Vec::new();
    Greeting {
        version: identity.version.clone(),
        connection: id,
        nonce,
        capabilities: offered,
        charset: identity.collation,
        status: Status::AUTOCOMMIT,
        plugin: plugin(identity).name().to_owned(),
    }
    .put(&mut payload);
    packet::put(&mut line.outbound, 0, &payload);
    line.send().await?;
    let (mut sequence, mut length) = line.packet(LIMIT_BEFORE_LOGIN).await?;
    if let Ok(Answer::Ssl) = Answer::parse(line.payload(length)) {
        let Some(acceptor) = &worker.shared.tls.acceptor else { return Err(Over) };
        line.consume_packet(length);
        let read = line.inbound.data().to_vec();
        line.inbound.clear();
        line.stream.encrypt(acceptor, read).await?;
        (sequence, length) = line.packet(LIMIT_BEFORE_LOGIN).await?;
    }
    let plugin = plugin(identity);
    let mut verifier = Verifier::new(nonce, plugin);
    let (asked, verdict) = match Answer::parse(line.payload(length)) {
        Ok(Answer::Login(login)) => {
            let account = find(worker, login.user);
            let password = account.and_then(|at| password(worker, at));
            let verdict = verifier.login(password, login.plugin, login.proof);
            let asked = Asked {
                password: !login.proof.is_empty(),
                capabilities: capability::agree(offered, login.capabilities),
                zstd_level: login.zstd_level,
                collation: login.charset.into(),
                user: login.user.to_vec(),
                schema: login.schema.unwrap_or_default().to_vec(),
            };
            (asked, verdict)
        }
        // Once is enough.
        Ok(Answer::Ssl) => return Err(Over),
        Err(error) => {
            error.put(&mut line.outbound, sequence.wrapping_add(1));
            line.send().await?;
            return Err(Over);
        }
    };
    line.consume_packet(length);
    let (account, sequence) = prove(line, worker, &asked, &mut verifier, verdict, sequence).await?;
    Ok((asked, verifier, account, sequence))
}

fn find(worker: &Worker, user: &[u8]) -> Option<usize> {
    worker.shared.accounts.iter().position(|account| account.user.as_bytes() == user)
}

fn password(worker: &Worker, account: usize) -> Option<&Password> {
    worker.shared.accounts.get(account).map(|account| &account.password)
}

/// Goes on until the client has proven who it is, or has not. Answers the account, and the sequence number of
/// the client's last packet.
async fn prove(
    line: &mut Line<Client>,
    worker: &Worker,
    asked: &Asked,
    verifier: &mut Verifier,
    mut verdict: Verdict,
    mut sequence: u8,
) -> Result<(usize, u8), Over> {
    let user = &asked.user[..];
    let mut with_password = asked.password;
    loop {
        match verdict {
            Verdict::Accepted(extra) => {
                if let Some(extra) = extra {
                    sequence =
                        packet::put(&mut line.outbound, sequence.wrapping_add(1), extra).wrapping_sub(1);
                }
                return find(worker, user).map(|account| (account, sequence)).ok_or(Over);
            }
            Verdict::Denied => {
                let message = format!(
                    "Access denied for user '{}'@'{}' (using password: {})",
                    String::from_utf8_lossy(user),
                    line.stream.host(),
                    if with_password { "YES" } else { "NO" }
                );
                reply::error(&mut line.outbound, sequence.wrapping_add(1), DENIED.0, DENIED.1, &message);
                line.send().await?;
                return Err(Over);
            }
            Verdict::Ask(payload) => {
                packet::put(&mut line.outbound, sequence.wrapping_add(1), &payload);
                line.send().await?;
                let (answered, length) = line.packet(LIMIT_BEFORE_LOGIN).await?;
                let password = find(worker, user).and_then(|at| password(worker, at));
                // An empty one is sent as nothing, or as the zero at its end.
                with_password |= length > 1;
                verdict = verifier.answer(password, line.payload(length));
                line.consume_packet(length);
                sequence = answered;
            }
        }
    }
}

async fn begin(
    line: Line<Client>,
    worker: Rc<Worker>,
    member: Member,
    asked: &Asked,
    verifier: Verifier,
    account: usize,
) -> Result<Box<Session>, Over> {
    let begins_in = first_state(identity(&worker).await?, asked);
    // Boxed: what is handed from one future to the next takes its space in both.
    Ok(Box::new(Session::new(worker, member, line, account, (asked.capabilities, verifier), begins_in)))
}

fn first_state(identity: &Identity, asked: &Asked) -> (State, Dialect) {
    let state = State::new(&asked.schema, identity.names(asked.collation).as_bytes());
    let mut dialect = identity.dialect(asked.collation);
    dialect.in_system_schema = crate::sql::classify::is_system_schema(&asked.schema);
    (state, dialect)
}

impl Session {
    /// Has a server say whether the session's schema is there, where this is not known, and answers the login.
    async fn open_schema(&mut self, sequence: u8) -> Result<(), Over> {
        let schema = self.state.schema();
        if !schema.is_empty() && !self.worker.knows_schema(self.account, schema) {
            match self.try_state().await {
                Ok(()) => self.worker.learn_schema(self.account, self.state.schema()),
                Err(Some(Fault::Refused(error))) => {
                    self.refuse(sequence.wrapping_add(1), error.code, &error.sqlstate, &error.message)
                        .await?;
                    return Err(Over);
                }
                Err(_) => {
                    let message = "Stoa: no database server can be reached";
                    self.refuse(sequence.wrapping_add(1), 1040, b"08004", message).await?;
                    return Err(Over);
                }
            }
        }
        let packet = OkPacket { status: self.status, ..OkPacket::default() };
        reply::ok(&mut self.line.outbound, sequence.wrapping_add(1), &packet, self.capabilities);
        Ok(self.line.send().await?)
    }

    /// Brings a connection into the session's state.
    async fn try_state(&mut self) -> Result<(), Option<Fault>> {
        let verdict = classify(b"SELECT 1", &self.dialect);
        let work = Work {
            verdict,
            digest: None,
            reply: Reply::One,
            length: 0,
            text: (0, 0),
            statement: None,
            since: Instant::now(),
        };
        let mut target = self.target(&work, true);
        for _ in 0..2 {
            let last = matches!(target, Target::Primary);
            match self.station(&work, target).await {
                Ok(()) => {
                    let done = match self.compose(&work) {
                        Ok(()) => self.exchange(None, 1, true, &mut Progress::default(), None).await,
                        Err(fault) => Err(fault),
                    };
                    match done {
                        Ok(_) => {
                            self.leave();
                            return Ok(());
                        }
                        // A replica may not have the schema yet that somebody has just created.
                        Err(fault @ Fault::Refused(_)) if last => {
                            self.held = None;
                            return Err(Some(fault));
                        }
                        Err(_) => self.held = None,
                    }
                }
                Err(no) => tracing::debug!(%no, "a login waits for a server"),
            }
            target = Target::Primary;
        }
        Err(None)
    }
}

/// `COM_CHANGE_USER`: another user, and everything as after its login.
pub(super) async fn change_user(session: &mut Session, length: usize) -> Result<(), Over> {
    let payload = session.line.payload(length);
    let Ok(change) = ChangeUser::parse(payload, session.capabilities) else {
        session.refuse(1, 1047, b"08S01", "Unknown command").await?;
        return Err(Over);
    };
    let worker = session.worker.clone();
    let shared: Arc<_> = worker.shared.clone();
    let Some(identity) = shared.identity.get() else { return Err(Over) };
    let asked = Asked {
        capabilities: session.capabilities,
        zstd_level: 0,
        password: !change.proof.is_empty(),
        collation: change.charset.unwrap_or(identity.collation.into()),
        user: change.user.to_vec(),
        schema: change.schema.to_vec(),
    };
    let known = find(&worker, change.user).and_then(|at| password(&worker, at));
    let verdict = session.verifier.change_user(known, change.plugin, change.proof);
    session.consume(length);
    let Session { line, verifier, .. } = session;
    let (account, sequence) = prove(line, &worker, &asked, verifier, verdict, 0).await?;
    let (state, dialect) = first_state(identity, &asked);
    session.initial = worker.intern(state);
    session.initial_dialect = dialect;
    session.begin_anew();
    session.account = account;
    session.member.is(account);
    session.homes = [None, None];
    session.open_schema(sequence).await
}
