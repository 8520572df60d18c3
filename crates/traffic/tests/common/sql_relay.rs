//! A splitter that splits nothing: it logs clients in by itself and hands what they ask to one server, a
//! connection each. For real clients, to see that they are understood.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use stoa_traffic::sql::wire::auth::client::{Channel, Next as AuthNext, Prover};
use stoa_traffic::sql::wire::auth::server::{DENIED, Verdict, Verifier};
use stoa_traffic::sql::wire::auth::{Nonce, Password, Plugin};
use stoa_traffic::sql::wire::capability::{self, Capabilities as C, Proxy};
use stoa_traffic::sql::wire::command::Command;
use stoa_traffic::sql::wire::compress::{Compressed, Method};
use stoa_traffic::sql::wire::follower::Follower;
use stoa_traffic::sql::wire::handshake::{Answer, Greeting, Login};
use stoa_traffic::sql::wire::packet::{self, FULL, Front, HEADER, LIMIT_BEFORE_LOGIN, Passage, Upload};
use stoa_traffic::sql::wire::reply;
use stoa_traffic::sql::wire::response::{Next, Reply};
use stoa_traffic::sql::wire::status::{OkPacket, Status};
use stoa_traffic::sql::wire::stream::{Plain, Socket, Stream};
use stoa_traffic::sql::wire::tls::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// One side's connection and what was read from it and not dealt with.
struct End {
    stream: Stream,
    compressed: Option<Compressed>,
    raw: Vec<u8>,
    held: Vec<u8>,
}

impl End {
    fn new(stream: Stream) -> End {
        End { stream, compressed: None, raw: Vec::new(), held: Vec::new() }
    }

    async fn read(&mut self) -> io::Result<()> {
        let before = self.held.len();
        while self.held.len() == before {
            let Some(compressed) = &mut self.compressed else {
                if self.stream.read_buf(&mut self.held).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let used = compressed.take(&self.raw, &mut self.held).map_err(io::Error::other)?;
            self.raw.drain(..used);
            if used == 0 && self.stream.read_buf(&mut self.raw).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(compressed) = &mut self.compressed {
            let mut out = Vec::new();
            compressed.put(bytes, &mut out).map_err(io::Error::other)?;
            self.stream.write_all(&out).await?;
        } else {
            self.stream.write_all(bytes).await?;
        }
        self.stream.flush().await
    }

    async fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let front = packet::front(&self.held, LIMIT_BEFORE_LOGIN).map_err(io::Error::other)?;
            if let Front::Whole { sequence, payload } = front {
                let payload = payload.to_vec();
                self.held.drain(..HEADER + payload.len());
                return Ok((sequence, payload));
            }
            self.read().await?;
        }
    }

    async fn send(&mut self, sequence: u8, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        packet::put(&mut out, sequence, payload);
        self.write(&out).await
    }
}

/// Where it stands.
pub struct Relay {
    /// The server's socket.
    pub server: PathBuf,
    /// What both clients and server know.
    pub user: &'static str,
    pub password: &'static str,
    /// How clients are greeted.
    pub plugin: Plugin,
}

