//! Listening sockets that belong to the daemon and are inherited by roles: they outlive any role.

use super::error::{FileError, HostError};
use super::ports;
use super::users::Users;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use stoa_model::endpoint::UNIX_PATH_MAX;
use stoa_model::{Endpoint, Port};

/// Connections that may wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Listens where visitors connect. Not blocking, closed in programs that are not given it on purpose.
pub fn web_face(address: SocketAddr) -> Result<OwnedFd, HostError> {
    tcp_face(address, "stop it or set [balancer] listen to another port")
}

/// Listens where applications reach the database, likewise.
pub fn sql_face(address: SocketAddr) -> Result<OwnedFd, HostError> {
    tcp_face(address, "the splitters move to another port")
}

fn tcp_face(address: SocketAddr, advice: &'static str) -> Result<OwnedFd, HostError> {
    let endpoint = Endpoint::Tcp(address);
    listen_tcp(address).map_err(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return HostError::Listen { endpoint, source: error };
        }
        let by = Port::try_from(address.port()).ok().and_then(ports::who_listens);
        HostError::Taken { endpoint, by, advice }
    })
}

/// Listens on a Unix socket of this mode, which the tiers may reach where the mode lets the group in. A
/// socket file that nobody listens on any more is removed first.
pub fn unix_listener(path: &Path, mode: u32, users: &Users) -> Result<OwnedFd, HostError> {
    check_socket_path(path)?;
    free_socket(path)?;
    let endpoint = Endpoint::Unix(path.to_owned());
    listen_unix(path).map_err(|source| HostError::Listen { endpoint, source }).and_then(|socket| {
        use std::os::unix::fs::PermissionsExt;
        if let Some(owner) = users.root_and_group() {
            std::os::unix::fs::chown(path, None, Some(owner.gid))
                .map_err(FileError::at("give away", path))?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(FileError::at("set the mode of", path))?;
        Ok(socket)
    })
}

/// Refuses a path that the kernel's address of a Unix socket cannot hold.
pub fn check_socket_path(path: &Path) -> Result<(), HostError> {
    if path.as_os_str().len() > UNIX_PATH_MAX {
        return Err(HostError::SocketPath { path: path.to_owned() });
    }
    Ok(())
}

/// Removes a socket file that nobody listens on, as a killed server leaves it; most servers refuse to
/// start over one. One that somebody accepts on is refused.
pub(crate) fn free_socket(path: &Path) -> Result<(), HostError> {
    // Never waits: a full backlog is an answer too.
    let tried = SocketAddrUnix::new(path).map_err(io::Error::from).and_then(|address| {
        let socket = socket(AddressFamily::UNIX)?;
        Ok(rustix::net::connect(&socket, &address)?)
    });
    match tried {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(super::files::remove_file(path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Accepted, or a full backlog: somebody is there.
        _ => Err(HostError::Taken {
            endpoint: Endpoint::Unix(path.to_owned()),
            by: None,
            advice: "a process that was started before still accepts there",
        }),
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family)?;
    // Without it a restart within a minute finds the port held by closed connections.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // `[::]` means both families, whatever the machine's default.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn listen_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_taken_web_face_names_its_owner() {
        let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = holder.local_addr().unwrap();
        let text = web_face(address).unwrap_err().to_string();
        let me = super::super::proc::stat(std::process::id()).unwrap().name;
        let pid = std::process::id();
        let advice = "stop it or set [balancer] listen to another port";
        assert_eq!(text, format!("{address} is taken by {me} (pid {pid}); {advice}"));
        drop(holder);
        web_face(address).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let first = unix_listener(&path, 0o660, &Users::caller()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(matches!(unix_listener(&path, 0o660, &Users::caller()), Err(HostError::Taken { .. })));
        // Nobody accepts, and more wait than it lets wait: still somebody's.
        rustix::net::listen(&first, 0).unwrap();
        let waiting: Vec<_> = (0..2).map(|_| free_socket(&path)).collect();
        assert!(waiting.iter().all(Result::is_err));
        drop(first);
        unix_listener(&path, 0o600, &Users::caller()).unwrap();
        UnixStream::connect(&path).unwrap_err();
    }

    #[test]
    fn a_path_too_long_for_a_socket_says_what_to_do() {
        let path = Path::new("/").join("x".repeat(UNIX_PATH_MAX));
        let text = unix_listener(&path, 0o600, &Users::caller()).unwrap_err().to_string();
        assert!(text.contains("has 108 bytes, the system allows 107"), "{text}");
    }
}
