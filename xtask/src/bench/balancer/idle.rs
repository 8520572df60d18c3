//! What an open connection costs that is only kept: memory of the proxy's processes, not of the kernel.

use crate::servers::{SMALL, Server};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How many are kept open.
pub(crate) const CONNECTIONS: usize = 1000;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of memory a connection that asked once and was answered. To be measured before any load: memory
/// that a load left behind would be used again and not be seen.
pub(crate) fn memory(server: &Server) -> Result<f64, String> {
    let before = server.process.steady_memory();
    let mut kept = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let asked = ask(server).map_err(|error| {
            format!("{}, idle connection {number}: {error}; is `ulimit -n` large enough?", server.name)
        });
        kept.push(asked?);
    }
    let after = server.process.steady_memory();
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

fn ask(server: &Server) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    write!(stream, "GET /small HTTP/1.1\r\nHost: {}\r\n\r\n", server.address)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let whole = |answer: &[u8]| {
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        head.is_some_and(|head| answer.len() >= head + 4 + SMALL)
    };
    while !whole(&answer) {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    Ok(stream)
}
