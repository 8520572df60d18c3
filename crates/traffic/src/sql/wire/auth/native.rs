//! `mysql_native_password`: the proof is SHA1(password) hidden by SHA1(nonce, SHA1(SHA1(password))).

use super::{Nonce, Password};
use sha1::{Digest, Sha1};

/// The proof of `password`; empty for an empty one.
#[must_use]
pub fn proof(password: &Password, nonce: &Nonce) -> Vec<u8> {
    if password.bytes().is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password.bytes());
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(nonce.bytes()).chain_update(twice).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}
