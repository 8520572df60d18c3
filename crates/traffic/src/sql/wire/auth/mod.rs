//! How a client proves that it knows a password, both sides: as a server that knows the applications'
//! passwords, and as a client of the servers. Proofs are compared in constant time; a password is never
//! shown.

use serde::{Deserialize, Serialize};

pub mod client;
pub mod ed25519;
pub mod native;
pub mod server;
pub mod sha2;

use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt;

/// How long a nonce is.
pub const NONCE: usize = 20;

/// What a proof is made for, so that it proves nothing a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonce([u8; NONCE]);

impl Nonce {
    /// From the kernel. Seven bits each and no zero, since clients take it for a string.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; NONCE];
        fill(&mut bytes)?;
        Ok(Nonce(bytes.map(|byte| match byte & 0x7F {
            // A dollar separates the parts of a stored caching_sha2 password.
            0 | b'$' => b'x',
            other => other,
        })))
    }

    /// From the two parts of a greeting.
    #[must_use]
    pub fn from_parts(first: &[u8], second: &[u8]) -> Option<Self> {
        let mut bytes = [0; NONCE];
        let mut given = first.iter().chain(second);
        bytes.iter_mut().try_for_each(|byte| given.next().map(|given| *byte = *given))?;
        Some(Nonce(bytes))
    }

    /// The nonce itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; NONCE] {
        &self.0
    }
}

/// Random bytes from the kernel.
fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(bytes.get_mut(filled..).unwrap_or_default(), GetRandomFlags::empty())?;
    }
    Ok(())
}

/// A way of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plugin {
    /// `mysql_native_password`: both engines' for long, gone from MySQL 9.
    Native,
    /// `caching_sha2_password`: MySQL's since 8.0.
    CachingSha2,
    /// `client_ed25519`: MariaDB's.
    Ed25519,
}

impl Plugin {
    /// Its name on the client's side.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Ed25519 => "client_ed25519",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Plugin::Native, Plugin::CachingSha2, Plugin::Ed25519]
            .into_iter()
            .find(|one| one.name().as_bytes() == name)
    }
}

/// A password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// A password in plain text; may be empty.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Password(text.into().into_boxed_slice())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A name and a password, as applications log in to the splitter and the splitter to servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Password,
    /// The schema that a session begins with.
    pub schema: Option<String>,
}
