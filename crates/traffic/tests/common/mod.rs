//! A role in this process, scripted instances behind it and a plain client in front of it.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod reserved;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stoa_model::control::Report;
use stoa_model::routes::{AppFace, Route};
use stoa_model::{Endpoint, Generation, InstanceId, Routes, Time};
use stoa_traffic::http::control::Client;
use stoa_traffic::http::role::{self, Limits, RoleConfig, RoleError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Nothing here takes longer, or it hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Either kind of connection, blocking, with [`DEADLINE`] on reading.
#[derive(Debug)]
pub enum Conn {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Conn {
    pub fn tcp(address: SocketAddr) -> Conn {
        Conn::Tcp(TcpStream::connect(address).unwrap()).timed(DEADLINE)
    }

    pub fn unix(path: &Path) -> Conn {
        Conn::Unix(UnixStream::connect(path).unwrap()).timed(DEADLINE)
    }

    pub fn timed(self, span: Duration) -> Conn {
        match &self {
            Conn::Tcp(stream) => stream.set_read_timeout(Some(span)).unwrap(),
            Conn::Unix(stream) => stream.set_read_timeout(Some(span)).unwrap(),
        }
        self
    }

    pub fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Conn::Tcp(stream) => stream.shutdown(how),
            Conn::Unix(stream) => stream.shutdown(how),
        };
    }

    fn another(&self) -> Conn {
        match self {
            Conn::Tcp(stream) => Conn::Tcp(stream.try_clone().unwrap()),
            Conn::Unix(stream) => Conn::Unix(stream.try_clone().unwrap()),
        }
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.write_all(text.as_ref()).unwrap();
    }

    /// Whether the other side closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// A head and its framed body; `None` at the end of the connection.
    pub fn message(&mut self, head_only: bool) -> Option<Message> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) if head.is_empty() => return None,
                Err(_) if head.is_empty() => return None,
                other => panic!("{other:?} within a head: {:?}", String::from_utf8_lossy(&head)),
            }
        }
        let mut message = Message { head: String::from_utf8(head).unwrap(), body: Vec::new(), whole: true };
        let status = message.status();
        if head_only || (100..200).contains(&status) || matches!(status, 204 | 304) {
            return Some(message);
        }
        if message.field("transfer-encoding").is_some() {
            message.whole = self.chunks(&mut message.body).is_ok();
        } else if let Some(length) = message.field("content-length") {
            message.body = vec![0; length.parse().unwrap()];
            message.whole = self.read_exact(&mut message.body).is_ok();
        } else if status != 0 {
            message.whole = self.read_to_end(&mut message.body).is_ok();
        }
        Some(message)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8(line).unwrap().trim_end().to_owned())
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).unwrap();
            let mut chunk = vec![0; size];
            self.read_exact(&mut chunk)?;
            body.extend(chunk);
            if size == 0 {
                loop {
                    let line = self.line()?;
                    if line.is_empty() {
                        return Ok(());
                    }
                    body.extend(format!("[{line}]").into_bytes());
                }
            }
            assert_eq!(self.line()?, "");
        }
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: &str) -> Message {
        self.send(request);
        self.message(request.starts_with("HEAD")).expect("an answer")
    }

    /// `GET path` and its answer.
    pub fn get(&mut self, path: &str) -> Message {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: www.example\r\n\r\n"))
    }
}

