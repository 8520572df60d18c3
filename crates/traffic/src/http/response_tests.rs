use super::*;
use crate::http::request;

fn asked(head: &str) -> Request {
    request::read(head.as_bytes(), None, &mut Vec::new()).unwrap()
}

fn get() -> Request {
    asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn to(request: &Request, head: &str) -> Result<(Response, String), &'static str> {
    let towards = Towards { request, keep: true, id: None };
    let mut out = Vec::new();
    let response = read(head.as_bytes(), &towards, &mut out)?;
    Ok((response, String::from_utf8(out).unwrap()))
}

#[test]
fn what_is_no_answer() {
    let cases = [
        ("both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        ("a bad length", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n"),
        ("an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        (
            "chunked twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
        ("space before the colon", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
        ("an unknown version", "HTTP/3.0 200 OK\r\n\r\n"),
        ("a long status", "HTTP/1.1 2000 OK\r\n\r\n"),
        ("no status", "HTTP/1.1 abc OK\r\n\r\n"),
        ("status 600", "HTTP/1.1 600 OK\r\n\r\n"),
        ("status 099", "HTTP/1.1 099 OK\r\n\r\n"),
        ("another protocol", "SSH-2.0-OpenSSH\r\n\r\n"),
        ("switching unasked", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    ];
    for (what, head) in cases {
        assert!(to(&get(), head).is_err(), "{what}");
    }
}

#[test]
fn framing() {
    let head = asked("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    let cases = [
        (get(), "200 OK", length, Framing::Length(5), Framing::Length(5), true),
        (get(), "200 OK", "Content-Length: 0\r\n", Framing::None, Framing::None, true),
        (
            get(),
            "200 OK",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Framing::Length(5),
            Framing::Length(5),
            true,
        ),
        (get(), "200 OK", chunked, Framing::Chunked, Framing::Chunked, true),
        (get(), "200 OK", "", Framing::UntilClose, Framing::Chunked, false),
        (get(), "204 No Content", length, Framing::None, Framing::None, true),
        (get(), "304 Not Modified", length, Framing::None, Framing::None, true),
        (head.clone(), "200 OK", length, Framing::None, Framing::None, true),
        (head, "200 OK", chunked, Framing::None, Framing::None, true),
        (asked("GET / HTTP/1.0\r\n\r\n"), "200 OK", chunked, Framing::Chunked, Framing::UntilClose, true),
        (asked("GET / HTTP/1.0\r\n\r\n"), "200 OK", "", Framing::UntilClose, Framing::UntilClose, false),
    ];
    for (request, status, lines, framing, towards_client, upstream_keeps) in cases {
        let (response, out) = to(&request, &format!("HTTP/1.1 {status}\r\n{lines}\r\n")).unwrap();
        let got = (response.framing, response.towards_client, response.upstream_keeps);
        assert_eq!(got, (framing, towards_client, upstream_keeps), "{status} {lines}");
        let closes = request.old;
        assert_eq!(response.client_keeps, !closes, "{status} {lines}");
        assert_eq!(out.contains("Connection: close\r\n"), closes, "{out}");
        assert_eq!(out.contains("chunked"), towards_client == Framing::Chunked, "{out}");
    }
}

#[test]
fn an_answer_as_the_client_gets_it() {
    let request = get();
    let towards = Towards { request: &request, keep: true, id: Some(&[b'7'; 32]) };
    let head = concat!(
        "HTTP/1.1 404 Gone Fishing\r\n",
        "Date: x\r\nContent-Length: 3\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\n",
        "X-Request-Id: theirs\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"
    );
    let mut out = Vec::new();
    let response = read(head.as_bytes(), &towards, &mut out).unwrap();
    let expected = concat!(
        "HTTP/1.1 404 Gone Fishing\r\nDate: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n",
        "X-Request-Id: 77777777777777777777777777777777\r\n\r\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(!response.upstream_keeps && response.client_keeps);
}

#[test]
fn lengths_of_what_is_not_sent() {
    let head = asked("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        to(&head, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap().1.contains("Content-Length: 9")
    );
    assert!(
        to(&get(), "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n").unwrap().1.contains("Content-Length: 9")
    );
    assert!(
        !to(&get(), "HTTP/1.1 204 None\r\nContent-Length: 9\r\n\r\n").unwrap().1.contains("Content-Length")
    );
}

#[test]
fn connections_that_stay_open() {
    let old = asked("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (response, out) = to(&old, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(response.client_keeps && out.contains("Connection: keep-alive\r\n"), "{out}");
    let upstream = |head: &str| to(&get(), head).unwrap().0.upstream_keeps;
    assert!(!upstream("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(upstream("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    assert!(!upstream("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n"));
}

#[test]
fn interim_answers_and_tunnels() {
    let (response, out) =
        to(&get(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n").unwrap();
    assert_eq!(response.kind, Kind::Interim);
    assert_eq!(out, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let socket = asked("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let (response, out) = to(&socket, head).unwrap();
    assert_eq!(response.kind, Kind::Switch);
    assert_eq!(out, head);
}
