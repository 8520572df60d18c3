//! Asks a server whether it is well: one question, one time-out, one short sentence when it is not.
//!
//! What a failed check means is decided elsewhere.

use std::io;
use std::time::Duration;
use stoa_model::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The time-out of an ordinary check.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// The most that is read of an answer's head.
const HEAD_MAX: usize = 32 << 10;

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// `GET path` is answered by 2xx or 3xx.
pub async fn http(endpoint: &Endpoint, host: &str, path: &str, timeout: Duration) -> Result<(), String> {
    within(timeout, async {
        let mut stream = open(endpoint).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: stoa-health\r\nAccept: */*\r\n\
             X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n\r\n"
        );
        write(&mut stream, request.as_bytes()).await?;
        match status(&mut stream).await? {
            200..=399 => Ok(()),
            status => Err(format!("answered {status}")),
        }
    })
    .await
}

/// A connection is accepted.
pub async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<(), String> {
    within(timeout, async { open(endpoint).await.map(drop) }).await
}

/// Redis answers `PING` after it was given the password.
pub async fn redis(endpoint: &Endpoint, password: &str, timeout: Duration) -> Result<(), String> {
    within(timeout, async {
        let mut stream = open(endpoint).await?;
        write(&mut stream, &resp(&["AUTH", password])).await?;
        expect(&mut stream, "+OK").await?;
        write(&mut stream, &resp(&["PING"])).await?;
        expect(&mut stream, "+PONG").await
    })
    .await
}

/// Memcached answers `version`.
pub async fn memcached(endpoint: &Endpoint, timeout: Duration) -> Result<(), String> {
    within(timeout, async {
        let mut stream = open(endpoint).await?;
        write(&mut stream, b"version\r\n").await?;
        expect(&mut stream, "VERSION ").await
    })
    .await
}

async fn within(timeout: Duration, question: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(timeout, question).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}", stoa_model::Millis(timeout.as_millis() as u64))),
    }
}

async fn open(endpoint: &Endpoint) -> Result<Box<dyn Stream>, String> {
    let stream: io::Result<Box<dyn Stream>> = match endpoint {
        Endpoint::Tcp(address) => TcpStream::connect(address).await.map(|stream| Box::new(stream) as _),
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as _),
    };
    stream.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "its socket is not there".to_owned(),
        io::ErrorKind::WouldBlock => "accepts no connection: its backlog is full".to_owned(),
        _ => short(&error),
    })
}

async fn write(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|error| short(&error))
}

/// Reads the head of an HTTP answer, past any 1xx, for its status.
async fn status(stream: &mut Box<dyn Stream>) -> Result<u16, String> {
    let mut head = Vec::new();
    loop {
        if let Some((code, length)) = parse(&head)? {
            if (100..200).contains(&code) {
                head.drain(..length);
                continue;
            }
            return Ok(code);
        }
        if head.len() > HEAD_MAX {
            return Err("the head of its answer does not end".to_owned());
        }
        if read(stream, &mut head).await? == 0 {
            return Err("closed the connection before answering".to_owned());
        }
    }
}

fn parse(head: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) => {
            Ok(Some((response.code.ok_or("its answer has no status")?, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(format!("its answer is no HTTP: {error}")),
    }
}

/// Reads one line and compares its beginning.
async fn expect(stream: &mut Box<dyn Stream>, beginning: &str) -> Result<(), String> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        if line.len() > 4096 || read(stream, &mut line).await? == 0 {
            return Err("closed the connection before answering".to_owned());
        }
    }
    if line.starts_with(beginning.as_bytes()) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&line);
    let first = crate::host::log::printable(text.lines().next().unwrap_or_default());
    Err(format!("answered {:?}", first.chars().take(120).collect::<String>()))
}

async fn read(stream: &mut Box<dyn Stream>, into: &mut Vec<u8>) -> Result<usize, String> {
    let mut buffer = [0_u8; 4096];
    let length = stream.read(&mut buffer).await.map_err(|error| short(&error))?;
    into.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(length)
}

/// One command in Redis' protocol, whatever bytes its words hold.
fn resp(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn short(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "broke the connection before answering".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