impl Read for Conn {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Tcp(stream) => stream.read(buf),
            Conn::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Conn {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Tcp(stream) => stream.write(buf),
            Conn::Unix(stream) => stream.write(buf),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request or an answer.
#[derive(Debug, Clone)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub whole: bool,
}

impl Message {
    /// The status of an answer; zero for a request.
    pub fn status(&self) -> u16 {
        let rest = self.head.strip_prefix("HTTP/1.1 ");
        rest.map_or(0, |rest| rest[..3].parse().unwrap())
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// An answer of 200 with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// A server whose every connection is handled by a script, with the connection's number from zero.
pub struct Server {
    pub endpoint: Endpoint,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<Conn>>>,
    dead: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Script = dyn Fn(Conn, usize) + Send + Sync;

impl Server {
    pub fn tcp(script: impl Fn(Conn, usize) + Send + Sync + 'static) -> Server {
        Self::at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// Listens at an address that was another server's.
    pub fn at(address: SocketAddr, script: impl Fn(Conn, usize) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        Self::run(endpoint, move || listener.accept().map(|(stream, _)| Conn::Tcp(stream)), script)
    }

    pub fn unix(path: PathBuf, script: impl Fn(Conn, usize) + Send + Sync + 'static) -> Server {
        let listener = UnixListener::bind(&path).unwrap();
        Self::run(
            Endpoint::Unix(path),
            move || listener.accept().map(|(stream, _)| Conn::Unix(stream)),
            script,
        )
    }

    fn run(
        endpoint: Endpoint,
        accept: impl Fn() -> io::Result<Conn> + Send + 'static,
        script: impl Fn(Conn, usize) + Send + Sync + 'static,
    ) -> Server {
        let (connections, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let dead = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (count, all, gone) = (connections.clone(), open.clone(), dead.clone());
        let thread = std::thread::spawn(move || {
            while let Ok(conn) = accept() {
                if gone.load(Ordering::SeqCst) {
                    return;
                }
                let conn = conn.timed(DEADLINE);
                all.lock().unwrap().push(conn.another());
                let n = count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                std::thread::spawn(move || {
                    script(conn.another(), n);
                    conn.shutdown(Shutdown::Both);
                });
            }
        });
        Server { endpoint, connections, open, dead, thread: Some(thread) }
    }

    /// Answers every request, whatever it is, on connections that stay open.
    pub fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Server {
        Server::tcp(answers(answer))
    }

    /// Says its name.
    pub fn named(name: &'static str) -> Server {
        Server::answering(move |_| ok(name))
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn address(&self) -> SocketAddr {
        match &self.endpoint {
            Endpoint::Tcp(address) => *address,
            Endpoint::Unix(path) => panic!("{path:?} is no address"),
        }
    }

    /// Ends as a killed process does: no new connection, the open ones broken.
    pub fn kill(&mut self) {
        self.dead.store(true, Ordering::SeqCst);
        match &self.endpoint {
            Endpoint::Tcp(address) => drop(TcpStream::connect(address)),
            Endpoint::Unix(path) => drop(UnixStream::connect(path)),
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        for conn in self.open.lock().unwrap().drain(..) {
            conn.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A script that answers every request of a connection.
pub fn answers(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync) -> impl Fn(Conn, usize) + Send + Sync {
    move |mut conn, _| {
        while let Some(request) = conn.message(false) {
            if conn.write_all(&answer(&request)).is_err() {
                return;
            }
        }
    }
}

/// A running role, ended when dropped.
pub struct Role {
    pub dir: TempDir,
    pub web: SocketAddr,
    pub app: PathBuf,
    pub control: PathBuf,
    pub runtime: Runtime,
    pub client: Client,
    pub routes: Routes,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RoleError>>>,
}

/// Limits at which a test need not wait long.
pub fn quick() -> Limits {
    Limits {
        probe_first: Duration::from_millis(50),
        probe_pause: Duration::from_millis(50),
        ..Limits::default()
    }
}

impl Role {
    pub fn start() -> Role {
        Self::with(quick(), 2)
    }

    pub fn with(limits: Limits, threads: usize) -> Role {
        let dir = TempDir::new().unwrap();
        let (app, control) = (dir.path().join("app.sock"), dir.path().join("control"));
        let web_face = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = web_face.local_addr().unwrap();
        let config = RoleConfig {
            web_face,
            app_face: UnixListener::bind(&app).unwrap(),
            control: UnixListener::bind(&control).unwrap(),
            threads,
            limits,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            role::run_until(config, async {
                let _ = stopped.await;
            })
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(Client::connect(&control)).unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Role { dir, web, app, control, runtime, client, routes: Routes::default(), stop, thread }
    }

    /// Serves these, as `web-1`, `web-2`, … and `app-1`, …, and waits until it is so.
    pub fn route(&mut self, web: &[&Server], app: &[&Server]) {
        let routes = |tier: &str, servers: &[&Server]| {
            let all = servers.iter().enumerate();
            all.map(|(n, server)| route(&format!("{tier}-{}", n + 1), server, 1)).collect()
        };
        self.routes.web = routes("web", web);
        self.routes.app = routes("app", app);
        self.apply();
    }

    pub fn app_face(&mut self, kind: &str, health: &str, timeout: u64) {
        let json = format!(r#"{{"kind":"{kind}","health":"{health}","timeout":{timeout}}}"#);
        self.routes.app_face = serde_json::from_str::<AppFace>(&json).unwrap();
    }

    /// Puts `routes` in force under the next generation.
    pub fn apply(&mut self) {
        self.routes.generation = self.routes.generation.next();
        let generation = self.routes.generation;
        self.runtime.block_on(self.client.send_routes(&self.routes)).unwrap();
        self.report_until(|report| report.serving == generation);
    }

    pub fn report_until(&mut self, good: impl Fn(&Report) -> bool) -> Report {
        let until = Instant::now() + DEADLINE;
        loop {
            let report = self.runtime.block_on(self.client.next_report()).unwrap();
            if good(&report) {
                return report;
            }
            assert!(Instant::now() < until, "never reported, last was {report:#?}");
        }
    }

    /// As [`Role::report_until`], asking again at once: routes that are too old change nothing and are
    /// answered with a report.
    pub fn asked_until(&mut self, good: impl Fn(&Report) -> bool) -> Report {
        let until = Instant::now() + DEADLINE;
        loop {
            self.runtime.block_on(self.client.send_routes(&Routes::default())).unwrap();
            let report = self.runtime.block_on(self.client.next_report()).unwrap();
            if good(&report) {
                return report;
            }
            assert!(Instant::now() < until, "never reported, last was {report:#?}");
        }
    }

    pub fn connect(&self) -> Conn {
        Conn::tcp(self.web)
    }

    pub fn connect_app(&self) -> Conn {
        Conn::unix(&self.app)
    }

    /// Begins the drain.
    pub fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits for the end of the drain.
    pub fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Not joined: a failed test leaves connections that the drain would wait for.
        self.stop();
    }
}

/// A route to a server.
pub fn route(id: &str, server: &Server, started: u64) -> Route {
    Route {
        tls: false,
        instance: id.parse().unwrap(),
        endpoint: server.endpoint.clone(),
        started: Time(started),
        because: "the test says so".into(),
        release: None,
    }
}

pub fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub fn generation(n: u64) -> Generation {
    Generation(n)
}

/// Waits for a condition.
pub fn wait_until(what: &str, mut good: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !good() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
