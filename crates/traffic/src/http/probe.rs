//! Asks an ejected instance whether it is well again. Runs beside the traffic, never in its way.

use super::limits::{HEAD_MAX, Limits};
use super::table::{Face, Upstream};
use crate::stream::Stream;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stoa_model::routes::AppFace;
use stoa_model::site::AppKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where nginx answers for its own health.
const WEB_HEALTH: &str = "/.stoa/health";

/// Probes until the instance is well, or the routes name this start of it no more. `app_face` tells how
/// the app face is served at that moment.
pub(crate) async fn until_well(upstream: Arc<Upstream>, limits: &Limits, app_face: impl Fn() -> AppFace) {
    let mut pause = limits.probe_first;
    let mut next = limits.probe_pause;
    loop {
        tokio::time::sleep(pause).await;
        if !upstream.current.load(Ordering::Relaxed) {
            return;
        }
        let app_face = app_face();
        let path = match upstream.face {
            Face::Web => Some(WEB_HEALTH),
            Face::App if app_face.kind == AppKind::Http => Some(app_face.health.as_str()),
            Face::App => None,
        };
        match tokio::time::timeout(limits.probe, probe(&upstream, path, limits)).await {
            Ok(Ok(())) => return upstream.readmit(),
            Ok(Err(error)) => tracing::debug!(instance = %upstream.instance.name, %error, "not well yet"),
            Err(_) => tracing::debug!(instance = %upstream.instance.name, "not well yet: no answer"),
        }
        pause = next;
        next = (next + next / 2).min(limits.probe_pause_max);
    }
}

/// One probe: a connection, and where there is a path, a good answer to it.
async fn probe(upstream: &Upstream, path: Option<&str>, limits: &Limits) -> io::Result<()> {
    let mut stream = Stream::connect(&upstream.endpoint, limits.connect).await?;
    let Some(path) = path else { return Ok(()) };
    let (mut reader, mut writer) = stream.halves();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: stoa-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    writer.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    while answer.len() < HEAD_MAX {
        if reader.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fields = [httparse::EMPTY_HEADER; super::limits::HEADERS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        match head.parse(&answer) {
            Ok(httparse::Status::Complete(_)) => {
                return match head.code {
                    Some(200..=399) => Ok(()),
                    code => Err(io::Error::other(format!("status {}", code.unwrap_or_default()))),
                };
            }
            Ok(httparse::Status::Partial) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Err(io::Error::other("its head is too large"))
}
