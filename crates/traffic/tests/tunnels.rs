//! Upgraded connections and FastCGI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Conn, DEADLINE, Role, Server, id, ok, quick};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use stoa_model::routes::Admission;
use stoa_traffic::http::role::Limits;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn read(conn: &mut Conn, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    conn.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn bytes_go_both_ways_and_each_side_ends_by_itself() {
    let server = Server::tcp(|mut conn, _| {
        assert!(conn.message(false).unwrap().head.contains("Upgrade: websocket\r\nConnection: Upgrade\r\n"));
        // The first bytes of the tunnel come together with the answer.
        conn.send([SWITCH.as_bytes(), b"\x81\x05hello"].concat());
        let mut said = Vec::new();
        conn.read_to_end(&mut said).unwrap();
        conn.send([&[0x82, said.len() as u8][..], &said].concat());
    });
    let mut role = Role::start();
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    assert_eq!(conn.ask(ASK).status(), 101);
    assert_eq!(read(&mut conn, 7), b"\x81\x05hello");
    role.report_until(|report| report.instances[&id("web-1")].in_flight == 1);
    conn.send("abc");
    conn.shutdown(Shutdown::Write);
    assert_eq!(read(&mut conn, 5), b"\x82\x03abc");
    assert!(conn.is_closed());
    let report = role.report_until(|report| report.instances[&id("web-1")].in_flight == 0);
    assert_eq!(report.web_face.status[0], 1);
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let (mut role, server) = (Role::start(), Server::named("no tunnel"));
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    assert_eq!(conn.ask(ASK).text(), "no tunnel");
    assert_eq!(conn.get("/").text(), "no tunnel");
}

#[test]
fn a_websocket_is_closed_politely_between_two_frames() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let server = Server::tcp(move |mut conn, _| {
        conn.message(false).unwrap();
        // Half a frame stands there when the drain begins.
        conn.send([SWITCH.as_bytes(), b"\x81\x0ahello"].concat());
        wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        conn.send(b"world\x81\x03not");
        let mut said = [0; 8];
        conn.read_exact(&mut said).unwrap();
        tell.lock().unwrap().send(said).unwrap();
        conn.send(b"\x88\x02\x03\xe9");
    });
    let limits = Limits { drain_tunnels: Duration::ZERO, ..quick() };
    let mut role = Role::with(limits, 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    assert_eq!(conn.ask(ASK).status(), 101);
    assert_eq!(read(&mut conn, 7), b"\x81\x0ahello");
    role.stop();
    let until = std::time::Instant::now() + Duration::from_millis(200);
    while std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    assert_eq!(read(&mut conn, 5), b"world");
    assert_eq!(read(&mut conn, 4), b"\x88\x02\x03\xe9", "a close frame, going away");
    // The client's own close frame reaches the instance.
    conn.send(b"\x88\x82\0\0\0\0\x03\xe9");
    assert_eq!(&told.recv_timeout(DEADLINE).unwrap(), b"\x88\x82\0\0\0\0\x03\xe9");
    conn.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    conn.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "nothing follows a close frame");
    role.join();
}

