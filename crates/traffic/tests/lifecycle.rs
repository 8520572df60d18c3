//! Routes, the control socket, the drain, and roles that share their sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Conn, DEADLINE, Role, Server, generation, id, ok, quick, route, wait_until};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use stoa_model::{Endpoint, Generation, Routes};
use stoa_traffic::http::control::{Client, ControlError};
use stoa_traffic::http::role::Limits;

#[test]
fn routes_are_acknowledged_and_the_gone_drain_to_zero() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let old = Server::tcp(move |mut conn, _| {
        while let Some(request) = conn.message(false) {
            if request.path() == "/slow" {
                wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            }
            conn.send(ok("old"));
        }
    });
    let limits = Limits { remember: Duration::from_millis(300), ..quick() };
    let (mut role, new) = (Role::with(limits, 2), Server::named("new"));
    role.route(&[&old], &[]);
    let (mut slow, mut conn) = (role.connect(), role.connect());
    assert_eq!(conn.get("/").text(), "old");
    role.report_until(|report| {
        report.web_face.status[1] == 1 && report.instances[&id("web-1")].in_flight == 0
    });
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    role.report_until(|report| report.instances[&id("web-1")].in_flight == 1);
    role.routes.web = vec![route("web-2", &new, 1)];
    role.apply();
    for _ in 0..20 {
        assert_eq!(conn.get("/").text(), "new");
    }
    let report = role.report_until(|_| true);
    assert_eq!(report.instances[&id("web-1")].in_flight, 1);
    go.send(()).unwrap();
    let asked = Instant::now();
    let report = role.report_until(|report| report.instances[&id("web-1")].in_flight == 0);
    assert!(asked.elapsed() < Duration::from_millis(900), "told at once, not at the next second");
    assert_eq!(report.instances[&id("web-1")].traffic.status[1], 2, "with its last answer");
    assert_eq!(slow.message(false).unwrap().text(), "old");
    role.report_until(|report| !report.instances.contains_key(&id("web-1")));
    // Its number is used again, by what has answered nothing yet.
    role.routes.web.push(route("web-1", &old, 2));
    role.apply();
    let report = role.report_until(|_| true);
    assert_eq!(report.instances[&id("web-1")].traffic.status[1], 0);
}

#[test]
fn older_routes_are_ignored() {
    let (mut role, a, b) = (Role::start(), Server::named("a"), Server::named("b"));
    role.routes.generation = Generation(10);
    role.route(&[&a], &[]);
    let mut older = role.routes.clone();
    older.generation = Generation(10);
    older.web = vec![route("web-2", &b, 1)];
    role.runtime.block_on(role.client.send_routes(&older)).unwrap();
    let report = role.report_until(|_| true);
    assert_eq!(report.serving, generation(11));
    assert_eq!(role.connect().get("/").text(), "a");
    let report = role.report_until(|_| true);
    assert!(!report.instances.contains_key(&id("web-2")));
}

#[test]
fn the_last_routes_outlive_the_daemon_and_the_next_one_takes_over() {
    let (mut role, a, b) = (Role::start(), Server::named("a"), Server::named("b"));
    role.route(&[&a], &[]);
    let mut second = role.runtime.block_on(Client::connect(&role.control)).unwrap();
    let report = role.runtime.block_on(second.next_report()).unwrap();
    assert_eq!(report.serving, generation(1));
    let mut third = role.runtime.block_on(Client::connect(&role.control)).unwrap();
    std::mem::swap(&mut role.client, &mut third);
    drop((second, third));
    assert_eq!(role.connect().get("/").text(), "a");
    role.route(&[&b], &[]);
    assert_eq!(role.connect().get("/").text(), "b");
}

#[test]
fn a_control_connection_that_speaks_nonsense_is_closed_and_nothing_else() {
    let (mut role, a) = (Role::start(), Server::named("a"));
    role.route(&[&a], &[]);
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02hi", b"\0\0\0\x04null"] {
        let mut conn = Conn::unix(&role.control);
        conn.send(bytes);
        let until = Instant::now() + DEADLINE;
        while std::io::Read::read(&mut conn, &mut [0; 1000]).is_ok_and(|n| n > 0) {
            assert!(Instant::now() < until);
        }
    }
    assert_eq!(role.connect().get("/").text(), "a");
    let missing = role.runtime.block_on(Client::connect("/nonexistent/control".as_ref())).unwrap_err();
    assert!(matches!(missing, ControlError::Connect { .. }));
    assert!(missing.to_string().contains("/nonexistent/control"), "{missing}");
}

