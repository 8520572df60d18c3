//! The parsers: never a panic, and never another verdict because bytes were split elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use stoa_traffic::http::proving::{chunked_body, request_head, response_head};

const REQUESTS: [&str; 5] = [
    "GET /a?b=c HTTP/1.1\r\nHost: www.example:80\r\nConnection: keep-alive, X\r\nX: y\r\nAccept: text/html\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
    "PUT http://a.example/x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "\r\nOPTIONS * HTTP/1.0\r\nX-Forwarded-For: 1\r\nForwarded: for=x\r\n\r\n",
];

const RESPONSES: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 404\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
    "HTTP/1.0 304 Not Modified\r\nETag: \"x\"\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
];

const BODIES: [&str; 3] = [
    "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "0\r\nX-Sum: 1\r\nY: z\r\n\r\n",
    "00a\r\n0123456789\r\n1\r\n\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
];

type Parser = fn(&[u8], &[usize]) -> Result<String, String>;

fn parsers() -> [(Parser, Vec<&'static str>); 4] {
    [
        (request_head, REQUESTS.to_vec()),
        (|bytes, cuts| response_head(bytes, cuts, false), RESPONSES.to_vec()),
        (|bytes, cuts| response_head(bytes, cuts, true), RESPONSES.to_vec()),
        (chunked_body, BODIES.to_vec()),
    ]
}

/// Bytes that are often nearly right.
fn nearly(seeds: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![any::<u8>(), prop::sample::select(b"\r\n\t :;,0159afAF\0\x7f\xff-+*/#?%[]\"".to_vec())];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, byte), 0..6);
    (prop::sample::select(seeds), edits).prop_map(|(seed, edits)| {
        let mut bytes = seed.as_bytes().to_vec();
        for (place, kind, byte) in edits {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(bytes.len() / 2)),
            }
        }
        bytes
    })
}

fn same(parser: Parser, bytes: &[u8], cuts: &[usize]) {
    let whole = parser(bytes, &[]);
    let split = parser(bytes, cuts);
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(split, whole, "{:?} at {cuts:?}", String::from_utf8_lossy(bytes));
    assert_eq!(parser(bytes, &every), whole, "{:?} byte by byte", String::from_utf8_lossy(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_split_anywhere(bytes in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        for (parser, _) in parsers() {
            same(parser, &bytes, &cuts);
        }
    }

    #[test]
    fn nearly_requests(bytes in nearly(REQUESTS.to_vec()), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        same(parsers()[0].0, &bytes, &cuts);
    }

    #[test]
    fn nearly_responses(bytes in nearly(RESPONSES.to_vec()), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        same(parsers()[1].0, &bytes, &cuts);
        same(parsers()[2].0, &bytes, &cuts);
    }

    #[test]
    fn nearly_bodies(bytes in nearly(BODIES.to_vec()), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        same(parsers()[3].0, &bytes, &cuts);
    }
}

/// The same on a stable toolchain that a fuzzer does on nightly, without its guidance: a fixed sequence of
/// mutations of everything above, so that a failure comes back.
#[test]
fn twenty_thousand_mutations() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for (parser, seeds) in parsers() {
        let alphabet: Vec<u8> = seeds.concat().into_bytes();
        for _ in 0..5000 {
            let mut bytes = seeds[next(seeds.len())].as_bytes().to_vec();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                match next(5) {
                    0 => bytes[at] = next(256) as u8,
                    1 => bytes.insert(at, alphabet[next(alphabet.len())]),
                    2 => drop(bytes.drain(at..(at + next(8)).min(bytes.len()))),
                    3 => bytes.extend_from_within(at..),
                    _ => bytes[at] ^= 1 << next(8),
                }
                if bytes.is_empty() {
                    bytes.push(b'\n');
                }
            }
            let cuts = [next(bytes.len()), next(bytes.len())];
            let whole = parser(&bytes, &[]);
            assert_eq!(parser(&bytes, &cuts), whole, "{:?} at {cuts:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Whatever is accepted leaves in a form that is accepted again and means the same.
#[test]
fn what_is_written_is_read_the_same() {
    for request in REQUESTS {
        let first = request_head(request.as_bytes(), &[]).unwrap();
        let written = &first[first.find("} ").map_or(0, |at| at + 2)..];
        assert!(request_head(written.as_bytes(), &[]).is_ok(), "{written}");
    }
}
