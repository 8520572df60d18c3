//! A connection to a real server as the splitter would hold it for a client of some dialect: what passes is
//! followed, and what that client would get is kept, followed again as that client, and made again from the
//! server's bytes in other pieces.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::mariadb::Mariadb;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use stoa_traffic::sql::wire::auth::client::{AuthError, Channel, Next as AuthNext, Prover};
use stoa_traffic::sql::wire::auth::{Nonce, Password, Plugin};
use stoa_traffic::sql::wire::capability::{self, Capabilities as C, Proxy};
use stoa_traffic::sql::wire::compress::{Compressed, Method};
use stoa_traffic::sql::wire::follower::Follower;
use stoa_traffic::sql::wire::handshake::{Attributes, ChangeUser, Greeting, Login};
use stoa_traffic::sql::wire::packet::{self, FULL, Front, HEADER, Header, Upload};
use stoa_traffic::sql::wire::proving::followed;
use stoa_traffic::sql::wire::response::{Next, Outcome, Reply, ResponseError};
use stoa_traffic::sql::wire::status::{EofPacket, OkPacket, Status};
use stoa_traffic::sql::wire::tracking::Tracking;

/// What the client speaks; the backend speaks everything but for `Classic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As the backend.
    Modern,
    /// Without session changes.
    Untracked,
    /// With session changes and EOF.
    WithEof,
    /// With EOF, without session changes.
    Plain,
    /// Likewise, and so does the backend: nothing is translated.
    Classic,
}

impl Dialect {
    pub const ALL: [Dialect; 5] =
        [Dialect::Modern, Dialect::Untracked, Dialect::WithEof, Dialect::Plain, Dialect::Classic];

    pub fn lacks(self) -> C {
        match self {
            Dialect::Modern => C::empty(),
            Dialect::Untracked => C::SESSION_TRACK,
            Dialect::WithEof => C::DEPRECATE_EOF,
            Dialect::Plain | Dialect::Classic => C::SESSION_TRACK | C::DEPRECATE_EOF,
        }
    }
}

pub fn query(sql: &str) -> Vec<u8> {
    [b"\x03", sql.as_bytes()].concat()
}

pub fn with_statement(command: u8, statement: u32, rest: &[u8]) -> Vec<u8> {
    [&[command][..], &statement.to_le_bytes(), rest].concat()
}

#[derive(Debug)]
pub struct Peer {
    stream: UnixStream,
    compressed: Option<Compressed>,
    raw: Vec<u8>,
    held: Vec<u8>,
    pub greeting: Greeting,
    client: C,
    backend: C,
    follower: Follower,
    /// What a file that is asked for holds, in packets.
    pub file: Vec<Vec<u8>>,
    /// What the client got last.
    pub sent: Vec<u8>,
    received: Vec<u8>,
}

impl Peer {
    pub fn login(server: &Mariadb, user: &str, password: &str, dialect: Dialect) -> Result<Peer, AuthError> {
        Self::connect(server, user, password, dialect, None)
    }

    pub fn login_compressed(
        server: &Mariadb,
        user: &str,
        password: &str,
        dialect: Dialect,
        method: Method,
    ) -> Result<Peer, AuthError> {
        Self::connect(server, user, password, dialect, Some(method))
    }

    fn connect(
        server: &Mariadb,
        user: &str,
        password: &str,
        dialect: Dialect,
        method: Option<Method>,
    ) -> Result<Peer, AuthError> {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let nonce = Nonce::from_parts(&[1; 20], &[]).unwrap();
        let greeting = Greeting {
            version: String::new(),
            connection: 0,
            nonce,
            capabilities: C::empty(),
            charset: 0,
            status: Status::empty(),
            plugin: String::new(),
        };
        let mut peer = Peer {
            stream,
            compressed: None,
            raw: Vec::new(),
            held: Vec::new(),
            greeting,
            client: C::empty(),
            backend: C::empty(),
            follower: Follower::new(C::empty()),
            file: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
        };
        let (_, payload) = peer.packet();
        peer.greeting = Greeting::parse(&payload)?;
        let mut able = peer.greeting.capabilities;
        let offered = capability::offer(able, Proxy { tls: false, compression: false });
        peer.client = capability::agree(offered, C::all() - dialect.lacks());
        if dialect == Dialect::Classic {
            able.remove(dialect.lacks());
        }
        peer.backend = capability::request(peer.client, able).unwrap() | C::CONNECT_ATTRS;
        if method.is_some() {
            peer.backend |= C::COMPRESS;
        }
        peer.follower = Follower::new(peer.client);
        peer.follower.track(Some(Tracking::default()));
        peer.log_in(user, password)?;
        peer.compressed = method.map(|method| Compressed::new(method, FULL).unwrap());
        Ok(peer)
    }

