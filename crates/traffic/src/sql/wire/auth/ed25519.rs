//! `client_ed25519`: the proof is the signature of a nonce of 32 bytes, by the key that SHA512(password) is.

use super::Password;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest, Sha512};

/// How long its nonces are.
pub const NONCE: usize = 32;

/// The proof of `password`. The same each time: signatures of this kind hold nothing random.
#[must_use]
pub fn proof(password: &Password, nonce: &[u8; NONCE]) -> Vec<u8> {
    let expanded: [u8; 64] = Sha512::digest(password.bytes()).into();
    let key = ExpandedSecretKey::from_bytes(&expanded);
    raw_sign::<Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_vec()
}
