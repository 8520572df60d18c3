//! The client's side: proving to a server that the splitter knows a password.

use super::{Nonce, Password, Plugin, native};
use crate::sql::wire::Malformed;
use crate::sql::wire::handshake::{AuthSwitch, HandshakeError};
use crate::sql::wire::status::{ErrPacket, ServerError};
use thiserror::Error;

/// Why a server did not let us in.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// It said no.
    #[error("the server refuses the login: {0}")]
    Refused(ServerError),
    /// A way that is not known here.
    #[error(
        "the server asks for {0}, which is not spoken here; give the account mysql_native_password, caching_sha2_password or ed25519"
    )]
    Unknown(String),
    /// It makes no sense.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A field is missing.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What the client does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this payload as the next packet, and wait for an answer.
    Send(Vec<u8>),
    /// Wait for another packet.
    Wait,
    /// Logged in: the packet was the server's OK.
    Done,
}

/// One login.
#[derive(Debug)]
pub struct Prover<'a> {
    password: &'a Password,
    nonce: Nonce,
    plugin: Plugin,
}

impl<'a> Prover<'a> {
    /// For a server that greeted with this nonce and way of authentication; with one that is not known here,
    /// another is begun with and the server asks.
    #[must_use]
    pub fn new(password: &'a Password, nonce: Nonce, plugin: Option<Plugin>) -> Self {
        Prover { password, nonce, plugin: plugin.unwrap_or(Plugin::Native) }
    }

    /// The way of authentication that the login names.
    #[must_use]
    pub fn plugin(&self) -> Plugin {
        self.plugin
    }

    /// The proof that the login holds.
    #[must_use]
    pub fn proof(&self) -> Vec<u8> {
        native::proof(self.password, &self.nonce)
    }

    /// Looks at what the server answers.
    pub fn answer(&mut self, payload: &[u8]) -> Result<Next, AuthError> {
        match payload.first() {
            Some(0x00) => Ok(Next::Done),
            Some(0xFF) => Err(AuthError::Refused(ErrPacket::parse(payload)?.into())),
            Some(0xFE) => {
                let switch = AuthSwitch::parse(payload)?;
                self.plugin = Plugin::from_name(switch.plugin)
                    .filter(|plugin| *plugin == Plugin::Native)
                    .ok_or_else(|| AuthError::Unknown(String::from_utf8_lossy(switch.plugin).into_owned()))?;
                self.nonce = Nonce::from_parts(switch.data, &[]).ok_or(Malformed("a nonce"))?;
                Ok(Next::Send(self.proof()))
            }
            _ => Err(Malformed("the server's answer to the login").into()),
        }
    }
}
