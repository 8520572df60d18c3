//! Those that stand before the servers, each with one thread. HAProxy and Router pass every connection on to
//! the primary, which is all they can do for one address of reads and writes.

use super::mariadb::{Cluster, PASSWORD, USER, connect};
use super::shared::places::{free_address, made, program, written};
use super::shared::process::Process;
use super::shared::table::OURS;
use mysql_async::prelude::Queryable;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const COMES_UP_WITHIN: Duration = Duration::from_secs(20);

/// A proxy that answers.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// All of them, Stoa last; who is not installed is named and left out.
pub(crate) fn start(cluster: &Cluster, folder: &Path) -> Result<Vec<Proxy>, String> {
    let mut proxies = Vec::new();
    let primary = cluster.primary.address;
    match program("haproxy") {
        Some(program) => proxies.push(haproxy(&program, &made(folder.join("haproxy"))?, primary)?),
        None => println!("HAPROXY IS MISSING: nothing is compared with it"),
    }
    let named = std::env::var_os("STOA_MYSQLROUTER").map(PathBuf::from);
    match named.or_else(|| program("mysqlrouter")) {
        Some(program) => proxies.push(router(&program, &made(folder.join("router"))?, primary)?),
        None => println!(
            "MYSQL ROUTER IS MISSING: nothing is compared with it; STOA_MYSQLROUTER names its program"
        ),
    }
    proxies.push(stoa(cluster, &made(folder.join("stoa"))?)?);
    Ok(proxies)
}

fn haproxy(program: &Path, home: &Path, primary: SocketAddr) -> Result<Proxy, String> {
    let (config, address) = (home.join("haproxy.cfg"), free_address()?);
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n\
         listen database\n  bind {address}\n  server primary {primary}\n"
    );
    written(&config, &text)?;
    let process = Process::start(Command::new(program).arg("-db").arg("-f").arg(&config), Stdio::null())?;
    up(Proxy { name: "HAProxy", address, process })
}

fn router(program: &Path, home: &Path, primary: SocketAddr) -> Result<Proxy, String> {
    let (config, address) = (home.join("router.conf"), free_address()?);
    // Of its own it takes 512 connections in all, and one that has just been closed is one of them.
    let folders = ["logging", "runtime", "data"].map(|name| format!("{name}_folder={}\n", home.display()));
    let plugins = std::env::var_os("STOA_MYSQLROUTER_PLUGINS").map(PathBuf::from);
    let plugins = plugins.map(|folder| format!("plugin_folder={}\n", folder.display()));
    let text = format!(
        "[DEFAULT]\nmax_total_connections=8192\n{}{}\n[logger]\nlevel=error\n[io]\nthreads=1\n\
         [routing:database]\nbind_address={}\nbind_port={}\ndestinations={primary}\n\
         routing_strategy=first-available\nprotocol=classic\nmax_connections=4096\n\
         client_ssl_mode=PASSTHROUGH\nserver_ssl_mode=AS_CLIENT\n",
        folders.concat(),
        plugins.unwrap_or_default(),
        address.ip(),
        address.port(),
    );
    written(&config, &text)?;
    let process = Process::start(Command::new(program).arg("--config").arg(&config), Stdio::null())?;
    up(Proxy { name: "Router", address, process })
}

/// The splitter with one thread, told its routes.
fn stoa(cluster: &Cluster, home: &Path) -> Result<Proxy, String> {
    let address = free_address()?;
    let mut command = Command::new(splitter()?);
    command.arg(address.to_string()).args([USER, PASSWORD]).env("THREADS", "1");
    let mut routes = format!("1 {}", cluster.primary.address);
    for replica in &cluster.replicas {
        routes.push_str(&format!(" {}", replica.address));
    }
    routes.push('\n');
    let file = home.join("routes");
    written(&file, &routes)?;
    let input = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let process = Process::start(&mut command, input.into())?;
    up(Proxy { name: OURS, address, process })
}

/// The splitter's example, built with all optimisation beside this program.
fn splitter() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let splitter = here.ancestors().nth(2).map(|folder| folder.join("examples/splitter"));
    splitter.filter(|file| file.is_file()).ok_or_else(|| {
        "release/examples/splitter is missing; build it with \
         cargo build --release -p stoa-traffic --example splitter"
            .to_owned()
    })
}

/// Waits until a statement is answered through it.
fn up(mut proxy: Proxy) -> Result<Proxy, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    let deadline = Instant::now() + COMES_UP_WITHIN;
    loop {
        let asked = runtime.block_on(async {
            let mut conn = connect(proxy.address).await?;
            conn.query_drop("SELECT 1").await?;
            conn.disconnect().await
        });
        let Err(error) = asked else { return Ok(proxy) };
        if let Some(how) = proxy.process.ended() {
            return Err(format!("{} ended while it came up: {how}", proxy.name));
        }
        if Instant::now() > deadline {
            return Err(format!("{} did not answer within {COMES_UP_WITHIN:?}: {error}", proxy.name));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
