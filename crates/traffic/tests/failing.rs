//! What visitors see when an instance fails: nothing, wherever that can be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::reserved::Reserved;
use common::{Conn, Role, Server, answers, generation, id, ok, quick, route, wait_until};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stoa_model::Endpoint;
use stoa_traffic::http::role::Limits;

/// Reads a request, sends `part` of an answer and breaks the connection.
fn breaking(part: &'static str) -> Server {
    Server::tcp(move |mut conn, _| {
        conn.message(false);
        let _ = conn.write_all(part.as_bytes());
    })
}

fn post(conn: &mut Conn) -> common::Message {
    conn.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
}

#[test]
fn a_refused_connection_is_tried_elsewhere_for_any_method() {
    let (mut role, good) = (Role::start(), Server::named("good"));
    role.route(&[&good, &good], &[]);
    // Nobody listens there.
    let refusing = Reserved::new();
    role.routes.web[1].endpoint = Endpoint::Tcp(refusing.address);
    for round in 0..10 {
        role.routes.web[1].started = stoa_model::Time(round + 2);
        role.apply();
        let mut conn = role.connect();
        for _ in 0..4 {
            assert_eq!(post(&mut conn).text(), "good");
        }
    }
    let report = role.report_until(|report| report.web_face.status == [0, 40, 0, 0, 0]);
    assert_eq!(report.web_face.broken, 0);
    assert!(report.web_face.retried > 0);
}

#[test]
fn a_connection_broken_before_the_answer_is_sent_again_where_that_is_safe() {
    let (mut role, good, bad) = (Role::start(), Server::named("good"), breaking(""));
    role.route(&[&good, &bad], &[]);
    let mut started = 2;
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let before = bad.connections();
        while bad.connections() == before {
            role.routes.web[1].started = stoa_model::Time(started);
            started += 1;
            role.apply();
            let answer = role.connect().ask(request);
            assert_eq!(answer.status(), 200, "{request}");
        }
    }
    // A POST may have been acted on: it is not sent again, and the page says who failed.
    loop {
        role.routes.web[1].started = stoa_model::Time(started);
        started += 1;
        role.apply();
        let mut conn = role.connect();
        let answer = post(&mut conn);
        if answer.status() == 502 {
            assert_eq!(answer.text(), "502: web-2 closed the connection before answering\n");
            assert_eq!(conn.get("/").status(), 200, "the connection is still good");
            break;
        }
    }
}

#[test]
fn a_small_answer_cut_in_the_middle_is_never_seen() {
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it";
    let (mut role, good, bad) = (Role::start(), Server::named("good"), breaking(part));
    role.route(&[&good, &bad], &[]);
    let mut started = 2;
    while bad.connections() < 5 {
        role.routes.web[1].started = stoa_model::Time(started);
        started += 1;
        role.apply();
        assert_eq!(role.connect().get("/").text(), "good");
    }
}

#[test]
fn a_streaming_answer_cut_in_the_middle_looks_cut() {
    for part in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello",
    ] {
        let (mut role, bad) = (Role::start(), breaking(part));
        role.route(&[&bad], &[]);
        let mut conn = role.connect();
        let answer = conn.get("/");
        assert_eq!((answer.status(), answer.whole), (200, false), "{part}");
        let report = role.report_until(|report| {
            report.web_face.broken == 1 && report.instances[&id("web-1")].ejected.is_some()
        });
        let why = report.instances[&id("web-1")].ejected.clone();
        assert_eq!(why.as_deref(), Some("broke the connection while answering"));
    }
}

#[test]
fn a_streamed_body_is_not_sent_twice() {
    let bad = Server::tcp(|mut conn, _| {
        let _ = conn.read_exact(&mut [0; 20_000]);
    });
    let (mut role, good) = (Role::start(), Server::named("good"));
    role.route(&[&good, &bad], &[]);
    let mut started = 2;
    loop {
        role.routes.web[1].started = stoa_model::Time(started);
        started += 1;
        role.apply();
        let mut conn = role.connect();
        conn.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
        let _ = conn.write_all(&[b'x'; 50_000]);
        let answer = conn.message(false).unwrap();
        if answer.status() == 502 {
            break;
        }
        assert_eq!(answer.text(), "good");
    }
}

