//! The control socket: what is said is in `stoa_model::control`, how it is framed is here, with the
//! daemon's side of it.
//!
//! The other side is the role's, in `steward`.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use stoa_model::Routes;
use stoa_model::control::{FRAME_MAX, MovedSession, Order, Report};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How much is read at once.
const READ_SIZE: usize = 64 << 10;
/// The most descriptors that go with one frame.
pub(crate) const DESCRIPTORS_MAX: usize = 8;

/// The daemon's side of a role's control socket.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    reports: VecDeque<Report>,
}

/// The control socket failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No role listens there.
    #[error("{path}: cannot connect to the role's control socket: {source}; is the role running?")]
    Connect {
        /// The path of the socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("the control connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The other side closed the connection.
    #[error("the other side closed the control connection")]
    Closed,
    /// A frame is longer than both sides have agreed on.
    #[error("a control frame of {0} bytes is longer than {FRAME_MAX}")]
    TooLong(usize),
    /// A frame is not what was expected: the other side is another version or no role at all.
    #[error("a control frame cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Client {
    /// Connects to the role that listens at `path`.
    pub async fn connect(path: &Path) -> Result<Client, ControlError> {
        let connected = UnixStream::connect(path).await;
        let stream = connected.map_err(|source| ControlError::Connect { path: path.to_owned(), source })?;
        Ok(Client { wire: Wire::new(stream), reports: VecDeque::new() })
    }

    /// Sends routes. They are in force once a report says that their generation is served.
    pub async fn send_routes(&mut self, routes: &Routes) -> Result<(), ControlError> {
        self.order(&Order::Routes(routes.clone())).await
    }

    /// Waits for the next report. Cancelled, it loses nothing.
    pub async fn next_report(&mut self) -> Result<Report, ControlError> {
        if let Some(report) = self.reports.pop_front() {
            return Ok(report);
        }
        self.read_report().await
    }

    /// Fetches the listening sockets of the web face and the app face.
    pub async fn fetch_listeners(&mut self) -> Result<(OwnedFd, OwnedFd), ControlError> {
        self.order(&Order::Listeners).await?;
        loop {
            let report = self.read_report().await?;
            self.reports.push_back(report);
            let received = &mut self.wire.received;
            // Clients' connections may be among them.
            let mut found = received.iter().enumerate().filter(|(_, descriptor)| listens(descriptor));
            if let (Some((web, _)), Some((app, _))) = (found.next(), found.next()) {
                let (app, web) = (received.remove(app), received.remove(web));
                return web.zip(app).ok_or(ControlError::Closed);
            }
        }
    }

    /// The connections of the sessions in `moving` of the report that was told last.
    pub fn take_connections(&mut self, count: usize) -> Vec<OwnedFd> {
        let received = &mut self.wire.received;
        let connections: Vec<_> =
            (0..received.len()).filter(|at| !listens(&received[*at])).take(count).collect();
        // From the back, so that the places of those before it stay.
        let mut taken: Vec<_> = connections.into_iter().rev().filter_map(|at| received.remove(at)).collect();
        taken.reverse();
        taken
    }

    /// Has a splitter go on with a session of another one.
    pub async fn adopt(
        &mut self,
        form: MovedSession,
        connection: BorrowedFd<'_>,
    ) -> Result<(), ControlError> {
        let order = serde_json::to_vec(&Order::Adopt(form))?;
        self.wire.send_with(&order, &[connection]).await
    }

    /// Sends an order.
    pub async fn order(&mut self, order: &Order) -> Result<(), ControlError> {
        self.wire.push(&serde_json::to_vec(order)?)?;
        self.wire.flush().await
    }

    async fn read_report(&mut self) -> Result<Report, ControlError> {
        // An order whose sending was cancelled half way is finished first: the frames stay whole.
        self.wire.flush().await?;
        let frame = self.wire.next().await?;
        Ok(serde_json::from_slice(&frame)?)
    }
}

/// Whether it is a listening socket. One that cannot be asked is none.
fn listens(descriptor: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or_default()
}

/// Frames on a Unix socket, and descriptors that come with them.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    received: VecDeque<OwnedFd>,
}

impl Wire {
    /// Both directions of `stream`.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Wire { stream, inbound: Vec::new(), outbound: Vec::new(), received: VecDeque::new() }
    }

    /// Puts a frame behind those that wait to be sent.
    pub(crate) fn push(&mut self, body: &[u8]) -> Result<(), ControlError> {
        if body.len() > FRAME_MAX {
            return Err(ControlError::TooLong(body.len()));
        }
        self.outbound.extend_from_slice(&(body.len() as u32).to_be_bytes());
        self.outbound.extend_from_slice(body);
        Ok(())
    }

    /// Sends what waits. Cancelled, it goes on at the next call.
    pub(crate) async fn flush(&mut self) -> Result<(), ControlError> {
        while !self.outbound.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(&self.outbound) {
                Ok(n) => drop(self.outbound.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends what waits, then `body`, with `descriptors` on its first byte.
    pub(crate) async fn send_with(
        &mut self,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ControlError> {
        self.flush().await?;
        self.push(body)?;
        let Wire { stream, outbound, .. } = self;
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
            ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(descriptors));
            let flags = rustix::net::SendFlags::NOSIGNAL;
            Ok(rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(outbound)], &mut ancillary, flags)?)
        };
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        self.outbound.drain(..sent);
        self.flush().await
    }

    /// The next of the descriptors that have come.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.received.pop_front()
    }

    /// Waits for the next frame. Cancelled, it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, ControlError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.stream.readable().await?;
            match self.read_once() {
                Ok(0) => return Err(ControlError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<Vec<u8>>, ControlError> {
        let Some((length, rest)) = self.inbound.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(ControlError::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let frame = frame.to_vec();
        self.inbound.drain(..4 + length);
        Ok(Some(frame))
    }

    /// Every read takes descriptors too: the kernel throws away those that a plain read passes over.
    fn read_once(&mut self) -> io::Result<usize> {
        let Wire { stream, inbound, received, .. } = self;
        stream.try_io(Interest::READABLE, || {
            let held = inbound.len();
            inbound.resize(held + READ_SIZE, 0);
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = rustix::net::RecvAncillaryBuffer::new(&mut space);
            let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
            let mut slices = [IoSliceMut::new(&mut inbound[held..])];
            let read = rustix::net::recvmsg(stream.as_fd(), &mut slices, &mut ancillary, flags);
            let n = read.as_ref().map_or(0, |read| read.bytes);
            inbound.truncate(held + n);
            read?;
            for message in ancillary.drain() {
                if let rustix::net::RecvAncillaryMessage::ScmRights(descriptors) = message {
                    received.extend(descriptors);
                }
            }
            Ok(n)
        })
    }
}
