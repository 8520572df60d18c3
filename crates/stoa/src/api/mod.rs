//! The daemon's API: all of it on a private Unix socket, what only tells on a TCP port of the loopback
//! interface. It asks the store and the operator; it decides nothing.

mod database;
mod deployment;
mod metrics;
mod status;
pub(crate) mod types;

use crate::daemon::{Gauges, Operator, Trouble};
use crate::store::{SqliteStore, Store};
use axum::extract::{Query, Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use miette::{IntoDiagnostic, WrapErr};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use stoa_model::Paths;
use tokio::net::{TcpListener, UnixListener};
use types::database::SwitchoverRequest;
use types::{
    DeployRequest, Problem, PromoteRequest, RestartRequest, RollbackRequest, ScaleRequest, SecretRequest,
    UpRequest,
};

/// The first port the API tries; where another site has it, the next free one.
const FIRST_PORT: u16 = 7070;
const PORTS: u16 = 100;
/// The most events of one answer.
const EVENTS_MAX: u32 = 10_000;

/// What the API speaks for.
#[derive(Clone)]
pub(crate) struct State {
    /// What is known and decided.
    pub(crate) store: Arc<SqliteStore>,
    /// What may be asked.
    pub(crate) operator: Arc<Operator<SqliteStore>>,
    /// What was measured.
    pub(crate) gauges: Arc<Gauges>,
    /// What keeps the controller from deciding.
    pub(crate) trouble: Trouble,
    /// Where state lies.
    pub(crate) paths: Paths,
}

/// What every handler is given.
#[derive(Clone)]
struct Context {
    state: State,
    address: Option<SocketAddr>,
}

/// Serves in the background for as long as the daemon lives.
pub(crate) async fn serve(paths: &Paths, state: State) -> miette::Result<()> {
    let tcp = first_free().await;
    let address = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    let context = Context { state, address };
    let telling = Router::new()
        .route("/v1/status", get(status_of))
        .route("/v1/events", get(events))
        .route("/metrics", get(metrics_of));
    let asking = telling
        .clone()
        .route("/v1/up", post(up))
        .route("/v1/plan", post(plan))
        .route("/v1/deploy", post(deploy))
        .route("/v1/rollback", post(rollback))
        .route("/v1/promote", post(promote))
        .route("/v1/releases", get(releases))
        .route("/v1/secrets", get(secrets).post(set_secret))
        .route("/v1/scale", post(scale))
        .route("/v1/restart", post(restart))
        .route("/v1/database", get(database_of))
        .route("/v1/database/top", get(database_top))
        .route("/v1/database/switchover", post(switchover))
        .route("/v1/down", post(down))
        .route("/v1/dismiss", post(dismiss))
        .route("/v1/environment", get(environment))
        .with_state(context.clone());
    if let Some(listener) = tcp {
        // A page of another origin cannot read these answers (no CORS header), nor change anything here.
        let app = telling.with_state(context).layer(middleware::from_fn(refuse_foreign_names));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
    let socket = paths.api_socket();
    // The daemon's lock is held, so a socket file that is there belongs to a dead daemon.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be listened on", socket.display()))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).into_diagnostic()?;
    tokio::spawn(async move { axum::serve(listener, asking).await });
    Ok(())
}

/// A name of somebody else's that was pointed at this machine (DNS rebinding) would make these answers that
/// page's own: only names of this machine itself are answered.
async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authority = host.parse::<Authority>();
    let name = authority.as_ref().map_or("", Authority::host);
    if matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        return next.run(request).await;
    }
    let problem = Problem::from_text(
        format!("the API does not answer to the name {name:?}"),
        "it tells about this machine to this machine only",
        "ask for it as http://localhost",
    );
    (StatusCode::MISDIRECTED_REQUEST, Json(problem)).into_response()
}

async fn first_free() -> Option<TcpListener> {
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Some(listener);
        }
    }
    tracing::warn!(
        "no port of {FIRST_PORT} to {} is free; the API answers on its socket only",
        FIRST_PORT + PORTS
    );
    None
}

#[derive(Deserialize)]
struct EventsQuery {
    after: Option<u64>,
    limit: Option<u32>,
}

async fn status_of(Shared(context): Shared<Context>) -> Response {
    match status::status(&context.state, context.address).await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => refused(problem),
    }
}

async fn events(Shared(context): Shared<Context>, Query(query): Query<EventsQuery>) -> Response {
    let limit = query.limit.unwrap_or(100).min(EVENTS_MAX);
    match context.state.store.entries(query.after, limit).await {
        Ok(entries) => Json(entries).into_response(),
        Err(error) => refused(Problem::from_text(
            "the journal cannot be read",
            error.to_string(),
            "see that the disk is neither full nor failing",
        )),
    }
}

async fn metrics_of(Shared(context): Shared<Context>) -> Response {
    let text = metrics::exposition(&context.state).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn up(Shared(context): Shared<Context>, Json(request): Json<UpRequest>) -> Response {
    answer(context.state.operator.up(request).await)
}

async fn plan(Shared(context): Shared<Context>, Json(request): Json<UpRequest>) -> Response {
    answer(context.state.operator.plan(request).await)
}

async fn deploy(Shared(context): Shared<Context>, Json(request): Json<DeployRequest>) -> Response {
    let operator = &context.state.operator;
    match request.dry_run {
        true => answer(operator.preview_deploy(request).await),
        false => answer(operator.deploy(request).await),
    }
}

async fn rollback(Shared(context): Shared<Context>, Json(request): Json<RollbackRequest>) -> Response {
    answer(context.state.operator.rollback(request).await)
}

async fn promote(Shared(context): Shared<Context>, Json(request): Json<PromoteRequest>) -> Response {
    answer(context.state.operator.promote(request).await)
}

async fn releases(Shared(context): Shared<Context>) -> Response {
    answer(context.state.operator.releases().await)
}

async fn secrets(Shared(context): Shared<Context>) -> Response {
    answer(context.state.operator.secrets().await)
}

async fn set_secret(Shared(context): Shared<Context>, Json(request): Json<SecretRequest>) -> Response {
    answer(context.state.operator.set_secret(request).await)
}

async fn scale(Shared(context): Shared<Context>, Json(request): Json<ScaleRequest>) -> Response {
    answer(context.state.operator.scale(request).await)
}

async fn restart(Shared(context): Shared<Context>, Json(request): Json<RestartRequest>) -> Response {
    answer(context.state.operator.restart(request).await)
}

async fn database_of(Shared(context): Shared<Context>) -> Response {
    answer(database::report(&context.state).await)
}

async fn database_top(Shared(context): Shared<Context>) -> Response {
    answer(database::top(&context.state).await)
}

async fn switchover(Shared(context): Shared<Context>, Json(request): Json<SwitchoverRequest>) -> Response {
    answer(context.state.operator.switchover(request).await)
}

async fn dismiss(Shared(context): Shared<Context>) -> Response {
    answer(context.state.operator.dismiss().await)
}

async fn down(Shared(context): Shared<Context>) -> Response {
    answer(context.state.operator.down().await)
}

async fn environment(Shared(context): Shared<Context>) -> Response {
    answer(context.state.operator.environment().await)
}

fn answer<T: serde::Serialize>(result: Result<T, Problem>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(problem) => refused(problem),
    }
}

fn refused(problem: Problem) -> Response {
    (StatusCode::CONFLICT, Json(problem)).into_response()
}
