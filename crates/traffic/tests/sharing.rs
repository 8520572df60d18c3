//! Which requests go to a canary, and how many are let through to an instance at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Conn, DEADLINE, Role, Server, id, ok, quick, wait_until};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use stoa_model::control::Report;
use stoa_model::routes::{Admission, Canary};
use stoa_traffic::http::role::Limits;

/// An instance that answers when it is let, and knows the most that it held at once.
struct Gated {
    server: Server,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    permits: Mutex<usize>,
    more: Condvar,
    held: AtomicUsize,
    most: AtomicUsize,
    order: Mutex<Vec<String>>,
}

impl Gate {
    fn pass(&self, path: &str) {
        self.order.lock().unwrap().push(path.to_owned());
        let held = self.held.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(held, Ordering::SeqCst);
        let permits = self.permits.lock().unwrap();
        let (mut permits, waited) = self.more.wait_timeout_while(permits, DEADLINE, |n| *n == 0).unwrap();
        assert!(!waited.timed_out());
        *permits -= 1;
        self.held.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self, n: usize) {
        *self.permits.lock().unwrap() += n;
        self.more.notify_all();
    }
}

fn gated() -> Gated {
    let gate = Arc::new(Gate::default());
    let inside = gate.clone();
    let server = Server::answering(move |request| {
        inside.pass(request.path());
        ok("done")
    });
    Gated { server, gate }
}

fn admit(role: &mut Role, per_instance: u32, waiting: u32) {
    role.routes.app_face.admission = Some(Admission { per_instance, waiting });
}

fn ask(conn: &mut Conn, path: &str) {
    conn.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
}

/// Sends so many requests, each on a connection of its own and each arrived before the next is sent.
fn ask_in_turn(role: &mut Role, n: u64) -> Vec<Conn> {
    let before = role.asked_until(|_| true).app_queue.arrived;
    (0..n)
        .map(|i| {
            let mut conn = role.connect_app();
            ask(&mut conn, &format!("/{i}"));
            role.asked_until(|report| report.app_queue.arrived == before + i + 1 && is_placed(report));
            conn
        })
        .collect()
}

/// Whether everything that has arrived was answered, waits or is held by an instance.
fn is_placed(report: &Report) -> bool {
    let answered: u64 = report.app_face.status.iter().sum();
    let held: u32 = report.instances.values().map(|instance| instance.in_flight).sum();
    report.app_queue.arrived == answered + u64::from(held + report.app_queue.waiting)
}

#[test]
fn a_canary_gets_its_part_of_the_requests_on_every_thread() {
    let (mut role, old, new) = (Role::start(), Server::named("old"), Server::named("new"));
    role.route(&[], &[&old, &old, &new]);
    for (route, release) in role.routes.app.iter_mut().zip(["1-aaaaaaa", "1-aaaaaaa", "2-bbbbbbb"]) {
        route.release = Some(release.parse().unwrap());
    }
    role.routes.canary = Some(Canary { release: "2-bbbbbbb".parse().unwrap(), percent: 20 });
    role.apply();
    let count = |role: &Role| {
        let mut new = 0_u32;
        for _ in 0..4 {
            let mut conn = role.connect_app();
            new += (0..500).filter(|_| conn.get("/").text() == "new").count() as u32;
        }
        new
    };
    // 2000 draws at a fifth: 400, give or take five times 17.9.
    let new = count(&role);
    assert!((310..=490).contains(&new), "{new} of 2000");
    // The canary is over: the least of two, a third each.
    role.routes.canary = None;
    role.apply();
    assert!(count(&role) > 500);
    // A canary that dies loses nobody a request.
    role.routes.canary = Some(Canary { release: "2-bbbbbbb".parse().unwrap(), percent: 99 });
    role.apply();
    let mut dead = Server::named("dead");
    dead.kill();
    role.routes.app[2].endpoint = dead.endpoint.clone();
    role.apply();
    assert_eq!(count(&role), 0);
}

#[test]
fn one_instance_holds_so_many_and_the_rest_wait_in_turn() {
    let (mut role, one) = (Role::start(), gated());
    admit(&mut role, 2, 100);
    role.route(&[], &[&one.server]);
    let mut conns = ask_in_turn(&mut role, 10);
    let report = role.asked_until(|report| report.app_queue.waiting == 8);
    assert_eq!((report.instances[&id("app-1")].in_flight, report.app_queue.waited_us), (2, 0));
    let reached = || one.gate.order.lock().unwrap().clone();
    for freed in 1..=10 {
        one.gate.open(1);
        wait_until("the next in line takes the place", || reached().len() == 10.min(2 + freed));
    }
    let in_turn: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
    assert_eq!(reached(), in_turn);
    for conn in &mut conns {
        assert_eq!(conn.message(false).unwrap().text(), "done");
    }
    assert_eq!(one.gate.most.load(Ordering::SeqCst), 2);
    let report = role.asked_until(|report| report.app_face.status[1] == 10);
    let queue = &report.app_queue;
    assert_eq!((queue.arrived, queue.waiting, queue.shed), (10, 0, 0));
    assert!(queue.waited_us > 0);
    // What a request waited is not the instance's.
    let instance = &report.instances[&id("app-1")].traffic;
    assert!(instance.duration_sum_us + queue.waited_us <= report.app_face.duration_sum_us + 1000);
}

