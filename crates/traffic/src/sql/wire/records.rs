//! A connection inside TLS that another process agreed on: records are opened and sealed with the keys it handed
//! over (RFC 8446, section 5; the ciphers are aws-lc's).
//!
//! It never shakes hands. TLS 1.3 alone, and without what may follow a handshake: a client that asks for new keys,
//! or has used these for too long, is disconnected.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, ProtocolVersion, ServerConnection};
use serde::{Deserialize, Serialize};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Type, legacy version, length.
const HEADER: usize = 5;
/// The most plain bytes of a record.
const PLAIN_MAX: usize = 1 << 14;
/// The most bytes behind the header of one.
const SEALED_MAX: usize = PLAIN_MAX + 256;
/// So many records are far from what AES-GCM may be used for with one key (RFC 8446, 5.5: 2^24.5).
const RECORDS_MAX: u64 = 1 << 23;
const READ: usize = 16 << 10;

const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;
/// `close_notify`, a warning.
const CLOSE: [u8; 2] = [1, 0];

/// The keys of a connection. Whoever has them can read all that is said on it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    cipher: Cipher,
    sent: Direction,
    received: Direction,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Cipher {
    Aes128,
    Aes256,
    ChaCha20,
}

/// One direction: its key, and how many records have gone.
#[derive(Clone, Serialize, Deserialize)]
struct Direction {
    records: u64,
    key: Vec<u8>,
    iv: [u8; NONCE_LEN],
}

/// Such a connection on top of a socket.
pub(crate) struct Records<S> {
    socket: S,
    secrets: Secrets,
    sent: LessSafeKey,
    received: LessSafeKey,
    /// What has come and was not opened.
    sealed: Vec<u8>,
    /// What was opened, from `at` on not given on.
    plain: Vec<u8>,
    at: usize,
    /// What is to be written; what stands before `written` has been.
    out: Vec<u8>,
    written: usize,
    /// The other side has said that it sends nothing more.
    closed: bool,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl<S> std::fmt::Debug for Records<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

impl Secrets {
    /// Those of a connection that nothing is under way on; none of an older version of TLS.
    pub(crate) fn of(connection: ServerConnection) -> Option<Self> {
        let rests = !connection.is_handshaking() && !connection.wants_write();
        if !rests || connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let ExtractedSecrets { tx, rx } = connection.dangerous_extract_secrets().ok()?;
        let (cipher, sent) = direction(tx)?;
        let (same, received) = direction(rx)?;
        (cipher == same).then_some(Secrets { cipher, sent, received })
    }

    fn algorithm(&self) -> &'static Algorithm {
        match self.cipher {
            Cipher::Aes128 => &AES_128_GCM,
            Cipher::Aes256 => &AES_256_GCM,
            Cipher::ChaCha20 => &CHACHA20_POLY1305,
        }
    }
}

fn direction((records, secrets): (u64, ConnectionTrafficSecrets)) -> Option<(Cipher, Direction)> {
    let (cipher, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20, key, iv),
        _ => return None,
    };
    let iv = iv.as_ref().try_into().ok()?;
    Some((cipher, Direction { records, key: key.as_ref().to_vec(), iv }))
}

impl Direction {
    fn key(&self, algorithm: &'static Algorithm) -> io::Result<LessSafeKey> {
        let key =
            UnboundKey::new(algorithm, &self.key).map_err(|_| broken("a key is not one of its cipher"))?;
        Ok(LessSafeKey::new(key))
    }

