//! Beside a real nginx as the proxy: what both are sent and both accept must mean the same to the
//! instance and to the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::reserved::Reserved;
use common::{Conn, Message, Role, Server, wait_until};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

struct Nginx {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
    _reserved: Reserved,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nginx(upstream: SocketAddr) -> Nginx {
    let dir = tempfile::TempDir::new().unwrap();
    let reserved = Reserved::new();
    let address = reserved.address;
    let path = dir.path().display();
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log; events {{}}
         http {{ access_log off;
           client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c;
           uwsgi_temp_path {path}/d; scgi_temp_path {path}/e;
           upstream u {{ server {upstream}; keepalive 8; }}
           server {{ listen {address}; location / {{
             proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host;
             proxy_request_buffering off; proxy_buffering off; proxy_pass_request_headers on; }} }} }}"
    );
    std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
    let config = dir.path().join("nginx.conf");
    let mut command = Command::new("nginx");
    command.arg("-e").arg(dir.path().join("error.log")).arg("-c").arg(config);
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx: ./check installs it");
    let nginx = Nginx { child, address, _dir: dir, _reserved: reserved };
    wait_until("nginx listens", || std::net::TcpStream::connect(address).is_ok());
    nginx
}

/// What matters of an exchange: status, body, whether it is whole, and end-to-end fields.
fn meaning(answer: &Message) -> (u16, Vec<u8>, bool, Vec<String>) {
    let ours = ["x-test", "set-cookie", "content-type", "etag", "location"];
    let mut fields: Vec<String> = answer
        .head
        .lines()
        .filter(|line| {
            line.split_once(':').is_some_and(|(name, _)| ours.contains(&&*name.to_ascii_lowercase()))
        })
        .map(str::to_owned)
        .collect();
    fields.sort();
    (answer.status(), answer.body.clone(), answer.whole, fields)
}

#[test]
fn valid_messages_mean_the_same() {
    // Answers in many framings, and says how it was asked: the request line, a field, the body.
    let server = Server::tcp(|mut conn, _| {
        while let Some(request) = conn.message(false) {
            let line = request.head.lines().next().unwrap();
            let seen = format!(
                "{line} host={:?} x={:?} te={:?} up={:?} body={}",
                request.field("host"),
                request.field("x-test"),
                request.field("te"),
                request.field("upgrade"),
                request.text()
            );
            let (n, path) = (seen.len(), request.path().split('?').next().unwrap().to_owned());
            let common = "Content-Type: text/plain\r\nX-Test: a, b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2";
            let answer = match path.as_str() {
                "/chunked" => {
                    let (a, b) = seen.split_at(n / 2);
                    format!(
                        "HTTP/1.1 200 OK\r\n{common}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{a}\r\n{:X}\r\n{b}\r\n0\r\n\r\n",
                        a.len(),
                        b.len()
                    )
                }
                "/close" => format!("HTTP/1.1 200 OK\r\n{common}\r\nConnection: close\r\n\r\n{seen}"),
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned(),
                "/204" => "HTTP/1.1 204 No Content\r\nX-Test: none\r\n\r\n".to_owned(),
                "/302" => "HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n".to_owned(),
                _ if line.starts_with("HEAD") => {
                    format!("HTTP/1.1 200 OK\r\n{common}\r\nContent-Length: {n}\r\n\r\n")
                }
                _ => format!("HTTP/1.1 200 OK\r\n{common}\r\nContent-Length: {n}\r\n\r\n{seen}"),
            };
            if conn.write_all(answer.as_bytes()).is_err() || path == "/close" {
                return;
            }
        }
    });
    let nginx = nginx(server.address());
    let mut role = Role::start();
    role.route(&[&server], &[]);
    let mut cases = Vec::new();
    for path in ["/", "/a/b?c=d&e=%20", "/chunked", "/close", "/304", "/204", "/302", "/%41//x/../y"] {
        cases.push(format!("GET {path} HTTP/1.1\r\nHost: www.example\r\nX-Test: 1\r\n\r\n"));
        cases.push(format!("POST {path} HTTP/1.1\r\nHost: www.example:80\r\nContent-Length: 4\r\n\r\nbody"));
        cases.push(format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        ));
        cases.push(format!(
            "DELETE {path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nKeep-Alive: 5\r\nConnection: TE\r\n\r\n"
        ));
    }
    cases.push("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
    cases.push("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
    cases.push("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n".to_owned());
    cases.push("GET / HTTP/1.1\r\nhOsT:a\r\nx-tEST:  1  \r\n\r\n".to_owned());
    cases.push("GET /?a=/../b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned());
    for case in &cases {
        let ask = |address| {
            let mut conn = Conn::tcp(address);
            conn.send(case);
            conn.message(case.starts_with("HEAD")).unwrap()
        };
        let (theirs, ours) = (ask(nginx.address), ask(role.web));
        assert_eq!(meaning(&ours), meaning(&theirs), "{case}");
    }
}

#[test]
fn what_nginx_refuses_is_refused() {
    let server = Server::named("passed");
    let nginx = nginx(server.address());
    let mut role = Role::start();
    role.route(&[&server], &[]);
    for case in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ] {
        let ask = |address| {
            let mut conn = Conn::tcp(address);
            conn.send(case);
            conn.message(false).map_or(0, |answer| answer.status())
        };
        if ask(nginx.address) != 200 {
            let status = ask(role.web);
            assert!((400..=505).contains(&status), "{status}: {case}");
        }
    }
}
