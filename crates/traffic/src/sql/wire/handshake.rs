//! How a connection begins: the server's greeting, the client's login (or its wish for TLS first), a change
//! of user later on, and the switch to another way of authentication. Both sides of each, since the splitter
//! is a server to applications and a client to servers.

use super::Malformed;
use super::auth::{NONCE, Nonce, Plugin};
use super::capability::{Capabilities, REQUIRED};
use super::field::{Fields, put_lenenc, put_lenenc_bytes, put_nul_bytes};
use super::reply;
use super::status::{ErrPacket, ServerError, Status};
use thiserror::Error;

/// The only version of the protocol that servers have spoken for twenty years.
const PROTOCOL: u8 = 10;
/// How long the part of a login is that stands before TLS begins.
const SSL_REQUEST: usize = 32;
const COM_CHANGE_USER: u8 = 0x11;

/// Why a handshake came to nothing.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// A field is missing.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A client of before 4.1, or something that is no client.
    #[error("the client does not speak the protocol of MySQL 4.1 and later")]
    TooOld,
    /// A server of another time.
    #[error("the server speaks protocol version {0}, not 10")]
    Version(u8),
    /// The server does not want us.
    #[error("the server refuses the connection: {0}")]
    Refused(ServerError),
}

impl HandshakeError {
    /// Appends what a client is told that caused it.
    pub fn put(&self, out: &mut Vec<u8>, sequence: u8) {
        match self {
            HandshakeError::TooOld => {
                let message = "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
                reply::error(out, sequence, 1251, b"08004", message)
            }
            _ => reply::error(out, sequence, 1043, b"08S01", "Bad handshake"),
        };
    }
}

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The server's version, as it is.
    pub version: String,
    /// The connection's number, which KILL takes.
    pub connection: u32,
    /// What proofs of passwords are made for.
    pub nonce: Nonce,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// Its default collation, as far as that fits one byte.
    pub charset: u8,
    /// Status flags.
    pub status: Status,
    /// How it authenticates by default.
    pub plugin: String,
}

impl Greeting {
    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        let low = self.capabilities.low().to_le_bytes();
        let (first, second) = self.nonce.bytes().split_at(8);
        out.push(PROTOCOL);
        put_nul_bytes(out, self.version.as_bytes());
        out.extend_from_slice(&self.connection.to_le_bytes());
        out.extend_from_slice(first);
        out.push(0);
        out.extend_from_slice(&low[..2]);
        out.push(self.charset);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&low[2..]);
        out.push(NONCE as u8 + 1);
        out.extend_from_slice(&[0; 6]);
        let high = if self.capabilities.contains(Capabilities::LONG_PASSWORD) {
            0
        } else {
            self.capabilities.high()
        };
        out.extend_from_slice(&high.to_le_bytes());
        out.extend_from_slice(second);
        out.push(0);
        put_nul_bytes(out, self.plugin.as_bytes());
    }

    /// Reads the payload of a server's first packet.
    pub fn parse(payload: &[u8]) -> Result<Self, HandshakeError> {
        match payload.first() {
            Some(&PROTOCOL) => Ok(Self::read(payload).ok_or(Malformed("the server's greeting"))?),
            Some(0xFF) => Err(HandshakeError::Refused(ErrPacket::parse(payload)?.into())),
            Some(&other) => Err(HandshakeError::Version(other)),
            None => Err(Malformed("the server's greeting").into()),
        }
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(payload.get(1..)?);
        let version = String::from_utf8_lossy(fields.nul_bytes()?).into_owned();
        let connection = fields.u32()?;
        let first = fields.take(8)?;
        fields.u8()?;
        let low = fields.u16()?;
        let charset = fields.u8()?;
        let status = Status::from_bits_retain(fields.u16()?);
        let low = u32::from(fields.u16()?) << 16 | u32::from(low);
        let length = usize::from(fields.u8()?);
        fields.take(6)?;
        let high = fields.u32()?;
        let high = if low & 1 == 0 { high } else { 0 };
        let second = fields.take(length.saturating_sub(9).max(12))?;
        // The zero after it is counted in its length.
        let nonce = Nonce::from_parts(first, second)?;
        if fields.rest().first() == Some(&0) {
            fields.u8()?;
        }
        let plugin = String::from_utf8_lossy(fields.nul_or_rest()).into_owned();
        let capabilities = Capabilities::from_parts(low, high);
        Some(Greeting { version, connection, nonce, capabilities, charset, status, plugin })
    }
}