    /// What is used once only, for the next record (5.3).
    fn nonce(&mut self) -> io::Result<Nonce> {
        if self.records >= RECORDS_MAX {
            return Err(broken("its keys were used for as many records as they may be"));
        }
        let mut nonce = self.iv;
        for (byte, counted) in nonce.iter_mut().rev().zip(self.records.to_le_bytes()) {
            *byte ^= counted;
        }
        self.records += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn header(length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

impl<S> Records<S> {
    /// Goes on where another process stopped.
    pub(crate) fn new(socket: S, secrets: Secrets) -> io::Result<Self> {
        let (sent, received) =
            (secrets.sent.key(secrets.algorithm())?, secrets.received.key(secrets.algorithm())?);
        let (sealed, plain, out) = (Vec::new(), Vec::new(), Vec::new());
        let (at, written, closed) = (0, 0, false);
        Ok(Records { socket, secrets, sent, received, sealed, plain, at, out, written, closed })
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// To go on in yet another process; none where something is under way.
    pub(crate) fn take_apart(self) -> Option<(S, Secrets)> {
        let rests = self.sealed.is_empty() && self.at == self.plain.len() && self.out.is_empty();
        (rests && !self.closed).then_some((self.socket, self.secrets))
    }

    /// Opens the next record, where it has come whole.
    fn open(&mut self) -> io::Result<bool> {
        let Some((front, rest)) = self.sealed.split_first_chunk_mut::<HEADER>() else { return Ok(false) };
        let length = usize::from(u16::from_be_bytes([front[3], front[4]]));
        if front[0] != APPLICATION_DATA || length > SEALED_MAX {
            return Err(broken("what came is no record of TLS 1.3"));
        }
        let Some(body) = rest.get_mut(..length) else { return Ok(false) };
        let (nonce, aad) = (self.secrets.received.nonce()?, Aad::from(*front));
        let opened = self.received.open_in_place(nonce, aad, body);
        let opened = opened.map_err(|_| broken("a record was not sealed with the key of this connection"))?;
        // Padding, if there is any, stands behind the type.
        let Some(end) = opened.iter().rposition(|byte| *byte != 0) else {
            return Err(broken("a record has no type"));
        };
        match (opened[end], &opened[..end]) {
            (APPLICATION_DATA, plain) => {
                self.plain.clear();
                self.plain.extend_from_slice(plain);
                self.at = 0;
            }
            (ALERT, [_, 0]) => self.closed = true,
            _ => return Err(broken("the other side wants what is not dealt with here")),
        }
        self.sealed.drain(..HEADER + length);
        Ok(true)
    }

    fn seal(&mut self, kind: u8, plain: &[u8]) -> io::Result<()> {
        let nonce = self.secrets.sent.nonce()?;
        let length = plain.len() + 1 + self.secrets.algorithm().tag_len();
        let header = header(length);
        let mut body = Vec::with_capacity(plain.len() + 1 + MAX_TAG_LEN);
        body.extend_from_slice(plain);
        body.push(kind);
        let sealed = self.sent.seal_in_place_append_tag(nonce, Aad::from(header), &mut body);
        sealed.map_err(|_| broken("a record could not be sealed"))?;
        self.out.extend_from_slice(&header);
        self.out.extend_from_slice(&body);
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Records<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.out.get(self.written..)
            && !left.is_empty()
        {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        (self.out, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Records<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(left) = this.plain.get(this.at..)
                && !left.is_empty()
            {
                let n = left.len().min(buf.remaining());
                buf.put_slice(left.get(..n).unwrap_or_default());
                this.at += n;
                return Poll::Ready(Ok(()));
            }
            (this.plain, this.at) = (Vec::new(), 0);
            if this.closed {
                return Poll::Ready(Ok(()));
            }
            if this.open()? {
                continue;
            }
            let mut space = [0; READ];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                // Cut off without a word, as clients of databases often are: no more can come.
                this.closed = true;
            }
            this.sealed.extend_from_slice(read.filled());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let taken = bytes.get(..bytes.len().min(PLAIN_MAX)).unwrap_or_default();
        this.seal(APPLICATION_DATA, taken)?;
        // What the socket does not take now goes first the next time.
        if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.out.is_empty() {
            this.seal(ALERT, &CLOSE)?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// What is opened of `bytes` that arrive in these pieces; `sealed` before, where they are plain. For
/// [`super::proving`], with keys that everybody knows.
pub(super) fn opened(bytes: &[u8], ends: &[usize], sealed: bool) -> io::Result<Vec<u8>> {
    let direction = Direction { records: 0, key: vec![7; 16], iv: [9; NONCE_LEN] };
    let secrets = Secrets { cipher: Cipher::Aes128, sent: direction.clone(), received: direction };
    let mut records = Records::new((), secrets)?;
    if !sealed {
        for piece in bytes.chunks(ends.first().copied().unwrap_or(0).clamp(1, PLAIN_MAX)) {
            records.seal(APPLICATION_DATA, piece)?;
        }
    }
    let came = if sealed { bytes.to_vec() } else { std::mem::take(&mut records.out) };
    let (mut opened, mut from) = (Vec::new(), 0);
    for to in ends.iter().map(|end| (*end).min(came.len())).chain([came.len()]) {
        records.sealed.extend_from_slice(came.get(from..to).unwrap_or_default());
        from = to;
        while records.open()? {
            opened.append(&mut records.plain);
        }
    }
    Ok(opened)
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
