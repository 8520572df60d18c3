//! The command line's side of the API: HTTP/1.1 over `run/stoa.sock`.
//!
//! One connection a call: a daemon that was restarted in between is simply found again. Nothing here
//! decides what an answer means.

use crate::api::types::database::{DatabaseReport, DatabaseTop, SwitchoverAccepted, SwitchoverRequest};
use crate::api::types::{
    Accepted, DeployAccepted, DeployPreview, DeployRequest, Environment, Problem, PromoteRequest,
    ReleaseStatus, RestartRequest, RollbackRequest, ScaleRequest, SecretRequest, SecretStatus, Status,
    UpAccepted, UpRequest,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::journal::Entry;
use stoa_model::{Millis, Paths, Plan};
use tokio::net::UnixStream;

/// The most bytes of one answer.
const ANSWER_MAX: usize = 32 << 20;
/// For calls that the daemon answers from memory.
const QUICK: Duration = Duration::from_secs(10);
/// For calls in which the daemon takes a source: a large repository may be on its way.
const TAKING: Duration = Duration::from_secs(900);

/// Talks to one site's daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No daemon listens.
    #[error("no daemon answers on {}", .socket.display())]
    NotRunning {
        /// Where it would.
        socket: PathBuf,
    },
    /// The socket is another user's.
    #[error("{} may not be used by this user", .socket.display())]
    Forbidden {
        /// Which.
        socket: PathBuf,
    },
    /// The daemon refused, or failed.
    #[error("{}: {}", .0.what, .0.why)]
    Refused(Problem),
    /// It listens and does not answer.
    #[error("the daemon gave no answer to {call} within {limit}")]
    Silent {
        /// Method and path.
        call: String,
        /// How long was waited.
        limit: Millis,
    },
    /// The connection or the answer is not what it should be.
    #[error("the daemon's answer to {call} could not be used: {why}")]
    Broken {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Client {
    /// For the site whose state lies at `paths`.
    pub(crate) fn new(paths: &Paths) -> Self {
        Client { socket: paths.api_socket() }
    }

    /// `GET /v1/status`.
    pub(crate) async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// `GET /v1/events`: the entries after number `after`, or the last `limit`.
    pub(crate) async fn events(&self, after: Option<u64>, limit: u64) -> Result<Vec<Entry>, ClientError> {
        let after = after.map(|number| format!("after={number}&")).unwrap_or_default();
        self.get(&format!("/v1/events?{after}limit={limit}")).await
    }

    /// `GET /v1/environment`.
    pub(crate) async fn environment(&self) -> Result<Environment, ClientError> {
        self.get("/v1/environment").await
    }

    /// `POST /v1/up`.
    pub(crate) async fn up(&self, request: &UpRequest) -> Result<UpAccepted, ClientError> {
        self.post("/v1/up", request, TAKING).await
    }

    /// `POST /v1/plan`.
    pub(crate) async fn plan(&self, request: &UpRequest) -> Result<Plan, ClientError> {
        self.post("/v1/plan", request, TAKING).await
    }

    /// `POST /v1/scale`.
    pub(crate) async fn scale(&self, request: &ScaleRequest) -> Result<Accepted, ClientError> {
        self.post("/v1/scale", request, QUICK).await
    }

    /// `POST /v1/restart`.
    pub(crate) async fn restart(&self, request: &RestartRequest) -> Result<Accepted, ClientError> {
        self.post("/v1/restart", request, QUICK).await
    }

    /// `POST /v1/deploy`.
    pub(crate) async fn deploy(&self, request: &DeployRequest) -> Result<DeployAccepted, ClientError> {
        self.post("/v1/deploy", request, TAKING).await
    }

    /// `POST /v1/deploy` with `dry_run`: nothing changes.
    pub(crate) async fn deploy_preview(&self, request: &DeployRequest) -> Result<DeployPreview, ClientError> {
        self.post("/v1/deploy", request, TAKING).await
    }

    /// `POST /v1/rollback`.
    pub(crate) async fn rollback(&self, request: &RollbackRequest) -> Result<DeployAccepted, ClientError> {
        self.post("/v1/rollback", request, QUICK).await
    }

    /// `POST /v1/promote`.
    pub(crate) async fn promote(&self, request: &PromoteRequest) -> Result<DeployAccepted, ClientError> {
        self.post("/v1/promote", request, TAKING).await
    }

    /// `GET /v1/releases`.
    pub(crate) async fn releases(&self) -> Result<Vec<ReleaseStatus>, ClientError> {
        self.get("/v1/releases").await
    }

    /// `POST /v1/secrets`.
    pub(crate) async fn set_secret(&self, request: &SecretRequest) -> Result<Accepted, ClientError> {
        self.post("/v1/secrets", request, TAKING).await
    }

    /// `GET /v1/secrets`.
    pub(crate) async fn secrets(&self) -> Result<Vec<SecretStatus>, ClientError> {
        self.get("/v1/secrets").await
    }

    /// `GET /v1/database`.
    pub(crate) async fn database(&self) -> Result<DatabaseReport, ClientError> {
        self.get("/v1/database").await
    }

    /// `GET /v1/database/top`.
    pub(crate) async fn database_top(&self) -> Result<DatabaseTop, ClientError> {
        self.get("/v1/database/top").await
    }

    /// `POST /v1/database/switchover`.
    pub(crate) async fn switchover(
        &self,
        request: &SwitchoverRequest,
    ) -> Result<SwitchoverAccepted, ClientError> {
        self.post("/v1/database/switchover", request, QUICK).await
    }

    /// `POST /v1/down`.
    pub(crate) async fn down(&self) -> Result<Accepted, ClientError> {
        // A `down` in the middle of an `up` waits until its source was taken.
        self.post("/v1/down", &serde_json::json!({}), TAKING).await
    }

    /// `POST /v1/dismiss`.
    pub(crate) async fn dismiss(&self) -> Result<Accepted, ClientError> {
        self.post("/v1/dismiss", &serde_json::json!({}), TAKING).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new(), QUICK).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| broken(&format!("POST {path}"), &error))?;
        self.call(Method::POST, path, body.into(), limit).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let call = format!("{method} {path}");
        let answer = tokio::time::timeout(limit, exchange(&self.socket, method, path, body));
        let (status, bytes) = answer.await.map_err(|_| silent(&call, limit))??;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| broken(&call, &error));
        }
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(broken(&call, &format!("status {}", status.as_u16()))),
        }
    }
}

/// One request and its whole answer.
async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), ClientError> {
    let call = format!("{method} {path}");
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &call, &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&call, &error))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| broken(&call, &error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&call, &error))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        Ok((status, bytes.map_err(|error| broken(&call, &error))?.to_bytes()))
    };
    // The connection has to be driven beside the exchange; what its end means, the exchange tells.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        result = &mut answer => result,
        _ = &mut connection => answer.await,
    }
}

fn unreachable(socket: &Path, call: &str, error: &std::io::Error) -> ClientError {
    let socket = socket.to_owned();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
            ClientError::NotRunning { socket }
        }
        ErrorKind::PermissionDenied => ClientError::Forbidden { socket },
        _ => broken(call, error),
    }
}

fn silent(call: &str, limit: Duration) -> ClientError {
    ClientError::Silent { call: call.to_owned(), limit: Millis::from_secs(limit.as_secs()) }
}

fn broken(call: &str, why: &dyn std::fmt::Display) -> ClientError {
    ClientError::Broken { call: call.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests;
