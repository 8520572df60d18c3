//! WebSockets through both faces: they echo, and end as their protocol has it where something is replaced.

use crate::load::{Ask, Load, Tally, ask, connect};
use crate::site::TestSite;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// A browser's end of a WebSocket.
pub(crate) struct Socket {
    connection: BufReader<TcpStream>,
    /// The instance at the other end.
    pub(crate) instance: String,
}

impl Socket {
    /// A new one.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut connection = connect(address).expect("a connection");
        let request = "GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = ask(&mut connection, request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        // The example of RFC 6455, 1.3.
        let accepted = answer.header("sec-websocket-accept");
        assert_eq!(accepted, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer:?}");
        let instance = answer.header("x-app-instance").expect("who answers").to_owned();
        Socket { connection, instance }
    }

    fn send(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u8::try_from(payload.len()).expect("a short one") | 0x80;
        let mask = [7, 11, 13, 17];
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame: Vec<u8> = [kind, length].into_iter().chain(mask).chain(masked).collect();
        self.connection.get_mut().write_all(&frame)
    }

    fn receive(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.connection.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1])];
        self.connection.read_exact(&mut payload)?;
        Ok((head[0], payload))
    }

    /// Whether what is sent comes back.
    pub(crate) fn echoes(&mut self, text: &str) -> bool {
        self.send(TEXT, text.as_bytes()).is_ok()
            && self.receive().is_ok_and(|frame| frame == (TEXT, text.as_bytes().to_vec()))
    }

    /// Talks until the other side ends it: the code of its close frame, `None` where it just broke off.
    /// Each answer until then is whole and right.
    pub(crate) fn talk(mut self) -> Option<u16> {
        for number in 0_u64.. {
            let text = format!("number {number}");
            if self.send(TEXT, text.as_bytes()).is_err() {
                break;
            }
            match self.receive() {
                Ok((TEXT, payload)) => assert_eq!(payload, text.as_bytes(), "another echo"),
                Ok((CLOSE, payload)) => {
                    let code = [payload[0], payload[1]];
                    // What is polite is answered politely; the connection then ends and does not hang.
                    let _ = self.send(CLOSE, &code);
                    let mut rest = Vec::new();
                    let _ = self.connection.read_to_end(&mut rest);
                    return Some(u16::from_be_bytes(code));
                }
                Ok(other) => panic!("no frame of the echo: {other:?}"),
                Err(_) => break,
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        None
    }
}

fn load(site: &TestSite) -> Load {
    let get = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
    let load =
        Load::start(site.address, "localhost", 6, &[get("/"), get("/static/site.css"), get("/slow/10")]);
    assert!(load.answers(50, SOON), "no load came up\n{}", site.story());
    load
}

fn lost_nothing(site: &TestSite, load: Load) {
    assert!(load.answers(50, SOON), "the load stands still\n{}", site.story());
    let Tally { lost, answered, .. } = load.finish();
    assert!(lost.is_empty(), "{} of {answered} lost: {lost:#?}\n{}", lost.len(), site.story());
}

#[test]
fn balancers_close_websockets_politely() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    let talks: Vec<_> = (0..2)
        .map(|_| {
            let mut socket = Socket::open(site.address);
            assert!(socket.echoes("hello"), "{}", site.story());
            std::thread::spawn(move || socket.talk())
        })
        .collect();
    site.ok(&["restart", "balancer"]);
    site.settles();
    for talk in talks {
        let code = talk.join().expect("a talk panicked");
        assert_eq!(code, Some(1001), "\"going away\": the client comes again\n{}", site.story());
    }
    assert!(Socket::open(site.address).echoes("again"), "{}", site.story());
    lost_nothing(&site, load);
}

#[test]
fn a_websocket_of_a_replaced_instance_is_closed_politely() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    let before: Vec<_> = site.instances("app").iter().map(|one| one["pid"].clone()).collect();
    let talks: Vec<_> = (0..6)
        .map(|_| {
            let mut socket = Socket::open(site.address);
            assert!(socket.echoes("before"), "{}", site.story());
            std::thread::spawn(move || (socket.talk(), Instant::now()))
        })
        .collect();
    site.ok(&["restart", "app"]);
    site.settles();
    let ends: Vec<_> = talks.into_iter().map(|talk| talk.join().expect("the talk panicked")).collect();
    for (code, _) in &ends {
        assert_eq!(*code, Some(1001), "\"going away\": the client comes again\n{}", site.story());
    }
    let (first, last) = (ends.iter().map(|end| end.1).min(), ends.iter().map(|end| end.1).max());
    assert!(last > first.map(|at| at + Duration::from_millis(100)), "all came back at the same moment");
    let mut after = Socket::open(site.address);
    let now = site.pid(&after.instance).expect("its pid");
    assert!(before.iter().all(|pid| *pid != now), "{} is an old one", after.instance);
    assert!(after.echoes("after"));
    lost_nothing(&site, load);
}