/// What a client answers a greeting with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// TLS first; the login follows inside.
    Ssl,
    /// The login.
    Login(Login<'a>),
}

/// A login. Strings borrow from its packet.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Login<'a> {
    /// What the client can do.
    pub capabilities: Capabilities,
    /// The longest packet it takes.
    pub max_packet: u32,
    /// Its collation, as far as that fits one byte.
    pub charset: u8,
    /// Its name.
    pub user: &'a [u8],
    /// Its proof that it knows the password.
    pub proof: &'a [u8],
    /// The schema it begins with.
    pub schema: Option<&'a [u8]>,
    /// How the proof was made.
    pub plugin: Option<&'a [u8]>,
    /// What it says of itself.
    pub attributes: Attributes<'a>,
    /// How much zstd is to compress.
    pub zstd_level: u8,
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &String::from_utf8_lossy(self.user))
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl<'a> Answer<'a> {
    /// Reads a client's first packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(payload);
        let low = fields.u16().ok_or(Malformed("the client's login"))?;
        if !Capabilities::from_parts(u32::from(low), 0).contains(REQUIRED) {
            return Err(HandshakeError::TooOld);
        }
        if payload.len() == SSL_REQUEST && u64::from(low) & Capabilities::SSL.bits() != 0 {
            return Ok(Answer::Ssl);
        }
        Ok(Answer::Login(Login::read(payload).ok_or(Malformed("the client's login"))?))
    }
}

impl<'a> Login<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(payload);
        let low = fields.u32()?;
        let max_packet = fields.u32()?;
        let charset = fields.u8()?;
        fields.take(19)?;
        let high = fields.u32()?;
        let high = if low & 1 == 0 { high } else { 0 };
        let capabilities = Capabilities::from_parts(low, high);
        let has = |one| capabilities.contains(one);
        let user = fields.nul_bytes()?;
        let proof = if has(Capabilities::PLUGIN_AUTH_LENENC) {
            fields.lenenc_bytes()?
        } else {
            let length = fields.u8()?;
            fields.take(usize::from(length))?
        };
        let schema = if has(Capabilities::CONNECT_WITH_DB) { Some(fields.nul_or_rest()) } else { None };
        let schema = schema.filter(|schema| !schema.is_empty());
        let plugin = if has(Capabilities::PLUGIN_AUTH) { Some(fields.nul_or_rest()) } else { None };
        // Some clients claim attributes and send none.
        let attributes = match has(Capabilities::CONNECT_ATTRS) && !fields.is_empty() {
            true => Attributes(fields.lenenc_bytes()?),
            false => Attributes::default(),
        };
        let zstd_level = if has(Capabilities::ZSTD) { fields.u8().unwrap_or_default() } else { 0 };
        Some(Login { capabilities, max_packet, charset, user, proof, schema, plugin, attributes, zstd_level })
    }

    /// Appends the payload. `CONNECT_WITH_DB` stands or falls with `schema`; plugin and attributes are sent
    /// where the capabilities hold them.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut capabilities = self.capabilities;
        capabilities.set(Capabilities::CONNECT_WITH_DB, self.schema.is_some());
        put_front(out, capabilities, self.max_packet, self.charset);
        put_nul_bytes(out, self.user);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            put_lenenc_bytes(out, self.proof);
        } else {
            put_short_bytes(out, self.proof);
        }
        if let Some(schema) = self.schema {
            put_nul_bytes(out, schema);
        }
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_nul_bytes(out, self.plugin.unwrap_or_default());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_lenenc_bytes(out, self.attributes.0);
        }
        if capabilities.contains(Capabilities::ZSTD) {
            out.push(self.zstd_level);
        }
    }

    /// Appends the payload of the wish for TLS that goes before this login.
    pub fn put_ssl_request(&self, out: &mut Vec<u8>) {
        let mut capabilities = self.capabilities | Capabilities::SSL;
        capabilities.set(Capabilities::CONNECT_WITH_DB, self.schema.is_some());
        put_front(out, capabilities, self.max_packet, self.charset);
    }
}

fn put_front(out: &mut Vec<u8>, capabilities: Capabilities, max_packet: u32, charset: u8) {
    let high = if capabilities.contains(Capabilities::LONG_PASSWORD) { 0 } else { capabilities.high() };
    out.extend_from_slice(&capabilities.low().to_le_bytes());
    out.extend_from_slice(&max_packet.to_le_bytes());
    out.push(charset);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&high.to_le_bytes());
}

