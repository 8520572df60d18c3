//! The client's side: proving to a server that the splitter knows a password.

use super::{Nonce, Password, Plugin, ed25519, native, sha2};
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
        "the server asks for {0}, which is not spoken here; give the account mysql_native_password, \
         caching_sha2_password or ed25519"
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

/// Who else may see what is sent to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Nobody: TLS, or a Unix socket.
    Private,
    /// Whoever is on the way.
    Open,
}

/// One login.
#[derive(Debug)]
pub struct Prover<'a> {
    password: &'a Password,
    nonce: Nonce,
    plugin: Plugin,
    channel: Channel,
}

impl<'a> Prover<'a> {
    /// For a server that greeted with this nonce and way of authentication; with one that is not known here,
    /// another is begun with and the server asks. Begins with an open channel.
    #[must_use]
    pub fn new(password: &'a Password, nonce: Nonce, plugin: Option<Plugin>) -> Self {
        // The nonce of a greeting is too short for ed25519.
        let plugin = plugin.filter(|plugin| *plugin != Plugin::Ed25519).unwrap_or(Plugin::Native);
        Prover { password, nonce, plugin, channel: Channel::Open }
    }

    /// Says who listens.
    #[must_use]
    pub fn over(self, channel: Channel) -> Self {
        Prover { channel, ..self }
    }

    /// The way of authentication that the login names.
    #[must_use]
    pub fn plugin(&self) -> Plugin {
        self.plugin
    }

    /// The proof that the login holds.
    #[must_use]
    pub fn proof(&self) -> Vec<u8> {
        match self.plugin {
            Plugin::CachingSha2 => sha2::proof(self.password, &self.nonce),
            _ => native::proof(self.password, &self.nonce),
        }
    }

    /// Looks at what the server answers.
    pub fn answer(&mut self, payload: &[u8]) -> Result<Next, AuthError> {
        match payload {
            [0x00, ..] => Ok(Next::Done),
            [0xFF, ..] => Err(AuthError::Refused(ErrPacket::parse(payload)?.into())),
            [0xFE, ..] => self.switch(AuthSwitch::parse(payload)?),
            [0x01, rest @ ..] if self.plugin == Plugin::CachingSha2 => self.more(payload, rest),
            _ => Err(Malformed("the server's answer to the login").into()),
        }
    }

    fn switch(&mut self, to: AuthSwitch<'_>) -> Result<Next, AuthError> {
        let plugin = Plugin::from_name(to.plugin);
        self.plugin =
            plugin.ok_or_else(|| AuthError::Unknown(String::from_utf8_lossy(to.plugin).into_owned()))?;
        if self.plugin == Plugin::Ed25519 {
            let nonce = to.data.first_chunk().ok_or(Malformed("a nonce"))?;
            return Ok(Next::Send(ed25519::proof(self.password, nonce)));
        }
        self.nonce = Nonce::from_parts(to.data, &[]).ok_or(Malformed("a nonce"))?;
        Ok(Next::Send(self.proof()))
    }

    fn more(&self, payload: &[u8], rest: &[u8]) -> Result<Next, AuthError> {
        if payload == sha2::FAST {
            return Ok(Next::Wait);
        }
        if payload == sha2::FULL {
            return Ok(Next::Send(match self.channel {
                Channel::Private => sha2::plain(self.password),
                Channel::Open => sha2::KEY_PLEASE.to_vec(),
            }));
        }
        Ok(Next::Send(sha2::encrypted(self.password, &self.nonce, rest)?))
    }
}
