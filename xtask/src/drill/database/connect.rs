//! Connections to a database server or to the splitter, every use of which is over by a deadline. It knows
//! no statement.

use mysql_async::{Conn, Opts, OptsBuilder};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Who is not answered by then gives up: longer than a splitter may hold a statement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// How a server of the site is reached past the splitter: through its own socket.
pub(crate) fn through(socket: &Path, user: &str, password: &str, schema: &str) -> Opts {
    let socket = socket.to_string_lossy().into_owned();
    plain(
        OptsBuilder::default()
            .socket(Some(socket))
            .user(Some(user))
            .pass(Some(password))
            .db_name(Some(schema)),
    )
}

/// How a server of the site is reached past the splitter over TCP.
pub(crate) fn at(address: SocketAddr, user: &str, password: &str, schema: &str) -> Opts {
    plain(
        OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .prefer_socket(Some(false))
            .user(Some(user))
            .pass(Some(password))
            .db_name(Some(schema)),
    )
}

/// What a `DATABASE_URL` says. Only its address is used: whatever lies behind it is not looked for.
pub(crate) fn url(text: &str) -> Result<Opts, String> {
    // The error is told without the text, which holds a password.
    let opts = Opts::from_url(text).map_err(|error| format!("DATABASE_URL cannot be used: {error}"))?;
    Ok(plain(OptsBuilder::from_opts(opts).prefer_socket(Some(false))))
}

/// Without the questions that the library asks of a server by itself.
fn plain(options: OptsBuilder) -> Opts {
    options.max_allowed_packet(Some(16 << 20)).wait_timeout(Some(28_800)).into()
}

/// Connects.
pub(crate) async fn connect(options: &Opts) -> Result<Conn, String> {
    within(PATIENCE, Conn::new(options.clone())).await
}

/// What it gives, unless it takes too long.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = mysql_async::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

/// A runtime of the calling thread's own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|error| format!("no runtime: {error}"))
}