/// A string behind one byte of length.
fn put_short_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

/// What a client says of itself: names and values, read one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Name and value of each; stops at what is malformed.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut fields = Fields::new(self.0);
        std::iter::from_fn(move || Some((fields.lenenc_bytes()?, fields.lenenc_bytes()?)))
    }

    /// Attributes as a [`Login`] takes them.
    #[must_use]
    pub fn encode(attributes: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in attributes {
            put_lenenc_bytes(&mut out, name.as_bytes());
            put_lenenc_bytes(&mut out, value.as_bytes());
        }
        out
    }

    /// What [`Attributes::encode`] made.
    #[must_use]
    pub fn new(encoded: &'a [u8]) -> Self {
        Attributes(encoded)
    }
}

/// COM_CHANGE_USER.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeUser<'a> {
    /// The new name.
    pub user: &'a [u8],
    /// Its proof.
    pub proof: &'a [u8],
    /// The schema to begin with.
    pub schema: &'a [u8],
    /// The collation; servers keep theirs where it is left out.
    pub charset: Option<u16>,
    /// How the proof was made.
    pub plugin: Option<&'a [u8]>,
    /// What the client says of itself.
    pub attributes: Attributes<'a>,
}

impl std::fmt::Debug for ChangeUser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = String::from_utf8_lossy(self.user);
        f.debug_struct("ChangeUser").field("user", &user).finish_non_exhaustive()
    }
}

impl<'a> ChangeUser<'a> {
    /// Reads the payload, its command byte included.
    pub fn parse(payload: &'a [u8], client: Capabilities) -> Result<Self, Malformed> {
        Self::read(payload, client).ok_or(Malformed("a change of user"))
    }

    fn read(payload: &'a [u8], client: Capabilities) -> Option<Self> {
        let mut fields = Fields::new(payload.strip_prefix(&[COM_CHANGE_USER])?);
        let user = fields.nul_bytes()?;
        let length = fields.u8()?;
        let proof = fields.take(usize::from(length))?;
        let schema = fields.nul_or_rest();
        let charset = if fields.is_empty() { None } else { Some(fields.u16()?) };
        let has = |one, fields: &Fields<'_>| client.contains(one) && !fields.is_empty();
        let plugin = has(Capabilities::PLUGIN_AUTH, &fields).then(|| fields.nul_or_rest());
        let attributes = match has(Capabilities::CONNECT_ATTRS, &fields) {
            true => Attributes(fields.lenenc_bytes()?),
            false => Attributes::default(),
        };
        Some(ChangeUser { user, proof, schema, charset, plugin, attributes })
    }

    /// Appends the payload, its command byte included.
    pub fn put(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(COM_CHANGE_USER);
        put_nul_bytes(out, self.user);
        put_short_bytes(out, self.proof);
        put_nul_bytes(out, self.schema);
        let Some(charset) = self.charset else { return };
        out.extend_from_slice(&charset.to_le_bytes());
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_nul_bytes(out, self.plugin.unwrap_or_default());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_lenenc(out, self.attributes.0.len() as u64);
            out.extend_from_slice(self.attributes.0);
        }
    }
}

/// The server's wish for another way of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthSwitch<'a> {
    /// Its name.
    pub plugin: &'a [u8],
    /// What the proof is to be made for.
    pub data: &'a [u8],
}

impl<'a> AuthSwitch<'a> {
    /// Reads the payload. One without a name means the passwords of before 4.1, which are refused.
    pub fn parse(payload: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut fields =
            Fields::new(payload.strip_prefix(&[0xFE]).ok_or(Malformed("a switch of authentication"))?);
        if fields.is_empty() {
            return Err(HandshakeError::TooOld);
        }
        let plugin = fields.nul_bytes().ok_or(Malformed("a switch of authentication"))?;
        Ok(AuthSwitch { plugin, data: fields.rest() })
    }

    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(0xFE);
        put_nul_bytes(out, self.plugin);
        out.extend_from_slice(self.data);
    }
}

/// Which way of authentication a server's greeting means.
#[must_use]
pub fn default_plugin(greeting: &Greeting) -> Option<Plugin> {
    Plugin::from_name(greeting.plugin.as_bytes())
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