    fn log_in(&mut self, user: &str, password: &str) -> Result<(), AuthError> {
        let password = Password::new(password);
        let plugin = Plugin::from_name(self.greeting.plugin.as_bytes());
        let mut prover = Prover::new(&password, self.greeting.nonce, plugin).over(Channel::Private);
        let attributes = Attributes::encode(&[("program_name", "stoa")]);
        let login = Login {
            capabilities: self.backend,
            max_packet: 64 << 20,
            charset: 45,
            user: user.as_bytes(),
            proof: &prover.proof(),
            plugin: Some(prover.plugin().name().as_bytes()),
            attributes: Attributes::new(&attributes),
            ..Login::default()
        };
        let mut payload = Vec::new();
        login.put(&mut payload);
        self.send(1, &payload);
        self.prove(&mut prover)
    }

    fn prove(&mut self, prover: &mut Prover<'_>) -> Result<(), AuthError> {
        loop {
            let (sequence, payload) = self.packet();
            match prover.answer(&payload)? {
                AuthNext::Send(payload) => drop(self.send(sequence.wrapping_add(1), &payload)),
                AuthNext::Wait => {}
                AuthNext::Done => return Ok(()),
            }
        }
    }

    pub fn change_user(&mut self, user: &str, password: &str) -> Result<(), AuthError> {
        let password = Password::new(password);
        let mut prover =
            Prover::new(&password, self.greeting.nonce, Some(Plugin::Native)).over(Channel::Private);
        let proof = prover.proof();
        let change = ChangeUser {
            user: user.as_bytes(),
            proof: &proof,
            schema: b"",
            charset: Some(45),
            plugin: Some(prover.plugin().name().as_bytes()),
            attributes: Attributes::default(),
        };
        let mut payload = Vec::new();
        change.put(&mut payload, self.backend);
        self.send(0, &payload);
        self.prove(&mut prover)
    }

    fn send(&mut self, sequence: u8, payload: &[u8]) -> u8 {
        let mut out = Vec::new();
        let next = packet::put(&mut out, sequence, payload);
        self.write(&out);
        next
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.compressed {
            Some(compressed) => {
                let mut out = Vec::new();
                compressed.put(bytes, &mut out).unwrap();
                self.stream.write_all(&out).unwrap();
            }
            None => self.stream.write_all(bytes).unwrap(),
        }
    }

    /// Reads some more into `held`.
    fn read(&mut self) {
        let before = self.held.len();
        while self.held.len() == before {
            let mut piece = vec![0; 1 << 16];
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the server hung up");
            match &mut self.compressed {
                None => self.held.extend_from_slice(&piece[..n]),
                Some(compressed) => {
                    self.raw.extend_from_slice(&piece[..n]);
                    loop {
                        let used = compressed.take(&self.raw, &mut self.held).unwrap();
                        self.raw.drain(..used);
                        if used == 0 {
                            break;
                        }
                    }
                }
            }
        }
        self.received.extend_from_slice(&self.held[before..]);
    }

