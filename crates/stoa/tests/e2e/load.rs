//! Visitors: keep-alive clients that ask, check every answer and count what they lost.
//!
//! Strict on purpose: a request that gets no whole answer, or another status than it should, is lost,
//! whatever a browser would have tried again. Only a connection that was closed while nothing was asked
//! on it is made anew without a word.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one visitor asks over and over.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// `GET` or `POST`.
    pub(crate) method: &'static str,
    /// The path; `{n}` becomes a number that is never used twice.
    pub(crate) path: String,
    /// The body; `{n}` as in the path.
    pub(crate) body: Option<String>,
    /// The status that is right.
    pub(crate) status: u16,
}

/// A request that was lost.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    /// When, since the load began.
    pub(crate) at: Duration,
    /// `GET /path`.
    pub(crate) what: String,
    /// What happened instead.
    pub(crate) why: String,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Requests answered as they should be.
    pub(crate) answered: u64,
    /// Requests that were lost.
    pub(crate) lost: Vec<Lost>,
    /// The numbers of acknowledged POSTs.
    pub(crate) acknowledged: Vec<u64>,
    /// The longest wait for an answer.
    pub(crate) slowest: Duration,
    /// How many waits were longer than [`SLOW`].
    pub(crate) slow: u64,
}

/// A visitor notices a wait that is longer.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// Visitors at work; they stop when asked to, or when this is dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    visitors: Vec<JoinHandle<Tally>>,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Load {
    /// `count` visitors of `address`; visitor i asks `asks[i % asks.len()]`.
    pub(crate) fn start(address: SocketAddr, host: &str, count: usize, asks: &[Ask]) -> Self {
        Load::paced(address, host, count, asks, Duration::ZERO)
    }

    /// The same, each visitor thinking for `pause` between an answer and its next question.
    pub(crate) fn paced(
        address: SocketAddr,
        host: &str,
        count: usize,
        asks: &[Ask],
        pause: Duration,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::default());
        let began = Instant::now();
        let visitors = (0..count).map(|i| {
            let visitor = Visitor {
                address,
                host: host.to_owned(),
                ask: asks[i % asks.len()].clone(),
                began,
                pause,
                connection: None,
            };
            let (stop, answered) = (stop.clone(), Arc::clone(&answered));
            std::thread::spawn(move || visitor.work(&stop, &answered))
        });
        Load { visitors: visitors.collect(), stop, answered }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests were answered; false when that takes longer than `within`.
    pub(crate) fn answers(&self, count: u64, within: Duration) -> bool {
        let (goal, deadline) = (self.answered() + count, Instant::now() + within);
        while self.answered() < goal {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        true
    }

    /// Ends the visitors, each after its request, and adds up what came of it.
    pub(crate) fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for visitor in self.visitors.drain(..) {
            let tally = visitor.join().expect("a visitor panicked");
            sum.answered += tally.answered;
            sum.lost.extend(tally.lost);
            sum.acknowledged.extend(tally.acknowledged);
            sum.slowest = sum.slowest.max(tally.slowest);
            sum.slow += tally.slow;
        }
        sum.lost.sort_by_key(|lost| lost.at);
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Visitor {
    address: SocketAddr,
    host: String,
    ask: Ask,
    began: Instant,
    pause: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Visitor {
    fn work(mut self, stop: &AtomicBool, answered: &AtomicU64) -> Tally {
        let mut tally = Tally::default();
        while !stop.load(Ordering::Relaxed) {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            match self.ask_once(number) {
                Ok(()) => {
                    tally.answered += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                    if self.ask.method == "POST" {
                        tally.acknowledged.push(number);
                    }
                }
                Err(why) => {
                    self.connection = None;
                    let what = format!("{} {}", self.ask.method, self.ask.path);
                    tally.lost.push(Lost { at: self.began.elapsed(), what, why });
                    // A visitor whose connection is refused does not ask ten thousand times a second.
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }
            let waited = began.elapsed();
            tally.slowest = tally.slowest.max(waited);
            tally.slow += u64::from(waited > SLOW);
            if !self.pause.is_zero() {
                std::thread::park_timeout(self.pause);
            }
        }
        tally
    }

    fn ask_once(&mut self, number: u64) -> Result<(), String> {
        let mut connection = match self.connection.take().filter(still_open) {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let fill = |text: &str| text.replace("{n}", &number.to_string());
        let body = self.ask.body.as_deref().map(fill).unwrap_or_default();
        let mut request =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.ask.method, fill(&self.ask.path), self.host);
        if self.ask.body.is_some() {
            let kind =
                if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
            request += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += &body;
        let answer = ask(&mut connection, request.as_bytes())?;
        if answer.status != self.ask.status {
            let text: String = answer.body.chars().take(200).collect();
            return Err(format!("status {}: {text}", answer.status));
        }
        if answer.keep_alive {
            self.connection = Some(connection);
        }
        Ok(())
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its header lines.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body, lossily as text.
    pub(crate) body: String,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One request on a connection of its own.
pub(crate) fn fetch(address: SocketAddr, request: &str) -> Result<Answer, String> {
    ask(&mut connect(address)?, request.as_bytes())
}

/// One request on a connection.
pub(crate) fn ask(connection: &mut BufReader<TcpStream>, request: &[u8]) -> Result<Answer, String> {
    connection.get_mut().write_all(request).map_err(|error| format!("sending: {error}"))?;
    read_answer(connection)
}

/// A GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer, String> {
    fetch(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

/// A new connection.
pub(crate) fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .map_err(|error| format!("connecting: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
    Ok(BufReader::new(stream))
}

/// Whether the other side has not closed while nothing was asked.
fn still_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let mut byte = [0];
    stream.set_nonblocking(true).is_ok()
        && matches!(stream.peek(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        && stream.set_nonblocking(false).is_ok()
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<Answer, String> {
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status line but {first:?}"))?;
    let mut headers = Vec::new();
    loop {
        let text = line(connection)?;
        match text.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None if text.is_empty() => break,
            None => return Err(format!("no header line but {text:?}")),
        }
    }
    let answer = Answer { status, headers, body: String::new(), keep_alive: true };
    let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let (body, framed) = read_body(connection, &answer)?;
    Ok(Answer { body: String::from_utf8_lossy(&body).into_owned(), keep_alive: framed && !closes, ..answer })
}

fn read_body(connection: &mut BufReader<TcpStream>, answer: &Answer) -> Result<(Vec<u8>, bool), String> {
    let broke = |error: std::io::Error| format!("the answer broke off: {error}");
    if matches!(answer.status, 101 | 204 | 304) {
        return Ok((Vec::new(), true));
    }
    if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let mut body = Vec::new();
        loop {
            let size = line(connection)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| format!("no chunk size but {size:?}"))?;
            let mut chunk = vec![0; size + 2];
            connection.read_exact(&mut chunk).map_err(broke)?;
            if size == 0 {
                return Ok((body, true));
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    let length = answer.header("content-length").and_then(|value| value.parse::<usize>().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            connection.read_exact(&mut body).map_err(broke)?;
        }
        None => {
            connection.read_to_end(&mut body).map_err(broke)?;
        }
    }
    Ok((body, length.is_some()))
}

fn line(connection: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut text = String::new();
    match connection.take(16_384).read_line(&mut text) {
        Ok(0) => Err("the connection was closed before an answer".to_owned()),
        Ok(_) if text.ends_with("\r\n") => Ok(text.trim_end_matches("\r\n").to_owned()),
        Ok(_) => Err(format!("the answer broke off after {text:?}")),
        Err(error) => Err(format!("no answer: {error}")),
    }
}
