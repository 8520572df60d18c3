//! The engine without the daemon: `proxy LISTEN UPSTREAM...` serves the web face at `LISTEN` and sends
//! what comes in to the upstreams, one thread a core (`THREADS` says how many). For measuring.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use stoa_model::routes::Route;
use stoa_model::{Endpoint, Generation, InstanceId, Routes, Tier, Time};
use stoa_traffic::http::control::Client;
use stoa_traffic::http::role::{Limits, RoleConfig, run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().ok_or("usage: proxy LISTEN UPSTREAM...")?.parse()?;
    let mut routes = Routes { generation: Generation(1), ..Routes::default() };
    for (number, upstream) in (1..).zip(arguments) {
        let endpoint = match upstream.strip_prefix("unix:") {
            Some(path) => Endpoint::Unix(path.into()),
            None => Endpoint::Tcp(upstream.parse()?),
        };
        let instance = InstanceId::new(Tier::Web, number);
        routes.web.push(Route {
            tls: false,
            instance,
            endpoint,
            started: Time(1),
            because: "named as an argument".into(),
            release: None,
        });
    }
    let folder = std::env::temp_dir().join(format!("stoa-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let control = folder.join("control");
    let config = RoleConfig {
        web_face: TcpListener::bind(listen)?,
        app_face: UnixListener::bind(folder.join("app"))?,
        control: UnixListener::bind(&control)?,
        threads: std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1),
        limits: Limits::default(),
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            Client::connect(&control).await?.send_routes(&routes).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })
    });
    run(config)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
