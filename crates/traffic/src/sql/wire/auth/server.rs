//! The server's side: whether who logs in knows the password.

use super::{Nonce, Password, Plugin, native};
use crate::sql::wire::handshake::AuthSwitch;
use subtle::ConstantTimeEq;

/// What the server does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The client knows the password. Where there is a payload, it goes first, as a packet of its own; then OK.
    Accepted(Option<&'static [u8]>),
    /// It does not: "Access denied", [`DENIED`].
    Denied,
    /// Send this payload, and give the client's next one to [`Verifier::answer`].
    Ask(Vec<u8>),
}

/// Number and SQLSTATE of "Access denied".
pub const DENIED: (u16, &[u8; 5]) = (1045, b"28000");

/// Checks one connection's logins: the first, and later changes of user.
#[derive(Debug, Clone)]
pub struct Verifier {
    nonce: Nonce,
    plugin: Plugin,
    asked: Option<Plugin>,
}

impl Verifier {
    /// For a connection that was greeted with this nonce and way of authentication.
    #[must_use]
    pub fn new(nonce: Nonce, plugin: Plugin) -> Self {
        Verifier { nonce, plugin, asked: None }
    }

    /// Looks at the proof of a login or of a change of user. The client may have chosen any way that is known
    /// here; with another it is asked to use the greeting's. `password` is `None` for a user that does not
    /// exist, who is treated likewise and denied.
    pub fn login(&mut self, password: Option<&Password>, plugin: Option<&[u8]>, proof: &[u8]) -> Verdict {
        let chosen = match plugin {
            Some(name) if !name.is_empty() => Plugin::from_name(name),
            _ => Some(Plugin::Native),
        };
        match chosen {
            Some(Plugin::Native) => self.judge(Plugin::Native, password, proof),
            _ => self.switch(self.plugin),
        }
    }

    /// Looks at what a client answers to [`Verdict::Ask`].
    pub fn answer(&mut self, password: Option<&Password>, payload: &[u8]) -> Verdict {
        match self.asked.take() {
            Some(plugin) => self.judge(plugin, password, payload),
            None => Verdict::Denied,
        }
    }

    fn switch(&mut self, plugin: Plugin) -> Verdict {
        self.asked = Some(plugin);
        let mut data = self.nonce.bytes().to_vec();
        data.push(0);
        let mut out = Vec::new();
        AuthSwitch { plugin: plugin.name().as_bytes(), data: &data }.put(&mut out);
        Verdict::Ask(out)
    }

    fn judge(&self, plugin: Plugin, password: Option<&Password>, proof: &[u8]) -> Verdict {
        let Some(password) = password else { return Verdict::Denied };
        let expected = match plugin {
            Plugin::Native => native::proof(password, &self.nonce),
            Plugin::CachingSha2 | Plugin::Ed25519 => return Verdict::Denied,
        };
        if bool::from(expected.ct_eq(proof)) { Verdict::Accepted(None) } else { Verdict::Denied }
    }
}
