//! The parsers as plain functions of bytes, for fuzzing and for properties. Nothing of it is served.

use super::auth::client::{Channel, Next as Answered, Prover};
use super::auth::server::{Verdict as Judged, Verifier};
use super::auth::{Nonce, Password, Plugin};
use super::capability::{Capabilities, Proxy, agree, kind, offer, request};
use super::command::{Command, set_statement};
use super::compress::{Compressed, Method};
use super::follower::Follower;
use super::handshake::{Answer, AuthSwitch, ChangeUser, Greeting};
use super::packet::{Front, HEADER, Header, LIMIT_BEFORE_LOGIN, Passage, Passed, Upload, front};
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

/// What the client gets of a response that arrives in pieces ending at `cuts`, and what came of it. What it
/// gets is itself a response, in the client's dialect, that says the same.
pub fn response(bytes: &[u8], cuts: &[usize], way: Way) -> Verdict {
    let (client, backend) = way.sides();
    let mut follower = Follower::new(client);
    follower.track(way.tracking());
    follower.begin(way.reply(), 1, backend);
    let sent = followed(&mut follower, bytes, cuts)?;
    if follower.is_done() {
        check_answer(&sent, &follower, way);
    }
    let changes = follower.outcome().changes().count();
    Ok(format!("{sent:02x?} {changes} {:?} {}", follower.outcome(), follower.is_done()))
}

fn check_answer(sent: &[u8], told: &Follower, way: Way) {
    let (client, _) = way.sides();
    let mut reader = Follower::new(client);
    reader.track(way.tracking());
    reader.begin(way.reply(), 1, client);
    let again = followed(&mut reader, sent, &[sent.len() / 2]);
    assert_eq!(again.as_deref(), Ok(sent), "what the client gets passes as it is");
    assert!(reader.is_done(), "what the client gets ends");
    let (read, told) = (reader.outcome(), told.outcome());
    assert_eq!((read.rows, read.results, &read.error), (told.rows, told.results, &told.error));
    assert_eq!(
        read.prepared.map(|it| (it.columns, it.parameters)),
        told.prepared.map(|it| (it.columns, it.parameters))
    );
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

/// Packets of a client that arrive in pieces ending at `cuts`: one passes, then a file's. Nothing of them is
/// lost or changed but the sequence numbers.
pub fn packets(bytes: &[u8], cuts: &[usize], shift: u8) -> Verdict {
    let (sent, said) = passed(bytes, cuts, shift)?;
    let mut back = sent.clone();
    let mut at = 0;
    while let Some(header) = back.get(at..).and_then(Header::read) {
        if let Some(place) = back.get_mut(at + HEADER - 1) {
            *place = place.wrapping_sub(shift);
        }
        at += HEADER + header.length;
    }
    assert_eq!(Some(back.as_slice()), bytes.get(..sent.len()), "what passes is what came");
    Ok(format!("{sent:02x?} {said}"))
}

fn passed(bytes: &[u8], cuts: &[usize], shift: u8) -> Result<(Vec<u8>, String), String> {
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
                return Ok((sent, format!("done {}", upload.next_sequence())));
            }
            file = true;
            upload = Upload::new(passage.next_sequence(), shift, 1 << 26);
        }
    }
    Ok((sent, format!("{} {}", passage.length(), upload.next_sequence())))
}

/// What compressed frames hold that arrive in pieces ending at `cuts`. What is compressed is read the same.
pub fn compressed(bytes: &[u8], cuts: &[usize], method: Method) -> Verdict {
    const LIMIT: usize = 1 << 20;
    let new = || Compressed::new(method, LIMIT).map_err(|error| format!("{error:?}"));
    let (mut from, mut to) = (new()?, new()?);
    let (mut wire, mut plain, mut at) = (Vec::new(), Vec::new(), 0);
    from.put(bytes, &mut wire).map_err(|error| format!("{error:?}"))?;
    while at < wire.len() {
        let used = to.take(wire.get(at..).unwrap_or_default(), &mut plain);
        at += used.map_err(|error| format!("{error:?}"))?.max(1);
    }
    assert_eq!(plain, bytes, "what was compressed");
    let (mut reader, mut out, mut held, mut from) = (new()?, Vec::new(), Vec::new(), 0);
    for to in pieces(bytes.len(), cuts) {
        held.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        from = to;
        loop {
            let used = reader.take(&held, &mut out).map_err(|error| format!("{error:?}"))?;
            if used == 0 {
                break;
            }
            held.drain(..used);
        }
    }
    Ok(format!("{out:02x?} {}", held.len()))
}

