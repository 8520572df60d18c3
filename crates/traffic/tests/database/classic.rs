//! A client of the protocol's oldest dialect.

use super::{DEADLINE, PASSWORD, Splitter, USER};
use std::io::{Read, Write};
use std::net::TcpStream;
use stoa_traffic::sql::role::Password;
use stoa_traffic::sql::wire::auth::Plugin;
use stoa_traffic::sql::wire::auth::client::{Channel, Next, Prover};
use stoa_traffic::sql::wire::capability::Capabilities as C;
use stoa_traffic::sql::wire::handshake::{Greeting, Login};
use stoa_traffic::sql::wire::packet::{self, FULL, Front};

/// A client of the oldest dialect: EOF packets, and no session changes. What PHP speaks.
#[derive(Debug)]
pub struct Classic {
    pub stream: TcpStream,
    held: Vec<u8>,
    /// The id it was greeted with.
    pub id: u32,
}

impl Classic {
    pub fn log_in(splitter: &Splitter) -> Classic {
        Classic::log_in_with(splitter, C::empty())
    }

    /// One that can do more.
    pub fn log_in_with(splitter: &Splitter, more: C) -> Classic {
        let stream = TcpStream::connect(splitter.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Classic { stream, held: Vec::new(), id: 0 };
        let (_, greeting) = client.packet();
        let greeting = Greeting::parse(&greeting).unwrap();
        client.id = greeting.connection;
        let password = Password::new(PASSWORD);
        let plugin = Plugin::from_name(greeting.plugin.as_bytes());
        let mut prover = Prover::new(&password, greeting.nonce, plugin).over(Channel::Private);
        let proof = prover.proof();
        let login = Login {
            capabilities: C::PROTOCOL_41 | C::SECURE_CONNECTION | C::PLUGIN_AUTH | C::CONNECT_WITH_DB | more,
            max_packet: 64 << 20,
            charset: 45,
            user: USER.as_bytes(),
            proof: &proof,
            schema: Some(b"shop"),
            plugin: Some(prover.plugin().name().as_bytes()),
            ..Login::default()
        };
        let mut payload = Vec::new();
        login.put(&mut payload);
        client.send(1, &payload);
        loop {
            let (sequence, payload) = client.packet();
            match prover.answer(&payload).unwrap() {
                Next::Send(payload) => client.send(sequence.wrapping_add(1), &payload),
                Next::Wait => {}
                Next::Done => return client,
            }
        }
    }

    pub fn send(&mut self, sequence: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        packet::put(&mut bytes, sequence, payload);
        self.stream.write_all(&bytes).unwrap();
    }

    pub fn packet(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Front::Whole { sequence, payload } = packet::front(&self.held, FULL).unwrap() {
                let found = (sequence, payload.to_vec());
                self.held.drain(..packet::HEADER + found.1.len());
                return found;
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the splitter closed the connection");
            self.held.extend_from_slice(&bytes[..read]);
        }
    }

    /// Sends a command and reads packets up to the `ends`th EOF, OK or ERR.
    pub fn run(&mut self, command: &[u8], ends: usize) -> Vec<Vec<u8>> {
        self.send(0, command);
        let mut packets: Vec<Vec<u8>> = Vec::new();
        while packets.iter().enumerate().filter(|(at, packet)| is_end(*at, packet)).count() < ends {
            let (sequence, payload) = self.packet();
            assert_eq!(sequence, (packets.len() + 1) as u8, "out of order");
            packets.push(payload);
        }
        packets
    }
}

fn is_end(at: usize, packet: &[u8]) -> bool {
    packet[0] == 0xFF
        || packet[0] == 0xFE && packet.len() < 9
        || packet[0] == 0 && at == 0 && packet.len() > 5
}