#[test]
fn another_tunnel_is_just_closed() {
    let server = Server::tcp(|mut conn, _| {
        conn.message(false).unwrap();
        conn.send("HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhi");
        conn.is_closed();
    });
    let mut role = Role::with(Limits { drain_tunnels: Duration::from_millis(50), ..quick() }, 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    conn.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert_eq!(read(&mut conn, 2), b"hi");
    role.join();
    assert!(conn.is_closed());
}

#[test]
fn the_tunnels_of_an_instance_that_is_no_longer_routed_to_end_politely_and_not_all_at_once() {
    let server = |name: &'static str| {
        Server::tcp(move |mut conn, _| {
            let asked = conn.message(false).unwrap();
            if asked.head.contains("chat") {
                conn.send("HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
                conn.is_closed();
                return;
            }
            conn.send([SWITCH.as_bytes(), &[0x81, name.len() as u8], name.as_bytes()].concat());
            // Closes its side once the client's close frame has come.
            let mut said = [0; 8];
            let _ = conn.read_exact(&mut said);
        })
    };
    let (old, new) = (server("old"), server("new"));
    let limits = Limits { retire_tunnels: Duration::from_millis(1500), ..quick() };
    let mut role = Role::with(limits, 2);
    role.route(&[], &[&old]);
    let open = |role: &Role, name: &str| {
        let mut conn = role.connect_app();
        assert_eq!(conn.ask(ASK).status(), 101);
        assert_eq!(read(&mut conn, 2 + name.len())[2..], *name.as_bytes());
        conn
    };
    let tunnels: Vec<Conn> = (0..20).map(|_| open(&role, "old")).collect();
    let mut plain = role.connect_app();
    plain.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    let report = role.report_until(|report| report.instances[&id("app-1")].in_flight == 21);
    assert_eq!(report.instances[&id("app-1")].tunnels, 21);
    role.route(&[], &[&old, &new]);
    role.routes.app.remove(0);
    let retired = Instant::now();
    role.apply();
    let clients: Vec<_> = tunnels
        .into_iter()
        .map(|mut conn| {
            std::thread::spawn(move || {
                assert_eq!(read(&mut conn, 4), b"\x88\x02\x03\xe9", "a close frame, going away");
                let told = retired.elapsed();
                conn.send(b"\x88\x82\0\0\0\0\x03\xe9");
                assert!(conn.is_closed());
                (told, retired.elapsed())
            })
        })
        .collect();
    // Who opens one meanwhile gets the new release, and keeps it.
    let mut kept = open(&role, "new");
    let mut told: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(plain.is_closed());
    let report = role.report_until(|report| report.instances[&id("app-1")].in_flight == 0);
    assert_eq!((report.instances[&id("app-1")].tunnels, report.instances[&id("app-2")].tunnels), (0, 1));
    told.sort();
    let (first, last) = (told[0].0, told[19].0);
    // Twenty draws out of 1.5 s: all within a quarter of it once in a million million.
    assert!(last - first > Duration::from_millis(375), "spread out: {told:?}");
    // Not by their time-outs: each ended with the answer of its client.
    assert!(told.iter().all(|(told, ended)| *ended - *told < Duration::from_millis(1500)), "{told:?}");
    kept.send("still");
    assert!(kept.timed(Duration::from_millis(50)).read(&mut [0; 1]).is_err(), "neither closed nor told to");
}

/// One FastCGI record.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
}

fn fastcgi_request(method: &str) -> Vec<u8> {
    let param = [&[14, method.len() as u8][..], b"REQUEST_METHOD", method.as_bytes()].concat();
    [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, &param), record(4, b""), record(5, b"")].concat()
}

fn fastcgi_server(path: std::path::PathBuf, name: &'static str) -> Server {
    Server::unix(path, move |mut conn, _| {
        let mut request = vec![0; fastcgi_request("GET").len()];
        if conn.read_exact(&mut request).is_ok() {
            let answer = format!("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\n{name}");
            let _ = conn.write_all(&[record(6, answer.as_bytes()), record(3, &[0; 8])].concat());
        }
    })
}

