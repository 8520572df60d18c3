//! Never a panic, and never another verdict because the bytes were split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::http::proving::request_head;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    assert_eq!(request_head(bytes, &[cut]), request_head(bytes, &[]));
});
