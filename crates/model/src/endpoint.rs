//! Where a server listens.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The longest path a Unix socket may have: `sun_path` holds 108 bytes with its closing NUL (unix(7)).
pub const UNIX_PATH_MAX: usize = 107;

/// A TCP port, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

/// Port zero means "any" to the kernel, so it is no place to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("port 0 is not a port that can be connected to; use 1 to 65535")]
pub struct PortZero;

/// Where an instance or a face of the balancer listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Port {
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = PortZero;
    fn try_from(number: u16) -> Result<Self, PortZero> {
        if number == 0 { Err(PortZero) } else { Ok(Port(number)) }
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> u16 {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Endpoint {
    /// A port of the loopback interface.
    pub fn loopback(port: Port) -> Self {
        Endpoint::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.get()))
    }

    /// The TCP port, where it has one.
    pub fn port(&self) -> Option<Port> {
        match self {
            Endpoint::Tcp(address) => Port::try_from(address.port()).ok(),
            Endpoint::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
