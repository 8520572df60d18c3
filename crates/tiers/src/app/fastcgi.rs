//! As much of FastCGI (its specification 1.0) as it takes to ping php-fpm.

use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const VERSION: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const RESPONDER: u8 = 1;

/// More than any ping answers with.
const ANSWER_MAX: usize = 64 << 10;

/// Asks for `path`, which php-fpm answers itself, without a script.
pub(super) async fn ping(socket: &Path, path: &str, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, ask(socket, path)).await {
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err("its socket is not there".to_owned())
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err("connection refused".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(answer)) => judge(&answer),
    }
}

fn judge(answer: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    match status {
        // Without the header the status is 200 (RFC 3875, 6.3.3).
        None if body == "pong" => Ok(()),
        None => Err("answered something else than a pong".to_owned()),
        Some(status) => Err(format!("answered {}", crate::tool::printable(status))),
    }
}

pub(super) async fn ask(socket: &Path, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut request = record(BEGIN_REQUEST, &[0, RESPONDER, 0, 0, 0, 0, 0, 0]);
    let mut parameters = Vec::new();
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", path),
        ("SCRIPT_FILENAME", path),
        ("REQUEST_URI", path),
        ("QUERY_STRING", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
    ] {
        // Lengths up to 127 take one byte; these are all shorter.
        parameters.extend([name.len() as u8, value.len() as u8]);
        parameters.extend(name.bytes().chain(value.bytes()));
    }
    request.extend(record(PARAMS, &parameters));
    request.extend(record(PARAMS, &[]));
    request.extend(record(STDIN, &[]));
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    loop {
        let [version, kind, _, _, high, low, padding, _] = read::<8>(&mut stream).await?;
        if version != VERSION {
            return Err(io::Error::other("answered something else than FastCGI"));
        }
        let mut content = vec![0; usize::from(u16::from_be_bytes([high, low])) + usize::from(padding)];
        stream.read_exact(&mut content).await?;
        content.truncate(content.len() - usize::from(padding));
        match kind {
            STDOUT => answer.extend(content),
            END_REQUEST => return Ok(answer),
            _ => {}
        }
        if answer.len() > ANSWER_MAX {
            return Err(io::Error::other("answered far more than a pong"));
        }
    }
}

async fn read<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A record of request 1. The contents here are far below its 64 KB.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let mut bytes = vec![VERSION, kind, 0, 1, high, low, 0, 0];
    bytes.extend(content);
    bytes
}
