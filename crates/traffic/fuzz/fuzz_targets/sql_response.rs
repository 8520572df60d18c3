//! Never a panic, and never another verdict because the bytes were split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::proving::{Way, response};

fuzz_target!(|input: (u16, usize, usize, &[u8])| {
    let (way, cut, other, bytes) = input;
    let way = Way(way);
    assert_eq!(response(bytes, &[cut, other], way), response(bytes, &[], way));
});