    fn packet(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Front::Whole { sequence, payload } = packet::front(&self.held, 1 << 20).unwrap() {
                let payload = payload.to_vec();
                self.held.drain(..HEADER + payload.len());
                return (sequence, payload);
            }
            self.read();
        }
    }

    pub fn run(&mut self, payload: &[u8], reply: Reply) -> &Outcome {
        self.try_run(payload, reply).unwrap();
        self.follower.outcome()
    }

    /// Runs a command, and looks at what the client would get.
    pub fn try_run(&mut self, payload: &[u8], reply: Reply) -> Result<(), ResponseError> {
        if let Some(compressed) = &mut self.compressed {
            compressed.restart();
        }
        let sequence = self.send(0, payload);
        self.sent.clear();
        self.received.clear();
        self.follower.begin(reply, sequence, self.backend);
        let mut asked = false;
        let mut at = 0;
        loop {
            let step = self.follower.step(&mut self.held[at..])?;
            let (forward, used, next) = (step.forward, step.used(), step.next);
            self.sent.extend_from_slice(&self.held[at..at + forward]);
            self.sent.extend_from_slice(step.insert);
            at += used;
            match next {
                Next::Again => {}
                Next::Read(_) => {
                    self.held.drain(..at);
                    at = 0;
                    self.read();
                }
                Next::File => {
                    asked = true;
                    self.upload();
                }
                Next::Done => break,
            }
        }
        assert_eq!(at, self.held.len(), "nothing is left over");
        self.held.clear();
        if !asked && reply != Reply::Nothing {
            self.again(reply, sequence);
        }
        Ok(())
    }

    /// The file as the client would send it, its sequence numbers shifted to the server's.
    fn upload(&mut self) {
        let shift = self.follower.shift();
        let mut sequence = self.follower.next_client_sequence();
        let first = sequence;
        let mut bytes = Vec::new();
        for packet in self.file.iter().map(Vec::as_slice).chain([&b""[..]]) {
            sequence = packet::put(&mut bytes, sequence, packet);
        }
        let mut upload = Upload::new(first, 0_u8.wrapping_sub(shift), 1 << 26);
        let passed = upload.advance(&mut bytes).unwrap();
        assert_eq!((passed.bytes, passed.done), (bytes.len(), true));
        self.write(&bytes);
        self.follower.uploaded(upload.next_sequence().wrapping_sub(shift));
    }

    fn again(&mut self, reply: Reply, sequence: u8) {
        let outcome = self.follower.outcome();
        // As the client: the same end, and nothing out of order. Numbers in compression are the server's.
        let mut client = Follower::new(self.client);
        client.track(None);
        client.begin(reply, sequence, self.client);
        let seen = followed(&mut client, &self.sent, &[]).unwrap();
        assert!(client.is_done());
        if !matches!(reply, Reply::Prepared { rename: Some(_) }) {
            assert!(seen == self.sent, "the client's own view needs no translation");
        }
        let view = client.outcome();
        assert_eq!((view.rows, view.results, &view.error), (outcome.rows, outcome.results, &outcome.error));
        // An error carries none.
        if view.error.is_none() {
            let [told, meant] =
                [view.status, outcome.status].map(|status| status | Status::SESSION_STATE_CHANGED);
            assert_eq!(told, meant);
        }
        // In other pieces: the same bytes for the client.
        let length = self.received.len();
        let cuts: Vec<usize> =
            if length < 3000 { (0..length).collect() } else { vec![length / 3, length / 2, length - 2] };
        if length < 2 << 20 {
            let mut follower = Follower::new(self.client);
            follower.begin(reply, sequence, self.backend);
            // The status that stood before is the session's.
            let sent = followed(&mut follower, &self.received, &cuts).unwrap();
            assert_eq!(sent.len(), self.sent.len());
        }
    }

    /// The status flags of all EOF packets (or what stands for them) that the client got last.
    pub fn statuses(&self) -> Vec<Status> {
        let (mut rest, mut found) = (&self.sent[..], Vec::new());
        while let Some(header) = Header::read(rest) {
            let payload = &rest[HEADER..HEADER + header.length];
            rest = &rest[HEADER + header.length..];
            if payload.first() == Some(&0xFE) && header.length < 100 {
                found.push(match self.client.contains(C::DEPRECATE_EOF) {
                    true => OkPacket::parse(payload, self.client).unwrap().status,
                    false => EofPacket::parse(payload).unwrap().status,
                });
            }
        }
        found
    }

    /// What the client got last, without flags in EOF packets that tell how a query went.
    pub fn sent_without_what_is_known_late(&self) -> Vec<u8> {
        let late = Status::NO_INDEX_USED
            | Status::NO_GOOD_INDEX_USED
            | Status::QUERY_WAS_SLOW
            | Status::MORE_RESULTS;
        let (mut sent, mut at) = (self.sent.clone(), 0);
        while let Some(header) = Header::read(&sent[at..]) {
            let payload = &mut sent[at + HEADER..at + HEADER + header.length];
            at += HEADER + header.length;
            if let [0xFE, _, _, low, high] = payload {
                let status = Status::from_bits_retain(u16::from_le_bytes([*low, *high])) - late;
                [*low, *high] = status.bits().to_le_bytes();
            }
        }
        sent
    }
}
