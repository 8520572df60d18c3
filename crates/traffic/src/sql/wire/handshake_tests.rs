use super::super::auth::client::{Channel, Next, Prover};
use super::super::auth::server::{Verdict, Verifier};
use super::super::auth::{Password, native, sha2};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

#[test]
fn a_greeting_is_read_and_written() {
    // MySQL 5.5.2 and 5.6.4, as the protocol's documentation prints them.
    let old = hex(
        "0a 35 2e 35 2e 32 2d 6d 32 00 0b 00 00 00 64 76 48 40 49 2d 43 4a 00 ff f7 08 02 00 00 00 00 00 00 00 00
         00 00 00 00 00 00 2a 34 64 7c 63 5a 77 6b 34 5e 5d 3a 00",
    );
    let new = hex(
        "0a 35 2e 36 2e 34 2d 6d 37 2d 6c 6f 67 00 56 0a 00 00 52 42 33 76 7a 26 47 72 00 ff ff 08 02 00 0f c0 15
         00 00 00 00 00 00 00 00 00 00 2b 79 44 26 2f 5a 5a 33 30 35 5a 47 00 6d 79 73 71 6c 5f 6e 61 74 69 76 65
         5f 70 61 73 73 77 6f 72 64 00",
    );
    let greeting = Greeting::parse(&new).unwrap();
    assert_eq!((greeting.version.as_str(), greeting.connection), ("5.6.4-m7-log", 2646));
    assert_eq!(greeting.nonce.bytes(), b"RB3vz&Gr+yD&/ZZ305ZG");
    assert_eq!(greeting.plugin, "mysql_native_password");
    assert_eq!(greeting.capabilities, Capabilities::from_parts(0xC00F_FFFF, 0));
    let mut out = Vec::new();
    greeting.put(&mut out);
    assert_eq!(out, new);
    let greeting = Greeting::parse(&old).unwrap();
    assert_eq!((greeting.version.as_str(), greeting.plugin.as_str()), ("5.5.2-m2", ""));
    for cut in 0..old.len() - 1 {
        assert!(Greeting::parse(&old[..cut]).is_err(), "cut at {cut}");
    }
    let full = b"\xFF\x10\x04Too many connections";
    assert!(matches!(Greeting::parse(full), Err(HandshakeError::Refused(error)) if error.code == 1040));
    assert_eq!(Greeting::parse(&[9]), Err(HandshakeError::Version(9)));
}

#[test]
fn a_login_is_read_and_written() {
    // MySQL 5.6.6 with attributes, as the protocol's documentation prints it.
    let payload = hex(
        "85 a2 1e 00 00 00 00 40 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 72 6f 6f
         74 00 14 22 50 79 a2 12 d4 e8 82 e5 b3 f4 1a 97 75 6b c8 be db 9f 80 6d 79 73 71 6c 5f 6e 61 74 69 76 65
         5f 70 61 73 73 77 6f 72 64 00 61 03 5f 6f 73 09 64 65 62 69 61 6e 36 2e 30 0c 5f 63 6c 69 65 6e 74 5f 6e
         61 6d 65 08 6c 69 62 6d 79 73 71 6c 04 5f 70 69 64 05 32 32 33 34 34 0f 5f 63 6c 69 65 6e 74 5f 76 65 72
         73 69 6f 6e 08 35 2e 36 2e 36 2d 6d 39 09 5f 70 6c 61 74 66 6f 72 6d 06 78 38 36 5f 36 34 03 66 6f 6f 03
         62 61 72",
    );
    let Ok(Answer::Login(login)) = Answer::parse(&payload) else { panic!() };
    assert_eq!((login.user, login.proof.len(), login.schema), (&b"root"[..], 20, None));
    assert_eq!(login.plugin, Some(&b"mysql_native_password"[..]));
    assert_eq!(login.attributes.iter().last(), Some((&b"foo"[..], &b"bar"[..])));
    assert_eq!(login.attributes.iter().count(), 6);
    assert!(!format!("{login:?}").contains("34, 80"), "the proof is not shown");
    let mut out = Vec::new();
    login.put(&mut out);
    assert_eq!(out, payload);
    out.clear();
    login.put_ssl_request(&mut out);
    assert_eq!(Answer::parse(&out), Ok(Answer::Ssl));
}