fn ask_fastcgi(role: &Role, method: &str) -> Vec<u8> {
    let mut conn = role.connect_app();
    conn.send(fastcgi_request(method));
    let mut answer = Vec::new();
    conn.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn fastcgi_is_balanced_a_connection_at_a_time() {
    let mut role = Role::start();
    role.app_face("php", "/", 60_000);
    let server = fastcgi_server(role.dir.path().join("php-1"), "one");
    role.route(&[], &[&server]);
    for _ in 0..3 {
        let answer = ask_fastcgi(&role, "GET");
        assert!(String::from_utf8_lossy(&answer).contains("\r\n\r\none"), "{answer:?}");
    }
    let report = role.report_until(|report| report.app_face.status[3] == 3);
    let instance = &report.instances[&id("app-1")];
    assert_eq!((instance.in_flight, instance.traffic.status[3]), (0, 3));
}

#[test]
fn fastcgi_goes_elsewhere_where_that_is_safe() {
    let mut role = Role::start();
    role.app_face("php", "/", 60_000);
    let good = fastcgi_server(role.dir.path().join("php-1"), "one");
    let gone = {
        let mut gone = fastcgi_server(role.dir.path().join("php-2"), "two");
        gone.kill();
        gone
    };
    role.route(&[], &[&good, &gone]);
    for _ in 0..10 {
        let answer = ask_fastcgi(&role, "POS");
        assert!(
            String::from_utf8_lossy(&answer).contains("one"),
            "nothing was sent: any method goes elsewhere"
        );
    }
    let report = role.report_until(|report| report.instances[&id("app-2")].ejected.is_some());
    assert_eq!(report.app_face.broken, 0);
    let breaking = Server::unix(role.dir.path().join("php-3"), |mut conn, _| {
        let _ = conn.read(&mut [0; 4]);
    });
    role.route(&[], &[&good, &breaking]);
    role.routes.app[1].instance = id("app-3");
    for started in 10..30 {
        role.routes.app[1].started = stoa_model::Time(started);
        role.apply();
        let answer = ask_fastcgi(&role, "GET");
        assert!(String::from_utf8_lossy(&answer).contains("one"), "{answer:?}");
    }
    assert!(breaking.connections() > 0);
}

#[test]
fn fastcgi_without_an_instance_is_answered() {
    let mut role = Role::with(Limits { wait: Duration::from_millis(50), ..quick() }, 1);
    role.app_face("php", "/", 60_000);
    role.apply();
    let answer = String::from_utf8_lossy(&ask_fastcgi(&role, "GET")).into_owned();
    assert!(answer.contains("Status: 503\r\n"), "{answer:?}");
    assert!(answer.contains("503: no server is ready to answer\n"), "{answer:?}");
    role.report_until(|report| report.app_face.status[4] == 1);
}

#[test]
fn fastcgi_connections_wait_in_turn_and_too_many_are_refused() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let mut role = Role::start();
    let server = Server::unix(role.dir.path().join("php"), move |mut conn, _| {
        let mut request = vec![0; fastcgi_request("GET").len()];
        conn.read_exact(&mut request).unwrap();
        wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        let answer = b"Content-Type: text/plain\r\n\r\ndone";
        conn.send([record(6, answer), record(3, &[0; 8])].concat());
    });
    role.app_face("php", "/", 60_000);
    role.routes.app_face.admission = Some(Admission { per_instance: 1, waiting: 2 });
    role.route(&[], &[&server]);
    let mut conns = Vec::new();
    for n in 0..4 {
        let mut conn = role.connect_app();
        conn.send(fastcgi_request("GET"));
        role.asked_until(|report| {
            report.app_queue.arrived == n + 1 && u64::from(report.app_queue.waiting) == n.min(2)
        });
        conns.push(conn);
    }
    let mut refused = Vec::new();
    conns.pop().unwrap().read_to_end(&mut refused).unwrap();
    let refused = String::from_utf8_lossy(&refused).into_owned();
    assert!(refused.contains("Status: 503\r\n") && refused.contains("Retry-After: 1\r\n"), "{refused:?}");
    // One of those that wait has gone.
    drop(conns.pop());
    role.asked_until(|report| report.app_queue.waiting == 1);
    for mut conn in conns {
        go.send(()).unwrap();
        let mut answer = Vec::new();
        conn.read_to_end(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("\r\n\r\ndone"));
    }
    let report = role.asked_until(|report| report.app_face.status[1] == 2);
    let queue = &report.app_queue;
    assert_eq!((queue.arrived, queue.waiting, queue.shed), (4, 0, 1));
    assert_eq!((report.app_face.status[4], report.app_face.broken), (1, 1));
    assert!(queue.waited_us > 0 && server.connections() == 2);
}

#[test]
fn fastcgi_bodies_stream_with_back_pressure() {
    let mut role = Role::start();
    role.app_face("php", "/", 60_000);
    let server = Server::unix(role.dir.path().join("php"), |mut conn, _| {
        let mut all = vec![0; 5_000_000];
        conn.read_exact(&mut all).unwrap();
        conn.write_all(&all).unwrap();
    });
    role.route(&[], &[&server]);
    let body: Arc<Vec<u8>> = Arc::new((0..5_000_000_u32).map(|n| (n % 253) as u8).collect());
    let mut conn = role.connect_app();
    conn.send(body.as_slice());
    let mut back = Vec::new();
    conn.read_to_end(&mut back).unwrap();
    assert!(back == *body);
    assert_eq!(ok("").len(), 38);
}
