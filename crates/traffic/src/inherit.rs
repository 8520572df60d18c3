//! Listening sockets from the process that started this one, as sd_listen_fds(3) has it.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// The sockets a role needs were not passed to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// A variable is missing or not a number.
    #[error("{name} is {value:?}, not a number; a role is started by the daemon, which passes it sockets")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value, empty where it is missing.
        value: String,
    },
    /// They were meant for another process.
    #[error("LISTEN_PID is {theirs}, but this is process {ours}: the sockets were meant for another process")]
    OtherProcess {
        /// Whom they were meant for.
        theirs: u32,
        /// This process.
        ours: u32,
    },
    /// One of them is not among those passed.
    #[error("no socket named {0:?} among LISTEN_FDNAMES {1:?}")]
    Missing(&'static str, String),
    /// A descriptor that was announced is not open.
    #[error("descriptor {0}, announced as {1:?} in LISTEN_FDNAMES, is not open")]
    NotOpen(RawFd, &'static str),
}

/// Takes over the sockets of these names, in their order. To be called once, before anything else opens a
/// file.
pub fn sockets<const N: usize>(wanted: [&'static str; N]) -> Result<[OwnedFd; N], InheritError> {
    let named = |name: &str| std::env::var(name).unwrap_or_default();
    let pid = named("LISTEN_PID");
    if !pid.is_empty() {
        let theirs = number("LISTEN_PID", &pid)?;
        let ours = std::process::id();
        if theirs != ours {
            return Err(InheritError::OtherProcess { theirs, ours });
        }
    }
    let count = number("LISTEN_FDS", &named("LISTEN_FDS"))?;
    let names = named("LISTEN_FDNAMES");
    // All are found before the first is taken over: who lacks one keeps none.
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(wanted) {
        *place = find(name, count, &names)?;
    }
    let mut taken = Vec::with_capacity(N);
    for (place, name) in places.into_iter().zip(wanted) {
        taken.push(take(place, name)?);
    }
    taken.try_into().map_err(|_| InheritError::Missing("", names))
}

fn number(name: &'static str, value: &str) -> Result<u32, InheritError> {
    value.parse().map_err(|_| InheritError::Variable { name, value: value.to_owned() })
}

/// The descriptor of the socket named `wanted`.
fn find(wanted: &'static str, count: u32, names: &str) -> Result<RawFd, InheritError> {
    let place = names.split(':').take(count as usize).position(|name| name == wanted);
    let place = place.and_then(|place| RawFd::try_from(place).ok());
    place.map(|place| FIRST + place).ok_or_else(|| InheritError::Missing(wanted, names.to_owned()))
}

fn take(descriptor: RawFd, name: &'static str) -> Result<OwnedFd, InheritError> {
    // SAFETY: borrowed only for the call, which fails where nothing is open under this number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // Not passed on: what this process starts has no business with its sockets.
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
        .map_err(|_| InheritError::NotOpen(descriptor, name))?;
    // SAFETY: it is open, as was just seen, and by the protocol it was passed to this process for it to own;
    // each name is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_name() {
        assert_eq!(find("web", 3, "web:app:control"), Ok(3));
        assert_eq!(find("control", 3, "web:app:control"), Ok(5));
        assert_eq!(find("web", 4, "x:control:app:web"), Ok(6));
        let missing = InheritError::Missing("control", "web:app:control".to_owned());
        assert_eq!(find("control", 2, "web:app:control"), Err(missing));
    }

    #[test]
    fn what_is_no_number_is_named() {
        let error = number("LISTEN_FDS", "").unwrap_err().to_string();
        assert!(error.starts_with("LISTEN_FDS is \"\", not a number"), "{error}");
    }
}
