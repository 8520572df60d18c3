//! What `deploy`, `rollback`, `promote` and `secrets` say and end with, against a daemon that is scripted.
#![allow(clippy::unwrap_used)] // A helper's panic is a test's failure.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What it answers to everything but `GET /v1/status`: by method and path, with the status code.
type Answers = Vec<(&'static str, u16, Value)>;

/// A daemon of a state folder that answers as it is told: each look at the status gets the next one, and
/// the last one again and again. `null` is a daemon that is gone for a while.
struct Daemon {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn new(statuses: Vec<Value>, answers: Answers) -> Self {
        // Unix sockets must fit 107 bytes: a short folder, whatever TMPDIR says.
        let folder = tempfile::Builder::new().prefix("stoa-").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let socket = folder.path().join("run/stoa.sock");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ends = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(&socket).unwrap();
        let (heard, end) = (asked.clone(), ends.clone());
        let thread =
            std::thread::spawn(move || serve(listener, &socket, statuses.into(), &answers, &heard, &end));
        Daemon { folder, asked, ends, thread: Some(thread) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
        command.args(["--state".as_ref(), self.folder.path().as_os_str()]).args(arguments);
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).env("LC_ALL", "C.UTF-8");
        command.env("SUDO_USER", "anna").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What was asked of it, without the looks at the status.
    fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|call| !call.starts_with("GET /v1/status"))
            .cloned()
            .collect()
    }

    fn looks(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|call| call.starts_with("GET /v1/status")).count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes it; where nobody listens it has ended.
        drop(UnixStream::connect(self.folder.path().join("run/stoa.sock")));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn serve(
    mut listener: UnixListener,
    socket: &Path,
    mut statuses: VecDeque<Value>,
    answers: &Answers,
    asked: &Mutex<Vec<String>>,
    ends: &AtomicBool,
) {
    while let Ok((mut stream, _)) = listener.accept() {
        if ends.load(Ordering::Relaxed) {
            return;
        }
        let Some(call) = request(&stream) else { continue };
        asked.lock().unwrap().push(call.clone());
        let (code, body) = if call.starts_with("GET /v1/status ") {
            let status = if statuses.len() > 1 { statuses.pop_front() } else { statuses.front().cloned() };
            let status = status.unwrap();
            if status.is_null() {
                // As after `kill -9`: the connection breaks, the file stays, and another one binds it anew.
                drop((stream, listener));
                wait_for_the_next_one();
                std::fs::remove_file(socket).unwrap();
                listener = UnixListener::bind(socket).unwrap();
                continue;
            }
            (200, status)
        } else {
            let found = answers.iter().find(|(path, ..)| call.starts_with(path));
            found.map_or((404, json!({})), |(_, code, body)| (*code, body.clone()))
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {code} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        // A client that was interrupted takes no answer.
        let _ = stream.write_all((head + &body).as_bytes());
    }
}

/// For as long as a keeper takes to start another daemon.
fn wait_for_the_next_one() {
    std::thread::sleep(Duration::from_millis(400));
}

/// `METHOD PATH BODY`.
fn request(stream: &UnixStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).ok()? > 2 {}
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = head.lines().next()?.strip_suffix(" HTTP/1.1")?;
    Some(format!("{line} {}", String::from_utf8(body).unwrap()))
}

/// A site whose release 7 serves.
fn standing() -> Value {
    json!({
        "site": "shop", "power": "on", "release": "7-0f3e2d1", "live": "7-0f3e2d1", "settled": true, "urls": [],
        "api": null, "state": "/s", "tiers": [], "build": "built", "waiting": [], "failures": [],
        "deployment": null, "environment": "production", "term": 1,
        "daemon": { "pid": 1, "uptime": 1, "memory": 1, "version": "x" },
    })
}

/// A look at deployment 12 of release 8 in `phase`.
fn look(phase: Value, text: &str, more: Value) -> Value {
    let mut status = standing();
    let over = phase == "watch" || phase == "done";
    status["release"] = json!("8-1a2b3c4");
    status["settled"] = json!(over || phase.get("failed").is_some());
    status["live"] = json!(if over { "8-1a2b3c4" } else { "7-0f3e2d1" });
    status["deployment"] = json!({
        "number": 12, "kind": "deploy", "by": "anna@laptop", "from": "7-0f3e2d1", "to": "8-1a2b3c4",
        "phase": phase, "text": text, "age": 1000, "percent": 0, "old": [0, 0], "new": [0, 0],
    });
    for (key, value) in more.as_object().unwrap() {
        status["deployment"][key] = value.clone();
    }
    status
}

fn prepare() -> Value {
    look(json!("prepare"), "`migrate` runs (1 s so far)", json!({}))
}

fn canary() -> Value {
    let figures =
        json!({ "percent": 5, "steps": [5, 50], "new": [31, 0], "old": [600, 1], "new_p90_ms": 4.0 });
    look(json!({ "canary": { "step": 0 } }), "the canary at 5 % is held for 60 s", figures)
}

fn watched(left: Option<u64>) -> Value {
    look(json!("watch"), "it serves in full, and is watched", json!({ "percent": 100, "left": left }))
}

fn failed(why: &str) -> Value {
    look(json!({ "failed": why }), why, json!({ "new": [240, 12], "old": [4800, 3] }))
}

fn accepted(unchanged: bool) -> Value {
    let warnings: &[&str] =
        if unchanged { &[] } else { &["changes that are not committed are no part of it"] };
    json!({ "number": 12, "release": "8-1a2b3c4", "unchanged": unchanged, "warnings": warnings, "journal": 3 })
}

fn deploys(statuses: Vec<Value>) -> Daemon {
    let takes = ["POST /v1/deploy", "POST /v1/rollback", "POST /v1/promote"];
    Daemon::new(statuses, takes.map(|path| (path, 200, accepted(false))).to_vec())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn says(output: &Output, code: i32, words: &[&str]) {
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in:\n{told}");
    }
}

#[test]
fn a_deployment_is_followed_until_it_serves() {
    let daemon = deploys(vec![standing(), prepare(), canary(), watched(Some(48_000))]);
    let output = daemon.run(&["deploy", "v1.4"]);
    says(
        &output,
        0,
        &[
            "warning: changes that are not committed",
            "deployment 12: release 8-1a2b3c4 is to serve; 7-0f3e2d1 serves until then",
            "preparing: `migrate` runs",
            "canary at 5 %",
            "release 8-1a2b3c4 serves; it is watched for 48s more and taken back by itself if it errs more",
        ],
    );
    let asked = daemon.asked();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(
        asked[0].contains(r#""reference":"v1.4""#) && asked[0].contains(&format!("anna@{}", host.trim())),
        "{asked:?}"
    );
}

#[test]
fn one_that_is_taken_back_ends_with_1_and_says_why_and_what_to_type() {
    let daemon =
        deploys(vec![standing(), canary(), failed("12 of 240 answers (5.0 %) of the new release failed")]);
    says(
        &daemon.run(&["deploy"]),
        1,
        &[
            "error: release 8-1a2b3c4 was taken back",
            "12 of 240 answers (5.0 %)",
            "Release 7-0f3e2d1 serves.",
            " deploy --state",
            " events --state",
        ],
    );
}

#[test]
fn json_is_one_object_at_the_end() {
    for (last, code, outcome) in [(watched(None), 0, "serves"), (failed("worse"), 1, "failed")] {
        let daemon = deploys(vec![standing(), canary(), last]);
        let output = daemon.run(&["deploy", "--json"]);
        assert_eq!(output.status.code(), Some(code));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&value["outcome"], &value["number"]), (&json!(outcome), &json!(12)), "{value}");
        assert_eq!(value["deployment"]["to"], "8-1a2b3c4");
        assert_eq!(value.get("error").is_some(), code == 1, "{value}");
    }
}