impl Relay {
    /// Serves clients as long as its runtime lives.
    pub async fn listen(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (relay, tls) = (Arc::new(self), Acceptor::self_signed("localhost").unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (relay, tls) = (relay.clone(), tls.clone());
                tokio::spawn(async move { relay.serve(stream, &tls).await });
            }
        });
        address
    }

    async fn serve(&self, stream: TcpStream, tls: &Acceptor) -> io::Result<()> {
        let server = UnixStream::connect(&self.server).await?;
        let mut server = End::new(Stream::from(Socket::Unix(server)));
        let greeting = Greeting::parse(&server.packet().await?.1).map_err(io::Error::other)?;
        let Some((mut client, agreed)) = self.welcome(stream, tls, &greeting).await? else { return Ok(()) };
        let requested = capability::request(agreed, greeting.capabilities).map_err(io::Error::other)?;
        self.log_in(&mut server, &greeting, requested).await?;
        let mut follower = Follower::new(agreed);
        loop {
            let reply = pass_command(&mut client, &mut server, agreed, &mut follower, requested).await?;
            if reply != Reply::Nothing {
                pass_response(&mut client, &mut server, &mut follower).await?;
            }
        }
    }

    /// Greets a client and lets it in.
    async fn welcome(
        &self,
        stream: TcpStream,
        tls: &Acceptor,
        backend: &Greeting,
    ) -> io::Result<Option<(End, C)>> {
        let nonce = Nonce::random()?;
        let offered = capability::offer(backend.capabilities, Proxy { tls: true, compression: true });
        let ours = Greeting {
            nonce,
            capabilities: offered,
            plugin: self.plugin.name().to_owned(),
            ..backend.clone()
        };
        let mut payload = Vec::new();
        ours.put(&mut payload);
        let mut client = End::new(Stream::from(Socket::Tcp(stream)));
        client.send(0, &payload).await?;
        let (mut sequence, mut answer) = client.packet().await?;
        if Answer::parse(&answer) == Ok(Answer::Ssl) {
            let Stream::Plain(plain) = client.stream else { panic!() };
            let plain: Plain = plain;
            client = End::new(tls.accept(plain, client.held).await?);
            (sequence, answer) = client.packet().await?;
        }
        let mut out = Vec::new();
        let login = match Answer::parse(&answer) {
            Ok(Answer::Login(login)) => login,
            Ok(Answer::Ssl) => return Ok(None),
            Err(error) => {
                error.put(&mut out, sequence.wrapping_add(1));
                client.write(&out).await?;
                return Ok(None);
            }
        };
        let password = Password::new(self.password);
        let known = (login.user == self.user.as_bytes()).then_some(&password);
        let mut verifier = Verifier::new(nonce, self.plugin);
        let mut verdict = verifier.login(known, login.plugin, login.proof);
        loop {
            sequence = sequence.wrapping_add(1);
            match verdict {
                Verdict::Ask(payload) => {
                    client.send(sequence, &payload).await?;
                    let (next, answer) = client.packet().await?;
                    sequence = next;
                    verdict = verifier.answer(known, &answer);
                }
                Verdict::Denied => {
                    reply::error(&mut out, sequence, DENIED.0, DENIED.1, "Access denied");
                    client.write(&out).await?;
                    return Ok(None);
                }
                Verdict::Accepted(first) => {
                    let sequence = first.map_or(sequence, |first| packet::put(&mut out, sequence, first));
                    let agreed = capability::agree(offered, login.capabilities);
                    reply::ok(
                        &mut out,
                        sequence,
                        &OkPacket { status: Status::AUTOCOMMIT, ..OkPacket::default() },
                        agreed,
                    );
                    client.write(&out).await?;
                    if agreed.contains(C::COMPRESS) {
                        client.compressed = Some(Compressed::new(Method::Zlib, FULL).unwrap());
                    }
                    return Ok(Some((client, agreed)));
                }
            }
        }
    }

    async fn log_in(&self, server: &mut End, greeting: &Greeting, requested: C) -> io::Result<()> {
        let password = Password::new(self.password);
        let plugin = Plugin::from_name(greeting.plugin.as_bytes());
        let mut prover = Prover::new(&password, greeting.nonce, plugin).over(Channel::Private);
        let proof = prover.proof();
        let mut payload = Vec::new();
        let login = Login {
            capabilities: requested,
            max_packet: 64 << 20,
            charset: 45,
            user: self.user.as_bytes(),
            proof: &proof,
            plugin: Some(prover.plugin().name().as_bytes()),
            ..Login::default()
        };
        login.put(&mut payload);
        server.send(1, &payload).await?;
        loop {
            let (sequence, payload) = server.packet().await?;
            match prover.answer(&payload).map_err(io::Error::other)? {
                AuthNext::Send(payload) => server.send(sequence.wrapping_add(1), &payload).await?,
                AuthNext::Wait => {}
                AuthNext::Done => return Ok(()),
            }
        }
    }
}

/// One command, as long as it is, without holding it.
async fn pass_command(
    client: &mut End,
    server: &mut End,
    agreed: C,
    follower: &mut Follower,
    requested: C,
) -> io::Result<Reply> {
    while client.held.len() < HEADER + 1 {
        client.read().await?;
    }
    let reply = match packet::front(&client.held, FULL).map_err(io::Error::other)? {
        Front::Whole { payload, .. } | Front::Begun { payload, .. } => {
            // A few bytes may not tell; the ones that matter here are known by their first.
            Command::parse(payload, agreed).map_or(Reply::One, |command| command.reply(agreed))
        }
        Front::Nothing => Reply::One,
    };
    let mut passage = Passage::new(0, 0, 64 << 20);
    loop {
        let passed = passage.advance(&mut client.held).map_err(io::Error::other)?;
        let bytes: Vec<u8> = client.held.drain(..passed.bytes).collect();
        server.write(&bytes).await?;
        if passed.done {
            follower.begin(reply, passage.next_sequence(), requested);
            return Ok(reply);
        }
        client.read().await?;
    }
}

async fn pass_response(client: &mut End, server: &mut End, follower: &mut Follower) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let step = follower.step(&mut server.held).map_err(io::Error::other)?;
        let (forward, used, next) = (step.forward, step.used(), step.next);
        out.extend_from_slice(&server.held[..forward]);
        out.extend_from_slice(step.insert);
        server.held.drain(..used);
        if next == Next::Again {
            continue;
        }
        if !out.is_empty() {
            client.write(&out).await?;
            out.clear();
        }
        match next {
            Next::Done => return Ok(()),
            Next::File => pass_file(client, server, follower).await?,
            _ => server.read().await?,
        }
    }
}

async fn pass_file(client: &mut End, server: &mut End, follower: &mut Follower) -> io::Result<()> {
    let shift = follower.shift();
    let mut upload = Upload::new(follower.next_client_sequence(), 0_u8.wrapping_sub(shift), 64 << 20);
    loop {
        let passed = upload.advance(&mut client.held).map_err(io::Error::other)?;
        let bytes: Vec<u8> = client.held.drain(..passed.bytes).collect();
        server.write(&bytes).await?;
        if passed.done {
            follower.uploaded(upload.next_sequence().wrapping_sub(shift));
            return Ok(());
        }
        client.read().await?;
    }
}
