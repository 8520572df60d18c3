//! The server's side: whether who logs in knows the password. The splitter knows its applications' passwords
//! in plain text, so that it can check every kind of proof and never needs the password itself sent.

use super::{Nonce, Password, Plugin, ed25519, fill, native, sha2};
use crate::sql::wire::handshake::AuthSwitch;
use serde::{Deserialize, Serialize};
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

/// What a client was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Native,
    CachingSha2,
    Ed25519([u8; ed25519::NONCE]),
}

/// Checks one connection's logins: the first, and later changes of user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verifier {
    nonce: Nonce,
    plugin: Plugin,
    #[serde(skip)]
    asked: Option<Asked>,
}

impl Verifier {
    /// For a connection that was greeted with this nonce and way of authentication. MariaDB's greet with
    /// native, MySQL's with caching_sha2: no client greets back with ed25519 unasked.
    #[must_use]
    pub fn new(nonce: Nonce, plugin: Plugin) -> Self {
        Verifier { nonce, plugin, asked: None }
    }

    /// Looks at the proof of a login. The client may have chosen any way that is known here; where it is not
    /// the greeting's, the greeting's nonce was not meant for it, and it is asked again. `password` is `None`
    /// for a user that does not exist, who is treated likewise and denied.
    pub fn login(&mut self, password: Option<&Password>, plugin: Option<&[u8]>, proof: &[u8]) -> Verdict {
        match plugin {
            // A client that knows of no plugins knows this one.
            None => self.judge(Asked::Native, password, proof),
            Some(name) => match Plugin::from_name(name) {
                Some(plugin) if plugin == self.plugin => self.judge_greeted(plugin, password, proof),
                Some(plugin) => self.ask(plugin),
                None => self.ask(self.plugin),
            },
        }
    }

    /// Looks at the proof of a change of user, for which clients take the greeting's nonce once more, or send
    /// nothing and wait to be asked.
    pub fn change_user(
        &mut self,
        password: Option<&Password>,
        plugin: Option<&[u8]>,
        proof: &[u8],
    ) -> Verdict {
        match plugin.filter(|name| !name.is_empty()) {
            None => self.judge(Asked::Native, password, proof),
            Some(name) => match Plugin::from_name(name) {
                Some(plugin) if !proof.is_empty() => self.judge_greeted(plugin, password, proof),
                plugin => self.ask(plugin.unwrap_or(self.plugin)),
            },
        }
    }

    /// Looks at what a client answers to [`Verdict::Ask`].
    pub fn answer(&mut self, password: Option<&Password>, payload: &[u8]) -> Verdict {
        match self.asked.take() {
            Some(asked) => self.judge(asked, password, payload),
            None => Verdict::Denied,
        }
    }

    fn judge_greeted(&mut self, plugin: Plugin, password: Option<&Password>, proof: &[u8]) -> Verdict {
        match plugin {
            Plugin::Native => self.judge(Asked::Native, password, proof),
            Plugin::CachingSha2 => self.judge(Asked::CachingSha2, password, proof),
            // The greeting's nonce is too short for it.
            Plugin::Ed25519 => self.ask(plugin),
        }
    }

    fn ask(&mut self, plugin: Plugin) -> Verdict {
        let mut data = self.nonce.bytes().to_vec();
        data.push(0);
        self.asked = Some(match plugin {
            Plugin::Native => Asked::Native,
            Plugin::CachingSha2 => Asked::CachingSha2,
            Plugin::Ed25519 => {
                let mut nonce = [0; ed25519::NONCE];
                if fill(&mut nonce).is_err() {
                    return Verdict::Denied;
                }
                data = nonce.to_vec();
                Asked::Ed25519(nonce)
            }
        });
        let mut out = Vec::new();
        AuthSwitch { plugin: plugin.name().as_bytes(), data: &data }.put(&mut out);
        Verdict::Ask(out)
    }

    fn judge(&self, asked: Asked, password: Option<&Password>, proof: &[u8]) -> Verdict {
        let Some(password) = password else { return Verdict::Denied };
        let empty = password.bytes().is_empty();
        let (expected, first) = match asked {
            Asked::Native => (native::proof(password, &self.nonce), None),
            Asked::CachingSha2 => (sha2::proof(password, &self.nonce), (!empty).then_some(sha2::FAST)),
            Asked::Ed25519(nonce) => (ed25519::proof(password, &nonce), None),
        };
        // For an empty password clients send nothing, or the zero byte that would have ended it.
        let knows = match (empty, asked) {
            (true, Asked::Native | Asked::CachingSha2) => matches!(proof, [] | [0]),
            _ => bool::from(expected.ct_eq(proof)),
        };
        if knows { Verdict::Accepted(first) } else { Verdict::Denied }
    }
}