#[test]
fn a_daemon_that_is_killed_meanwhile_is_waited_for() {
    let daemon = deploys(vec![standing(), prepare(), Value::Null, canary(), watched(None)]);
    says(&daemon.run(&["deploy"]), 0, &["preparing", "canary at 5 %", "release 8-1a2b3c4 serves"]);
}

#[test]
fn who_overtakes_is_named() {
    let mut other = prepare();
    (other["deployment"]["number"], other["deployment"]["by"]) = (json!(13), json!("ben@desk"));
    let daemon = deploys(vec![standing(), prepare(), other]);
    says(&daemon.run(&["deploy"]), 1, &["overtaken by deployment 13 of ben@desk"]);
}

#[test]
fn what_serves_already_is_no_deployment() {
    let daemon = Daemon::new(vec![standing()], vec![("POST /v1/deploy", 200, accepted(true))]);
    says(&daemon.run(&["deploy"]), 0, &["release 8-1a2b3c4 serves already; nothing to do"]);
}

#[test]
fn a_refusal_is_told_as_it_is_with_lines_that_work_here() {
    let problem = json!({ "what": "deployment 11 is under way", "why": "ben@desk asked for it", "next": "follow it: stoa status" });
    let daemon = Daemon::new(vec![standing()], vec![("POST /v1/deploy", 409, problem)]);
    let output = daemon.run(&["deploy"]);
    says(&output, 1, &["deployment 11 is under way", "ben@desk", "follow it: "]);
    assert!(text(&output.stderr).contains(&daemon.folder.path().display().to_string()), "{output:?}");
}

