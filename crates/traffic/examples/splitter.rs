//! The splitter without the daemon: `splitter LISTEN USER PASSWORD` serves by the routes on its standard
//! input, one a line: `TERM PRIMARY REPLICA...`, each an address, `-` for no primary. `THREADS` says how many
//! threads serve, `FRESHNESS` is `eventual`, `session` or `global`. For measuring and for trying.

use std::error::Error;
use std::io::BufRead;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use stoa_model::routes::{Route, SqlRoutes};
use stoa_model::{Endpoint, Generation, InstanceId, Routes, Term, Tier, Time};
use stoa_traffic::control::Client;
use stoa_traffic::sql::role::{Account, Freshness, Password, Settings, Sockets, SqlRoleConfig, run};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(user), Some(password)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: splitter LISTEN USER PASSWORD".into());
    };
    let folder = std::env::temp_dir().join(format!("stoa-splitter-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let control = folder.join("control");
    let freshness = match std::env::var("FRESHNESS").as_deref() {
        Ok("eventual") => Freshness::Eventual,
        Ok("global") => Freshness::Global,
        _ => Freshness::Session,
    };
    let tcp = TcpListener::bind(listen)?;
    // As the daemon's. Who comes while a short queue is full waits for a greeting that never comes.
    rustix::net::listen(&tcp, 4096)?;
    let config = SqlRoleConfig {
        sockets: Sockets {
            tcp,
            unix: UnixListener::bind(folder.join("sql"))?,
            control: UnixListener::bind(&control)?,
        },
        threads: std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1),
        place: 1,
        accounts: vec![Account { user, password: Password::new(password), schema: None }],
        observer: None,
        authority: None,
        settings: Settings { freshness, ..Settings::default() },
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = Client::connect(&control).await?;
            for (generation, line) in (1..).zip(std::io::stdin().lock().lines()) {
                client.send_routes(&routes(generation, &line?)?).await?;
            }
            Ok::<_, Failure>(())
        })
    });
    run(config)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The port stands for the instance, so that a server keeps its name whatever its role.
fn routes(generation: u64, line: &str) -> Result<Routes, Failure> {
    let mut words = line.split_whitespace();
    let term = Term(words.next().unwrap_or_default().parse()?);
    let route = |address: &str| -> Result<Route, Failure> {
        let address: std::net::SocketAddr = address.parse()?;
        Ok(Route {
            tls: false,
            instance: InstanceId::new(Tier::Database, address.port()),
            endpoint: Endpoint::Tcp(address),
            started: Time(1),
            because: "named on the standard input".into(),
            release: None,
        })
    };
    let primary = words.next().filter(|word| *word != "-").map(route).transpose()?;
    let replicas = words.map(route).collect::<Result<_, _>>()?;
    let sql = SqlRoutes { term, primary, replicas };
    Ok(Routes { generation: Generation(generation), sql, ..Routes::default() })
}
