use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

/// Answers one connection with `answer`, and gives back the request.
fn serve(folder: &Path, answer: &'static str) -> (Client, JoinHandle<String>) {
    let paths = Paths::new(folder);
    std::fs::create_dir_all(paths.run()).unwrap();
    let listener = UnixListener::bind(paths.api_socket()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap() > 2 {}
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        head + &String::from_utf8(body).unwrap()
    });
    (Client::new(&paths), server)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn an_answer_is_read_and_the_request_is_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let (client, server) =
        serve(folder.path(), "HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{\"text\":\"ok\",\"journal\":41}");
    let request = ScaleRequest { tier: stoa_model::Tier::App, instances: 4 };
    let accepted = wait(client.scale(&request)).unwrap();
    assert_eq!((accepted.text.as_str(), accepted.journal), ("ok", 41));
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /v1/scale HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(r#"{"tier":"app","instances":4}"#), "{request}");
}

#[test]
fn a_problem_is_passed_on_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (client, _server) = serve(
        folder.path(),
        "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n{\"what\":\"busy\",\"why\":\"w\",\"next\":\"n\"}",
    );
    match wait(client.down()) {
        Err(ClientError::Refused(problem)) => assert_eq!(problem.what, "busy"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_there_is_told_from_a_broken_answer() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    assert!(matches!(wait(Client::new(&paths).status()), Err(ClientError::NotRunning { .. })), "no file");
    std::fs::create_dir_all(paths.run()).unwrap();
    drop(UnixListener::bind(paths.api_socket()).unwrap());
    assert!(
        matches!(wait(Client::new(&paths).status()), Err(ClientError::NotRunning { .. })),
        "nobody accepts"
    );
    std::fs::remove_file(paths.api_socket()).unwrap();

    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"cut",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        "HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (client, server) = serve(folder.path(), answer);
        let result = wait(client.status());
        assert!(matches!(result, Err(ClientError::Broken { .. })), "{answer:?}: {result:?}");
        server.join().unwrap();
    }
}