#[test]
fn what_is_no_login_is_refused_with_a_word() {
    let old = hex("85 24 00 00 00 6f 6c 64 00 47 44 53 43 51 59 52 5f");
    let cases = [
        ("a client of 3.23", &old[..], 1251),
        ("an HTTP request", b"GET / HTTP/1.1\r\n\r\n", 1251),
        ("nothing", b"", 1043),
        ("a login cut short", &hex("05 a2 00 00 00 00 00 40 08 00")[..], 1043),
    ];
    for (name, payload, code) in cases {
        let error = Answer::parse(payload).unwrap_err();
        let mut out = Vec::new();
        error.put(&mut out, 1);
        let said = ErrPacket::parse(&out[4..]).unwrap();
        assert_eq!(said.code, code, "{name}: {error}");
    }
}

#[test]
fn a_change_of_user_is_read_and_written() {
    let client = Capabilities::all();
    let attributes = Attributes::encode(&[("a", "b")]);
    let change = ChangeUser {
        user: b"u",
        proof: b"12345678901234567890",
        schema: b"shop",
        charset: Some(45),
        plugin: Some(b"mysql_native_password"),
        attributes: Attributes::new(&attributes),
    };
    let mut out = Vec::new();
    change.put(&mut out, client);
    assert!(ChangeUser::parse(&out, client) == Ok(change));
    let short = ChangeUser::parse(b"\x11u\0\0shop\0", client).unwrap();
    assert_eq!((short.user, short.schema, short.charset), (&b"u"[..], &b"shop"[..], None));
    assert!(ChangeUser::parse(b"\x11u\0\x14", client).is_err());
}

/// Both sides log in with each other; answers whether the server was satisfied, and how often they spoke.
fn agree(server: Plugin, asked: Option<&str>, known: &str, given: &str) -> (bool, usize) {
    let nonce = Nonce::random().unwrap();
    let (known, given) = (Password::new(known), Password::new(given));
    let mut verifier = Verifier::new(nonce, server);
    let mut prover = Prover::new(&given, nonce, Some(server)).over(Channel::Private);
    let name = asked.unwrap_or(prover.plugin().name());
    let mut verdict = verifier.login(Some(&known), Some(name.as_bytes()), &prover.proof());
    let mut rounds = 1;
    loop {
        match verdict {
            Verdict::Denied => return (false, rounds),
            Verdict::Accepted(first) => {
                let waits = first.is_none_or(|first| prover.answer(first) == Ok(Next::Wait));
                return (waits && prover.answer(&[0, 0, 0, 2, 0, 0, 0]) == Ok(Next::Done), rounds);
            }
            Verdict::Ask(payload) => {
                let Ok(Next::Send(proof)) = prover.answer(&payload) else { panic!() };
                verdict = verifier.answer(Some(&known), &proof);
                rounds += 1;
            }
        }
    }
}

#[test]
fn both_sides_of_every_way_understand_each_other() {
    for server in [Plugin::Native, Plugin::CachingSha2] {
        for (known, given) in [("pa ss", "pa ss"), ("", ""), ("pa ss", ""), ("", "pa ss"), ("pa ss", "Pa ss")]
        {
            assert_eq!(agree(server, None, known, given), (known == given, 1), "{server:?} {known} {given}");
            for (asked, plugin) in [
                ("client_ed25519", true),
                ("dialog", true),
                ("mysql_native_password", false),
                ("caching_sha2_password", false),
            ] {
                let (agreed, rounds) = agree(server, Some(asked), known, given);
                assert_eq!(agreed, known == given, "{server:?} asked for {asked}: {known} {given}");
                assert_eq!(rounds, if plugin || asked != server.name() { 2 } else { 1 });
            }
        }
    }
    let unknown = Verifier::new(Nonce::random().unwrap(), Plugin::Native).login(None, None, &[]);
    assert_eq!(unknown, Verdict::Denied);
}

#[test]
fn proofs_are_the_ones_of_the_servers() {
    let nonce = Nonce::from_parts(b"eF!@34gH", b"%^78KLmn9?aB").unwrap();
    let password = Password::new("secret");
    assert_eq!(format!("{password:?}"), "***");
    // SHA1(p) ^ SHA1(n . SHA1(SHA1(p))) and SHA256(p) ^ SHA256(SHA256(SHA256(p)) . n), by another program.
    assert_eq!(native::proof(&password, &nonce), hex("d3e1ec08555f677973d5fffec10509c4c06979d8"));
    assert_eq!(
        sha2::proof(&password, &nonce),
        hex("d4022c6c1ffaf9e2fae44c5c8ee2200b50b6f8b2d6f7e89fe19236535338054a")
    );
}
