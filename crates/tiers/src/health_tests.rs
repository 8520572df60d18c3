use super::*;
use tokio::net::TcpListener;

/// Serves one connection: reads until the other side has said something, then says `answer`.
async fn scripted(answer: &'static [&'static str]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for part in answer {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(part.as_bytes()).await;
        }
        let _ = stream.shutdown().await;
    });
    endpoint
}

#[tokio::test]
async fn http_answers_are_told_in_short_sentences() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Ok(())),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        ("HTTP/1.1 500 Oops\r\n\r\n", Err("answered 500")),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Err("answered 404")),
        ("", Err("closed the connection before answering")),
        ("SSH-2.0-x\r\n\r\n", Err("its answer is no HTTP: invalid HTTP version")),
    ] {
        let endpoint = scripted(Box::leak(Box::new([answer]))).await;
        let result = http(&endpoint, "localhost", "/", TIMEOUT).await;
        assert_eq!(result, expected.map_err(str::to_owned), "{answer:?}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told_apart_from_who_is_not_there() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(silent.local_addr().unwrap());
    let short = Duration::from_millis(50);
    assert_eq!(http(&endpoint, "x", "/", short).await, Err("no answer within 50 ms".to_owned()));
    assert_eq!(connect(&endpoint, TIMEOUT).await, Ok(()));
    drop(silent);
    assert_eq!(connect(&endpoint, TIMEOUT).await, Err("connection refused".to_owned()));
    let absent = Endpoint::Unix("/nonexistent/sock".into());
    assert_eq!(connect(&absent, TIMEOUT).await, Err("its socket is not there".to_owned()));
}

#[tokio::test]
async fn caches_are_asked_in_their_own_words() {
    let endpoint = scripted(&["+OK\r\n", "+PONG\r\n"]).await;
    assert_eq!(redis(&endpoint, "pw", TIMEOUT).await, Ok(()));
    let endpoint = scripted(&["-WRONGPASS invalid\r\n"]).await;
    assert_eq!(redis(&endpoint, "pw", TIMEOUT).await, Err("answered \"-WRONGPASS invalid\"".to_owned()));
    let endpoint = scripted(&["+OK\r\n", "-LOADING Redis is loading\r\n"]).await;
    assert_eq!(
        redis(&endpoint, "pw", TIMEOUT).await,
        Err("answered \"-LOADING Redis is loading\"".to_owned())
    );
    let endpoint = scripted(&["VERSION 1.6.18\r\n"]).await;
    assert_eq!(memcached(&endpoint, TIMEOUT).await, Ok(()));
    assert_eq!(resp(&["AUTH", "a b"]), b"*2\r\n$4\r\nAUTH\r\n$3\r\na b\r\n");
}
