use super::*;
use crate::host::testing::{Bench, until_well};
use crate::host::{Processes, files};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};
use stoa_model::site::{AppKind, Bytes, Domain, InnerPath, UrlPath};
use stoa_model::spec::WebSpec;
use stoa_model::{Endpoint, InstanceId, Millis, Paths, Tier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

mod http;
mod php;
mod text;

const WEB: InstanceId = InstanceId::new(Tier::Web, 1);

fn url(text: &str) -> UrlPath {
    serde_json::from_value(text.into()).unwrap()
}

fn inner(text: &str) -> InnerPath {
    serde_json::from_value(text.into()).unwrap()
}

fn domain(text: &str) -> Domain {
    serde_json::from_value(text.into()).unwrap()
}

fn files_of(files: &[(&str, &str)]) -> BTreeMap<UrlPath, InnerPath> {
    files.iter().map(|(path, folder)| (url(path), inner(folder))).collect()
}

fn spec(paths: &Paths, kind: AppKind, upstream: bool, files: &[(&str, &str)]) -> WebSpec {
    WebSpec {
        endpoint: Endpoint::Unix(paths.socket(WEB)),
        names: vec![domain("www.foobar.com"), domain("foobar.com")],
        upstream: upstream.then(|| Endpoint::Unix(paths.app_face())),
        kind,
        files: files_of(files),
        max_body: Bytes(1 << 20),
        timeout: Millis::from_secs(60),
        restart: 0,
    }
}

/// A release with some files, live.
fn publish(bench: &Bench, release: &str, content: &[(&str, &str)]) {
    let folder = bench.paths.releases().join(release);
    for (name, text) in content {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    files::swap_link(&bench.paths.static_root(0), &folder).unwrap();
}

/// nginx with this spec, answering.
async fn started(bench: &Bench, spec: &WebSpec) -> Processes {
    let processes = bench.processes();
    processes.start(launch(WEB, spec, &bench.paths).unwrap(), Vec::new()).await.unwrap();
    until_well(bench, &processes, WEB, || check(spec, Duration::from_secs(2))).await;
    processes
}

/// An answer, as far as tests look at it.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

async fn ask(bench: &Bench, request: &str) -> Answer {
    let mut stream = UnixStream::connect(bench.paths.socket(WEB)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = async {
        // Not to its end: after a refused body nginx waits for the rest of it.
        while !complete(&bytes) && stream.read_buf(&mut bytes).await.is_ok_and(|length| length > 0) {}
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = bytes.get(end + 4..).unwrap_or_default();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() }
}

/// All that its `Content-Length` promises is there.
fn complete(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= end + 4 + length)
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(line) = body.iter().position(|byte| *byte == b'\r') {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        bytes.extend_from_slice(&body[line + 2..line + 2 + length]);
        body = &body[line + length + 4..];
    }
    bytes
}

async fn get(bench: &Bench, path: &str, headers: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: www.foobar.com\r\nConnection: close\r\n{headers}\r\n");
    ask(bench, &head).await
}

/// Answers every request at the app face with `handle(head)`, as the balancer would.
fn app_face(bench: &Bench, handle: fn(&str) -> String) -> tokio::task::JoinHandle<()> {
    let path = bench.paths.app_face();
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut buffer = [0; 65_536];
                loop {
                    let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
                    bytes.extend_from_slice(&buffer[..length]);
                    if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                        bytes.drain(..end + 4);
                        let answer = handle(&head);
                        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    })
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
