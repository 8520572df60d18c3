//! Never a panic, never another verdict because the bytes were split, and what a client gets is a response
//! that it can read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::packet;
use stoa_traffic::sql::wire::proving::{Way, response};

fuzz_target!(|input: (u16, bool, [u16; 3], &[u8])| {
    let (way, raw, cuts, bytes) = input;
    let way = Way(way);
    let framed = if raw { bytes.to_vec() } else { framed(bytes) };
    let whole = response(&framed, &[], way);
    assert_eq!(response(&framed, &cuts.map(usize::from), way), whole);
    let every: Vec<usize> = (0..framed.len().min(512)).collect();
    assert_eq!(response(&framed, &every, way), whole);
});

/// Payloads, each behind a byte of length, as packets in order: a fuzzer that has to guess sequence numbers
/// sees little else.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut sequence) = (Vec::new(), 1);
    while let Some((length, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        // A file of the client's takes a number.
        let file = payload.first() == Some(&0xFB);
        sequence = packet::put(&mut out, sequence, payload).wrapping_add(u8::from(file));
        bytes = rest;
    }
    out
}