/// What `bytes` are as records inside TLS: nobody's, as nobody has the keys. What is sealed is what is opened.
pub fn records(bytes: &[u8], cuts: &[usize]) -> Verdict {
    let ends = pieces(bytes.len(), cuts);
    let opened = super::records::opened(bytes, &ends, false).map_err(|error| error.to_string())?;
    assert_eq!(opened, bytes, "what was sealed");
    let opened = super::records::opened(bytes, &ends, true).map_err(|error| error.to_string())?;
    assert_eq!(opened, [0; 0], "what nobody sealed");
    Ok("the front of a record".to_owned())
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
        let again = ChangeUser::parse(&out, client).map_err(|error| format!("{error:?}"))?;
        // Whether a way of authentication is left out or has no name is the same.
        let named = |one: &ChangeUser<'_>| one.plugin.unwrap_or_default().to_vec();
        assert_eq!((again.user, again.proof, again.schema), (change.user, change.proof, change.schema));
        assert_eq!((again.charset, named(&again)), (change.charset, named(&change)));
        assert_eq!(again.attributes, change.attributes);
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
                    assert_eq!((again.max_packet, again.charset), (login.max_packet, login.charset));
                    assert_eq!((again.attributes, again.zstd_level), (login.attributes, login.zstd_level));
                }
                other => assert!(matches!(other, Ok(Answer::Ssl)), "{other:?}"),
            }
            said.push(format!("{login:?}"));
        }
        other => said.push(format!("{other:?}")),
    }
    if let Ok(switch) = AuthSwitch::parse(bytes) {
        let mut out = Vec::new();
        switch.put(&mut out);
        assert_eq!(AuthSwitch::parse(&out).as_ref(), Ok(&switch));
    }
    said.push(format!("{:?} {}", AuthSwitch::parse(bytes), Changes::new(bytes).count()));
    Ok(said.join("\n"))
}

/// A login of either side whose other side sends these packets. Nobody gets in who does not know the
/// password, and nobody on the way gets to see it.
pub fn login(packets: &[&[u8]], plugin: Plugin) -> Verdict {
    const SECRET: &[u8] = b"correct horse battery staple";
    let password = Password::new(SECRET);
    let nonce = Nonce::from_parts(&[7; 20], &[]).ok_or("a nonce")?;
    let mut said = Vec::new();
    for channel in [Channel::Open, Channel::Private] {
        let mut prover = Prover::new(&password, nonce, Some(plugin)).over(channel);
        for packet in packets {
            let next = prover.answer(packet);
            if let (Channel::Open, Ok(Answered::Send(sent))) = (channel, &next) {
                assert!(!sent.windows(SECRET.len()).any(|part| part == SECRET), "the password in the open");
            }
            said.push(
                next.map_or_else(|error| format!("{error:?}"), |next| format!("{next:?}").len().to_string()),
            );
        }
    }
    let mut verifier = Verifier::new(nonce, plugin);
    for way in [None, Some(plugin.name().as_bytes()), Some(&b"another"[..])] {
        for packet in packets {
            let judged = [
                verifier.login(Some(&password), way, packet),
                verifier.answer(Some(&password), packet),
                verifier.change_user(Some(&password), way, packet),
                verifier.login(None, way, packet),
                verifier.answer(None, packet),
            ];
            assert!(!judged.iter().any(|one| matches!(one, Judged::Accepted(_))), "{judged:?}");
        }
    }
    Ok(said.join("\n"))
}

fn pieces(length: usize, cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (length + 1)).chain([length]).collect();
    ends.sort_unstable();
    ends
}