#[test]
fn an_unused_connection_that_was_closed_is_no_failure() {
    let server = Server::tcp(|mut conn, n| {
        conn.message(false).unwrap();
        conn.send(ok("fine"));
        if n == 0 {
            // Waits for the next request and closes instead of answering it, as a server does whose
            // keep-alive time is just over.
            conn.message(false);
        } else {
            answers(|_| ok("again"))(conn, n);
        }
    });
    let mut role = Role::with(quick(), 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    assert_eq!(conn.get("/").text(), "fine");
    assert_eq!(conn.get("/").text(), "fine");
    let report = role.report_until(|report| report.web_face.status[1] == 2);
    assert_eq!(report.instances[&id("web-1")].ejected, None);
    assert_eq!((report.web_face.retried, report.instances[&id("web-1")].traffic.broken), (0, 0));
}

#[test]
fn a_killed_instance_costs_no_idempotent_request() {
    let (mut role, good, mut doomed) = (Role::start(), Server::named("a"), Server::named("b"));
    role.route(&[&good, &doomed], &[]);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (web, stop, count) = (role.web, stop.clone(), count.clone());
            std::thread::spawn(move || {
                let mut conn = Conn::tcp(web);
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(conn.get("/").status(), 200);
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    wait_until("traffic flows", || count.load(Ordering::SeqCst) > 200);
    doomed.kill();
    let at = count.load(Ordering::SeqCst);
    wait_until("traffic goes on", || count.load(Ordering::SeqCst) > at + 500);
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let report = role.report_until(|report| report.instances[&id("web-2")].ejected.is_some());
    assert_eq!(report.web_face.broken, 0);
}

#[test]
fn the_ejected_comes_back_only_when_its_health_is_proven() {
    let healthy = Arc::new(AtomicBool::new(false));
    let (well, probes) = (healthy.clone(), Arc::new(AtomicUsize::new(0)));
    let probed = probes.clone();
    let server = Server::tcp(move |mut conn, n| {
        while let Some(request) = conn.message(false) {
            if request.path() == "/well" {
                assert_eq!(request.field("host"), Some("localhost"));
                probed.fetch_add(1, Ordering::SeqCst);
                let status = if well.load(Ordering::SeqCst) { "204 Fine" } else { "503 Not yet" };
                conn.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            } else if n == 0 {
                return;
            } else {
                conn.send(ok("back"));
            }
        }
    });
    let mut role = Role::start();
    role.app_face("http", "/well", 60_000);
    role.route(&[], &[&server]);
    let waiting = {
        let mut conn = role.connect_app();
        std::thread::spawn(move || conn.get("/").text())
    };
    role.report_until(|report| report.instances[&id("app-1")].ejected.is_some());
    wait_until("it is probed again and again", || probes.load(Ordering::SeqCst) >= 3);
    assert!(!waiting.is_finished(), "nothing is sent to what is ejected");
    healthy.store(true, Ordering::SeqCst);
    assert_eq!(waiting.join().unwrap(), "back");
    role.report_until(|report| report.instances[&id("app-1")].ejected.is_none());
}

#[test]
fn a_new_start_is_readmitted_at_once() {
    let bad = breaking("");
    let limits = Limits { probe_first: Duration::from_secs(3600), ..quick() };
    let (mut role, good) = (Role::with(limits, 2), Server::named("good"));
    role.route(&[&bad], &[]);
    assert_eq!(post(&mut role.connect()).status(), 502);
    role.report_until(|report| report.instances[&id("web-1")].ejected.is_some());
    let mut waiting = role.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    role.routes.web = vec![route("web-1", &good, 2)];
    role.apply();
    assert_eq!(waiting.message(false).unwrap().text(), "good");
    role.report_until(|report| report.instances[&id("web-1")].ejected.is_none());
}

#[test]
fn requests_wait_for_an_instance_but_neither_too_many_nor_too_long() {
    let limits = Limits { waiting: 3, wait: Duration::from_millis(1500), ..quick() };
    let (mut role, good) = (Role::with(limits, 2), Server::named("good"));
    role.route(&[], &[]);
    let started = Instant::now();
    let mut waiting: Vec<Conn> = (0..4).map(|_| role.connect()).collect();
    for conn in &mut waiting {
        conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Three wait and one is told at once; which one that is, is up to the threads.
    let answers: Vec<_> = waiting.iter_mut().map(|conn| conn.message(false).unwrap()).collect();
    let full = answers.iter().filter(|answer| answer.text().starts_with("503: too many requests")).count();
    let late = answers.iter().filter(|answer| answer.text() == "503: no server is ready to answer\n").count();
    assert_eq!((full, late), (1, 3));
    assert!(answers.iter().all(|answer| answer.field("retry-after") == Some("5")));
    assert!(started.elapsed() > Duration::from_millis(1400));
    waiting[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    role.route(&[&good], &[]);
    assert_eq!(waiting[0].message(false).unwrap().text(), "good");
}

#[test]
fn an_instance_that_does_not_answer_in_time() {
    let silent = Server::tcp(|mut conn, _| {
        conn.message(false);
        let _ = conn.read(&mut [0]);
    });
    let mut role = Role::with(Limits { web_grace: Duration::from_millis(100), ..quick() }, 1);
    role.app_face("http", "/", 200);
    role.route(&[&silent], &[&silent]);
    for mut conn in [role.connect(), role.connect_app()] {
        let answer = conn.get("/");
        assert_eq!(answer.status(), 504);
        assert!(answer.text().ends_with("-1 did not answer in time\n"), "{}", answer.text());
        assert_eq!(answer.field("connection"), None);
    }
    let report = role.report_until(|report| report.app_face.status[4] == 1);
    assert_eq!(report.instances[&id("app-1")].ejected, None);
}

#[test]
fn a_slow_upload_is_not_the_fault_of_the_instance() {
    let server = Server::answering(|request| ok(request.body.len().to_string()));
    let mut role = Role::start();
    role.app_face("http", "/", 100);
    role.route(&[], &[&server]);
    let mut conn = role.connect_app();
    conn.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    let begun = Instant::now();
    // Longer than the instance may take to answer: its time begins when it has been sent everything.
    while begun.elapsed() < Duration::from_millis(400) {
        std::thread::yield_now();
    }
    conn.send(vec![b'x'; 20_000]);
    assert_eq!(conn.message(false).unwrap().text(), "20000");
}

#[test]
fn bad_answers_are_not_passed_on() {
    for part in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (mut role, bad) = (Role::start(), breaking(part));
        role.route(&[&bad], &[]);
        let answer = role.connect().get("/");
        assert_eq!(answer.status(), 502, "{part}");
        assert!(answer.text().starts_with("502: web-1 sent a bad answer: "), "{}", answer.text());
    }
}

#[test]
fn bytes_behind_an_answer_never_answer_the_next_request() {
    let server = Server::tcp(|mut conn, n| {
        while conn.message(false).is_some() {
            let extra = if n == 0 { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" } else { "" };
            conn.send([ok("good"), extra.as_bytes().to_vec()].concat());
        }
    });
    let mut role = Role::with(quick(), 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    for _ in 0..3 {
        assert_eq!(conn.get("/").text(), "good");
    }
    assert!(server.connections() >= 2);
}

#[test]
fn half_closed_instances_are_noticed_before_they_are_used() {
    let server = Server::tcp(|mut conn, _| {
        conn.message(false).unwrap();
        conn.send(ok("once"));
        conn.shutdown(Shutdown::Write);
        conn.is_closed();
    });
    let mut role = Role::with(quick(), 1);
    role.route(&[&server], &[]);
    let mut conn = role.connect();
    for n in 1..=5 {
        assert_eq!(conn.get("/").text(), "once");
        assert_eq!(server.connections(), n);
    }
    assert_eq!(role.routes.generation, generation(1));
}
