//! An address that stays a test's own before, between and after the servers it starts there.
#![allow(unreachable_pub, reason = "included by tests in other places too")]

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

/// A loopback port that the kernel gives to nobody else.
///
/// A port that was only asked for may belong to another test's connection before the server it was asked for is there:
/// the server ends, and the test waits for it in vain. Here a socket stays bound and never listens: connections are
/// refused, whoever asks for any port gets another one, and a server that names this one and sets `SO_REUSEADDR`,
/// as all do, has it (socket(7); <https://docs.kernel.org/networking/ip-sysctl.html>).
#[derive(Debug)]
pub struct Reserved {
    pub address: SocketAddr,
    _bound: OwnedFd,
}

impl Reserved {
    pub fn new() -> Reserved {
        let bound = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        set_socket_reuseaddr(&bound, true).expect("its option");
        bind(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = getsockname(&bound).expect("its address").try_into().expect("an address of IP");
        Reserved { address, _bound: bound }
    }
}