#[test]
fn the_listening_sockets_are_handed_back() {
    let (mut role, a) = (Role::start(), Server::named("a"));
    role.route(&[&a], &[&a]);
    let (web, app): (OwnedFd, OwnedFd) = role.runtime.block_on(role.client.fetch_listeners()).unwrap();
    let (web, app) = (std::net::TcpListener::from(web), std::os::unix::net::UnixListener::from(app));
    assert_eq!(web.local_addr().unwrap(), role.web);
    assert_eq!(app.local_addr().unwrap().as_pathname(), Some(role.app.as_path()));
    role.apply();
    // The role ends, the sockets live on: who connects meanwhile waits for the next role.
    role.join();
    let mut conn = role.connect();
    conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    web.set_nonblocking(false).unwrap();
    let (mut taken, _) = web.accept().unwrap();
    taken.write_all(&ok("next")).unwrap();
    assert_eq!(conn.message(false).unwrap().text(), "next");
}

#[test]
fn a_changed_start_drops_the_connections_of_the_one_before() {
    let server = Server::named("a");
    let mut role = Role::with(quick(), 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    assert_eq!(conn.get("/").text(), "a");
    role.routes.web[0].started = stoa_model::Time(2);
    role.apply();
    assert_eq!(conn.get("/").text(), "a");
    assert_eq!(server.connections(), 2);
    role.apply();
    assert_eq!(conn.get("/").text(), "a");
    assert_eq!(server.connections(), 2, "the same routes keep the connections");
}

#[test]
fn draining_answers_what_is_there_and_says_goodbye() {
    let limits = Limits { drain_idle: Duration::from_millis(700), ..quick() };
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::tcp(move |mut conn, _| {
        while let Some(request) = conn.message(false) {
            if request.path() == "/slow" {
                wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            }
            conn.send(ok("fine"));
        }
    });
    let mut role = Role::with(limits, 2);
    role.route(&[&server], &[]);
    let (mut slow, mut busy, mut idle) = (role.connect(), role.connect(), role.connect());
    for conn in [&mut slow, &mut busy, &mut idle] {
        assert_eq!(conn.get("/").field("connection"), None);
    }
    role.report_until(|report| {
        report.web_face.status[1] == 3 && report.instances[&id("web-1")].in_flight == 0
    });
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    role.report_until(|report| report.instances[&id("web-1")].in_flight == 1);
    let begun = Instant::now();
    role.stop();
    // A connection without a request stays for a while: what arrives in that time is answered.
    let last = loop {
        let answer = busy.get("/");
        if answer.field("connection").is_some() {
            break answer;
        }
    };
    assert_eq!((last.text().as_str(), last.field("connection")), ("fine", Some("close")));
    assert!(busy.is_closed());
    assert!(idle.is_closed());
    assert!(begun.elapsed() >= Duration::from_millis(650), "{:?}", begun.elapsed());
    go.send(()).unwrap();
    let answer = slow.message(false).unwrap();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("fine", Some("close")));
    drop((slow, busy, idle));
    role.join();
}

#[test]
fn draining_has_an_end() {
    let silent = Server::tcp(|mut conn, _| {
        conn.message(false);
        conn.is_closed();
    });
    let mut role = Role::with(Limits { drain: Duration::from_millis(300), ..quick() }, 2);
    role.route(&[&silent], &[]);
    let mut conn = role.connect();
    conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    role.report_until(|report| report.instances[&id("web-1")].in_flight == 1);
    let begun = Instant::now();
    role.join();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(conn.is_closed());
}

