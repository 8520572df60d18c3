use super::*;

const ID: RequestId = [b'7'; 32];
const VISITOR: Visitor<'static> = Visitor {
    fields: b"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n",
    node: b"192.0.2.1",
    id: &ID,
};

fn web(head: &str) -> Result<(Request, String), u16> {
    let mut out = Vec::new();
    let request = read(head.as_bytes(), Some(VISITOR), &mut out).map_err(|refusal| refusal.status)?;
    Ok((request, String::from_utf8(out).unwrap()))
}

fn app(head: &str) -> (Request, String) {
    let mut out = Vec::new();
    let request = read(head.as_bytes(), None, &mut out).unwrap();
    (request, String::from_utf8(out).unwrap())
}

/// A request with these lines between its first and its last.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let cases = [
        ("both lengths", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("both, the other way round", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        ("two lengths", with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        ("the same length twice", with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        ("a list of lengths", with("Content-Length: 5, 5\r\n"), 400),
        ("a signed length", with("Content-Length: +5\r\n"), 400),
        ("a negative length", with("Content-Length: -5\r\n"), 400),
        ("a hexadecimal length", with("Content-Length: 0x5\r\n"), 400),
        ("no length in it", with("Content-Length: \r\n"), 400),
        ("an overflowing length", with("Content-Length: 18446744073709551621\r\n"), 400),
        ("an unknown coding", with("Transfer-Encoding: gzip\r\n"), 400),
        ("a known one behind an unknown one", with("Transfer-Encoding: gzip, chunked\r\n"), 501),
        ("chunked not last", with("Transfer-Encoding: chunked, gzip\r\n"), 400),
        ("chunked twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("chunked twice in a list", with("Transfer-Encoding: chunked, chunked\r\n"), 501),
        ("a quoted coding", with("Transfer-Encoding: \"chunked\"\r\n"), 400),
        ("a coding with a parameter", with("Transfer-Encoding: chunked;q=1\r\n"), 400),
        ("a vertical tab before the coding", with("Transfer-Encoding: \x0bchunked\r\n"), 400),
        ("identity", with("Transfer-Encoding: identity\r\n"), 400),
        ("an empty coding", with("Transfer-Encoding:\r\n"), 400),
        ("space before the colon", with("Content-Length : 5\r\n"), 400),
        ("space before a name", with(" Content-Length: 5\r\n"), 400),
        ("a folded line", with("X: a\r\n b\r\n"), 400),
        ("a folded framing field", with("Transfer-Encoding:\r\n chunked\r\n"), 400),
        ("a bare CR in a value", with("X: a\rContent-Length: 5\r\n"), 400),
        ("a NUL in a value", with("X: a\0b\r\n"), 400),
        ("an empty name", with(": a\r\n"), 400),
        ("no colon", with("Content-Length 5\r\n"), 400),
        ("a name that is no token", with("X(Y): a\r\n"), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400),
        ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), 400),
        ("a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), 400),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), 505),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), 505),
        ("lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("HTTP/0.9", "GET /\r\n\r\n".into(), 400),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("a tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), 400),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("raw UTF-8", "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("a user in the target", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
    ];
    for (what, head, status) in cases {
        assert_eq!(web(&head).map(|(_, out)| out), Err(status), "{what}");
    }
}

#[test]
fn a_request_as_an_instance_gets_it() {
    let (request, out) = web(concat!(
        "GET /a?b HTTP/1.1\r\n",
        "Host: www.example:8080\r\n",
        "User-Agent: test\r\n",
        "X-Forwarded-For: 10.9.9.9\r\n",
        "x_forwarded_for: 10.9.9.8\r\n",
        "X-Forwarded-Proto: https\r\n",
        "Forwarded: for=10.9.9.9\r\n",
        "X-Real-IP: 10.9.9.9\r\n",
        "X-Request-Id: mine\r\n",
        "Connection: keep-alive, X-Gone, X-Forwarded-For, Cookie\r\n",
        "Keep-Alive: timeout=5\r\n",
        "X-Gone: 1\r\n",
        "Cookie: a=b\r\n",
        "TE: trailers\r\n",
        "Proxy-Authorization: x\r\n",
        "Proxy: http://evil\r\n",
        "Accept: text/html,*/*\r\n",
        "\r\n"
    ))
    .unwrap();
    let expected = concat!(
        "GET /a?b HTTP/1.1\r\n",
        "Host: www.example:8080\r\n",
        "User-Agent: test\r\n",
        "Cookie: a=b\r\n",
        "Accept: text/html,*/*\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Real-IP: 192.0.2.1\r\n",
        "X-Forwarded-Host: www.example:8080\r\n",
        "X-Request-Id: 77777777777777777777777777777777\r\n",
        "Forwarded: for=192.0.2.1;host=\"www.example:8080\";proto=http\r\n",
        "\r\n"
    );
    assert_eq!(out, expected);
    assert!(request.idempotent && request.keep_alive && request.html && !request.head_only);
    assert_eq!(request.framing, Framing::None);
}

#[test]
fn the_app_face_passes_on_what_nginx_says() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=x\r\nX-Request-Id: y\r\nConnection: close\r\n\r\n";
    let (request, out) = app(head);
    assert_eq!(
        out,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=x\r\nX-Request-Id: y\r\n\r\n"
    );
    assert!(!request.keep_alive);
}

#[test]
fn framing_is_written_anew() {
    let (request, out) = app("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n");
    assert_eq!(request.framing, Framing::Length(7));
    assert!(out.contains("\r\nContent-Length: 7\r\n"), "{out}");
    assert!(!request.idempotent);
    let (request, out) = app("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n");
    assert_eq!(request.framing, Framing::Chunked);
    assert!(out.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n") && !out.contains("Trailer"), "{out}");
    assert!(request.idempotent);
    let (request, out) = app("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(request.framing, Framing::None);
    assert!(out.contains("\r\nContent-Length: 0\r\n"), "{out}");
}

#[test]
fn targets_are_normalised() {
    let (_, out) = web("GET http://b.example:81/x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(out.starts_with("GET /x HTTP/1.1\r\nHost: b.example:81\r\n"), "{out}");
    assert!(out.contains("\r\nX-Forwarded-Host: b.example:81\r\n"), "{out}");
    let (_, out) = web("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(out.starts_with("OPTIONS * HTTP/1.1\r\n"), "{out}");
    let (request, _) = web("GET /.stoa/health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(request.refused.map(|refusal| refusal.status), Some(404));
    assert_eq!(app("GET /.stoa/health HTTP/1.1\r\nHost: a\r\n\r\n").0.refused, None);
}

#[test]
fn old_clients() {
    let (request, out) = web("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(out.starts_with("GET / HTTP/1.1\r\nHost: localhost\r\n"), "{out}");
    assert!(request.old && !request.keep_alive);
    let (request, _) = web("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
    assert!(request.keep_alive);
    let (request, _) = web("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n").unwrap();
    assert!(!request.keep_alive);
}

#[test]
fn expectations() {
    let (request, out) =
        app("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
    assert!(request.expects_continue && out.contains("Expect: 100-Continue\r\n"));
    let (request, out) = app("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert!(!request.expects_continue && !out.contains("Expect"));
    let (request, _) = app("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n");
    assert_eq!(request.refused.map(|refusal| refusal.status), Some(417));
}

#[test]
fn tunnels() {
    let ask = |lines: &str| app(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    let (request, out) = ask("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(request.upgrade, Some(Upgrade::WebSocket));
    assert!(out.ends_with("Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), "{out}");
    assert_eq!(ask("Connection: upgrade\r\nUpgrade: chat/2\r\n").0.upgrade, Some(Upgrade::Other));
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
    ] {
        let (request, out) = ask(lines);
        assert_eq!(request.upgrade, None, "{lines}");
        assert!(!out.contains("pgrade") && !out.contains("HTTP2"), "{out}");
    }
}
