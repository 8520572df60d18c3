//! Never a panic, never another verdict because the bytes were split, and what passes is what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::compress::Method;
use stoa_traffic::sql::wire::proving::{command, compressed, packets, records};

fuzz_target!(|input: (u64, u8, [u16; 3], &[u8])| {
    let (capabilities, shift, cuts, bytes) = input;
    let cuts = cuts.map(usize::from);
    let every: Vec<usize> = (0..bytes.len().min(512)).collect();
    let whole = packets(bytes, &[], shift);
    assert_eq!(packets(bytes, &cuts, shift), whole);
    assert_eq!(packets(bytes, &every, shift), whole);
    let _ = command(bytes, capabilities);
    assert_eq!(records(bytes, &cuts), records(bytes, &[]));
    // Costly beside all the rest.
    let method = match shift % 16 {
        0 => Method::Zlib,
        1 => Method::Zstd { level: 1 },
        _ => return,
    };
    assert_eq!(compressed(bytes, &cuts, method), compressed(bytes, &[], method));
});