#[test]
fn requests_go_to_the_instance_that_holds_fewer() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = Server::tcp(move |mut conn, _| {
        while conn.message(false).is_some() {
            wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            conn.send(ok("slow"));
        }
    });
    let (mut role, fast) = (Role::start(), Server::named("fast"));
    role.route(&[&slow], &[]);
    // Two, because an instance holds a request until just after its client has the answer.
    let mut held = [role.connect(), role.connect()];
    for conn in &mut held {
        conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    role.report_until(|report| report.instances[&id("web-1")].in_flight == 2);
    role.route(&[&slow, &fast], &[]);
    // While one is busy, the other gets everything, whichever thread serves it.
    for _ in 0..20 {
        assert_eq!(role.connect().get("/").text(), "fast");
    }
    for _ in &held {
        go.send(()).unwrap();
    }
    for conn in &mut held {
        assert_eq!(conn.message(false).unwrap().text(), "slow");
    }
}

/// A role in a process of its own, on sockets it inherits, killed when dropped.
mod process {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd};
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use stoa_traffic::http::role;

    struct Process(Child);

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// No test: what the processes below run, by the name of this function.
    #[test]
    fn entry() {
        if std::env::var_os("STOA_TEST_ROLE").is_some() {
            let config = role::inherited_sockets(1).unwrap();
            role::run(config).unwrap();
        }
    }

    #[allow(unsafe_code)]
    fn start(web: &TcpListener, app: &UnixListener, control: &UnixListener) -> Process {
        // Copies far from the numbers they are to get, so that none is overwritten by another.
        let copy = |fd: std::os::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 100).unwrap();
        let sockets = [copy(web.as_fd()), copy(app.as_fd()), copy(control.as_fd())];
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "process::entry", "--nocapture"])
            .env("STOA_TEST_ROLE", "1")
            .env("LISTEN_FDS", "3")
            .env("LISTEN_FDNAMES", "web:app:control");
        // SAFETY: between fork and exec only dup2 is called; the numbers 3 to 5 are this child's to use,
        // and whoever owned them there is gone with exec.
        unsafe {
            command.pre_exec(move || {
                for (number, socket) in (3..).zip(&sockets) {
                    let mut target = std::mem::ManuallyDrop::new(OwnedFd::from_raw_fd(number));
                    assert_ne!(socket.as_raw_fd(), number);
                    rustix::io::dup2(socket, &mut target)?;
                }
                Ok(())
            });
        }
        Process(command.spawn().unwrap())
    }

    fn serve(client: &mut Client, runtime: &tokio::runtime::Runtime, server: &Endpoint) {
        let mut routes = Routes { generation: Generation(1), ..Routes::default() };
        routes.web.push(stoa_model::routes::Route {
            tls: false,
            instance: id("web-1"),
            endpoint: server.clone(),
            started: stoa_model::Time(1),
            because: String::new(),
            release: None,
        });
        runtime.block_on(async {
            client.send_routes(&routes).await.unwrap();
            while client.next_report().await.unwrap().serving != Generation(1) {}
        });
    }

    #[test]
    fn two_roles_share_their_sockets_and_one_is_killed() {
        let (dir, server) = (tempfile::TempDir::new().unwrap(), Server::named("here"));
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let app = UnixListener::bind(dir.path().join("app")).unwrap();
        let address = web.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut roles: Vec<(Process, Client)> = (0..2)
            .map(|n| {
                let path = dir.path().join(format!("control-{n}"));
                let control = UnixListener::bind(&path).unwrap();
                let process = start(&web, &app, &control);
                let mut client = runtime.block_on(Client::connect(&path)).unwrap();
                serve(&mut client, &runtime, &server.endpoint);
                (process, client)
            })
            .collect();
        let connect = || Conn::tcp(address);
        for _ in 0..20 {
            assert_eq!(connect().get("/").text(), "here");
        }
        let (mut killed, _client) = roles.remove(0);
        killed.0.kill().unwrap();
        killed.0.wait().unwrap();
        for _ in 0..200 {
            assert_eq!(connect().get("/").text(), "here");
        }
        // SIGTERM: the one that is left drains and ends well; the socket is still there.
        let (mut last, _client) = roles.remove(0);
        let mut open = connect();
        assert_eq!(open.get("/").text(), "here");
        let pid = rustix::process::Pid::from_child(&last.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_until("it says goodbye", || open.get("/").field("connection") == Some("close"));
        drop(open);
        assert!(last.0.wait().unwrap().success());
        let _waiting = connect();
    }
}