#[test]
fn every_place_is_used_and_none_too_many_under_load() {
    // What is waited for here is that the last of many wake-ups is not lost.
    let mut role = Role::with(quick(), 4);
    let held: Arc<[AtomicUsize; 2]> = Arc::default();
    let most: Arc<[AtomicUsize; 2]> = Arc::default();
    let servers: Vec<Server> = (0..2)
        .map(|n| {
            let (held, most) = (held.clone(), most.clone());
            Server::answering(move |_| {
                most[n].fetch_max(held[n].fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                held[n].fetch_sub(1, Ordering::SeqCst);
                ok("done")
            })
        })
        .collect();
    admit(&mut role, 3, 1000);
    role.route(&[], &[&servers[0], &servers[1]]);
    let (path, began) = (role.app.clone(), Instant::now());
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut conn = Conn::unix(&path);
                (0..100).for_each(|_| assert_eq!(conn.get("/").text(), "done"));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(began.elapsed() < Duration::from_secs(9), "nobody waited for long: {:?}", began.elapsed());
    let report = role.asked_until(|report| report.app_face.status[1] == 3200);
    assert_eq!((report.app_queue.arrived, report.app_queue.shed, report.app_queue.waiting), (3200, 0, 0));
    assert!(report.app_queue.waited_us > 0);
    // An instance may still be sending one answer while the next request is on its way.
    assert!(most.iter().all(|most| most.load(Ordering::SeqCst) <= 3), "{most:?}");
}

#[test]
fn where_too_many_wait_the_next_is_refused_at_once_and_its_connection_goes_on() {
    let (mut role, one) = (Role::start(), gated());
    admit(&mut role, 1, 2);
    role.route(&[], &[&one.server]);
    let mut conns = ask_in_turn(&mut role, 3);
    let mut refused = role.connect_app();
    // With a body and without, two requests in one write: what follows is still understood.
    let asked = Instant::now();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000)),
    ] {
        refused.send(request.repeat(2));
        for _ in 0..2 {
            let answer = refused.message(false).unwrap();
            assert_eq!((answer.status(), answer.field("retry-after")), (503, Some("1")), "{}", answer.head);
            assert_ne!(answer.field("connection"), Some("close"));
        }
    }
    // How long a chunked body is nobody knows: it is not read, and the connection ends in order.
    let mut chunked = role.connect_app();
    let answer = chunked
        .ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
    assert!(asked.elapsed() < Duration::from_secs(5), "at once");
    let report = role.asked_until(|report| report.app_queue.shed == 7);
    assert_eq!((report.app_queue.waiting, report.app_face.status[4]), (2, 7));
    one.gate.open(4);
    for conn in &mut conns {
        assert_eq!(conn.message(false).unwrap().text(), "done");
    }
    role.asked_until(|report| report.instances[&id("app-1")].in_flight == 0);
    assert_eq!(refused.get("/").text(), "done");
}

#[test]
fn who_leaves_the_queue_gives_the_turn_on() {
    let (mut role, one) = (Role::start(), gated());
    admit(&mut role, 1, 10);
    role.route(&[], &[&one.server]);
    let mut conns = ask_in_turn(&mut role, 4);
    // The one whose turn is next and one behind it have gone.
    conns.remove(1);
    conns.remove(1);
    role.asked_until(|report| report.app_queue.waiting == 1);
    one.gate.open(2);
    for conn in &mut conns {
        assert_eq!(conn.message(false).unwrap().text(), "done");
    }
    assert_eq!(*one.gate.order.lock().unwrap(), ["/0", "/3"], "nobody waits for the others' answers");
    role.asked_until(|report| report.app_face.broken == 2 && report.app_queue.waiting == 0);
}

#[test]
fn a_bound_that_is_lifted_lets_everyone_through() {
    let (mut role, one, two) = (Role::start(), gated(), gated());
    admit(&mut role, 1, 10);
    role.route(&[], &[&one.server]);
    let mut conns = ask_in_turn(&mut role, 5);
    // One more instance, then no bound.
    role.route(&[], &[&one.server, &two.server]);
    role.asked_until(|report| report.app_queue.waiting == 3);
    role.routes.app_face.admission = None;
    role.apply();
    role.asked_until(|report| report.app_queue.waiting == 0);
    one.gate.open(5);
    two.gate.open(5);
    for conn in &mut conns {
        assert_eq!(conn.message(false).unwrap().text(), "done");
    }
}

#[test]
fn a_dead_instance_costs_nobody_a_request_and_the_failed_go_first() {
    let (mut role, good) = (Role::with(Limits { waiting: 10, ..quick() }, 2), gated());
    admit(&mut role, 2, 0);
    let mut dead = Server::named("dead");
    dead.kill();
    role.route(&[], &[&good.server]);
    let mut conns = ask_in_turn(&mut role, 2);
    role.route(&[], &[&good.server, &dead]);
    // Sent to the dead one, since the other is full: then it may wait though nobody else may.
    let mut failed = role.connect_app();
    ask(&mut failed, "/failed");
    role.asked_until(|report| report.app_queue.waiting == 1);
    assert_eq!(role.connect_app().get("/").field("retry-after"), Some("1"));
    good.gate.open(3);
    assert_eq!(failed.message(false).unwrap().text(), "done");
    for conn in &mut conns {
        assert_eq!(conn.message(false).unwrap().text(), "done");
    }
    let report = role.asked_until(|report| report.app_queue.waiting == 0);
    assert_eq!((report.app_queue.arrived, report.app_queue.shed), (4, 1));
}
