//! The origin and the three that stand before it, each with one worker and the same duties: keep-alive on
//! both sides, the fields that tell of the visitor, a request id, no access log.

use crate::role;
use crate::shared::places::{free_address, made, written};
use crate::shared::process::Process;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The answer to `/small`.
pub(crate) const SMALL: usize = 512;
/// The answer to `/large`.
pub(crate) const LARGE: usize = 64 << 10;

const COMES_UP_WITHIN: Duration = Duration::from_secs(10);

/// A server that answers.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// nginx with two answers, at a Unix socket for the three and at a port to be asked without them.
pub(crate) fn origin(nginx: &Path, folder: &Path) -> Result<Server, String> {
    let home = made(folder.join("origin"))?;
    written(&home.join("large"), &"x".repeat(LARGE))?;
    let address = free_address()?;
    let servers = format!(
        "server {{\n\
         listen unix:{socket};\nlisten {address};\nroot {home};\n\
         location = /small {{ return 200 \"{small}\"; }}\n\
         }}",
        socket = socket(folder).display(),
        home = home.display(),
        small = "x".repeat(SMALL),
    );
    start_nginx("origin", nginx, &home, &servers, address)
}

/// Where the origin listens for those that stand before it.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("origin.sock")
}

/// nginx as a proxy.
pub(crate) fn nginx(nginx: &Path, folder: &Path) -> Result<Server, String> {
    let address = free_address()?;
    let servers = format!(
        "upstream origin {{ server unix:{socket}; keepalive 128; keepalive_requests 1000000000; }}\n\
         server {{\n\
         listen {address};\n\
         location / {{\n\
         proxy_pass http://origin;\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $remote_addr;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header X-Forwarded-Host $http_host;\n\
         proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Request-Id $request_id;\n\
         proxy_max_temp_file_size 0;\n\
         }}\n\
         }}",
        socket = socket(folder).display(),
    );
    start_nginx("nginx", nginx, &made(folder.join("nginx"))?, &servers, address)
}

/// HAProxy.
pub(crate) fn haproxy(haproxy: &Path, folder: &Path) -> Result<Server, String> {
    let (home, address) = (made(folder.join("haproxy"))?, free_address()?);
    let config = home.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n\
         frontend visitors\n  bind {address}\n  default_backend origin\n\
         backend origin\n  http-reuse always\n  option forwardfor\n\
         \x20 http-request set-header X-Forwarded-Proto http\n\
         \x20 http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
         \x20 http-request set-header X-Real-IP %[src]\n\
         \x20 http-request set-header X-Request-Id %[uuid()]\n\
         \x20 server origin unix@{socket}\n",
        socket = socket(folder).display(),
    );
    written(&config, &text)?;
    let process = Process::start(Command::new(haproxy).arg("-db").arg("-f").arg(&config), Stdio::null())?;
    up(Server { name: "HAProxy", address, process })
}

/// Stoa's balancer role.
pub(crate) fn stoa(stoa: &Path, folder: &Path) -> Result<Server, String> {
    let (address, process) = role::start(stoa, &made(folder.join("stoa"))?, &socket(folder))?;
    up(Server { name: "Stoa", address, process })
}

fn start_nginx(
    name: &'static str,
    nginx: &Path,
    home: &Path,
    servers: &str,
    address: SocketAddr,
) -> Result<Server, String> {
    let config = home.join("nginx.conf");
    // As root the worker stays root, so that it may open what root made; `user` means nothing else.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let inner = home.display();
    let text = format!(
        "daemon off;\nworker_processes 1;\n{user}\npid {inner}/pid;\nerror_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\nkeepalive_timeout 300s;\nkeepalive_requests 1000000000;\n\
         sendfile on;\ntcp_nopush on;\ndefault_type application/octet-stream;\n\
         client_body_temp_path {inner}/body;\nproxy_temp_path {inner}/proxy;\n\
         fastcgi_temp_path {inner}/fastcgi;\nuwsgi_temp_path {inner}/uwsgi;\nscgi_temp_path {inner}/scgi;\n\
         {servers}\n}}\n"
    );
    written(&config, &text)?;
    let mut command = Command::new(nginx);
    command.arg("-c").arg(&config).arg("-p").arg(home).args(["-e", "stderr"]);
    up(Server { name, address, process: Process::start(&mut command, Stdio::null())? })
}

/// Waits until both answers come whole.
fn up(mut server: Server) -> Result<Server, String> {
    let deadline = Instant::now() + COMES_UP_WITHIN;
    while !(answers(server.address, "/small", SMALL) && answers(server.address, "/large", LARGE)) {
        if let Some(how) = server.process.ended() {
            return Err(format!("{} ended while it came up: {how}", server.name));
        }
        if Instant::now() > deadline {
            return Err(format!("{} did not answer within {COMES_UP_WITHIN:?}", server.name));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}

fn answers(address: SocketAddr, path: &str, length: usize) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(COMES_UP_WITHIN))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200") && answer.len() > length)
}
