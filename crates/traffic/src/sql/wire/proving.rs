//! The parsers as plain functions of bytes, for fuzzing and for properties. Nothing of it is served.

use super::capability::{Capabilities, Proxy, agree, kind, offer, request};
use super::command::{Command, set_statement};
use super::follower::Follower;
use super::handshake::{Answer, AuthSwitch, ChangeUser, Greeting};
use super::packet::{Front, LIMIT_BEFORE_LOGIN, Passage, Passed, Upload, front};
use super::response::{Next, Reply};
use super::status::Changes;
use super::tracking::Tracking;

/// What a parser made of some bytes, as text that can be compared.
pub type Verdict = Result<String, String>;

/// How a response is followed: `way` picks the command, and what each side is capable of.
#[derive(Debug, Clone, Copy)]
pub struct Way(pub u16);

impl Way {
    fn reply(self) -> Reply {
        match self.0 % 8 {
            0 => Reply::Results { local_infile: true },
            1 => Reply::Results { local_infile: false },
            2 => Reply::Executed,
            3 => Reply::Prepared { rename: (self.0 & 0x800 != 0).then_some(7) },
            4 => Reply::Rows,
            5 => Reply::Fields,
            6 => Reply::One,
            _ => Reply::Text,
        }
    }

    fn sides(self) -> (Capabilities, Capabilities) {
        let mut backend = Capabilities::PROTOCOL_41;
        backend.set(Capabilities::DEPRECATE_EOF, self.0 & 0x08 != 0);
        backend.set(Capabilities::SESSION_TRACK, self.0 & 0x10 != 0);
        let mut client = backend;
        client.set(Capabilities::DEPRECATE_EOF, self.0 & 0x28 == 0x28);
        client.set(Capabilities::SESSION_TRACK, self.0 & 0x50 == 0x50);
        (client, backend)
    }

    fn tracking(self) -> Option<Tracking> {
        match self.0 & 0x180 {
            0 => Some(Tracking::default()),
            0x80 => Some(Tracking::all()),
            _ => None,
        }
    }
}

/// What the client gets of a response that arrives in pieces ending at `cuts`, and what came of it.
pub fn response(bytes: &[u8], cuts: &[usize], way: Way) -> Verdict {
    let (client, backend) = way.sides();
    let mut follower = Follower::new(client);
    follower.track(way.tracking());
    follower.begin(way.reply(), 1, backend);
    let sent = followed(&mut follower, bytes, cuts)?;
    let changes = follower.outcome().changes().count();
    Ok(format!("{sent:02x?} {changes} {:?} {}", follower.outcome(), follower.is_done()))
}

/// What the client gets of a response that arrives in pieces ending at `cuts`. A file that is asked for is
/// empty.
pub fn followed(follower: &mut Follower, bytes: &[u8], cuts: &[usize]) -> Result<Vec<u8>, String> {
    let (mut held, mut sent, mut from) = (Vec::new(), Vec::new(), 0);
    for to in pieces(bytes.len(), cuts) {
        held.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        from = to;
        loop {
            let step = follower.step(&mut held).map_err(|error| format!("{error:?}"))?;
            let (used, next) = (step.used(), step.next);
            sent.extend_from_slice(held.get(..step.forward).unwrap_or_default());
            sent.extend_from_slice(step.insert);
            held.drain(..used);
            match next {
                Next::Again => {}
                Next::Read(needed) => {
                    assert!(needed > held.len(), "what it waits for is there");
                    break;
                }
                Next::File => {
                    let sequence = follower.next_sequence().wrapping_add(1);
                    follower.uploaded(sequence);
                }
                Next::Done => return Ok(sent),
            }
        }
    }
    Ok(sent)
}

/// Packets of a client that arrive in pieces ending at `cuts`: each passes, then a file's.
pub fn packets(bytes: &[u8], cuts: &[usize], shift: u8) -> Verdict {
    let mut passage = Passage::new(0, shift, 1 << 26);
    let mut upload = Upload::new(1, shift, 1 << 26);
    let (mut held, mut sent, mut from, mut file) = (Vec::new(), Vec::new(), 0, false);
    for to in pieces(bytes.len(), cuts) {
        held.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        from = to;
        loop {
            let passed = if file { upload.advance(&mut held) } else { passage.advance(&mut held) };
            let Passed { bytes, done } = passed.map_err(|error| format!("{error:?}"))?;
            sent.extend(held.drain(..bytes));
            if !done {
                break;
            }
            if file {
                return Ok(format!("{sent:02x?} {}", upload.next_sequence()));
            }
            file = true;
            upload = Upload::new(passage.next_sequence(), shift, 1 << 26);
        }
    }
    Ok(format!("{sent:02x?} {} {}", passage.length(), upload.next_sequence()))
}

/// The command at the front of a buffer. Its front is read like the whole of it.
pub fn command(bytes: &[u8], capabilities: u64) -> Verdict {
    let client = Capabilities::from_bits_truncate(capabilities);
    let payload = match front(bytes, LIMIT_BEFORE_LOGIN).map_err(|error| format!("{error:?}"))? {
        Front::Whole { payload, .. } => payload,
        Front::Begun { payload, .. } => payload,
        Front::Nothing => return Err("nothing".to_owned()),
    };
    let command = Command::parse(payload, client).map_err(|error| format!("{error:?}"))?;
    if let Some(statement) = command.statement() {
        let mut other = payload.to_vec();
        assert!(set_statement(&mut other, !statement));
        let renamed = Command::parse(&other, client).map(|renamed| renamed.statement());
        assert_eq!(renamed, Ok(Some(!statement)));
    }
    if command == Command::ChangeUser {
        let change = ChangeUser::parse(payload, client).map_err(|error| format!("{error:?}"))?;
        let mut out = Vec::new();
        change.put(&mut out, client);
        assert!(ChangeUser::parse(&out, client).is_ok());
    }
    Ok(format!("{command:?} {:?}", command.reply(client)))
}

/// What is said before login. What was read is the same when it is written and read again.
pub fn handshake(bytes: &[u8]) -> Verdict {
    let mut said = Vec::new();
    if let Ok(greeting) = Greeting::parse(bytes) {
        let mut out = Vec::new();
        greeting.put(&mut out);
        let again = Greeting::parse(&out);
        // A server without plugins may leave their name out, or have no capability to say so.
        assert_eq!(again.as_ref(), Ok(&greeting));
        let offered = offer(greeting.capabilities, Proxy { tls: true, compression: true });
        let agreed = agree(offered, greeting.capabilities);
        if let Ok(requested) = request(agreed, greeting.capabilities) {
            assert_eq!(kind(requested), kind(agreed));
        }
        said.push(format!("{greeting:?}"));
    }
    match Answer::parse(bytes) {
        Ok(Answer::Login(login)) => {
            let mut out = Vec::new();
            login.put(&mut out);
            match Answer::parse(&out) {
                Ok(Answer::Login(again)) => {
                    assert_eq!((again.user, again.plugin), (login.user, login.plugin));
                    assert_eq!((again.proof, again.schema), (login.proof, login.schema));
                    assert!(again.attributes.iter().eq(login.attributes.iter()));
                }
                other => assert!(matches!(other, Ok(Answer::Ssl)), "{other:?}"),
            }
            said.push(format!("{login:?}"));
        }
        other => said.push(format!("{other:?}")),
    }
    said.push(format!("{:?} {}", AuthSwitch::parse(bytes), Changes::new(bytes).count()));
    Ok(said.join("\n"))
}

fn pieces(length: usize, cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (length + 1)).chain([length]).collect();
    ends.sort_unstable();
    ends
}
