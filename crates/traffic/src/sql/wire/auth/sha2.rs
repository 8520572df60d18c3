//! `caching_sha2_password`: the proof is SHA256(password) hidden by SHA256(SHA256(SHA256(password)), nonce).
//! A server that has not seen the password lately wants the password itself: plainly where nobody can
//! listen, otherwise encrypted for its RSA key.

use super::{Nonce, Password};
use crate::sql::wire::Malformed;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// What a server sends before OK where the proof was enough, as a packet of its own.
pub const FAST: &[u8] = &[0x01, 0x03];
/// What a server sends that wants the password itself.
pub const FULL: &[u8] = &[0x01, 0x04];
/// What a client sends that wants the server's RSA key.
pub const KEY_PLEASE: &[u8] = &[0x02];

/// The proof of `password`; one zero byte for an empty one.
#[must_use]
pub fn proof(password: &Password, nonce: &Nonce) -> Vec<u8> {
    if password.bytes().is_empty() {
        return vec![0];
    }
    let once = Sha256::digest(password.bytes());
    let twice = Sha256::digest(once);
    let mask = Sha256::new().chain_update(twice).chain_update(nonce.bytes()).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// The password itself, for a connection that nobody listens to.
#[must_use]
pub fn plain(password: &Password) -> Vec<u8> {
    [password.bytes(), &[0]].concat()
}

/// The password for the owner of this RSA key (PEM) only.
pub fn encrypted(password: &Password, nonce: &Nonce, pem: &[u8]) -> Result<Vec<u8>, Malformed> {
    const KEY: Malformed = Malformed("the server's RSA key");
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KEY)?;
    let key = PublicEncryptingKey::from_der(&key).map_err(|_| KEY)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| KEY)?;
    let mut text = plain(password);
    text.iter_mut().zip(nonce.bytes().iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    let mut out = vec![0; key.ciphertext_size()];
    // Only a password too long for the key fails here.
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut out, None).map_err(|_| KEY)?.len();
    out.truncate(length);
    Ok(out)
}
