//! Never a panic, and never another verdict because the bytes were split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::proving::{command, packets};

fuzz_target!(|input: (u64, u8, usize, &[u8])| {
    let (capabilities, shift, cut, bytes) = input;
    assert_eq!(packets(bytes, &[cut], shift), packets(bytes, &[], shift));
    let _ = command(bytes, capabilities);
});