#[test]
fn watching_lasts_until_the_judging_is_over() {
    let daemon = deploys(vec![
        standing(),
        canary(),
        watched(Some(300)),
        watched(Some(200)),
        watched(Some(100)),
        watched(Some(50)),
        watched(None),
    ]);
    let output = daemon.run(&["deploy", "--watch"]);
    says(&output, 0, &["watched for", "release 8-1a2b3c4 serves"]);
    assert!(!text(&output.stdout).contains("more and taken back"), "{output:?}");
    assert!(daemon.looks() >= 7);
}

#[test]
fn ctrl_c_leaves_the_deployment_going() {
    let daemon = deploys(vec![standing(), canary()]);
    let child = daemon.command(&["deploy"]).spawn().unwrap();
    until_it_looked(&daemon, 4);
    interrupt(&child);
    says(
        &child.wait_with_output().unwrap(),
        1,
        &["interrupted", "deployment 12 to 8-1a2b3c4 goes on", " status"],
    );
}

fn until_it_looked(daemon: &Daemon, times: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while daemon.looks() < times {
        assert!(Instant::now() < deadline, "it never looked");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_rollback_says_first_where_to_and_takes_a_number() {
    let releases = json!([
        { "release": "8-1a2b3c4", "state": "built", "number": 9, "kind": "deploy", "by": "anna", "at_unix_ms": 5,
          "reference": "main", "failed": null },
    ]);
    let daemon = Daemon::new(
        vec![standing(), watched(None)],
        vec![("POST /v1/rollback", 200, accepted(false)), ("GET /v1/releases", 200, releases)],
    );
    let output = daemon.run(&["rollback", "8"]);
    says(&output, 0, &["release 8-1a2b3c4 serves"]);
    assert!(text(&output.stdout).starts_with("back from 7-0f3e2d1 to 8-1a2b3c4"), "{output:?}");
    assert!(daemon.asked()[1].contains(r#""release":"8-1a2b3c4""#), "{:?}", daemon.asked());
    says(&daemon.run(&["rollback", "5"]), 1, &["there is no release 5", " releases"]);
    says(&daemon.run(&["releases"]), 0, &["8-1a2b3c4", "built", "anna", "main"]);
}

#[test]
fn what_another_environment_runs_is_promoted() {
    let daemon = deploys(vec![watched(None)]);
    says(&daemon.run(&["promote", "staging"]), 1, &["staging runs no release", "-e staging up"]);
    says(&daemon.run(&["promote", "production"]), 2, &["cannot be promoted to itself", "promote staging"]);
    let beside = PathBuf::from(format!("{}@staging", daemon.folder.path().display()));
    std::fs::create_dir(&beside).unwrap();
    std::fs::write(beside.join("state.db"), "").unwrap();
    let output = daemon.run(&["promote", "staging"]);
    std::fs::remove_dir_all(&beside).unwrap();
    says(
        &output,
        0,
        &["what staging runs is to serve in production as release 8-1a2b3c4", "release 8-1a2b3c4 serves"],
    );
    let asked = daemon.asked();
    assert!(asked[0].contains(&format!(r#""state":"{}""#, beside.display())), "{asked:?}");
    says(
        &daemon.run(&["-e", "staging", "promote", "staging"]),
        2,
        &["to promote it to production", "promote staging"],
    );
}

#[test]
fn a_dry_run_takes_nothing() {
    let preview = json!({ "from": "7-0f3e2d1", "to": "8-1a2b3c4", "built": false,
        "steps": ["8-1a2b3c4 is built", "a batch of 1 at a time"], "warnings": ["look at stoa status"] });
    let daemon = Daemon::new(vec![standing()], vec![("POST /v1/deploy", 200, preview)]);
    says(
        &daemon.run(&["deploy", "--dry-run"]),
        0,
        &["8-1a2b3c4 would follow 7-0f3e2d1", "2  a batch", "Nothing was changed."],
    );
    let asked = daemon.asked();
    assert!(asked.len() == 1 && asked[0].contains(r#""dry_run":true"#), "{asked:?}");
}

#[test]
fn a_secret_is_read_from_standard_input_and_never_shown() {
    let taken = json!({ "text": "KEY is set; the instances that use it are replaced", "journal": 4 });
    let daemon = Daemon::new(vec![standing()], vec![("POST /v1/secrets", 200, taken)]);
    let set = |arguments: &[&str], value: &[u8]| {
        let mut child = daemon.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = set(&["secrets", "set", "KEY"], b"hunter2\n");
    says(&output, 0, &["KEY is set"]);
    let told = format!("{output:?}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(daemon.asked()[0].contains(r#""value":"hunter2""#));
    says(&set(&["secrets", "set", "KEY"], b"\n"), 2, &["is empty", "secrets unset KEY"]);
    says(&set(&["secrets", "set", "KEY"], b"\xff\xfe"), 1, &["not UTF-8"]);
    says(&set(&["secrets", "set", "KEY"], &vec![b'x'; (64 << 10) + 1]), 1, &["more than 64 KB"]);
    assert_eq!(daemon.asked().len(), 1, "nothing of these was sent");
}
